//! The seam between the SDK and whoever calls the engine: the host through the component's imports,
//! or the scripted hypervisor of a native test.

use std::time::Duration;

use crate::Result;

/// What a request does to the provider. It decides what the host may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Sets an absolute state: safe to send again.
    Repeat,
    /// Anything else, and every request that carries a version or digest.
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
}

/// Where a URL given by the provider leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Name of an endpoint, for [`crate::Request::endpoint`].
    pub endpoint: String,
    /// Begins with `/`, with query, percent-encoded.
    pub path: String,
}

/// A request, ready to leave.
pub(crate) struct Outgoing {
    pub endpoint: String,
    pub method: String,
    /// Path and query, percent-encoded.
    pub target: String,
    pub effect: Effect,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout: Option<Duration>,
}

/// An answer, read to its end.
pub(crate) struct Incoming {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The imports `call`, `hypervisor`, `request`, `response` and `send` of the contract.
pub(crate) trait Host {
    fn operation(&self) -> u64;
    fn attempt(&self) -> u32;
    fn mark(&self) -> String;
    fn key(&self, n: u32) -> String;
    fn now(&self) -> u64;
    fn remaining(&self) -> u64;
    fn cancelling(&self) -> bool;
    fn ended(&self) -> Option<String>;
    fn sent(&self) -> Option<String>;
    fn reserve(&self, space: &str, lowest: u64, highest: u64, refused: &[u64]) -> Result<u64>;
    fn progress(&self, percent: Option<u8>, message: &str);
    fn log(&self, level: &str, message: &str);
    fn name(&self) -> String;
    fn settings(&self) -> String;
    fn locate(&self, url: &str) -> Result<Location>;
    fn session(&self) -> u64;
    fn send(&self, request: Outgoing) -> Result<Incoming>;
}
