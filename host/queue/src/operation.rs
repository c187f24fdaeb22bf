//! An operation and the state that its entries add up to.

use enginehouse_model::documents::{Code, Problem, Sent, TaskEnd};
use enginehouse_model::{FullName, OperationId, Timestamp};
use thiserror::Error;

use crate::entry::{Entry, Final, StepSpec, Token};
use crate::json::Json;
use crate::spec::{OnFailure, Spec};

/// Distance between the ranks of operations that follow each other, before any of them is moved.
const RANK_STEP: u32 = 20;

/// A `once` request of the current call.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Once {
    /// None was sent.
    #[default]
    None,
    /// Journalled; it may have been sent.
    Sending { sent: Box<Sent>, digest: String },
    /// Answered.
    Answered {
        sent: Box<Sent>,
        digest: String,
        response: Json,
    },
}

/// The current step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepState {
    /// What the engine is asked to do, once that is filled in.
    pub request: Option<Json>,
    /// What the engine is called with.
    pub token: Option<Token>,
    /// How the task ended that the call comes after.
    pub ended: Option<Box<TaskEnd>>,
    /// Calls of this phase so far.
    pub attempt: u32,
    /// How often the engine broke in this phase.
    pub traps: u32,
    /// How it broke the second time: a settlement then only records what exists, and a task that
    /// still runs is waited for, before the step fails.
    pub broken: Option<Box<Problem>>,
    /// Failures in a row that may pass; the delay grows with them.
    pub retries: u32,
    /// What the last of them were.
    pub failing: Option<Failing>,
    pub escalated: bool,
    /// Phases of this step that ended.
    pub phases: u32,
    pub once: Once,
    /// The phase that sent the last answered `once` request, for a task that is forgotten later.
    pub origin: Option<Box<Origin>>,
    /// The task that the provider no longer knows, while that is being settled; in doubt also one that
    /// nobody can ask about.
    pub forgotten: Option<String>,
    /// A phase of this step left something at the provider: the step is half done until it ends.
    pub touched: bool,
}

/// Failures of one kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub code: Code,
    /// When the first of them was.
    pub since: Timestamp,
    pub times: u32,
}

/// Where a `once` request came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// What the engine was called with.
    pub token: Option<Token>,
    /// [`StepState::attempt`] of it.
    pub attempt: u32,
    pub sent: Box<Sent>,
    /// [`StepState::touched`] before it.
    pub touched: bool,
}

impl StepState {
    /// Whether nothing of the step is at the provider, or may be: it can end without leaving
    /// anything half done. Requests that set an absolute state do not count.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.once == Once::None && !self.touched
    }

    /// Whether nothing of the step is at the provider after its end: it sent nothing, or the engine
    /// read the answer and said that it failed.
    #[must_use]
    pub fn made_nothing(&self) -> bool {
        !self.touched
            && match self.once {
                Once::None => true,
                Once::Sending { .. } => false,
                Once::Answered { .. } => self.broken.is_none(),
            }
    }

    /// Forgets the failures so far: another kind of work begins.
    pub(crate) fn begin_anew(&mut self) {
        self.retries = 0;
        self.failing = None;
    }
}

/// Where an operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// In its lane, or (a parent) waiting for its parts.
    Pending,
    /// Being planned.
    Starting,
    /// People have to approve its plan: see [`Operation::approval`].
    WaitingApproval,
    /// Between steps: the next one waits for nothing, or for the template's limit.
    Between,
    /// The engine is called.
    Calling,
    /// What became of a request is being found out.
    Settling,
    Waiting {
        task: String,
        cursor: String,
        polls: u32,
    },
    Postponed {
        until: Timestamp,
        then: Then,
    },
    InDoubt {
        reason: String,
    },
    Ended {
        state: Final,
        problem: Option<Problem>,
    },
}

/// What a postponed operation does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Prepare,
    Call,
    Settle,
}

/// An operation of the queue.
///
/// Ten thousand of them may wait at once: what few of them have is in a box, and what is not looked
/// into is [`Json`].
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub spec: Spec,
    pub phase: Phase,
    pub steps: Vec<StepSpec>,
    /// Index of the current step.
    pub step: usize,
    /// How often each step was tried so far: once, and again for each repetition of one of its
    /// phases.
    pub tries: Vec<u32>,
    pub state: StepState,
    /// Everything that was created, as `kind id`.
    pub created: Vec<String>,
    pub warnings: Vec<String>,
    /// What the engine said last.
    pub message: String,
    pub cancel: Option<String>,
    /// What it waits for, while it does.
    pub obstacle: Option<Box<Problem>>,
    /// How its parts ended so far.
    pub parts: Vec<EndedPart>,
    /// Its place in its lane: the lower one goes first.
    pub rank: u64,
    /// Those of [`Spec::after`] that need not be waited for any more.
    pub freed: Vec<OperationId>,
    /// Parts that take back what the others did, once that has begun.
    pub undo: Option<Vec<OperationId>>,
    /// What none of its steps can do.
    pub shortfall: Option<Box<Problem>>,
    /// What people were asked to approve, and who did.
    pub approval: Option<Box<Approval>>,
    /// While a limit holds it in its lane: when it tries again. What holds it is its obstacle.
    pub held_until: Option<Timestamp>,
    /// How often it was held.
    pub holds: u32,
}

/// A question to people, and their answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub request: Json,
    /// From then on it is too late, also to begin with what was approved.
    pub until: Timestamp,
    pub signatures: Vec<Json>,
    /// There were enough of them.
    pub granted: bool,
}

/// How a part of an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedPart {
    pub parent: OperationId,
    pub number: OperationId,
    pub target: FullName,
    pub state: Final,
    pub problem: Option<Problem>,
    pub warnings: Vec<String>,
    /// Whether its own definition says that it is taken back when it fails.
    pub on_failure: OnFailure,
}

impl EndedPart {
    /// What it was to do is not done, and not because somebody wanted it so.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match self.state {
            Final::Failed => true,
            Final::Superseded => self.problem.is_some(),
            Final::Succeeded | Final::Cancelled => false,
        }
    }
}

/// An entry that does not fit the state before it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("operation {operation}: `{entry}` cannot follow the state `{phase}`")]
pub struct Illegal {
    pub operation: OperationId,
    pub entry: String,
    pub phase: String,
}

impl Operation {
    /// The operation after its first entry.
    pub(crate) fn queued(spec: Spec) -> Self {
        Self {
            rank: spec.number.0.saturating_mul(1 << RANK_STEP),
            freed: Vec::new(),
            undo: None,
            shortfall: None,
            approval: None,
            held_until: None,
            holds: 0,
            spec,
            phase: Phase::Pending,
            steps: Vec::new(),
            step: 0,
            tries: Vec::new(),
            state: StepState::default(),
            created: Vec::new(),
            warnings: Vec::new(),
            message: String::new(),
            cancel: None,
            obstacle: None,
            parts: Vec::new(),
        }
    }

    #[must_use]
    pub fn number(&self) -> OperationId {
        self.spec.number
    }

    #[must_use]
    pub fn current_step(&self) -> Option<&StepSpec> {
        self.steps.get(self.step)
    }

    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Whether it counts against the hypervisor's limit.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        self.spec.hypervisor.is_some()
            && !matches!(
                self.phase,
                Phase::Pending
                    | Phase::WaitingApproval
                    | Phase::InDoubt { .. }
                    | Phase::Ended { .. }
            )
    }

    /// The template that it copies from at this moment.
    #[must_use]
    pub fn copies(&self) -> Option<&str> {
        let step = self.current_step()?;
        let copying = match &self.phase {
            Phase::Calling | Phase::Settling | Phase::Waiting { .. } => true,
            Phase::Postponed { then, .. } => *then != Then::Prepare,
            Phase::Pending
            | Phase::Starting
            | Phase::WaitingApproval
            | Phase::Between
            | Phase::InDoubt { .. }
            | Phase::Ended { .. } => false,
        };
        step.template.as_deref().filter(|_| copying)
    }

    /// The state in the API's words.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match &self.phase {
            Phase::Pending if self.spec.children.is_empty() => "pending",
            Phase::WaitingApproval => "waiting_approval",
            Phase::InDoubt { .. } => "in_doubt",
            Phase::Ended { state, .. } => state.name(),
            Phase::Pending
            | Phase::Starting
            | Phase::Between
            | Phase::Calling
            | Phase::Settling
            | Phase::Waiting { .. }
            | Phase::Postponed { .. } => "running",
        }
    }

    /// Takes one entry in.
    ///
    /// # Errors
    /// When the entry does not fit the state; nothing has changed then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        crate::transition::apply(self, entry)
            .map_err(|()| self.illegal(&crate::transition::entry_name(entry)))
    }

    pub(crate) fn illegal(&self, what: &str) -> Illegal {
        Illegal {
            operation: self.number(),
            entry: what.to_owned(),
            phase: crate::transition::phase_name(&self.phase).to_owned(),
        }
    }

    /// The request of which it is not known whether it took effect, or, of a task that was lost from
    /// sight, the one that began it.
    #[must_use]
    pub fn doubtful(&self) -> Option<&Sent> {
        match &self.state.once {
            Once::Sending { sent, .. } => Some(sent),
            Once::None | Once::Answered { .. } => {
                let lost = self.state.forgotten.is_some();
                let origin = self.state.origin.as_ref().filter(|_| lost);
                origin.map(|origin| &*origin.sent)
            }
        }
    }

    /// What its parent keeps of it, once it has ended.
    pub(crate) fn as_part(&self) -> Option<EndedPart> {
        let parent = self.spec.parent?;
        let Phase::Ended { state, problem } = &self.phase else {
            return None;
        };
        Some(EndedPart {
            parent,
            number: self.number(),
            target: self.spec.target_name.clone(),
            state: *state,
            problem: problem.clone(),
            warnings: self.warnings.clone(),
            on_failure: self.spec.on_failure,
        })
    }

    /// Whether it still waits for others to end.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.waits_for().next().is_some()
    }

    /// What it waits for: those of [`Spec::after`] that have not ended.
    pub fn waits_for(&self) -> impl Iterator<Item = OperationId> {
        let after = self.spec.after.iter().map(|after| after.number);
        after.filter(|number| !self.freed.contains(number))
    }

    /// Whether a forced stop may take over from what it does now.
    pub(crate) fn may_be_left(&self) -> bool {
        let step = self.current_step();
        step.is_some_and(|step| step.may_be_left)
            && match &self.phase {
                Phase::Waiting { .. } | Phase::Between => true,
                Phase::Postponed { then, .. } => *then == Then::Call,
                Phase::Pending
                | Phase::Starting
                | Phase::WaitingApproval
                | Phase::Calling
                | Phase::Settling
                | Phase::InDoubt { .. }
                | Phase::Ended { .. } => false,
            }
    }

    /// All its parts, also those that take others back.
    pub fn all_parts(&self) -> impl Iterator<Item = OperationId> {
        let undo = self.undo.iter().flatten();
        self.spec.children.iter().chain(undo).copied()
    }

    /// How the parts ended that were asked for; those that take back are not among them.
    pub fn forward_parts(&self) -> impl Iterator<Item = &EndedPart> {
        self.parts.iter().filter(|part| !self.is_undo(part.number))
    }

    pub(crate) fn is_undo(&self, part: OperationId) -> bool {
        self.undo.as_ref().is_some_and(|undo| undo.contains(&part))
    }

    /// Whether something has to be taken back when all its parts are over.
    pub(crate) fn rolls_back(&self) -> bool {
        self.undo.is_none()
            && self
                .parts
                .iter()
                .filter(|part| part.has_failed())
                .any(|part| {
                    self.spec.on_failure == OnFailure::Rollback
                        || part.on_failure == OnFailure::Rollback
                })
    }

    /// The parts that are to be taken back, the last one first: all of them, or those that failed
    /// and whose own definition says so.
    #[must_use]
    pub fn to_take_back(&self) -> Vec<&EndedPart> {
        let all = self.spec.on_failure == OnFailure::Rollback;
        let mut parts: Vec<&EndedPart> = self
            .forward_parts()
            .filter(|part| all || (part.has_failed() && part.on_failure == OnFailure::Rollback))
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.number));
        parts
    }
}
