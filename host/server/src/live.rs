//! What is known of an operation beside its state: log, requests, progress, times.
//!
//! Lines and requests are written into the operation's journal together with its next entry, and leave
//! memory with that: a line is evidence and never worth an fsync of its own, and ten thousand operations
//! that wait need none of what they have said so far.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use enginehouse_api::{LogLine, LogSource, Progress, RequestRecord};
use enginehouse_engines::RequestLine;
use enginehouse_model::Timestamp;
use enginehouse_model::documents::Machine;
use enginehouse_queue::{Entry, Json, Resolution};
use serde::{Deserialize, Serialize};

use crate::doubt::Trail;
use crate::kept_engines::StepEngine;
use crate::steady::Moment;

/// Lines that an operation keeps.
const LINES_MAX: u64 = 10_000;
/// Requests that an operation keeps.
const REQUESTS_MAX: usize = 10_000;
/// Characters of a line.
const LINE_MAX: usize = 4096;
/// Polls of different kinds that are kept between two entries; of more, the newest.
const POLLS_MAX: usize = 8;
/// Characters of the path of a poll: it names up to 200 tasks, most of them of other operations.
const POLL_PATH_MAX: usize = 240;

/// Version of [`JournalDocument`].
pub(crate) const JOURNAL_VERSION: u16 = 1;

/// A row of the journal: an entry, and the lines that were written since the one before it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JournalDocument {
    #[serde(flatten)]
    pub entry: Entry,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LogLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestRecord>,
    /// With `Filled`: the engine that the step is begun with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<StepEngine>,
    /// With `Sending`: when that was, whatever the clocks say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// How many lines and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub lines: usize,
    pub requests: usize,
}

/// Polls of one kind since the last row of the journal. Those of one batch share what is said of them.
#[derive(Debug)]
struct Polls {
    /// Of the last one, as is `last`.
    at: Timestamp,
    step: Option<u32>,
    times: u32,
    last: Arc<RequestLine>,
}

/// Everything beside the state.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// What is in the journal already.
    journalled: Counts,
    /// What the next row of the journal carries.
    pub lines: Vec<LogLine>,
    requests: Vec<RequestRecord>,
    polls: Vec<Polls>,
    /// What the step that goes on has warned of so far.
    warned: Vec<String>,
    pub progress: Option<Progress>,
    pub started_at: Option<Timestamp>,
    /// Begin and end of each step, as far as it got.
    pub step_times: Vec<(Timestamp, Option<Timestamp>)>,
    /// The machine as it was last seen by this operation: see [`Live::observed`].
    observed: Option<Json>,
    /// The engine that the current step was begun with, and that has to go on with it.
    pub engine: Option<StepEngine>,
    /// When the last `once` request was journalled.
    pub sent_at: Option<Moment>,
    /// What was found out about the last request.
    pub trail: Trail,
    /// Seen by the engine's `call.cancelling`.
    pub cancelling: Arc<AtomicBool>,
}

impl Live {
    pub(crate) fn log(&mut self, at: Timestamp, level: &str, source: LogSource, text: &str) {
        let before = self.last_line();
        if before > LINES_MAX {
            return;
        }
        let (level, text) = if before == LINES_MAX {
            ("warn", "the log is full; what comes after is not kept")
        } else {
            (level, text)
        };
        leave_no_room(&mut self.lines);
        self.lines.push(LogLine {
            seq: before + 1,
            at,
            level: level.to_owned(),
            source,
            text: text.chars().take(LINE_MAX).collect(),
        });
    }

    /// What the step that goes on has warned of so far.
    pub(crate) fn warned(&self) -> &[String] {
        &self.warned
    }

    fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            if !self.warned.contains(warning) {
                self.warned.push(warning.clone());
            }
        }
    }

    /// The number of the newest line of the log, from 1; 0: there is none.
    pub(crate) fn last_line(&self) -> u64 {
        (self.journalled.lines + self.lines.len()) as u64
    }

    /// What is in the journal, as far as memory knows: a commit may still be on its way.
    pub(crate) fn journalled(&self) -> Counts {
        self.journalled
    }

    pub(crate) fn request(&mut self, at: Timestamp, step: Option<u32>, line: &RequestLine) {
        if self.journalled.requests + self.requests.len() >= REQUESTS_MAX {
            return;
        }
        leave_no_room(&mut self.requests);
        self.requests.push(record(at, step, line, None));
    }

    /// Counts a request that asked how tasks are. A task of a day is polled thirty thousand times.
    pub(crate) fn poll(&mut self, at: Timestamp, step: Option<u32>, line: &Arc<RequestLine>) {
        let alike = self.polls.iter_mut().rev().find(|before| {
            before.step == step
                && before.last.status == line.status
                && before.last.method == line.method
                && before.last.endpoint == line.endpoint
                && route(&before.last.path) == route(&line.path)
        });
        if let Some(before) = alike {
            before.at = at;
            before.last = Arc::clone(line);
            before.times = before.times.saturating_add(1);
            return;
        }
        if self.journalled.requests + self.requests.len() >= REQUESTS_MAX {
            return;
        }
        if self.polls.len() >= POLLS_MAX {
            self.polls.remove(0);
        }
        leave_no_room(&mut self.polls);
        self.polls.push(Polls {
            at,
            step,
            times: 1,
            last: Arc::clone(line),
        });
    }

    /// Requests that are not in the journal yet, oldest first.
    pub(crate) fn newest_requests(&self) -> Vec<RequestRecord> {
        let polls = self.polls.iter();
        let polls = polls.map(|one| record(one.at, one.step, &one.last, Some(one.times)));
        let mut requests: Vec<RequestRecord> = self.requests.iter().cloned().chain(polls).collect();
        requests.sort_by_key(|request| request.at);
        requests
    }

    /// The machine as it was last seen by this operation.
    pub(crate) fn observed(&self) -> Option<Machine> {
        self.observed.as_ref()?.read().ok()
    }

    /// Keeps what was seen of the machine; `None`: it has to be looked at.
    pub(crate) fn see(&mut self, machine: Option<&Machine>) {
        self.observed = machine.and_then(|machine| Json::of(machine).ok());
    }

    /// The entry as a journal row, with what was not written yet.
    pub(crate) fn journal(&mut self, entry: Entry) -> JournalDocument {
        let lines = mem::take(&mut self.lines);
        let requests = self.newest_requests();
        self.requests = Vec::new();
        self.polls = Vec::new();
        self.journalled.lines += lines.len();
        self.journalled.requests += requests.len();
        let engine = match &entry {
            Entry::Filled { .. } => self.engine.clone(),
            _ => None,
        };
        let moment = match &entry {
            Entry::Sending { .. } => self.sent_at.clone(),
            _ => None,
        };
        JournalDocument {
            entry,
            lines,
            requests,
            engine,
            moment,
        }
    }

    /// Takes in a row that was read back; times of steps follow from the entries.
    pub(crate) fn replay(&mut self, at: Timestamp, document: &JournalDocument) {
        self.journalled.lines += document.lines.len();
        self.journalled.requests += document.requests.len();
        self.note_entry(at, &document.entry);
        if let Entry::Sending { .. } = &document.entry {
            self.sent_at.clone_from(&document.moment);
        }
        if document.engine.is_some() {
            self.engine.clone_from(&document.engine);
        }
    }

    /// Keeps the times that entries carry.
    pub(crate) fn note_entry(&mut self, at: Timestamp, entry: &Entry) {
        if let Entry::Planned(_)
        | Entry::Skipped { .. }
        | Entry::Escalated { .. }
        | Entry::Done { .. }
        | Entry::BegunAnew { .. }
        | Entry::Held { .. }
        | Entry::Resolved {
            how: Resolution::Anew,
            ..
        }
        | Entry::Ended { .. } = entry
        {
            self.engine = None;
        }
        self.trail.note(at, entry);
        match entry {
            Entry::Started if self.started_at.is_none() => self.started_at = Some(at),
            Entry::Called { .. } if self.step_times.last().is_none_or(|(_, end)| end.is_some()) => {
                self.step_times.push((at, None));
                self.warned.clear();
            }
            Entry::Moved { note, .. } | Entry::Waiting { note, .. } => self.warn(&note.warnings),
            Entry::TaskEnded { end } => self.warn(&end.warnings),
            Entry::BegunAnew { .. } | Entry::Held { .. } => {
                self.step_times.clear();
                self.warned.clear();
                self.progress = None;
            }
            Entry::Done { .. } | Entry::Skipped { .. } | Entry::Ended { .. } => {
                if let Some((_, end)) = self.step_times.last_mut() {
                    end.get_or_insert(at);
                }
                self.progress = None;
            }
            Entry::Queued { .. }
            | Entry::Started
            | Entry::Asked { .. }
            | Entry::Signed { .. }
            | Entry::Approved { .. }
            | Entry::Released
            | Entry::Planned(_)
            | Entry::Called { .. }
            | Entry::Filled { .. }
            | Entry::Sending { .. }
            | Entry::Answered { .. }
            | Entry::NotSent { .. }
            | Entry::Settling { .. }
            | Entry::Broke { .. }
            | Entry::Escalated { .. }
            | Entry::Postponed { .. }
            | Entry::Freed { .. }
            | Entry::Ranked { .. }
            | Entry::RollingBack { .. }
            | Entry::CancelRequested { .. }
            | Entry::Doubted { .. }
            | Entry::Resolved { .. } => {}
        }
    }
}

/// Room for one more and no other, as long as there are few: most operations have one or two, and there
/// may be ten thousand of them.
fn leave_no_room<T>(list: &mut Vec<T>) {
    if list.len() < 16 {
        list.reserve_exact(1);
    }
}

/// What is asked for, without what about.
fn route(path: &str) -> &str {
    path.split_once('?').map_or(path, |(route, _)| route)
}

fn record(
    at: Timestamp,
    step: Option<u32>,
    line: &RequestLine,
    times: Option<u32>,
) -> RequestRecord {
    let path = match line.path.char_indices().nth(POLL_PATH_MAX) {
        Some((end, _)) if times.is_some() => {
            format!("{}…", line.path.get(..end).unwrap_or_default())
        }
        _ => line.path.clone(),
    };
    RequestRecord {
        at,
        step,
        endpoint: line.endpoint.clone(),
        method: line.method.clone(),
        path,
        effect: line.effect.as_str().to_owned(),
        status: line.status,
        took_ms: Some(line.millis),
        times,
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
