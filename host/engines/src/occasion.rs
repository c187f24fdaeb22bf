//! What the server lends to one call of an engine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use enginehouse_documents::{Problem, Sent, TaskEnd};
use enginehouse_model::{Mark, OperationId};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Clock;
use crate::egress::RequestLine;

/// Who asks, how often already, until when, and with whose journal.
#[derive(Clone)]
pub struct Occasion {
    /// 0 when no operation is behind the call.
    pub operation: OperationId,
    /// 1 for the first try of the step.
    pub attempt: u32,
    /// What is written on whatever the call creates.
    pub mark: Option<Mark>,
    /// `call.key(n)` is derived from it: the same for every attempt of a step, unlike that of any
    /// other step.
    pub key_seed: String,
    pub clock: Clock,
    /// The guest's time. The runtime's own limit stays in force.
    pub deadline: Duration,
    /// Set by whoever asks the operation to cancel.
    pub cancelling: Arc<AtomicBool>,
    /// In `run` after `wait`: how the task ended.
    pub ended: Option<TaskEnd>,
    /// In `settle`: the request whose answer was lost.
    pub sent: Option<Sent>,
    pub observer: Arc<dyn Observer>,
    pub once: OncePolicy,
    /// Absent: `call.reserve` is refused with `unsupported`.
    pub reservations: Option<Arc<dyn Reservations>>,
}

impl Occasion {
    /// A call that changes nothing and belongs to no operation: inventory, checks, polls.
    #[must_use]
    pub fn reading(deadline: Duration, observer: Arc<dyn Observer>) -> Self {
        Self {
            operation: OperationId(0),
            attempt: 1,
            mark: None,
            key_seed: String::new(),
            clock: Clock::system(),
            deadline,
            cancelling: Arc::new(AtomicBool::new(false)),
            ended: None,
            sent: None,
            observer,
            once: OncePolicy::Forbidden,
            reservations: None,
        }
    }

    /// `call.key(n)`: 32 hexadecimal digits.
    pub(crate) fn key(&self, n: u32) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("enginehouse 2026 call.key");
        hasher.update(self.key_seed.as_bytes());
        hasher.update(&n.to_le_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

impl fmt::Debug for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occasion")
            .field("operation", &self.operation)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Hears what a call does while it does it. All texts are redacted. Must not block.
pub trait Observer: Send + Sync {
    /// Per cent (0 to 100) where known.
    fn progress(&self, percent: Option<u8>, message: &str);
    /// `level`: `debug`, `info` or `warn`.
    fn log(&self, level: &str, message: &str);
    /// Each request as it ends, also one that never left.
    fn request(&self, line: &RequestLine);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&self, _: Option<u8>, _: &str) {}
    fn log(&self, _: &str, _: &str) {}
    fn request(&self, _: &RequestLine) {}
}

/// Whether `run` may send a request that changes something.
#[derive(Clone)]
pub enum OncePolicy {
    /// `read` only.
    Forbidden,
    /// `read`, `repeat`, and at most one `once`, which goes through the journal.
    Allowed(Arc<dyn OnceJournal>),
}

/// The journal of one step's `once` request. Made by the server for one step.
///
/// The order that makes "at most once" true: `begin` is on disk before a byte leaves; `answered` is
/// on disk before the guest sees the answer.
pub trait OnceJournal: Send + Sync {
    fn begin<'a>(&'a self, request: &'a OnceRequest) -> BoxFuture<'a, Result<Begun, JournalError>>;
    /// Called exactly once after a `begin` that answered [`Begun::Send`], even if the guest is gone.
    fn answered<'a>(&'a self, end: &'a OnceEnd) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// A `once` request as it is journalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnceRequest {
    pub sent: Sent,
    /// blake3 of endpoint, method, path, the guest's headers and the body, in hexadecimal.
    pub digest: String,
}

/// What the journal says to a `once` request.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// It is journalled: send it.
    Send,
    /// It was sent in an earlier attempt and answered: the guest gets that answer. If `request`
    /// has another digest, the step ends with [`crate::Failure::Replay`].
    Replay {
        request: OnceRequest,
        response: StoredResponse,
    },
    /// Nothing may be sent now, and why.
    Refuse(String),
}

/// An answer as it is journalled: redacted, without headers that carry credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    /// In base64 where it is serialised as text.
    #[serde(with = "base64_bytes")]
    pub body: Vec<u8>,
    /// The body was longer than what a `once` answer may have, and is cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// What became of a `once` request.
#[derive(Clone, Debug, PartialEq)]
pub enum OnceEnd {
    Answered(StoredResponse),
    /// It provably had no effect: no connection, no login, refused before it left.
    NotSent(String),
    /// It left (or may have), and no answer came. Settle the step.
    Lost(String),
}

/// The journal could not be written: nothing may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("journal: {0}")]
pub struct JournalError(pub String);

/// Hands out numbers of which a provider lets us choose one (VMIDs). See `call.reserve` in
/// `wit/engine.wit`.
pub trait Reservations: Send + Sync {
    fn reserve<'a>(
        &'a self,
        space: &'a str,
        lowest: u64,
        highest: u64,
        refused: &'a [u64],
    ) -> BoxFuture<'a, Result<u64, Problem>>;
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_for_a_step_and_differ_otherwise() {
        let occasion = |seed: &str, attempt| Occasion {
            key_seed: seed.to_owned(),
            attempt,
            ..Occasion::reading(Duration::from_secs(1), Arc::new(Silent))
        };
        let key = occasion("7/2", 1).key(0);
        assert_eq!(key.len(), 32);
        assert!(key.chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(key, occasion("7/2", 9).key(0));
        assert_ne!(key, occasion("7/2", 1).key(1));
        assert_ne!(key, occasion("7/3", 1).key(0));
    }

    #[test]
    fn a_stored_response_reads_back() {
        let response = StoredResponse {
            status: 500,
            reason: "VM is locked (backup)".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: vec![0, 255, 7],
            truncated: false,
        };
        let text = serde_json::to_string(&response).unwrap();
        assert_eq!(
            serde_json::from_str::<StoredResponse>(&text).unwrap(),
            response
        );
    }
}
