//! The one way out: every request of every engine goes through a [`Connection`].
//!
//! A guest names an endpoint, a path and an effect. This side adds the address, TLS and credentials,
//! and takes out whatever a guest must not see. Policy lives here and nowhere else, below every
//! version of the contract.

mod address;
mod connection;
mod endpoint;
mod exchange;
mod headers;
mod login;
mod once;
mod pace;
mod spec;
mod tls;

pub use connection::Connection;
pub(crate) use exchange::{Live, Outgoing, Reporting};
pub(crate) use once::{OnceResult, OnceSlot};
pub use pace::Rate;
pub use spec::{Auth, ConnectionError, ConnectionSpec, RequestLimits, Tls};

use serde::{Deserialize, Serialize};

/// What a request does to the provider. See `request` in `wit/engine.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Sets an absolute state: safe to send again.
    Repeat,
    /// Anything else.
    Once,
}

impl Effect {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Repeat => "repeat",
            Self::Once => "once",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "repeat" => Some(Self::Repeat),
            "once" => Some(Self::Once),
            _ => None,
        }
    }
}

/// One request, for the audit and the transcript. Without headers and bodies; redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestLine {
    pub endpoint: String,
    pub method: String,
    /// With the query.
    pub path: String,
    pub effect: Effect,
    /// Absent when no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// From the guest's call to the answer's headers (`once`: to its end).
    pub millis: u64,
    /// Length of the request's body.
    pub bytes: u64,
    /// Sent by the host itself: the login of a session scheme.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub login: bool,
    /// Answered from the journal: nothing was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}
