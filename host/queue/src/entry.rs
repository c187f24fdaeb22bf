//! What is journalled of an operation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enginehouse_model::documents::{Note, Outcome, Problem, Sent, TaskEnd};
use enginehouse_model::{OperationId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::json::Json;
use crate::spec::Spec;

/// One row of the journal. The order of the variants is the order of a life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// Accepted. Always the first.
    Queued { spec: Spec },
    /// Left the lane's queue and holds a slot; its plan is being made.
    Started,
    /// What its plan destroys needs people's approval: it waits for it, outside of its lane.
    Asked {
        /// What is to be approved; the queue does not look into it.
        request: Value,
        until: Timestamp,
    },
    /// Somebody approved it.
    Signed { signature: Value },
    /// Enough did: it joins its lane again at the end, to be planned again.
    Approved { rank: u64 },
    /// A limit on destruction does not let it go on yet: it waits in its lane, without a slot, and
    /// begins again by looking.
    Held { until: Timestamp, problem: Problem },
    /// It may try again.
    Released,
    /// The plan: the steps in order.
    Planned(StepPlan),
    /// The current step turned out not to be needed.
    Skipped { reason: String },
    /// The engine is called for the current step.
    Called { attempt: u32 },
    /// What the engine is asked to do in this step, the same through all its phases.
    Filled { request: Value },
    /// A `once` request is about to leave. The last moment at which nothing has happened.
    Sending { sent: Sent, digest: String },
    /// Its answer, whatever it says.
    Answered { response: Value },
    /// It had no effect: it never left, or the engine said so (`busy`, `session-expired`), or it was
    /// found out.
    NotSent { reason: String },
    /// Its answer is unknown, or a task was forgotten: what happened is being found out.
    Settling { reason: String },
    /// The engine trapped, passed its deadline or broke the contract.
    Broke { problem: Problem },
    /// A phase of the step ended.
    Moved {
        token: Token,
        created: Vec<String>,
        note: Note,
    },
    /// The provider works on a task.
    Waiting {
        task: String,
        token: Token,
        created: Vec<String>,
        note: Note,
        first_poll: Timestamp,
    },
    /// The task ended.
    TaskEnded { end: TaskEnd },
    /// A graceful stop did not work in time: the step goes on by force.
    Escalated { reason: String },
    /// Something that may pass is in the way.
    Postponed {
        until: Timestamp,
        /// The first failure of this row of failures.
        since: Timestamp,
        problem: Problem,
    },
    /// The step is complete.
    Done {
        created: Vec<String>,
        outcome: Box<Outcome>,
    },
    /// An operation that it waits for has ended: see [`Spec::after`].
    Freed { by: OperationId },
    /// It has another place in its lane: see [`Operation::rank`](crate::Operation::rank).
    Ranked { rank: u64, who: String },
    /// Of an operation with parts: these parts take back what others of it did.
    RollingBack { parts: Vec<OperationId> },
    /// Somebody asked to cancel; it ends where nothing is half done.
    CancelRequested { who: String },
    /// The database was restored from a backup: what was done since is not known, so the operation
    /// begins again by looking.
    BegunAnew { who: String },
    /// It cannot be known what happened; a person has to say.
    Doubted { reason: String },
    /// A person said what became of it.
    Resolved {
        who: String,
        /// Journals of before 0.1 do not say it: what follows does.
        #[serde(default)]
        how: Resolution,
    },
    /// The end. Always the last.
    Ended {
        state: Final,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
    },
}

/// How an operation that was in doubt goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The request had no effect: it is sent again.
    #[default]
    Retry,
    /// The step is done.
    Done,
    /// What the step was to make is there: the step begins anew, with it.
    Anew,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    Succeeded,
    Failed,
    Cancelled,
    /// A newer one does what it was to do; with a problem, what it was decided on is another now, and
    /// nobody does it.
    Superseded,
}

impl Final {
    /// In the API's words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// The steps in order; none: there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub steps: Vec<StepSpec>,
    /// What was found while it was made and belongs into the operation's result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What none of the steps can do: with this the operation fails once they are through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Problem>,
}

impl From<Vec<StepSpec>> for StepPlan {
    fn from(steps: Vec<StepSpec>) -> Self {
        Self {
            steps,
            ..Self::default()
        }
    }
}

/// One action of the plan, as far as the queue has to know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The action's name: `create`, `configure`, …
    pub action: String,
    /// `cores 2 -> 4`
    pub reason: String,
    /// What it copies from; steps with the same template are limited together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// A graceful stop that may be repeated by force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_escalate: bool,
    /// What goes on at the provider may be left to itself when a forced stop overtakes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_left: bool,
    /// The planned action whole; the queue does not look into it.
    pub body: Json,
}

/// An engine's token: bytes to everybody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token(pub Vec<u8>);

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
