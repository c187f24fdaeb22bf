//! What a call is answered with.

use serde_json::{Value, json};

/// A good answer: status, body, and the version of what the body shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Value,
    pub version: Option<u64>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body,
            version: None,
        }
    }

    pub(crate) fn accepted(machine: u64, task: u64) -> Self {
        Self {
            status: 202,
            body: json!({"machine": format!("m-{machine}"), "task": format!("t-{task}")}),
            version: None,
        }
    }
}

/// A refusal: `{"error": {"code", "message"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, "not-found", format!("{what} {id} does not exist"))
    }

    pub(crate) fn body(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message}})
    }
}
