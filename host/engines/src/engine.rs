//! One loaded engine and the calls of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use enginehouse_documents::{
    ActionRequest, Assessment, Code, Description, Health, Machine, MachineRef, Page, Problem,
    Question,
};
use serde::Serialize;
use tokio::time::Instant;
use wasmtime::Store;

use crate::answer::{Settled, Step, TaskQuery, TaskState};
use crate::bindings::assessor::AssessorPre;
use crate::bindings::engine::EnginePre;
use crate::convert::{Broken, Reader};
use crate::describe;
use crate::egress::{Connection, OnceResult};
use crate::error::{CallError, Failure, LoadError, OnceState};
use crate::exports::{Check, Export, List, Poll, Read, Run, Settle};
use crate::host::{Call, Hypervisor, one_line};
use crate::occasion::{Occasion, OncePolicy, Silent};
use crate::quarantine::Quarantine;
use crate::redact::Redactor;
use crate::runtime::Shared;
use crate::sandbox::{Remains, Sandbox};
use crate::trap;

/// Machines or tasks in one call.
const BATCH: usize = 200;
/// `describe` and `assess` compute and wait for nobody.
const PURE_DEADLINE: Duration = Duration::from_secs(10);
/// Of what a guest printed, in the log.
const PRINTED_LINES_MAX: usize = 50;

/// An engine, ready to be called. Every call runs in an instance of its own; calls run in parallel.
///
/// A read-only call that ends with `session-expired` logs in again and is repeated once, here. A
/// `run` that ends so has expired the session; the caller retries it.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    pub(crate) hash: String,
    pub(crate) description: Description,
    pub(crate) instance: EnginePre<Sandbox>,
    pub(crate) assessor: Option<AssessorPre<Sandbox>>,
    pub(crate) quarantine: Quarantine,
}

impl Engine {
    /// As in its description.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.description.name
    }

    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// blake3 of the `.wasm`, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it exports `assess`.
    #[must_use]
    pub fn has_assess(&self) -> bool {
        self.assessor.is_some()
    }

    /// Is `kind` (an operator's `type`) this engine: its name or an alias, without regard to case?
    #[must_use]
    pub fn is_called(&self, kind: &str) -> bool {
        self.description.name.eq_ignore_ascii_case(kind)
            || (self.description.aliases.iter()).any(|alias| alias.eq_ignore_ascii_case(kind))
    }

    /// `meta.check`
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn check(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
    ) -> Result<Health, CallError> {
        let json = self.reading(occasion, connection, Check).await?;
        reader(connection).health(&json).map_err(broken)
    }

    /// `machines.list`: one page.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn list(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        cursor: Option<&str>,
    ) -> Result<Page, CallError> {
        let list = List(cursor.map(str::to_owned));
        let json = self.reading(occasion, connection, list).await?;
        reader(connection).page(&json).map_err(broken)
    }

    /// `machines.read`, in the order of `machines`. More than 200 are read in several calls.
    ///
    /// # Errors
    /// See [`Failure`]; a machine's own error is in its place.
    pub async fn read(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        machines: &[MachineRef],
    ) -> Result<Vec<Result<Machine, Problem>>, CallError> {
        let mut all = Vec::with_capacity(machines.len());
        for batch in machines.chunks(BATCH) {
            let ids: Result<Vec<String>, CallError> = batch.iter().map(to_json).collect();
            let answered = self
                .reading(occasion.clone(), connection, Read(ids?))
                .await?;
            let read = reader(connection).machines(batch.len(), answered);
            all.extend(read.map_err(broken)?);
        }
        Ok(all)
    }

    /// `machines.run`: one phase of an action. Returns only when the fate of its `once` request is
    /// journalled, even if the guest died before.
    ///
    /// # Errors
    /// See [`Failure`]. When [`CallError::once`] is `Lost`, nothing that the engine answered
    /// counts: settle the step.
    pub async fn run(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        action: &ActionRequest,
        token: Option<&[u8]>,
    ) -> Result<Step, CallError> {
        let run = Run {
            action: to_json(action)?,
            token: token.map(<[u8]>::to_vec),
        };
        let (result, once) = self.call(&occasion, connection, run).await;
        let step = result.and_then(|step| reader(connection).step(step).map_err(Failure::Contract));
        conclude(step, once.as_ref(), connection)
    }

    /// `machines.settle`: what became of `occasion.sent`?
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn settle(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        action: &ActionRequest,
        token: Option<&[u8]>,
    ) -> Result<Settled, CallError> {
        let settle = Settle {
            action: to_json(action)?,
            token: token.map(<[u8]>::to_vec),
        };
        let settled = self.reading(occasion, connection, settle).await?;
        reader(connection).settled(settled).map_err(broken)
    }

    /// `machines.poll`, in the order of `tasks`. More than 200 are asked in several calls.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn poll(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        tasks: &[TaskQuery],
    ) -> Result<Vec<TaskState>, CallError> {
        let mut all = Vec::with_capacity(tasks.len());
        for batch in tasks.chunks(BATCH) {
            let queries = (batch.iter()).map(|query| (query.task.clone(), query.cursor.clone()));
            let poll = Poll(queries.collect());
            let answered = self.reading(occasion.clone(), connection, poll).await?;
            let states = reader(connection).states(batch.len(), answered);
            all.extend(states.map_err(broken)?);
        }
        Ok(all)
    }

    /// `assess.assess`. An engine without it answers nothing: every field keeps the class of the
    /// description.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn assess(&self, question: &Question) -> Result<Assessment, CallError> {
        let Some(assessor) = &self.assessor else {
            return Ok(Assessment::default());
        };
        let question = to_json(question)?;
        let answer = self
            .pure(async |store: &mut Store<Sandbox>| {
                let instance = assessor.instantiate_async(&mut *store).await?;
                let assess = instance.enginehouse_engine_assess();
                assess.call_assess(store, &question).await
            })
            .await
            .map_err(CallError::new)?;
        match answer {
            Ok(json) => serde_json::from_str(&json).map_err(|error| {
                broken(format!(
                    "`assess` answered no document `assessment`: {error}"
                ))
            }),
            Err(problem) => Err(CallError::new(Failure::Problem(Problem::new(
                Code::parse(&problem.code),
                one_line(&problem.message, 4096),
            )))),
        }
    }

    /// `meta.describe`, once after loading.
    pub(crate) async fn describe(&self) -> Result<Description, LoadError> {
        let json = self
            .pure(async |store: &mut Store<Sandbox>| {
                let instance = self.instance.instantiate_async(&mut *store).await?;
                instance
                    .enginehouse_engine_meta()
                    .call_describe(store)
                    .await
            })
            .await
            .map_err(|failure| LoadError::Describe(Box::new(failure)))?;
        describe::read(&json)
    }

    /// A call without a hypervisor.
    pub(crate) async fn pure<T>(
        &self,
        call: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let occasion = Occasion::reading(PURE_DEADLINE, Arc::new(Silent));
        let _slot = self.slot().await?;
        let _running = self.shared.ticker.running();
        let deadline = Instant::now() + PURE_DEADLINE;
        let limit = self.shared.config.memory_limit;
        let (mut store, remains) =
            Sandbox::store(&self.shared.wasmtime, limit, occasion, None, deadline);
        let called = tokio::time::timeout_at(deadline, call(&mut store)).await;
        let nothing = Redactor::default();
        match called {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.died(&error, &store, &remains, &nothing)),
            Err(_) => Err(Failure::Deadline(PURE_DEADLINE)),
        }
    }

    /// A call that changes nothing. With an expired session it is repeated once.
    async fn reading<E: Export + Clone>(
        &self,
        mut occasion: Occasion,
        connection: &Arc<Connection>,
        export: E,
    ) -> Result<E::Answer, CallError> {
        occasion.once = OncePolicy::Forbidden;
        let (first, _) = self.call(&occasion, connection, export.clone()).await;
        let result = match first {
            Err(Failure::Problem(problem)) if problem.code == Code::SessionExpired => {
                self.call(&occasion, connection, export).await.0
            }
            first => first,
        };
        result.map_err(CallError::new)
    }

    async fn slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let waited = self.shared.config.wait;
        match tokio::time::timeout(waited, self.shared.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Failure::Overloaded { waited }),
        }
    }

    /// One call in a sandbox of its own, and what became of its `once` request.
    async fn call<E: Export>(
        &self,
        occasion: &Occasion,
        connection: &Arc<Connection>,
        export: E,
    ) -> (Result<E::Answer, Failure>, Option<OnceResult>) {
        let hypervisor = connection.hypervisor();
        let now = occasion.clock.now();
        if let Some((traps, until)) = self.quarantine.resting(hypervisor, E::NAME, now) {
            return (Err(Failure::Quarantined { traps, until }), None);
        }
        let slot = match self.slot().await {
            Ok(slot) => slot,
            Err(failure) => return (Err(failure), None),
        };
        let running = self.shared.ticker.running();
        let time = occasion.deadline.min(self.shared.config.call_deadline);
        let deadline = Instant::now() + time;
        let (mut store, remains) = Sandbox::store(
            &self.shared.wasmtime,
            self.shared.config.memory_limit,
            occasion.clone(),
            Some(Arc::clone(connection)),
            deadline,
        );
        let called = tokio::time::timeout_at(deadline, self.enter(&mut store, export)).await;
        let computing = !remains.waiting.load(Ordering::Relaxed);
        let redactor = &connection.redactor;
        let mut crashed = false;
        let result = match called {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(problem))) => {
                let problem = Reader { redactor }.problem(problem);
                Err(Failure::Problem(
                    self.session_expired(problem, connection, &remains),
                ))
            }
            Ok(Err(error)) => {
                crashed = true;
                Err(self.died(&error, &store, &remains, redactor))
            }
            Err(_) => {
                // One that waited for its provider is slow, not broken.
                crashed = computing;
                Err(Failure::Deadline(time))
            }
        };
        drop(store);
        drop(running);
        drop(slot);
        print(&remains, occasion, redactor);
        let slot = remains.once.lock().clone();
        let once = match slot {
            Some(mut slot) => Some(slot.result().await),
            None => None,
        };
        // What the journal ended is not the guest's fault.
        let ended_here = matches!(
            once,
            Some(
                OnceResult::Refused(_) | OnceResult::NotJournalled(_) | OnceResult::Differs { .. }
            )
        );
        if crashed && !ended_here {
            self.quarantine
                .trapped(hypervisor, E::NAME, occasion.clock.now());
        } else if result.is_ok() || matches!(result, Err(Failure::Problem(_))) {
            self.quarantine.ended_well(hypervisor, E::NAME);
        }
        (result, once)
    }

    async fn enter<E: Export>(
        &self,
        store: &mut Store<Sandbox>,
        export: E,
    ) -> wasmtime::Result<
        Result<E::Answer, crate::bindings::engine::enginehouse::engine::types::Problem>,
    > {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        // The guest borrows them; they go with the store.
        let table = &mut store.data_mut().table;
        let call = table.push(Call)?;
        let hypervisor = table.push(Hypervisor)?;
        export.call(&instance, store, call, hypervisor).await
    }

    /// `session-expired` makes the next request log in; without a session it means nothing.
    fn session_expired(
        &self,
        mut problem: Problem,
        connection: &Connection,
        remains: &Remains,
    ) -> Problem {
        if problem.code == Code::SessionExpired {
            if connection.has_session() {
                connection.expire_session(remains.generation.load(Ordering::Relaxed));
            } else {
                problem.code = Code::Denied;
            }
        }
        problem
    }

    fn died(
        &self,
        error: &wasmtime::Error,
        store: &Store<Sandbox>,
        remains: &Remains,
        redactor: &Redactor,
    ) -> Failure {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            let waited = Duration::ZERO;
            return Failure::Overloaded { waited };
        }
        if store.data().limits.memory_refused {
            let limit = self.shared.config.memory_limit as u64;
            return Failure::Memory { limit };
        }
        trap::failure(error, &remains.printed.text(), redactor)
    }
}

/// The end of a `run`: what the engine answered, and what became of its `once` request.
fn conclude(
    step: Result<Step, Failure>,
    once: Option<&OnceResult>,
    connection: &Connection,
) -> Result<Step, CallError> {
    let state = once.map_or(OnceState::None, OnceResult::state);
    let failure = match (step, once) {
        // The journal has the last word.
        (_, Some(OnceResult::Differs { journalled, now })) => Failure::Replay {
            journalled: journalled.clone(),
            now: now.clone(),
        },
        (_, Some(OnceResult::Refused(error) | OnceResult::NotJournalled(error))) => {
            Failure::Journal(error.clone())
        }
        // Whatever the engine made of it: it cannot know either.
        (Ok(_), Some(OnceResult::Lost(problem))) => {
            let mut problem = problem.clone();
            reader(connection).clean(&mut problem);
            Failure::Problem(problem)
        }
        (Ok(step), None | Some(OnceResult::Answered(_) | OnceResult::NotSent(_))) => {
            return Ok(step);
        }
        (
            Err(failure),
            None | Some(OnceResult::Answered(_) | OnceResult::NotSent(_) | OnceResult::Lost(_)),
        ) => failure,
    };
    Err(CallError {
        failure,
        once: state,
    })
}

/// What the guest printed goes into the log: it is how an author looks inside.
fn print(remains: &Remains, occasion: &Occasion, redactor: &Redactor) {
    let printed = remains.printed.text();
    for line in printed
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(PRINTED_LINES_MAX)
    {
        let line = redactor.text(&one_line(line, 4096));
        occasion.observer.log("debug", &line);
    }
}

fn reader(connection: &Connection) -> Reader<'_> {
    Reader {
        redactor: &connection.redactor,
    }
}

fn broken(broken: Broken) -> CallError {
    CallError::new(Failure::Contract(broken))
}

fn to_json(document: &impl Serialize) -> Result<String, CallError> {
    serde_json::to_string(document)
        .map_err(|error| broken(format!("the host cannot write the document: {error}")))
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &self.description.name)
            .field("version", &self.description.version)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
