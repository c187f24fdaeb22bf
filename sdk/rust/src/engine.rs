//! The trait that makes a struct an engine.

use std::collections::BTreeMap;

use enginehouse_documents::{
    ActionRequest, Assessment, Description, Health, Machine, MachineRef, Page, Question, Sent,
    TaskEnd, TaskReport,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Cx, Result, Settled, Step};

/// An engine: one kind of hypervisor or cloud, spoken to over HTTP.
///
/// All functions are without `self`: an engine remembers nothing between calls, each may run in a
/// fresh instance. What an action has to remember goes into its [`Engine::Phase`].
///
/// Every function but [`Engine::run`] may send `read` requests only.
pub trait Engine: 'static {
    /// The memory of an action between two calls of `run`: usually an enum, one variant for each
    /// phase. It is stored as JSON (at most 64 KiB) and read back perhaps by a newer version of this
    /// engine: add variants and optional members, do not rename. Use `()` when every action is done
    /// in one call.
    type Phase: Serialize + DeserializeOwned;

    /// What the engine is. Called once when it is loaded; the same every time.
    fn describe() -> Description;

    /// Is the provider there, do the credentials work, what is its version and its identity?
    fn check(cx: &Cx) -> Result<Health>;

    /// One page of all machines, also those that are not ours, without a request for each.
    /// `cursor`: `None` for the first page, then `next` of the page before. A part of the provider
    /// that is away is a gap in the coverage, no error. `conflict`: the cursor is no longer valid;
    /// the host begins again without one, once.
    fn list(cx: &Cx, cursor: Option<&str>) -> Result<Page>;

    /// The machines with these ids, whole, in the same order; at most 200. An item's error is
    /// `not-found` only if the provider says so.
    fn read(cx: &Cx, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>>;

    /// One phase of an action; `phase` is `None` at the start. At most one `once` request in each
    /// call. After `busy` or `session-expired` it counts as without effect, and the phase is run
    /// again. After `unreachable` the phase is run again too, unless a `once` request of it may have
    /// arrived: then it is settled. Any other error ends the action, and names with
    /// [`crate::Error::created`] what exists.
    ///
    /// `destroy` of a machine that is not there is done.
    fn run(
        cx: &Cx,
        action: &ActionRequest,
        phase: Option<Self::Phase>,
    ) -> Result<Step<Self::Phase>>;

    /// The host does not know what became of `sent`, a `once` request of the phase that began with
    /// `phase`: find out by reading. Also asked when a task is [`TaskStatus::Lost`]; then
    /// `sent.lost` is true, and "pending" with that same task is no answer.
    fn settle(
        cx: &Cx,
        action: &ActionRequest,
        phase: Option<Self::Phase>,
        sent: Sent,
    ) -> Result<Settled<Self::Phase>>;

    /// States of many tasks, in the same order, with as few requests as the provider allows; at
    /// most 200. A part of the provider that is away hides nothing of the others: its tasks are
    /// running, with nothing to report. `unreachable` only when nothing answered.
    fn poll(cx: &Cx, tasks: &[TaskQuery]) -> Result<Vec<TaskState>>;
}

/// An engine that says how heavy a change is where a schema cannot: `export!(Mine, assess)`.
pub trait Assess: Engine {
    /// A class for each field. Pure: there is no hypervisor to ask. A field that it does not mention
    /// keeps its class from the description, or is destructive.
    fn assess(question: &Question) -> Result<Assessment>;
}

/// A task to ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// As given to [`Step::wait`].
    pub task: String,
    /// What the poll before this one answered; empty the first time.
    pub cursor: String,
}

/// Whether a task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    Running,
    Ended,
    /// The provider knows no such task: the step is settled.
    Lost,
}

impl TaskStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Lost => "lost",
        }
    }
}

/// What a poll found out about one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    pub status: TaskStatus,
    /// Where to go on reading the task's log. At most 1 KiB.
    pub cursor: String,
    pub report: TaskReport,
}

impl TaskState {
    fn new(status: TaskStatus, report: TaskReport) -> Self {
        Self {
            status,
            cursor: String::new(),
            report,
        }
    }

    /// It goes on.
    #[must_use]
    pub fn running() -> Self {
        Self::new(TaskStatus::Running, TaskReport::default())
    }

    /// It ended, well if `end` has no problem.
    #[must_use]
    pub fn ended(end: TaskEnd) -> Self {
        let report = TaskReport {
            end: Some(end),
            ..TaskReport::default()
        };
        Self::new(TaskStatus::Ended, report)
    }

    /// The provider knows no such task.
    #[must_use]
    pub fn lost() -> Self {
        Self::new(TaskStatus::Lost, TaskReport::default())
    }

    /// One state for each query, out of one answer that has many tasks in any order, each with the
    /// `name` that was given to [`Step::wait`]. A task that the answer lacks is lost.
    #[must_use]
    pub fn of_batch<T>(
        queries: &[TaskQuery],
        tasks: &[T],
        name: impl Fn(&T) -> &str,
        state: impl Fn(&TaskQuery, &T) -> Self,
    ) -> Vec<Self> {
        let tasks: BTreeMap<&str, &T> = tasks.iter().map(|task| (name(task), task)).collect();
        let one = |query: &TaskQuery| match tasks.get(query.task.as_str()) {
            Some(task) => state(query, task),
            None => Self::lost(),
        };
        queries.iter().map(one).collect()
    }

    /// 0 to 100, where the provider or its log says it.
    #[must_use]
    pub fn percent(mut self, percent: impl Into<Option<u8>>) -> Self {
        self.report.percent = percent.into().map(|percent| percent.min(100));
        self
    }

    /// New lines of the task's log, since the cursor.
    #[must_use]
    pub fn lines<L: Into<String>>(mut self, lines: impl IntoIterator<Item = L>) -> Self {
        self.report.lines.extend(lines.into_iter().map(Into::into));
        self
    }

    /// The new lines out of the whole log, for providers that send it all each time and only ever add
    /// to it. The cursor is how many lines were seen. A problem of the task keeps them all.
    #[must_use]
    pub fn whole_log(mut self, query: &TaskQuery, log: &[String]) -> Self {
        let end = self.report.end.as_mut();
        if let Some(problem) = end.and_then(|end| end.problem.as_mut()) {
            problem.detail.lines = log.to_vec();
        }
        let seen = query.cursor.parse().unwrap_or(0);
        self.lines(log.iter().skip(seen)).cursor(log.len())
    }

    /// Where to go on reading the task's log. At most 1 KiB.
    #[must_use]
    pub fn cursor(mut self, cursor: impl ToString) -> Self {
        self.cursor = cursor.to_string();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(task: &str, cursor: &str) -> TaskQuery {
        TaskQuery {
            task: task.to_owned(),
            cursor: cursor.to_owned(),
        }
    }

    #[test]
    fn a_batch_is_answered_in_the_order_it_was_asked() {
        let queries = [query("a", ""), query("b", "1"), query("c", "x")];
        let log = ["1".to_owned(), "2".to_owned()];
        let tasks = [("c", 3), ("a", 1)];
        let state = |query: &TaskQuery, task: &(&str, u8)| {
            TaskState::running().percent(task.1).whole_log(query, &log)
        };
        let states = TaskState::of_batch(&queries, &tasks, |task| task.0, state);
        let seen: Vec<_> = states
            .iter()
            .map(|state| (state.status, state.report.percent))
            .collect();
        use TaskStatus::{Lost, Running};
        assert_eq!(seen, [(Running, Some(1)), (Lost, None), (Running, Some(3))]);
    }

    #[test]
    fn a_whole_log_goes_on_where_it_was_left() {
        let log = ["1".to_owned(), "2".to_owned(), "3".to_owned()];
        for (cursor, lines) in [("", 3), ("2", 1), ("3", 0), ("9", 0), ("broken", 3)] {
            let state = TaskState::running().whole_log(&query("a", cursor), &log);
            assert_eq!(state.report.lines.len(), lines, "{cursor}");
            assert_eq!(state.cursor, "3");
        }
    }
}
