//! What the queue is told, and what it asks for.

use enginehouse_model::documents::{Note, Outcome, Problem, TaskEnd};
use enginehouse_model::{HypervisorUid, OperationId, Timestamp};
use serde_json::Value;

use crate::entry::{Entry, Final, StepPlan, Token};
use crate::operation::Operation;

/// Something that happened to an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its plan is made, or could not be.
    Prepared(Result<StepPlan, Problem>),
    /// What its plan destroys needs people's approval.
    Asks { request: Value, until: Timestamp },
    /// A limit does not let it do what it planned before `until`; nothing of its step is done.
    Held { until: Timestamp, problem: Problem },
    /// It does not go on, since what it was decided on is another now.
    Outdated(Problem),
    /// A person says no to what was asked.
    Refused(Problem),
    /// The current step is not needed.
    NotNeeded(String),
    /// The engine's `once` request leaves now.
    Sending {
        sent: enginehouse_model::documents::Sent,
        digest: String,
    },
    /// Its answer.
    Answered(Value),
    /// It provably had no effect.
    NotSent(String),
    /// What the engine is asked to do, with everything filled in that only now is known.
    Filled(Value),
    /// The call of the engine returned. What became of its request was told before.
    Returned(CallEnd),
    /// `settle` returned.
    Settled(SettleEnd),
    /// A poll returned.
    Polled(PollEnd),
    /// Nobody can be asked any more what became of it.
    Doubt { reason: String },
    /// A person asks to cancel.
    Cancel { who: String },
    /// A person decides an operation that is in doubt: send again.
    Retry { who: String },
    /// A person decides an operation that is in doubt: its step is done, go on after it.
    TakeAsDone { who: String },
    /// A person decides an operation that is in doubt: what its step was to make is there. The step
    /// begins anew with it, to do what it lacks.
    GoOnWith { who: String },
    /// A person decides an operation that is in doubt: it is over.
    Close { who: String, state: Final },
}

impl Event {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Prepared(_) => "prepared",
            Self::Asks { .. } => "asks",
            Self::Held { .. } => "held",
            Self::Outdated(_) => "outdated",
            Self::Refused(_) => "refused",
            Self::NotNeeded(_) => "not-needed",
            Self::Sending { .. } => "sending",
            Self::Answered(_) => "answered",
            Self::NotSent(_) => "not-sent",
            Self::Filled(_) => "filled",
            Self::Returned(_) => "returned",
            Self::Settled(_) => "settled",
            Self::Polled(_) => "polled",
            Self::Doubt { .. } => "doubt",
            Self::Cancel { .. } => "cancel",
            Self::Retry { .. } => "retry",
            Self::TakeAsDone { .. } => "take-as-done",
            Self::GoOnWith { .. } => "go-on-with",
            Self::Close { .. } => "close",
        }
    }
}

/// How a call of `run` ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEnd {
    Done {
        created: Vec<String>,
        outcome: Box<Outcome>,
    },
    Again {
        token: Token,
        created: Vec<String>,
        note: Note,
    },
    Wait {
        task: String,
        token: Token,
        created: Vec<String>,
        note: Note,
    },
    /// The engine's typed error.
    Problem(Problem),
    /// The engine trapped, passed its deadline or broke the contract: it says nothing about the
    /// provider.
    Broken(Problem),
    /// The call could not be made now (no instance free, engine in quarantine).
    Deferred(Problem),
}

/// How `settle` ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SettleEnd {
    Done {
        token: Token,
        created: Vec<String>,
        note: Note,
    },
    Pending {
        task: String,
        token: Token,
        created: Vec<String>,
        note: Note,
    },
    /// Believed only at or after `believable_at`.
    NotStarted {
        believable_at: Timestamp,
    },
    Unknown(String),
    Problem(Problem),
    Broken(Problem),
}

/// What a poll found.
#[derive(Clone, Debug, PartialEq)]
pub enum PollEnd {
    Running {
        cursor: String,
    },
    Ended(TaskEnd),
    /// The provider knows no such task.
    Lost,
    /// The poll itself failed; the task may well go on.
    Failed(Problem),
}

/// Something for the caller to do, after the entries are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Observe and plan; answer with [`Event::Prepared`].
    Prepare { operation: OperationId },
    /// Call the engine for the current step; answer with [`Event::Returned`].
    Call { operation: OperationId },
    /// Call the engine's `settle`; answer with [`Event::Settled`].
    Settle { operation: OperationId },
    /// Poll these tasks of one hypervisor in one go; answer each with [`Event::Polled`].
    Poll {
        hypervisor: HypervisorUid,
        operations: Vec<OperationId>,
    },
    /// All parts are over and what they did is to be taken back: number the operations that do it
    /// and hand them to [`Queue::roll_back`](crate::Queue::roll_back).
    RollBack { operation: OperationId },
    /// Nothing can be reached at a hypervisor: see whether it is back, and tell
    /// [`Queue::probed`](crate::Queue::probed).
    Probe { hypervisor: HypervisorUid },
    /// It is over: tell who waits.
    Finish { operation: OperationId },
}

/// Entries to make durable, then commands to carry out.
///
/// `ended` holds the operations that left the queue with these entries, `turned` the hypervisors
/// that were lost or found again: true is lost.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "entries must be committed and commands carried out"]
pub struct Output {
    pub entries: Vec<(OperationId, Entry)>,
    pub commands: Vec<Command>,
    pub ended: Vec<Operation>,
    pub turned: Vec<(HypervisorUid, bool)>,
}

impl Output {
    /// Adds what follows.
    pub fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.commands.append(&mut other.commands);
        self.ended.append(&mut other.ended);
        self.turned.append(&mut other.turned);
    }
}
