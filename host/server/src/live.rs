//! What is known of an operation beside its state: log, requests, progress, times.
//!
//! Kept in memory while the operation lives, and written into its journal together with its next
//! entry: a line is evidence and never worth an fsync of its own.

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

/// Lines that an operation keeps; what comes after is counted, not kept.
const LINES_MAX: usize = 10_000;
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

/// Everything beside the state.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub lines: Vec<LogLine>,
    lines_saved: usize,
    pub requests: Vec<RequestRecord>,
    requests_saved: usize,
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
        if self.lines.len() > LINES_MAX {
            return;
        }
        let (level, text) = if self.lines.len() == LINES_MAX {
            ("warn", "the log is full; what comes after is not kept")
        } else {
            (level, text)
        };
        leave_no_room(&mut self.lines);
        self.lines.push(LogLine {
            seq: self.lines.len() as u64 + 1,
            at,
            level: level.to_owned(),
            source,
            text: text.chars().take(LINE_MAX).collect(),
        });
    }

    /// What the host has warned of in the step that goes on.
    pub(crate) fn warned(&self) -> Vec<String> {
        let since = self.step_times.last().map(|(began, _)| *began);
        self.lines
            .iter()
            .rev()
            .take_while(|line| since.is_some_and(|since| line.at >= since))
            .filter(|line| line.source == LogSource::Host && line.level == "warn")
            .map(|line| line.text.clone())
            .collect()
    }

    pub(crate) fn request(&mut self, at: Timestamp, step: Option<u32>, line: &RequestLine) {
        if self.requests.len() >= LINES_MAX {
            return;
        }
        leave_no_room(&mut self.requests);
        self.requests.push(RequestRecord {
            at,
            step,
            endpoint: line.endpoint.clone(),
            method: line.method.clone(),
            path: line.path.clone(),
            effect: line.effect.as_str().to_owned(),
            status: line.status,
            took_ms: Some(line.millis),
            times: None,
        });
    }

    /// Counts a request that asked how tasks are. A task of a day is polled thirty thousand times.
    pub(crate) fn poll(&mut self, at: Timestamp, step: Option<u32>, line: &RequestLine) {
        let unsaved = self.requests.get_mut(self.requests_saved..);
        let alike = unsaved.into_iter().flatten().rev().find(|before| {
            before.times.is_some()
                && before.step == step
                && before.status == line.status
                && before.method == line.method
                && before.endpoint == line.endpoint
                && route(&before.path) == route(&line.path)
        });
        let path = cut_off(&line.path);
        if let Some(before) = alike {
            before.at = at;
            before.path = path;
            before.took_ms = Some(line.millis);
            before.times = before.times.map(|times| times.saturating_add(1));
            return;
        }
        let polls = |&at: &usize| self.requests.get(at).is_some_and(|one| one.times.is_some());
        let mut kept = (self.requests_saved..self.requests.len()).filter(polls);
        if let Some(oldest) = kept.next()
            && kept.count() + 1 >= POLLS_MAX
        {
            self.requests.remove(oldest);
        }
        let known = self.requests.len();
        self.request(at, step, line);
        if let Some(new) = self.requests.get_mut(known) {
            new.path = path;
            new.times = Some(1);
        }
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
        let lines = self.lines[self.lines_saved..].to_vec();
        let requests = self.requests[self.requests_saved..].to_vec();
        self.lines_saved = self.lines.len();
        self.requests_saved = self.requests.len();
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
        self.lines.extend(document.lines.iter().cloned());
        self.requests.extend(document.requests.iter().cloned());
        self.lines_saved = self.lines.len();
        self.requests_saved = self.requests.len();
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
            }
            Entry::BegunAnew { .. } => {
                self.step_times.clear();
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
            | Entry::Planned(_)
            | Entry::Called { .. }
            | Entry::Filled { .. }
            | Entry::Sending { .. }
            | Entry::Answered { .. }
            | Entry::NotSent { .. }
            | Entry::Settling { .. }
            | Entry::Broke { .. }
            | Entry::Moved { .. }
            | Entry::Waiting { .. }
            | Entry::TaskEnded { .. }
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

/// Room for one more and no other, as long as there are few: most operations have a handful of each, and
/// there may be ten thousand of them.
fn leave_no_room<T>(list: &mut Vec<T>) {
    if list.len() < 16 {
        list.reserve_exact(1);
    }
}

/// What is asked for, without what about.
fn route(path: &str) -> &str {
    path.split_once('?').map_or(path, |(route, _)| route)
}

fn cut_off(path: &str) -> String {
    match path.char_indices().nth(POLL_PATH_MAX) {
        Some((at, _)) => format!("{}…", path.get(..at).unwrap_or_default()),
        None => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
