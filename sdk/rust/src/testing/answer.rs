//! What the provider answers.

use serde::Serialize;

use super::fail;
use crate::host::Incoming;

/// The answer to one request.
///
/// ```
/// # use enginehouse_sdk::testing::Answer;
/// # use serde_json::json;
/// Answer::json(json!({"data": "UPID:pve1:…"}));
/// Answer::empty().status(500).reason("VM 105 is locked (clone)");
/// Answer::lost();
/// ```
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    /// `None`: the answer never arrives.
    body: Option<Vec<u8>>,
}

impl Answer {
    fn new(body: Option<Vec<u8>>) -> Self {
        Self {
            status: 200,
            reason: "OK".to_owned(),
            headers: Vec::new(),
            body,
        }
    }

    /// `200 OK` with a JSON document.
    ///
    /// # Panics
    /// If the value has no JSON.
    #[must_use]
    pub fn json<T: Serialize>(value: T) -> Self {
        match serde_json::to_vec(&value) {
            Ok(body) => Self::new(Some(body)).header("content-type", "application/json"),
            Err(error) => fail(format_args!("an answer without JSON: {error}")),
        }
    }

    /// `200 OK` with text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::bytes(text.into().into_bytes()).header("content-type", "text/plain")
    }

    /// `200 OK` with any body.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Some(bytes.into()))
    }

    /// `200 OK` without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Some(Vec::new()))
    }

    /// The connection breaks before the answer: `send` fails with `unreachable`. Whether the request
    /// took effect is for the rest of the script, or the world, to decide. After a `once` request
    /// whose `run` then fails, [`super::Hypervisor::run`] asks the engine's `settle`.
    #[must_use]
    pub fn lost() -> Self {
        Self::new(None)
    }

    /// Another status, with an empty reason phrase.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self.reason.clear();
        self
    }

    /// The reason phrase of HTTP/1.1; call it after [`Answer::status`].
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn into_incoming(self) -> Option<Incoming> {
        let Self {
            status,
            reason,
            headers,
            body,
        } = self;
        Some(Incoming {
            status,
            reason,
            headers,
            body: body?,
        })
    }
}
