//! Requests as they were seen.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::fail;
use crate::host::Outgoing;
use crate::{Effect, encoding};

/// A request that the engine sent.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedRequest {
    pub endpoint: String,
    pub method: String,
    /// Percent-encoded, without the query.
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    pub effect: Effect,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub timeout: Option<Duration>,
    /// Milliseconds since 1970 on the test's clock.
    pub at: u64,
}

impl RecordedRequest {
    pub(super) fn new(outgoing: Outgoing, at: u64) -> Self {
        let (path, query) = split(&outgoing.target);
        Self {
            endpoint: outgoing.endpoint,
            method: outgoing.method,
            path,
            query,
            effect: outgoing.effect,
            headers: outgoing.headers,
            body: outgoing.body.unwrap_or_default(),
            timeout: outgoing.timeout,
            at,
        }
    }

    /// First value of a header, by name without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The fields of a body of type `application/x-www-form-urlencoded`, decoded, in order; none for a
    /// body of another type.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        if self.header("content-type") == Some("application/x-www-form-urlencoded") {
            encoding::pairs(&self.text())
        } else {
            Vec::new()
        }
    }

    /// A field of the form, or of the query.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        let form = self.form();
        let mut pairs = form.into_iter().chain(self.query.iter().cloned());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| fail(format_args!("the body of {self} is no JSON: {error}")))
    }

    /// Path with query, encoded again.
    #[must_use]
    pub fn target(&self) -> String {
        let mut query = String::new();
        for (key, value) in &self.query {
            encoding::push_pair(&mut query, key, value);
        }
        if query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{query}", self.path)
        }
    }
}

/// Path and decoded query of a target.
pub(super) fn split(target: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), encoding::pairs(query))
}

/// `POST /nodes/pve1/qemu (once) newid=105`
impl fmt::Display for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target())?;
        if self.effect != Effect::Read {
            write!(f, " ({})", self.effect.as_str())?;
        }
        if !self.body.is_empty() {
            write!(f, " {}", self.text())?;
        }
        Ok(())
    }
}
