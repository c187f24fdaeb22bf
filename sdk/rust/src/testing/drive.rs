//! Calling an engine as the host does.

use enginehouse_documents::{
    Action, ActionRequest, Code, Health, Machine, MachineRef, Note, Outcome, Page, Sent, TaskEnd,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hand::{Function, Hand};
use super::{Hypervisor, fail};
use crate::{
    Cx, Engine, Error, Fate, Next, Object, Result, Settled, Step, TaskQuery, TaskState, TaskStatus,
};

/// More steps or polls than this are taken for an endless loop.
const ENDLESS: u32 = 10_000;
/// Milliseconds between two polls, where the engine does not say.
const POLL_EVERY: u64 = 1000;

/// An action that ended well.
#[derive(Clone, Debug)]
pub struct Ended {
    pub outcome: Outcome,
    /// All objects that any of its steps created.
    pub created: Vec<Object>,
    /// Notes of its steps, in order.
    pub notes: Vec<Note>,
    /// Tasks that were waited for.
    pub tasks: Vec<String>,
    /// Log lines of those tasks.
    pub lines: Vec<String>,
    /// Calls of `run`.
    pub calls: u32,
    /// Calls of `settle`.
    pub settles: u32,
}

/// What follows a step.
enum Then {
    Run(Vec<u8>),
    Poll {
        task: String,
        token: Vec<u8>,
        /// The `once` request that began the task, for the case that the task gets lost.
        origin: Option<Box<Origin>>,
    },
}

/// A `once` request, and the token of the phase that sent it.
struct Origin {
    token: Option<Vec<u8>>,
    sent: Sent,
}

impl Hypervisor {
    /// Calls `check`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn check<E: Engine>(&self) -> Result<Health> {
        let hand = self.hand::<E>(Function::Check);
        written(&E::check(&Cx { host: &hand })?)
    }

    /// Calls `list` until there is no next page; all machines, with the coverage of the last page.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn list<E: Engine>(&self) -> Result<Page> {
        let mut all = Page::default();
        for _ in 0..ENDLESS {
            let hand = self.hand::<E>(Function::List);
            let page: Page = written(&E::list(&Cx { host: &hand }, all.next.as_deref())?)?;
            all.machines.extend(page.machines);
            all.coverage = page.coverage;
            all.next = page.next;
            if all.next.is_none() {
                return Ok(all);
            }
        }
        fail("list never came to its last page")
    }

    /// Calls `read`.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Panics
    /// If there is not one answer for each machine.
    pub fn read<E: Engine>(&self, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        let hand = self.hand::<E>(Function::Read);
        let machines = E::read(&Cx { host: &hand }, ids)?;
        same_length("read", ids.len(), machines.len());
        Ok(machines)
    }

    /// Calls `poll` once.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Panics
    /// If there is not one answer for each task.
    pub fn poll<E: Engine>(&self, tasks: &[TaskQuery]) -> Result<Vec<TaskState>> {
        let hand = self.hand::<E>(Function::Poll);
        let states = E::poll(&Cx { host: &hand }, tasks)?;
        same_length("poll", tasks.len(), states.len());
        for state in &states {
            if state.cursor.len() > 1024 {
                fail("a cursor has more than 1 KiB");
            }
            if (state.status == TaskStatus::Ended) != state.report.end.is_some() {
                fail(format_args!(
                    "a task that is {} says that it {}",
                    state.status.as_str(),
                    if state.report.end.is_some() {
                        "ended"
                    } else {
                        "did not end"
                    },
                ));
            }
        }
        Ok(states)
    }

    /// Calls `run` once, at the start of an action or with a phase.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step<E: Engine>(
        &self,
        action: &ActionRequest,
        phase: Option<E::Phase>,
    ) -> Result<Step<E::Phase>> {
        let hand = self.hand::<E>(Function::Run);
        E::run(&Cx { host: &hand }, action, phase)
    }

    /// Calls `run` once, after a task that ended so.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step_after<E: Engine>(
        &self,
        action: &ActionRequest,
        phase: E::Phase,
        end: TaskEnd,
    ) -> Result<Step<E::Phase>> {
        let mut hand = self.hand::<E>(Function::Run);
        hand.ended = Some(end);
        E::run(&Cx { host: &hand }, action, Some(phase))
    }

    /// Calls `settle` once.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn settle<E: Engine>(
        &self,
        action: &ActionRequest,
        phase: Option<E::Phase>,
        sent: Sent,
    ) -> Result<Settled<E::Phase>> {
        let mut hand = self.hand::<E>(Function::Settle);
        hand.sent = Some(sent.clone());
        E::settle(&Cx { host: &hand }, action, phase, sent)
    }

    /// Drives an action to its end as the host would: `run` with each phase, `poll` until a task has
    /// ended, and `settle` when a task is lost, when a call failed after the answer to its `once`
    /// request was lost, or when it was `unreachable` after a `once` request. `settle` is asked once, after the request's deadline and the visibility lag
    /// have passed on the test's clock. `busy`, `session-expired` and `unreachable` are tried again
    /// as often as [`Hypervisor::attempts`] says.
    ///
    /// # Errors
    /// The error that ends the action; `provider` with `in doubt: …` where `settle` does not know.
    ///
    /// # Panics
    /// If the engine breaks the contract, or never comes to an end.
    pub fn run<E: Engine>(&self, action: &ActionRequest) -> Result<Ended> {
        let action: ActionRequest = written(action)?;
        let mut drive = Drive::<E> {
            hypervisor: self,
            action: &action,
            ended: Ended {
                outcome: Outcome::default(),
                created: Vec::new(),
                notes: Vec::new(),
                tasks: Vec::new(),
                lines: Vec::new(),
                calls: 0,
                settles: 0,
            },
            engine: std::marker::PhantomData,
        };
        let mut token = None;
        let mut end = None;
        for step in 0..u64::from(ENDLESS) {
            let Some(mut then) = drive.step(step, token.take(), end.take())? else {
                return Ok(drive.ended);
            };
            token = loop {
                match then {
                    Then::Run(token) => break Some(token),
                    Then::Poll {
                        task,
                        token,
                        origin,
                    } => match (drive.wait(&task)?, origin) {
                        (Some(task_end), _) => {
                            end = Some(task_end);
                            then = Then::Run(token);
                        }
                        (None, Some(origin)) => then = drive.settle_lost(&task, origin)?,
                        (None, None) => {
                            return Err(Error::provider(format_args!(
                                "task {task} is lost, and no `once` request began it"
                            )));
                        }
                    },
                }
            };
        }
        fail("the action never ended")
    }

    fn hand<E: Engine>(&self, function: Function) -> Hand<'_> {
        Hand {
            hypervisor: self,
            function,
            endpoints: E::describe()
                .endpoints
                .into_iter()
                .map(|endpoint| endpoint.name)
                .collect(),
            attempt: 1,
            step: 0,
            ended: None,
            sent: None,
            once: None.into(),
            reserved: false.into(),
        }
    }
}

struct Drive<'a, E> {
    hypervisor: &'a Hypervisor,
    action: &'a ActionRequest,
    ended: Ended,
    engine: std::marker::PhantomData<E>,
}

impl<E: Engine> Drive<'_, E> {
    /// One step with all its attempts. `None`: the action is complete.
    fn step(
        &mut self,
        step: u64,
        token: Option<Vec<u8>>,
        end: Option<TaskEnd>,
    ) -> Result<Option<Then>> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            if attempt > ENDLESS {
                fail("a step was never done");
            }
            let mut hand = self.hypervisor.hand::<E>(Function::Run);
            hand.attempt = attempt;
            hand.step = step;
            hand.ended.clone_from(&end);
            self.ended.calls += 1;
            let result = E::run(
                &Cx { host: &hand },
                self.action,
                phase::<E>(token.as_deref()),
            );
            let once = hand.once.into_inner();
            let error = match result {
                Ok(done) => {
                    let origin = once.map(|(sent, _)| Box::new(Origin { token, sent }));
                    return self.take(done, origin);
                }
                Err(error) => error,
            };
            let arrived = match once {
                Some((sent, lost)) if lost || error.is(Code::Unreachable) => Some(sent),
                Some(_) | None => None,
            };
            let transient = matches!(
                error.code(),
                Code::Busy | Code::SessionExpired | Code::Unreachable
            );
            if let Some(sent) = arrived {
                let token = token.clone();
                if let Some(then) = self.settle(Box::new(Origin { token, sent }))? {
                    return Ok(Some(then));
                }
            } else if transient && attempt < self.hypervisor.attempts {
                self.hypervisor.advance(POLL_EVERY);
            } else {
                return Err(error);
            }
        }
    }

    /// Notes what a step says. `None`: the action is complete.
    fn take(&mut self, step: Step<E::Phase>, origin: Option<Box<Origin>>) -> Result<Option<Then>> {
        self.ended.created.extend(step.created);
        Ok(match step.next {
            Next::Done(outcome) => {
                if matches!(self.action.action, Action::Create { .. }) {
                    created_is_known(&outcome);
                }
                self.ended.outcome = written(&*outcome)?;
                None
            }
            Next::Again(phase) => Some(self.moved(step.note, &phase)),
            Next::Wait { task, phase } => Some(self.waiting(step.note, task, &phase, origin)),
        })
    }

    /// Asks what became of a lost request. `None`: it did not arrive and may be sent again.
    fn settle(&mut self, origin: Box<Origin>) -> Result<Option<Then>> {
        let lag = E::describe().visibility_lag_ms;
        let believable = origin.sent.deadline.saturating_add(lag);
        let now = self.hypervisor.now();
        self.hypervisor.advance(believable.saturating_sub(now));
        self.ended.settles += 1;
        let settled = self.hypervisor.settle::<E>(
            self.action,
            phase::<E>(origin.token.as_deref()),
            origin.sent.clone(),
        )?;
        self.ended.created.extend(settled.created);
        match settled.fate {
            Fate::Done(phase) => Ok(Some(self.moved(settled.note, &phase))),
            Fate::Pending { task, phase } => {
                Ok(Some(self.waiting(settled.note, task, &phase, Some(origin))))
            }
            Fate::NotStarted => Ok(None),
            Fate::Unknown(looked_at) => Err(Error::provider(format_args!("in doubt: {looked_at}"))),
        }
    }

    /// Asks what became of a request whose task the provider no longer knows.
    fn settle_lost(&mut self, task: &str, mut origin: Box<Origin>) -> Result<Then> {
        origin.sent.lost = true;
        match self.settle(origin)? {
            Some(Then::Poll { task: again, .. }) if again == task => fail(format_args!(
                "task {task} is lost, and `settle` answers that it is pending"
            )),
            Some(then) => Ok(then),
            None => fail(format_args!(
                "task {task} was begun, and `settle` answers that its request never arrived"
            )),
        }
    }

    fn moved(&mut self, note: Note, phase: &E::Phase) -> Then {
        self.ended.notes.push(note);
        Then::Run(token_of(phase))
    }

    fn waiting(
        &mut self,
        note: Note,
        task: String,
        phase: &E::Phase,
        origin: Option<Box<Origin>>,
    ) -> Then {
        if task.len() > 4096 {
            fail("the name of a task has more than 4 KiB");
        }
        self.hypervisor
            .advance(note.poll_after_ms.unwrap_or(POLL_EVERY));
        self.ended.notes.push(note);
        self.ended.tasks.push(task.clone());
        Then::Poll {
            task,
            token: token_of(phase),
            origin,
        }
    }

    /// Polls until the task has ended. `None`: it is lost.
    fn wait(&mut self, task: &str) -> Result<Option<TaskEnd>> {
        let mut query = TaskQuery {
            task: task.to_owned(),
            cursor: String::new(),
        };
        for _ in 0..ENDLESS {
            let states = self.hypervisor.poll::<E>(std::slice::from_ref(&query))?;
            let Some(state) = states.into_iter().next() else {
                break;
            };
            self.ended.lines.extend(state.report.lines);
            match state.status {
                TaskStatus::Running => {
                    query.cursor = state.cursor;
                    self.hypervisor.advance(POLL_EVERY);
                }
                TaskStatus::Ended => return Ok(state.report.end),
                TaskStatus::Lost => return Ok(None),
            }
        }
        fail(format_args!("task {task} never ended"))
    }
}

/// What a `create` must say, so that the host knows the machine again.
fn created_is_known(outcome: &Outcome) {
    let Some(machine) = &outcome.machine else {
        fail("create ended without outcome.machine");
    };
    if machine.id.is_empty() || machine.incarnation.is_none() || machine.mark.is_none() {
        fail(format_args!(
            "create ended without id, incarnation and mark of the machine: {machine:?}"
        ));
    }
}

fn same_length(function: &str, asked: usize, answered: usize) {
    if asked != answered {
        fail(format_args!(
            "`{function}` was asked for {asked} and answered {answered}"
        ));
    }
}

fn token_of<P: Serialize>(phase: &P) -> Vec<u8> {
    match serde_json::to_vec(phase) {
        Ok(token) if token.len() <= 64 * 1024 => token,
        Ok(token) => fail(format_args!(
            "a token of {} bytes, more than 64 KiB",
            token.len()
        )),
        Err(error) => fail(format_args!("a phase without JSON: {error}")),
    }
}

fn phase<E: Engine>(token: Option<&[u8]>) -> Option<E::Phase> {
    token.map(|token| match serde_json::from_slice(token) {
        Ok(phase) => phase,
        Err(error) => fail(format_args!(
            "a phase that cannot be read back: {error}: {}",
            String::from_utf8_lossy(token)
        )),
    })
}

/// A document after its way through JSON, as the other side sees it.
fn written<T: Serialize + DeserializeOwned>(document: &T) -> Result<T> {
    let json = serde_json::to_vec(document)?;
    Ok(serde_json::from_slice(&json)?)
}
