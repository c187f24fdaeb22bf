//! What an engine may know and do: the imports of the contract, on this side.
//!
//! The traits are those of one version of the contract; what they reach is [`Sandbox`], which holds
//! the call's own things and nothing else. A wrong handle or a full table traps: no engine does that
//! by accident.

use std::sync::atomic::Ordering;

use enginehouse_documents::{Code, Problem};
use wasmtime::Result;
use wasmtime::component::{HasData, Resource};

use crate::bindings::engine::enginehouse::engine::{host, types};
use crate::convert::problem_out;
use crate::egress::{Effect, Live, OnceResult, OnceSlot, Outgoing};
use crate::occasion::{OncePolicy, StoredResponse};
use crate::sandbox::Sandbox;

/// Bytes of one log line, and of one message of progress.
const LINE_MAX: usize = 4 << 10;
/// Log lines and messages of progress of one call.
const LINES_MAX: u32 = 2000;
/// Bytes that one `read` of a body gives at most.
const READ_MAX: usize = 1 << 20;

/// The resource `call`: all it says is in the sandbox.
pub struct Call;
/// The resource `hypervisor`.
pub struct Hypervisor;
/// The resource `request`.
pub struct Request(Outgoing);
/// The resource `response`.
pub struct Response {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Live(Live),
    /// The answer to a `once` request, as it is in the journal.
    Stored {
        response: StoredResponse,
        at: usize,
    },
}

/// The imports borrow the whole sandbox.
pub(crate) struct HasSandbox;

impl HasData for HasSandbox {
    type Data<'a> = &'a mut Sandbox;
}

type Answer<T> = Result<std::result::Result<T, types::Problem>>;

impl types::Host for Sandbox {}

impl host::HostCall for Sandbox {
    async fn operation(&mut self, _: Resource<Call>) -> Result<u64> {
        Ok(self.occasion.operation.0)
    }

    async fn attempt(&mut self, _: Resource<Call>) -> Result<u32> {
        Ok(self.occasion.attempt)
    }

    async fn mark(&mut self, _: Resource<Call>) -> Result<String> {
        Ok(self
            .occasion
            .mark
            .map(|mark| mark.to_string())
            .unwrap_or_default())
    }

    async fn key(&mut self, _: Resource<Call>, n: u32) -> Result<String> {
        Ok(self.occasion.key(n))
    }

    async fn now(&mut self, _: Resource<Call>) -> Result<u64> {
        Ok(self.occasion.clock.now().0)
    }

    async fn remaining(&mut self, _: Resource<Call>) -> Result<u64> {
        Ok(u64::try_from(self.time_left().as_millis()).unwrap_or(u64::MAX))
    }

    async fn cancelling(&mut self, _: Resource<Call>) -> Result<bool> {
        Ok(self.occasion.cancelling.load(Ordering::Relaxed))
    }

    async fn ended(&mut self, _: Resource<Call>) -> Result<Option<String>> {
        Ok((self.occasion.ended.as_ref())
            .map(serde_json::to_string)
            .transpose()?)
    }

    async fn sent(&mut self, _: Resource<Call>) -> Result<Option<String>> {
        Ok((self.occasion.sent.as_ref())
            .map(serde_json::to_string)
            .transpose()?)
    }

    async fn reserve(
        &mut self,
        _: Resource<Call>,
        space: String,
        lowest: u64,
        highest: u64,
        refused: Vec<u64>,
    ) -> Answer<u64> {
        let Some(reservations) = self.occasion.reservations.clone() else {
            let problem = Problem::new(Code::Unsupported, "this call cannot reserve numbers");
            return Ok(Err(problem_out(&problem)));
        };
        if lowest > highest {
            let message = format!("no number lies between {lowest} and {highest}");
            return Ok(Err(problem_out(&Problem::new(Code::Invalid, message))));
        }
        let reserved = reservations
            .reserve(&space, lowest, highest, &refused)
            .await;
        Ok(reserved.map_err(|problem| problem_out(&problem)))
    }

    async fn progress(
        &mut self,
        _: Resource<Call>,
        percent: Option<u8>,
        message: String,
    ) -> Result<()> {
        if self.may_speak() {
            let message = self.line(&message);
            let percent = percent.map(|percent| percent.min(100));
            self.occasion.observer.progress(percent, &message);
        }
        Ok(())
    }

    async fn log(&mut self, _: Resource<Call>, level: String, message: String) -> Result<()> {
        if self.may_speak() {
            let level = match level.as_str() {
                "debug" | "warn" => level.as_str(),
                _ => "info",
            };
            let message = self.line(&message);
            self.occasion.observer.log(level, &message);
        }
        Ok(())
    }

    async fn drop(&mut self, call: Resource<Call>) -> Result<()> {
        self.table.delete(call)?;
        Ok(())
    }
}

impl host::HostHypervisor for Sandbox {
    async fn name(&mut self, _: Resource<Hypervisor>) -> Result<String> {
        Ok(self.connection()?.name().to_owned())
    }

    async fn settings(&mut self, _: Resource<Hypervisor>) -> Result<String> {
        Ok(self.connection()?.settings())
    }

    async fn locate(&mut self, _: Resource<Hypervisor>, url: String) -> Answer<host::Location> {
        let located = self.connection()?.locate(&url);
        Ok(located
            .map(|(endpoint, path)| host::Location { endpoint, path })
            .map_err(|problem| problem_out(&problem)))
    }

    async fn session(&mut self, _: Resource<Hypervisor>) -> Result<u64> {
        Ok(self.connection()?.session())
    }

    async fn drop(&mut self, hypervisor: Resource<Hypervisor>) -> Result<()> {
        self.table.delete(hypervisor)?;
        Ok(())
    }
}

impl host::HostRequest for Sandbox {
    async fn new(
        &mut self,
        endpoint: String,
        method: String,
        path: String,
        effect: String,
    ) -> Result<Resource<Request>> {
        Ok(self.table.push(Request(Outgoing {
            endpoint,
            method,
            path,
            effect,
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }))?)
    }

    async fn header(
        &mut self,
        request: Resource<Request>,
        name: String,
        value: String,
    ) -> Result<()> {
        let Request(outgoing) = self.table.get_mut(&request)?;
        outgoing.headers.push((name, value));
        Ok(())
    }

    async fn body(&mut self, request: Resource<Request>, bytes: Vec<u8>) -> Result<()> {
        let Request(outgoing) = self.table.get_mut(&request)?;
        outgoing.body = bytes;
        Ok(())
    }

    async fn timeout(&mut self, request: Resource<Request>, milliseconds: u64) -> Result<()> {
        let Request(outgoing) = self.table.get_mut(&request)?;
        outgoing.timeout = Some(milliseconds);
        Ok(())
    }

    async fn drop(&mut self, request: Resource<Request>) -> Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl host::HostResponse for Sandbox {
    async fn status(&mut self, response: Resource<Response>) -> Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    async fn reason(&mut self, response: Resource<Response>) -> Result<String> {
        Ok(self.table.get(&response)?.reason.clone())
    }

    async fn header(
        &mut self,
        response: Resource<Response>,
        name: String,
    ) -> Result<Option<String>> {
        let headers = &self.table.get(&response)?.headers;
        let found = headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name));
        Ok(found.map(|(_, value)| value.clone()))
    }

    async fn headers(&mut self, response: Resource<Response>) -> Result<Vec<(String, String)>> {
        Ok(self.table.get(&response)?.headers.clone())
    }

    async fn read(&mut self, response: Resource<Response>, limit: u32) -> Answer<Vec<u8>> {
        let limit = usize::try_from(limit)
            .unwrap_or(READ_MAX)
            .clamp(1, READ_MAX);
        let response = self.table.get_mut(&response)?;
        let piece = match &mut response.body {
            Body::Live(live) => {
                self.waiting.store(true, Ordering::Relaxed);
                let piece = live.read(limit).await;
                self.waiting.store(false, Ordering::Relaxed);
                piece
            }
            Body::Stored { response, at } => {
                let rest = response.body.get(*at..).unwrap_or_default();
                let piece = rest[..limit.min(rest.len())].to_vec();
                *at += piece.len();
                if piece.is_empty() && response.truncated {
                    let message =
                        "the answer to a `once` request was longer than what is journalled";
                    Err(Problem::new(Code::Provider, message))
                } else {
                    Ok(piece)
                }
            }
        };
        Ok(piece.map_err(|problem| problem_out(&problem)))
    }

    async fn drop(&mut self, response: Resource<Response>) -> Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

impl host::Host for Sandbox {
    async fn send(
        &mut self,
        _: Resource<Hypervisor>,
        request: Resource<Request>,
    ) -> Answer<Resource<Response>> {
        let Request(outgoing) = self.table.delete(request)?;
        self.waiting.store(true, Ordering::Relaxed);
        let sent = self.send_request(outgoing).await;
        self.waiting.store(false, Ordering::Relaxed);
        match sent? {
            Ok(response) => Ok(Ok(self.table.push(response)?)),
            Err(problem) => Ok(Err(problem_out(&problem))),
        }
    }
}

impl Sandbox {
    /// One line of at most 4 KiB, without secrets.
    fn line(&self, text: &str) -> String {
        let line = one_line(text, LINE_MAX);
        match &self.connection {
            Some(connection) => connection.redact(&line),
            None => line,
        }
    }

    /// Counts what the guest says; beyond the limit it is not heard.
    fn may_speak(&mut self) -> bool {
        self.lines += 1;
        if self.lines == LINES_MAX {
            let message = format!("more than {LINES_MAX} lines in one call: the rest is dropped");
            self.occasion.observer.log("warn", &message);
        }
        self.lines < LINES_MAX
    }

    async fn send_request(
        &mut self,
        outgoing: Outgoing,
    ) -> Result<std::result::Result<Response, Problem>> {
        let connection = std::sync::Arc::clone(self.connection()?);
        let prepared = match connection.prepare(outgoing) {
            Ok(prepared) => prepared,
            Err(problem) => return Ok(Err(problem)),
        };
        let journal = match (&self.occasion.once, prepared.effect) {
            (_, Effect::Read) | (OncePolicy::Allowed(_), Effect::Repeat) => {
                let sent = connection.exchange(&prepared, &self.reporting).await;
                return Ok(sent.map(|live| Response {
                    status: live.status,
                    reason: live.reason.clone(),
                    headers: live.headers.clone(),
                    body: Body::Live(live),
                }));
            }
            (OncePolicy::Forbidden, effect) => {
                let message = format!(
                    "this call may only read: {} {} has the effect `{}`",
                    prepared.method,
                    prepared.path,
                    effect.as_str()
                );
                return Ok(Err(Problem::new(Code::Denied, message)));
            }
            (OncePolicy::Allowed(journal), Effect::Once) => std::sync::Arc::clone(journal),
        };
        if self.once.lock().is_some() {
            let message = "this call of `run` has sent its `once` request already: return `again`";
            return Ok(Err(Problem::new(Code::Denied, message)));
        }
        let mut slot = OnceSlot::start(
            connection,
            journal,
            prepared,
            self.occasion.ended.clone(),
            self.reporting.clone(),
        );
        *self.once.lock() = Some(slot.clone());
        match slot.result().await {
            OnceResult::Answered(response) => Ok(Ok(Response {
                status: response.status,
                reason: response.reason.clone(),
                headers: response.headers.clone(),
                body: Body::Stored { response, at: 0 },
            })),
            OnceResult::NotSent(problem) | OnceResult::Lost(problem) => Ok(Err(problem)),
            // The step is over; the call's end says why.
            OnceResult::Differs { .. } => wasmtime::bail!("another request than the journal's"),
            OnceResult::Refused(error) | OnceResult::NotJournalled(error) => {
                wasmtime::bail!("{error}")
            }
        }
    }
}

/// The text without control characters, cut at a character near `max` bytes.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = &text[..end];
    let mut line: String = (cut.trim().chars())
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(one_line(" a\nb\x1b[31m ", 100), "a b [31m");
        assert_eq!(one_line("äöü", 3), "ä…");
        assert_eq!(one_line("", 3), "");
    }
}
