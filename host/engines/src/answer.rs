//! What the exports of an engine answer, checked and typed.

use enginehouse_documents::{Note, Outcome, TaskReport};
use serde::{Deserialize, Serialize};

/// Answer of `run`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The action is complete.
    Done(Finished),
    /// Journal the token, then call `run` again with it.
    Again(Moved),
    /// Poll the task, then call `run` again with the token and the task's end.
    Wait(Waiting),
}

/// Something that now exists on the provider because of the action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// `machine`, `disk`, `nic`, `snapshot`, or the provider's own word.
    pub kind: String,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub created: Vec<Object>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// At most 64 KiB.
    pub token: Vec<u8>,
    pub created: Vec<Object>,
    pub note: Note,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// At most 4 KiB; opaque.
    pub task: String,
    /// At most 64 KiB.
    pub token: Vec<u8>,
    pub created: Vec<Object>,
    pub note: Note,
}

/// Answer of `settle`. See `settled` in `wit/engine.wit` for when to believe which.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    Done(Moved),
    Pending(Waiting),
    NotStarted,
    /// With what was looked at.
    Unknown(String),
}

/// A task to poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    pub task: String,
    /// What the poll before this one answered; empty the first time.
    pub cursor: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    pub state: TaskStateKind,
    /// At most 1 KiB.
    pub cursor: String,
    /// Its `end` is always there when `state` is `Ended`.
    pub report: TaskReport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStateKind {
    Running,
    Ended,
    /// The provider knows no such task: settle the step.
    Lost,
}
