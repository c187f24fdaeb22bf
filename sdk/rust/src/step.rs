//! How a phase of an action ends, and what became of one whose answer was lost.

use std::time::Duration;

use enginehouse_documents::{Note, Outcome, Sent};

use crate::{Cx, Result};

/// Something that now exists on the provider because of this action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `machine`, `disk`, `nic`, `snapshot`, or the provider's own word.
    pub kind: String,
    /// The provider's id of it.
    pub id: String,
}

impl Object {
    #[must_use]
    pub fn new(kind: impl Into<String>, id: impl ToString) -> Self {
        Self {
            kind: kind.into(),
            id: id.to_string(),
        }
    }

    #[must_use]
    pub fn machine(id: impl ToString) -> Self {
        Self::new("machine", id)
    }

    #[must_use]
    pub fn disk(id: impl ToString) -> Self {
        Self::new("disk", id)
    }

    #[must_use]
    pub fn nic(id: impl ToString) -> Self {
        Self::new("nic", id)
    }
}

/// What comes after a phase.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<P> {
    /// The action ended well.
    Done(Box<Outcome>),
    /// The host journals this phase, then calls `run` with it.
    Again(P),
    /// The host polls the task, then calls `run` with this phase; [`crate::Cx::ended`] says how it
    /// ended.
    Wait { task: String, phase: P },
}

/// Answer of [`crate::Engine::run`]: what comes next, and what this phase made.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// # #[derive(Debug, PartialEq)] enum Phase { Cloned { id: u64 } }
/// let step = Step::wait("UPID:pve1:…", Phase::Cloned { id: 105 })
///     .created(Object::machine(105))
///     .machine_id(105)
///     .note("cloning template 9000 to 105");
/// # assert_eq!(step.note.machine_id.as_deref(), Some("105"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a step does nothing until it is returned to the host"]
pub struct Step<P> {
    pub next: Next<P>,
    /// All objects that this call created.
    pub created: Vec<Object>,
    pub note: Note,
}

impl<P> Step<P> {
    fn new(next: Next<P>) -> Self {
        Self {
            next,
            created: Vec::new(),
            note: Note::default(),
        }
    }

    /// The action is complete. After `create`, `outcome.machine` is required.
    pub fn done(outcome: Outcome) -> Self {
        Self::new(Next::Done(Box::new(outcome)))
    }

    /// The action is complete with the task that was waited for, and says its warnings.
    ///
    /// # Errors
    /// The problem with which the task ended.
    pub fn done_by_task(cx: &Cx) -> Result<Self> {
        let warnings = cx.task_succeeded()?;
        Ok(Self::done(Outcome {
            warnings,
            ..Outcome::default()
        }))
    }

    /// A phase ended; the next one begins with `phase`.
    pub fn again(phase: P) -> Self {
        Self::new(Next::Again(phase))
    }

    /// The provider works on a task of its own; `phase` begins when it has ended.
    pub fn wait(task: impl Into<String>, phase: P) -> Self {
        let task = task.into();
        Self::new(Next::Wait { task, phase })
    }

    /// Names an object that this call of `run` created.
    pub fn created(mut self, object: Object) -> Self {
        self.created.push(object);
        self
    }

    /// What is going on, for people. With [`Step::done`] it goes to the operation's log.
    pub fn note(mut self, message: impl Into<String>) -> Self {
        self.note.message = message.into();
        self
    }

    /// A warning of the whole operation.
    pub fn warning(mut self, warning: impl Into<String>) -> Self {
        match &mut self.next {
            Next::Done(outcome) => outcome.warnings.push(warning.into()),
            Next::Again(_) | Next::Wait { .. } => self.note.warnings.push(warning.into()),
        }
        self
    }

    /// The provider's id of the machine, as soon as it is known. [`Step::done`] has it in
    /// `outcome.machine` and needs this not.
    pub fn machine_id(mut self, id: impl ToString) -> Self {
        self.note.machine_id = Some(id.to_string());
        self
    }

    /// When to ask for the task first. Means nothing but with [`Step::wait`].
    pub fn poll_after(mut self, time: Duration) -> Self {
        self.note.poll_after_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// What became of a request whose answer was lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate<P> {
    /// It took effect (or failed for good) and is over: `run` goes on with this phase.
    Done(P),
    /// It took effect; the task that it started is running.
    Pending { task: String, phase: P },
    /// It did not arrive: it may be sent. The host believes this only after the request's deadline
    /// and the visibility lag, and asks again until then.
    NotStarted,
    /// It cannot be known; a person has to say. What was looked at.
    Unknown(String),
}

/// Answer of [`crate::Engine::settle`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "what was settled does nothing until it is returned to the host"]
pub struct Settled<P> {
    pub fate: Fate<P>,
    /// All objects that the request created. Means nothing with the last two fates.
    pub created: Vec<Object>,
    pub note: Note,
}

impl<P> Settled<P> {
    fn new(fate: Fate<P>) -> Self {
        Self {
            fate,
            created: Vec::new(),
            note: Note::default(),
        }
    }

    /// The request took effect (or failed for good) and is over: `run` goes on with `phase`.
    pub fn done(phase: P) -> Self {
        Self::new(Fate::Done(phase))
    }

    /// The request took effect; the task that it started is running.
    pub fn pending(task: impl Into<String>, phase: P) -> Self {
        let task = task.into();
        Self::new(Fate::Pending { task, phase })
    }

    /// The request did not arrive.
    pub fn not_started() -> Self {
        Self::new(Fate::NotStarted)
    }

    /// By what is seen of the object: while `task`, a running one, works on the request, it is pending;
    /// otherwise it is done if its effect is there, and has not started if not. All three go on with
    /// `phase`. After `sent.lost` no task is believed: the host knows that it is over.
    pub fn seen(sent: &Sent, task: Option<impl Into<String>>, effect: bool, phase: P) -> Self {
        match task.filter(|_| !sent.lost) {
            Some(task) => Self::pending(task, phase),
            None if effect => Self::done(phase),
            None => Self::not_started(),
        }
    }

    /// It cannot be known; `looked_at` says what was looked at.
    pub fn unknown(looked_at: impl Into<String>) -> Self {
        Self::new(Fate::Unknown(looked_at.into()))
    }

    /// Names an object that the request created.
    pub fn created(mut self, object: Object) -> Self {
        self.created.push(object);
        self
    }

    /// What is going on, for people.
    pub fn note(mut self, message: impl Into<String>) -> Self {
        self.note.message = message.into();
        self
    }

    /// A warning of the whole operation.
    pub fn warning(mut self, warning: impl Into<String>) -> Self {
        self.note.warnings.push(warning.into());
        self
    }

    /// The provider's id of the machine.
    pub fn machine_id(mut self, id: impl ToString) -> Self {
        self.note.machine_id = Some(id.to_string());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_pending_unless_it_is_lost() {
        let known = Sent::default();
        let lost = Sent {
            lost: true,
            ..Sent::default()
        };
        for (sent, task, effect, fate) in [
            (&known, Some("t1"), false, "pending"),
            (&known, Some("t1"), true, "pending"),
            (&lost, Some("t1"), true, "done"),
            (&lost, Some("t1"), false, "not started"),
            (&known, None, true, "done"),
            (&known, None, false, "not started"),
        ] {
            let settled = match Settled::seen(sent, task, effect, 5).fate {
                Fate::Pending { task, phase: 5 } if task == "t1" => "pending",
                Fate::Done(5) => "done",
                Fate::NotStarted => "not started",
                other => panic!("{other:?}"),
            };
            assert_eq!(settled, fate, "{sent:?} {task:?} {effect}");
        }
    }
}
