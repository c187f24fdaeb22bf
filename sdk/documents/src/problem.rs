//! Errors, as engines and the host exchange them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of error it is. See `problem.code` in `wit/engine.wit` for who may return what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    Invalid,
    Denied,
    NotFound,
    Conflict,
    Busy,
    Unreachable,
    Unsupported,
    SessionExpired,
    #[serde(other)]
    Provider,
}

impl Code {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::SessionExpired => "session-expired",
            Self::Provider => "provider",
        }
    }

    /// The code of this name; one that is not known is [`Code::Provider`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "invalid" => Self::Invalid,
            "denied" => Self::Denied,
            "not-found" => Self::NotFound,
            "conflict" => Self::Conflict,
            "busy" => Self::Busy,
            "unreachable" => Self::Unreachable,
            "unsupported" => Self::Unsupported,
            "session-expired" => Self::SessionExpired,
            _ => Self::Provider,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with its kind, the provider's own words, and what a program may want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    pub code: Code,
    pub message: String,
    #[serde(default, skip_serializing_if = "ProblemDetail::is_empty")]
    pub detail: ProblemDetail,
}

impl Problem {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: ProblemDetail::default(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Problem {}

/// Particulars of an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProblemDetail {
    /// HTTP status of the answer behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Member of the definition or parameter of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What a person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Objects that exist now although the action failed, as `kind id`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<String>,
    /// Last lines of the provider's task log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<Value>,
}

impl ProblemDetail {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}
