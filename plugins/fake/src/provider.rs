//! The provider's answers as documents, and its errors. `docs/sim.md` describes its API.

use enginehouse_sdk::prelude::*;
use serde_json::{Value, json};

/// A machine: as the host wants it, and what else there is. The provider's members are named as in
/// the documents where they mean the same, so most are read as they are.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Vm {
    pub shown: Machine,
    pub raw: Value,
}

impl TryFrom<Value> for Vm {
    type Error = serde_json::Error;

    fn try_from(raw: Value) -> Result<Self, serde_json::Error> {
        let mut shown = Machine::deserialize(&raw)?;
        // A machine that hides its mark hides its configuration too.
        if shown.mark.is_some() {
            let mut config = Config::deserialize(&raw)?;
            config.base_image = Deserialize::deserialize(&raw["image"])?;
            config.description.get_or_insert_default();
            config.power = None;
            let firmware = raw["firmware"].clone();
            config.settings.insert("firmware".to_owned(), firmware);
            shown.config = Some(config);
        }
        Ok(Self { shown, raw })
    }
}

impl Vm {
    /// The task that works on it.
    pub(crate) fn task(&self) -> Option<&str> {
        self.raw["task"].as_str()
    }

    /// The slot of each disk and nic, by the label that we gave it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (String, String)> {
        let parts = [&self.raw["disks"], &self.raw["nics"]].into_iter();
        parts
            .filter_map(Value::as_object)
            .flatten()
            .filter_map(|(slot, part)| Some((part["label"].as_str()?.to_owned(), slot.clone())))
    }
}

#[derive(Deserialize)]
pub(crate) struct Vms {
    pub machines: Vec<Vm>,
    pub next: Option<String>,
    pub hosts_away: Vec<String>,
}

impl From<Vms> for Page {
    fn from(page: Vms) -> Self {
        let gap = |name| Gap {
            scope: "host".to_owned(),
            name,
            reason: "away".to_owned(),
        };
        Self {
            machines: page.machines.into_iter().map(|vm| vm.shown).collect(),
            next: page.next,
            coverage: Coverage {
                gaps: page.hosts_away.into_iter().map(gap).collect(),
            },
        }
    }
}

pub(crate) fn machine(cx: &Cx, id: &str) -> Result<Vm> {
    answer(cx.get(path!("/v1/machines/{}", id)))?.json()
}

pub(crate) fn machines(cx: &Cx, cursor: Option<&str>) -> Result<Vms> {
    let settings: crate::HypervisorSettings = cx.settings()?;
    let mut request = cx.get("/v1/machines");
    request = request.param("limit", settings.page_size.unwrap_or(1000));
    if let Some(cursor) = cursor {
        request = request.param("cursor", cursor);
    }
    answer(request)?.json()
}

/// Many tasks in one request; the cursor of each is how many lines of its log were seen.
pub(crate) fn poll(cx: &Cx, queries: &[TaskQuery]) -> Result<Vec<TaskState>> {
    let ids: Vec<&str> = queries.iter().map(|query| query.task.as_str()).collect();
    let answer: Value = answer(cx.get("/v1/tasks").param("ids", ids.join(",")))?.json()?;
    let known = |id: &str| {
        answer["tasks"]
            .as_array()?
            .iter()
            .find(|task| task["id"] == id)
    };
    let state = |query: &TaskQuery| {
        let Some(task) = known(&query.task) else {
            return Ok(TaskState::lost());
        };
        let lines = Vec::<String>::deserialize(&task["log"])?;
        let state = match task["state"].as_str() {
            Some("running") => TaskState::running(),
            _ => TaskState::ended(TaskEnd {
                warnings: Deserialize::deserialize(&task["warnings"])?,
                problem: task["error"]["message"].as_str().map(|message| {
                    // A guest that did not stop in time may do so later.
                    let code = match task["error"]["code"].as_str() {
                        Some("guest-timeout") => Code::Busy,
                        _ => Code::Provider,
                    };
                    Error::new(code, message)
                        .lines(lines.clone())
                        .into_problem()
                }),
            }),
        };
        let (seen, all) = (query.cursor.parse().unwrap_or(0), lines.len());
        let state = state.percent(Option::<u8>::deserialize(&task["percent"])?);
        Ok(state.lines(lines.into_iter().skip(seen)).cursor(all))
    };
    queries.iter().map(state).collect()
}

/// Sends, and makes an error of a refusal: the provider's words, and its code for [`refused`].
pub(crate) fn answer(request: Request<'_>) -> Result<Reply> {
    let reply = request.send()?;
    if reply.is_success() {
        return Ok(reply);
    }
    let body: Value = reply.json().map_err(|_| reply.error())?;
    let message = body["error"]["message"]
        .as_str()
        .ok_or_else(|| reply.error())?;
    let code = match body["error"]["code"].as_str() {
        Some("host-away") => Code::Unreachable,
        _ => reply.error().code(),
    };
    let error = Error::new(code, message).status(reply.status());
    Err(error.more(json!({"code": body["error"]["code"]})))
}

/// Is this error the provider's refusal with this code?
pub(crate) fn refused(error: &Error, code: &str) -> bool {
    error
        .detail()
        .more
        .as_ref()
        .is_some_and(|more| more["code"] == code)
}
