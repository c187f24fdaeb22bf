//! What the provider answers. Most of it is named as in the documents of the contract.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;
use serde_json::Value;

/// A machine, and what else there is of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Vm {
    #[serde(flatten)]
    pub machine: Machine,
    /// The task that has it locked.
    pub task: Option<String>,
    /// Slots of disks and nics, by our names.
    pub slots: BTreeMap<String, String>,
    pub boots: u64,
    pub restart_needed: bool,
    /// The task that was to make it failed.
    pub incomplete: bool,
}

#[derive(Deserialize)]
pub(crate) struct Begun {
    pub machine: String,
    pub task: String,
}

#[derive(Deserialize)]
pub(crate) struct Tasks {
    pub tasks: Vec<Task>,
}

#[derive(Deserialize)]
pub(crate) struct Task {
    pub id: String,
    state: String,
    percent: Option<u8>,
    log: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// Why it failed, as in a refusal.
    #[serde(flatten)]
    error: Value,
}

pub(crate) fn state(query: &TaskQuery, task: &Task) -> TaskState {
    let state = match task.state.as_str() {
        "running" => TaskState::running(),
        _ => TaskState::ended(TaskEnd {
            warnings: task.warnings.clone(),
            problem: ERRORS.read(&task.error).map(Error::into_problem),
        }),
    };
    state.percent(task.percent).whole_log(query, &task.log)
}

const ERRORS: ErrorBody = ErrorBody {
    message: "/error/message",
    code: "/error/code",
    codes: &[
        ("host-away", Code::Unreachable),
        // A guest that did not stop in time may do so later.
        ("guest-timeout", Code::Busy),
    ],
};

pub(crate) fn answer(request: Request<'_>) -> Result<Reply> {
    request.send()?.success_or(&ERRORS)
}

pub(crate) fn vm(cx: &Cx, id: &str) -> Result<Vm> {
    answer(cx.get(path!("/v1/machines/{}", id)))?.json()
}
