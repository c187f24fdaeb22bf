//! The host's side of one call, natively: what [`crate::Cx`] stands on in tests.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

use enginehouse_documents::{Sent, TaskEnd};

use super::{Hypervisor, RecordedRequest, fail};
use crate::host::{Host, Incoming, Location, Outgoing};
use crate::{Effect, Error, Level, Result};

/// Milliseconds in which a request arrives or never.
pub(super) const DEADLINE: u64 = 30_000;

/// Headers that are the host's.
const HOST_HEADERS: [&str; 9] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "csrfpreventiontoken",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
];

/// Which function is called; what it may do follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Check,
    List,
    Read,
    Run,
    Settle,
    Poll,
}

pub(super) struct Hand<'a> {
    pub hypervisor: &'a Hypervisor,
    pub function: Function,
    /// Endpoints of the description.
    pub endpoints: Vec<String>,
    pub attempt: u32,
    /// Counts the steps of the action.
    pub step: u64,
    pub ended: Option<TaskEnd>,
    pub sent: Option<Sent>,
    /// The `once` request of this call, and whether its answer was lost.
    pub once: RefCell<Option<(Sent, bool)>>,
    /// A number was newly reserved in this call.
    pub reserved: Cell<bool>,
}

impl Hand<'_> {
    fn check(&self, request: &RecordedRequest) -> Result<()> {
        let function = self.function;
        if request.method.is_empty() || !request.method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Error::invalid(format_args!(
                "method {:?} is not upper case",
                request.method
            )));
        }
        if request.endpoint != "host" && !self.endpoints.contains(&request.endpoint) {
            return Err(Error::denied(format_args!(
                "endpoint {:?} is not in the description",
                request.endpoint
            )));
        }
        for (name, _) in &request.headers {
            if HOST_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                fail(format_args!("header {name} belongs to the host: {request}"));
            }
        }
        if request.effect != Effect::Read && function != Function::Run {
            fail(format_args!(
                "{function:?} may send `read` requests only, not: {request}"
            ));
        }
        if request.effect == Effect::Once {
            if self.once.borrow().is_some() {
                fail(format_args!(
                    "a second `once` request in one call of run; return a step before it: {request}"
                ));
            }
            if self.reserved.get() {
                fail(format_args!(
                    "a `once` request in the call that reserved a number, which a crash would \
                     forget; return Step::again before it: {request}"
                ));
            }
        }
        Ok(())
    }

    fn document<T: serde::Serialize>(value: Option<&T>) -> Option<String> {
        value.map(|value| match serde_json::to_string(value) {
            Ok(json) => json,
            Err(error) => fail(format_args!("a document without JSON: {error}")),
        })
    }
}

impl Host for Hand<'_> {
    fn operation(&self) -> u64 {
        match self.function {
            Function::Run | Function::Settle => 7,
            Function::Check | Function::List | Function::Read | Function::Poll => 0,
        }
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn mark(&self) -> String {
        match self.function {
            Function::Run | Function::Settle => self.hypervisor.mark.clone(),
            Function::Check | Function::List | Function::Read | Function::Poll => String::new(),
        }
    }

    fn key(&self, n: u32) -> String {
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            (self.step, n, which).hash(&mut hasher);
            hasher.finish()
        };
        format!("{:016x}{:016x}", half(0), half(1))
    }

    fn now(&self) -> u64 {
        self.hypervisor.now()
    }

    fn remaining(&self) -> u64 {
        60_000
    }

    fn cancelling(&self) -> bool {
        self.hypervisor.cancelling.get()
    }

    fn ended(&self) -> Option<String> {
        Self::document(self.ended.as_ref())
    }

    fn sent(&self) -> Option<String> {
        Self::document(self.sent.as_ref())
    }

    fn reserve(&self, space: &str, lowest: u64, highest: u64, refused: &[u64]) -> Result<u64> {
        let mut reserved = self.hypervisor.reserved.borrow_mut();
        if let Some(&old) = reserved.get(space)
            && (lowest..=highest).contains(&old)
            && !refused.contains(&old)
        {
            return Ok(old);
        }
        let taken = self.hypervisor.taken.get(space);
        let number = (lowest..=highest)
            .find(|n| !refused.contains(n) && taken.is_none_or(|taken| !taken.contains(n)))
            .ok_or_else(|| {
                Error::busy(format_args!(
                    "no {space} is left from {lowest} to {highest}"
                ))
            })?;
        reserved.insert(space.to_owned(), number);
        self.reserved.set(true);
        Ok(number)
    }

    fn progress(&self, percent: Option<u8>, message: &str) {
        let mut progress = self.hypervisor.progress.borrow_mut();
        progress.push((percent, message.to_owned()));
    }

    fn log(&self, level: &str, message: &str) {
        let level = match level {
            "debug" => Level::Debug,
            "info" => Level::Info,
            _ => Level::Warn,
        };
        let mut log = self.hypervisor.log.borrow_mut();
        log.push((level, message.to_owned()));
    }

    fn name(&self) -> String {
        self.hypervisor.name.clone()
    }

    fn settings(&self) -> String {
        self.hypervisor.settings.to_string()
    }

    fn locate(&self, url: &str) -> Result<Location> {
        self.hypervisor
            .find(url)
            .ok_or_else(|| Error::denied(format_args!("{url} belongs to no endpoint")))
    }

    fn session(&self) -> u64 {
        0
    }

    fn send(&self, outgoing: Outgoing) -> Result<Incoming> {
        let request = RecordedRequest::new(outgoing, self.hypervisor.now());
        self.check(&request)?;
        let once = (request.effect == Effect::Once).then(|| Sent {
            endpoint: request.endpoint.clone(),
            method: request.method.clone(),
            path: request.target(),
            at: request.at,
            deadline: request.at + DEADLINE,
            after: self.ended.clone(),
            lost: false,
        });
        let title = format!("{} {}", request.method, request.path);
        let answer = self.hypervisor.receive(request).into_incoming();
        if let Some(sent) = once {
            *self.once.borrow_mut() = Some((sent, answer.is_none()));
        }
        answer.ok_or_else(|| {
            Error::unreachable(format_args!(
                "{title}: the connection broke before the answer"
            ))
        })
    }
}
