//! The engine as a component: the contract's exports on top of [`Engine`], and [`Host`] on top of
//! its imports.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::documents::{Code, Problem, Question};
use crate::host::{Host, Incoming, Location, Outgoing};
use crate::{Assess, Cx, Engine, Error, Fate, Level, Next, Result, TaskQuery};

/// What `wit-bindgen` makes of `wit/engine.wit`.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "engine",
        pub_export_macro: true,
        export_macro_name: "export_engine",
        default_bindings_module: "enginehouse_sdk::__bindings",
    });

    /// The world of engines that assess changes.
    pub mod assessor {
        wit_bindgen::generate!({
            path: "../../wit",
            world: "assessor",
            pub_export_macro: true,
            export_macro_name: "export_assessor",
            default_bindings_module: "enginehouse_sdk::__bindings::assessor",
            with: { "enginehouse:engine/types@0.1.0": super::enginehouse::engine::types },
        });
    }
}

use bindings::assessor::exports::enginehouse::engine::assess;
use bindings::enginehouse::engine::{host, types};
use bindings::exports::enginehouse::engine::{machines, meta};

/// Bytes of a body asked for at once.
const PIECE: u32 = 256 * 1024;

/// The exports of an engine; never made, only named by [`crate::export!`].
pub struct Exported<E>(PhantomData<E>);

impl<E: Engine> meta::Guest for Exported<E> {
    fn describe() -> String {
        // A description that has no JSON cannot be had from these types; an empty string is refused
        // by the host when it loads the engine.
        serde_json::to_string(&E::describe()).unwrap_or_default()
    }

    fn check(call: &host::Call, hypervisor: &host::Hypervisor) -> Answer<String> {
        with_cx(call, hypervisor, |cx| to_json("health", &E::check(cx)?))
    }
}

impl<E: Engine> machines::Guest for Exported<E> {
    fn list(
        call: &host::Call,
        hypervisor: &host::Hypervisor,
        cursor: Option<String>,
    ) -> Answer<String> {
        with_cx(call, hypervisor, |cx| {
            to_json("page", &E::list(cx, cursor.as_deref())?)
        })
    }

    fn read(
        call: &host::Call,
        hypervisor: &host::Hypervisor,
        ids: Vec<String>,
    ) -> Answer<Vec<Answer<String>>> {
        with_cx(call, hypervisor, |cx| {
            let ids: Vec<_> = ids
                .iter()
                .map(|id| from_json("machine-ref", id))
                .collect::<Result<_>>()?;
            let machines = E::read(cx, &ids)?;
            same_length("read", ids.len(), machines.len())?;
            Ok(machines
                .into_iter()
                .map(|machine| to_json("machine", &machine?))
                .map(|json| json.map_err(lower))
                .collect())
        })
    }

    fn run(
        call: &host::Call,
        hypervisor: &host::Hypervisor,
        action: String,
        token: Option<Vec<u8>>,
    ) -> Answer<machines::Step> {
        with_cx(call, hypervisor, |cx| {
            let action = from_json("action", &action)?;
            let step = E::run(cx, &action, phase(token)?)?;
            let created = objects(step.created);
            Ok(match step.next {
                Next::Done(outcome) => {
                    if !step.note.message.is_empty() {
                        cx.log(Level::Info, &step.note.message);
                    }
                    machines::Step::Done(types::Finished {
                        created,
                        detail: to_json("outcome", &outcome)?,
                    })
                }
                Next::Again(phase) => machines::Step::Again(types::Moved {
                    token: token_of(&phase)?,
                    created,
                    detail: to_json("note", &step.note)?,
                }),
                Next::Wait { task, phase } => machines::Step::Wait(types::Waiting {
                    task,
                    token: token_of(&phase)?,
                    created,
                    detail: to_json("note", &step.note)?,
                }),
            })
        })
    }

    fn settle(
        call: &host::Call,
        hypervisor: &host::Hypervisor,
        action: String,
        token: Option<Vec<u8>>,
    ) -> Answer<machines::Settled> {
        with_cx(call, hypervisor, |cx| {
            let action = from_json("action", &action)?;
            let sent = from_json("sent", &call.sent().unwrap_or_default())?;
            let settled = E::settle(cx, &action, phase(token)?, sent)?;
            let created = objects(settled.created);
            Ok(match settled.fate {
                Fate::Done(phase) => machines::Settled::Done(types::Moved {
                    token: token_of(&phase)?,
                    created,
                    detail: to_json("note", &settled.note)?,
                }),
                Fate::Pending { task, phase } => machines::Settled::Pending(types::Waiting {
                    task,
                    token: token_of(&phase)?,
                    created,
                    detail: to_json("note", &settled.note)?,
                }),
                Fate::NotStarted => machines::Settled::NotStarted,
                Fate::Unknown(looked_at) => machines::Settled::Unknown(looked_at),
            })
        })
    }

    fn poll(
        call: &host::Call,
        hypervisor: &host::Hypervisor,
        tasks: Vec<machines::TaskQuery>,
    ) -> Answer<Vec<machines::TaskState>> {
        with_cx(call, hypervisor, |cx| {
            let tasks: Vec<_> = tasks
                .into_iter()
                .map(|machines::TaskQuery { task, cursor }| TaskQuery { task, cursor })
                .collect();
            let states = E::poll(cx, &tasks)?;
            same_length("poll", tasks.len(), states.len())?;
            states
                .into_iter()
                .map(|state| {
                    Ok(machines::TaskState {
                        state: state.status.as_str().to_owned(),
                        cursor: state.cursor,
                        detail: to_json("task-report", &state.report)?,
                    })
                })
                .collect()
        })
    }
}

impl<E: Assess> assess::Guest for Exported<E> {
    fn assess(question: String) -> Answer<String> {
        from_json::<Question>("question", &question)
            .and_then(|question| E::assess(&question))
            .and_then(|assessment| to_json("assessment", &assessment))
            .map_err(lower)
    }
}

type Answer<T> = std::result::Result<T, types::Problem>;

fn with_cx<T>(
    call: &host::Call,
    hypervisor: &host::Hypervisor,
    body: impl FnOnce(&Cx) -> Result<T>,
) -> Answer<T> {
    let imports = Imports { call, hypervisor };
    body(&Cx { host: &imports }).map_err(lower)
}

fn from_json<T: DeserializeOwned>(document: &str, json: &str) -> Result<T> {
    serde_json::from_str(json)
        .map_err(|error| Error::invalid(format_args!("unreadable document `{document}`: {error}")))
}

fn to_json<T: Serialize>(document: &str, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::invalid(format_args!("unwritable document `{document}`: {error}")))
}

fn phase<P: DeserializeOwned>(token: Option<Vec<u8>>) -> Result<Option<P>> {
    token
        .map(|token| serde_json::from_slice(&token))
        .transpose()
        .map_err(|error| {
            Error::invalid(format_args!("unreadable token: {error}"))
                .hint("was this step begun by another version of the engine?")
        })
}

fn token_of<P: Serialize>(phase: &P) -> Result<Vec<u8>> {
    serde_json::to_vec(phase)
        .map_err(|error| Error::invalid(format_args!("unwritable phase: {error}")))
}

fn same_length(function: &str, asked: usize, answered: usize) -> Result<()> {
    if asked == answered {
        return Ok(());
    }
    Err(Error::invalid(format_args!(
        "the engine's `{function}` was asked for {asked} and answered {answered}"
    )))
}

fn objects(objects: Vec<crate::Object>) -> Vec<types::Object> {
    objects
        .into_iter()
        .map(|crate::Object { kind, id }| types::Object { kind, id })
        .collect()
}

fn lower(error: Error) -> types::Problem {
    let Problem {
        code,
        message,
        detail,
    } = error.into_problem();
    types::Problem {
        code: code.as_str().to_owned(),
        message,
        detail: if detail.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&detail).unwrap_or_default()
        },
    }
}

fn raise(problem: types::Problem) -> Error {
    Problem {
        code: Code::parse(&problem.code),
        message: problem.message,
        // Empty, or of a newer host: the error is the same without it.
        detail: serde_json::from_str(&problem.detail).unwrap_or_default(),
    }
    .into()
}

/// The host behind the component's imports.
struct Imports<'a> {
    call: &'a host::Call,
    hypervisor: &'a host::Hypervisor,
}

impl Host for Imports<'_> {
    fn operation(&self) -> u64 {
        self.call.operation()
    }

    fn attempt(&self) -> u32 {
        self.call.attempt()
    }

    fn mark(&self) -> String {
        self.call.mark()
    }

    fn key(&self, n: u32) -> String {
        self.call.key(n)
    }

    fn now(&self) -> u64 {
        self.call.now()
    }

    fn remaining(&self) -> u64 {
        self.call.remaining()
    }

    fn cancelling(&self) -> bool {
        self.call.cancelling()
    }

    fn ended(&self) -> Option<String> {
        self.call.ended()
    }

    fn sent(&self) -> Option<String> {
        self.call.sent()
    }

    fn reserve(&self, space: &str, lowest: u64, highest: u64, refused: &[u64]) -> Result<u64> {
        self.call
            .reserve(space, lowest, highest, refused)
            .map_err(raise)
    }

    fn progress(&self, percent: Option<u8>, message: &str) {
        self.call.progress(percent, message);
    }

    fn log(&self, level: &str, message: &str) {
        self.call.log(level, message);
    }

    fn name(&self) -> String {
        self.hypervisor.name()
    }

    fn settings(&self) -> String {
        self.hypervisor.settings()
    }

    fn locate(&self, url: &str) -> Result<Location> {
        let host::Location { endpoint, path } = self.hypervisor.locate(url).map_err(raise)?;
        Ok(Location { endpoint, path })
    }

    fn session(&self) -> u64 {
        self.hypervisor.session()
    }

    fn send(&self, outgoing: Outgoing) -> Result<Incoming> {
        let request = host::Request::new(
            &outgoing.endpoint,
            &outgoing.method,
            &outgoing.target,
            outgoing.effect.as_str(),
        );
        for (name, value) in &outgoing.headers {
            request.header(name, value);
        }
        if let Some(body) = &outgoing.body {
            request.body(body);
        }
        if let Some(time) = outgoing.timeout {
            request.timeout(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
        let response = host::send(self.hypervisor, request).map_err(raise)?;
        let mut body = Vec::new();
        loop {
            let piece = response.read(PIECE).map_err(raise)?;
            if piece.is_empty() {
                break;
            }
            if body.is_empty() {
                body = piece;
            } else {
                body.extend_from_slice(&piece);
            }
        }
        Ok(Incoming {
            status: response.status(),
            reason: response.reason(),
            headers: response.headers(),
            body,
        })
    }
}
