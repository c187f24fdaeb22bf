//! The occasion of a call: the operation behind it and the one hypervisor it is about.

use std::ops::RangeInclusive;
use std::time::Duration;

use enginehouse_documents::{Sent, TaskEnd};
use serde::de::DeserializeOwned;

use crate::host::{Host, Location};
use crate::path::Path;
use crate::request::{Effectless, Request};
use crate::{Effect, Error, Result, settings};

/// What an engine may know and do during one call.
///
/// It is the host's hand: there is no other way to reach the provider, and no clock, randomness or
/// storage beside it. See `call` and `hypervisor` in `wit/engine.wit`.
pub struct Cx<'a> {
    pub(crate) host: &'a dyn Host,
}

impl Cx<'_> {
    /// Number of the operation; 0 when none is behind the call (inventory, check).
    #[must_use]
    pub fn operation(&self) -> u64 {
        self.host.operation()
    }

    /// 1 for the first try of this step, then 2, 3, …
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.host.attempt()
    }

    /// What to write on whatever is created, so that it is known to be ours. At most 96 characters
    /// out of `a-z 0-9 : . -`. Empty when nothing may be created.
    #[must_use]
    pub fn mark(&self) -> String {
        self.host.mark()
    }

    /// A random-looking key of 32 hexadecimal digits, the same for the same step and `n` in every
    /// attempt: for providers that take an idempotency key or a client token.
    #[must_use]
    pub fn key(&self, n: u32) -> String {
        self.host.key(n)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, by the host's clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.host.now()
    }

    /// Time until this call is ended from outside.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.host.remaining())
    }

    /// Somebody asked to cancel: end at the next point where nothing is half done.
    #[must_use]
    pub fn cancelling(&self) -> bool {
        self.host.cancelling()
    }

    /// In `run` after [`crate::Step::wait`]: how the task ended. `None` in every other call.
    #[must_use]
    pub fn ended(&self) -> Option<TaskEnd> {
        // The host wrote this document; one that cannot be read is one of a newer host, and to take
        // a failed task for a good one is the worse mistake.
        self.host.ended().map(|json| {
            serde_json::from_str(&json).unwrap_or_else(|error| TaskEnd {
                problem: Some(
                    Error::invalid(format_args!("unreadable end of the task: {error}"))
                        .into_problem(),
                ),
                ..TaskEnd::default()
            })
        })
    }

    /// In `run` after [`crate::Step::wait`]: the warnings of a task that ended well, or its problem
    /// as an error. Without a task behind the call: no warnings.
    ///
    /// # Errors
    /// The problem with which the task ended.
    pub fn task_succeeded(&self) -> Result<Vec<String>> {
        let end = self.ended().unwrap_or_default();
        match end.problem {
            None => Ok(end.warnings),
            Some(problem) => Err(problem.into()),
        }
    }

    /// In `settle`: the request whose answer was lost. `None` in every other call, and when the host's
    /// document cannot be read.
    #[must_use]
    pub fn sent(&self) -> Option<Sent> {
        let json = self.host.sent()?;
        serde_json::from_str(&json).ok()
    }

    /// The lowest number of the range that is neither the id of a machine in the host's newest list
    /// of this hypervisor, nor reserved by another operation on it, nor in `refused`. Asked again by
    /// the same operation, the answer is the same until it is in `refused`. The reservation lasts
    /// with the next token: return [`crate::Step::again`] before using it. `space` names the kind of
    /// number (`vmid`).
    ///
    /// # Errors
    /// `busy` when none is left.
    pub fn reserve(&self, space: &str, range: RangeInclusive<u64>, refused: &[u64]) -> Result<u64> {
        self.host
            .reserve(space, *range.start(), *range.end(), refused)
    }

    /// Progress of the operation, for people: per cent (0 to 100) where known.
    pub fn progress(&self, percent: impl Into<Option<u8>>, message: &str) {
        self.host
            .progress(percent.into().map(|p| p.min(100)), message);
    }

    /// A line of the operation's log; see also [`crate::info!`], [`crate::warn!`] and
    /// [`crate::debug!`]. More than 4 KiB are cut off.
    pub fn log(&self, level: Level, message: &str) {
        let mut end = message.len().min(4096);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message.get(..end).unwrap_or(message);
        self.host.log(level.as_str(), message);
    }

    /// Name of the hypervisor in the tree.
    #[must_use]
    pub fn name(&self) -> String {
        self.host.name()
    }

    /// The hypervisor's settings, as the type behind the description's
    /// `hypervisor_settings_schema`.
    ///
    /// # Errors
    /// `invalid`, naming the hypervisor and the setting.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        settings::from_text(&self.host.settings()).map_err(|error| {
            error.context(format_args!("settings of hypervisor {}", self.host.name()))
        })
    }

    /// Counts the logins of the host for this hypervisor; 0 where the scheme has no session.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.host.session()
    }

    /// Which named endpoint a URL of the provider belongs to.
    ///
    /// # Errors
    /// `denied` when it belongs to none.
    pub fn locate(&self, url: &str) -> Result<Location> {
        self.host.locate(url)
    }

    /// A request that reads.
    pub fn get(&self, path: impl Into<Path>) -> Request<'_> {
        self.request("GET", path).read()
    }

    /// A `POST`; say its effect next.
    pub fn post(&self, path: impl Into<Path>) -> Effectless<'_> {
        self.request("POST", path)
    }

    /// A `PUT`; say its effect next.
    pub fn put(&self, path: impl Into<Path>) -> Effectless<'_> {
        self.request("PUT", path)
    }

    /// A `PATCH`; say its effect next.
    pub fn patch(&self, path: impl Into<Path>) -> Effectless<'_> {
        self.request("PATCH", path)
    }

    /// A `DELETE`; say its effect next.
    pub fn delete(&self, path: impl Into<Path>) -> Effectless<'_> {
        self.request("DELETE", path)
    }

    /// A request of any method (upper case); say its effect next.
    pub fn request(&self, method: &str, path: impl Into<Path>) -> Effectless<'_> {
        Effectless {
            request: Request::new(self.host, method, path.into(), Effect::Read),
        }
    }
}

/// Level of a line in the operation's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    Debug,
    Info,
    Warn,
}

impl Level {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
        }
    }
}

/// Writes a line of level `debug` to the operation's log: `debug!(cx, "vmid {id}")`.
#[macro_export]
macro_rules! debug {
    ($cx:expr, $($message:tt)+) => { $cx.log($crate::Level::Debug, &::std::format!($($message)+)) };
}

/// Writes a line of level `info` to the operation's log.
#[macro_export]
macro_rules! info {
    ($cx:expr, $($message:tt)+) => { $cx.log($crate::Level::Info, &::std::format!($($message)+)) };
}

/// Writes a line of level `warn` to the operation's log.
#[macro_export]
macro_rules! warn {
    ($cx:expr, $($message:tt)+) => { $cx.log($crate::Level::Warn, &::std::format!($($message)+)) };
}
