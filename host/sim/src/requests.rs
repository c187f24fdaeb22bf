//! What was asked of the simulation: the evidence of end-to-end tests.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

/// So many entries of the transcript are kept; the counters count on.
const KEPT: usize = 20_000;

/// All requests since the start or the last reset. In memory only.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Requests {
    /// By kind (`machine.create`), also those that were refused or dropped.
    pub counts: BTreeMap<String, u64>,
    /// The newest ones, in the order in which they came.
    pub transcript: VecDeque<RequestEntry>,
}

/// One request. Headers are left out: nothing secret is kept.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    pub number: u64,
    /// Milliseconds of the world's clock.
    pub at: u64,
    pub call: String,
    pub method: String,
    /// With query.
    pub path: String,
    /// As JSON, or null.
    pub body: Value,
    /// Absent while there is no answer, and for good when the connection was closed instead.
    pub status: Option<u16>,
    /// The connection was closed without an answer.
    pub cut: bool,
}

impl Requests {
    /// How many requests of this kind came.
    #[must_use]
    pub fn count(&self, call: crate::Call) -> u64 {
        self.counts.get(call.as_str()).copied().unwrap_or(0)
    }

    /// How many requests came in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Enters a request, and gives the number under which it is closed.
    pub(crate) fn open(&mut self, mut entry: RequestEntry) -> u64 {
        *self.counts.entry(entry.call.clone()).or_default() += 1;
        entry.number = self.total();
        let number = entry.number;
        if self.transcript.len() == KEPT {
            self.transcript.pop_front();
        }
        self.transcript.push_back(entry);
        number
    }

    pub(crate) fn close(&mut self, number: u64, status: Option<u16>) {
        let found = self
            .transcript
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number);
        if let Some(entry) = found {
            entry.status = status;
            entry.cut = status.is_none();
        }
    }
}
