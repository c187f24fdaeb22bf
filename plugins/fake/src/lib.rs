//! The engine of the simulated hypervisor, and the shortest example of one.
//!
//! - here: what it does
//! - `provider`: what it is answered; `docs/sim.md` describes that API
//! - `describe`: what the engine is, its settings, and how heavy a change of them is

mod describe;
mod provider;
#[cfg(test)]
mod tests;

use enginehouse_sdk::prelude::*;
use serde_json::json;

use describe::MIB;
pub use describe::{Firmware, HypervisorSettings, MachineSettings};
use provider::{Begun, Tasks, Vm, answer, vm};

/// The engine `fake`.
#[derive(Debug)]
pub struct Fake;

enginehouse_sdk::export!(Fake, assess);

/// What an action remembers between two calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The task that makes this machine has ended.
    Made { id: String },
    /// The machine had been started so often before its restart.
    Restarting { boots: u64 },
    /// The machine was changed, and is to be shown as it is now.
    Changed,
    /// The task has ended, and nothing else is to be done.
    Ended,
}

impl Engine for Fake {
    type Phase = Phase;

    fn describe() -> Description {
        describe::describe()
    }

    fn check(cx: &Cx) -> Result<Health> {
        answer(cx.get("/v1/info"))?.json()
    }

    fn list(cx: &Cx, cursor: Option<&str>) -> Result<Page> {
        let settings: HypervisorSettings = cx.settings()?;
        let size = settings.page_size.unwrap_or(1000);
        let cursor = cursor.map(|cursor| ("cursor", cursor));
        let request = cx.get("/v1/machines").param("limit", size);
        answer(request.query(cursor.as_slice()))?.json()
    }

    fn read(cx: &Cx, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        let read = |at: &MachineRef| Ok(vm(cx, &at.id)?.machine);
        Ok(ids.iter().map(read).collect())
    }

    fn run(cx: &Cx, request: &ActionRequest, phase: Option<Phase>) -> Result<Step<Phase>> {
        let id = request.machine_id().unwrap_or_default();
        let at = path!("/v1/machines/{}", id);
        let action = &in_whole_mib(&request.action);
        if let (None, Some(desired)) = (&phase, action.desired()) {
            machine_settings::<MachineSettings>(desired)?;
        }
        match (phase, action) {
            (None, Action::Create { desired }) if id.is_empty() => create(cx, desired),
            // What an earlier creation left is brought to what it is to be.
            (None, Action::Create { .. } | Action::Configure { .. }) => {
                let request = cx.patch(at).if_match(action.version());
                let reply = answer(request.json(&CHANGEABLE.patch(action)?))?;
                shown(reply.json()?, action, Vec::new())
            }
            (None, Action::Adopt) => {
                let body = json!({"mark": cx.mark()});
                let reply = answer(cx.patch(at).repeat().json(&body))?;
                shown(reply.json()?, action, Vec::new())
            }
            (None, Action::Start) => begin(action, cx.post(at.push("start")).repeat()),
            (None, Action::Stop { graceful, .. }) => {
                let how = if *graceful { "shutdown" } else { "stop" };
                let body = json!({"timeout_ms": action.timeout_ms()});
                begin(action, cx.post(at.push(how)).repeat().json(&body))
            }
            (None, Action::Restart { .. }) => {
                let boots = vm(cx, id)?.boots;
                Ok(Step::again(Phase::Restarting { boots }))
            }
            (Some(Phase::Restarting { .. }), Action::Restart { graceful, .. }) => {
                let body = json!({"force": !graceful, "timeout_ms": action.timeout_ms()});
                begin(action, cx.post(at.push("restart")).once().json(&body))
            }
            (None, Action::Destroy { keep }) => {
                let request = cx.delete(at).repeat();
                begin(action, request.param("keep", keep.join(",")))
            }
            (None, Action::DiskAdd { name, disk }) => {
                let body = json!({"label": name, "disk": disk});
                begin(action, cx.post(at.push("disks")).once().json(&body))
            }
            (None, Action::DiskGrow { slot, size }) => {
                let request = cx.patch(at.push("disks").push(slot)).repeat();
                begin(action, request.json(&json!({"size": size})))
            }
            (None, Action::DiskRemove { slot, keep }) => {
                let request = cx.delete(at.push("disks").push(slot)).once();
                begin(action, request.param("keep", keep))
            }
            (None, Action::NicAdd { name, nic }) => {
                let body = json!({"label": name, "nic": nic});
                begin(action, cx.post(at.push("nics")).once().json(&body))
            }
            (None, Action::NicChange { slot, nic, changed }) => {
                let request = cx.patch(at.push("nics").push(slot)).repeat();
                begin(action, request.json(&members(nic, changed)))
            }
            (None, Action::NicRemove { slot }) => {
                begin(action, cx.delete(at.push("nics").push(slot)).once())
            }
            (Some(Phase::Made { id }), _) => match cx.task_succeeded() {
                Ok(warnings) => shown(vm(cx, &id)?, action, warnings),
                // A task that failed may have left the machine behind.
                Err(error) if vm(cx, &id).is_ok() => Err(error.created(Object::machine(id))),
                Err(error) => Err(error),
            },
            (Some(Phase::Changed), _) => {
                let warnings = cx.task_succeeded()?;
                shown(vm(cx, id)?, action, warnings)
            }
            (Some(Phase::Restarting { .. } | Phase::Ended), _) => Step::done_by_task(cx),
        }
    }

    fn settle(
        cx: &Cx,
        request: &ActionRequest,
        phase: Option<Phase>,
        sent: Sent,
    ) -> Result<Settled<Phase>> {
        let id = request.machine_id().unwrap_or_default();
        let (action, name) = (&in_whole_mib(&request.action), request.action.name());
        let unknown = || Settled::unknown(format!("{name} loses no request"));
        let look = |id: &str| {
            let vm = vm(cx, id)?;
            let (effect, next) = match (action, &phase) {
                (Action::Create { .. }, _) => (true, Phase::Made { id: id.to_owned() }),
                (Action::Restart { .. }, Some(Phase::Restarting { boots })) => {
                    (vm.boots > *boots, Phase::Ended)
                }
                (Action::DiskAdd { name, .. } | Action::NicAdd { name, .. }, _) => {
                    (vm.slots.contains_key(name), Phase::Changed)
                }
                (Action::DiskRemove { slot, .. } | Action::NicRemove { slot }, _) => {
                    (!has(&vm.machine, slot), Phase::Changed)
                }
                (Action::Configure { .. }, _) => {
                    let written = CHANGEABLE.patch(action)?.is_in(&vm.machine);
                    (written, Phase::Changed)
                }
                _ => return Ok(unknown()),
            };
            // The lock says what its task does.
            let ours = vm.machine.lock.as_deref() == Some(name);
            Ok(Settled::seen(&sent, vm.task.filter(|_| ours), effect, next))
        };
        match action {
            Action::Create { .. } => Settled::by_mark::<Self>(cx, |found| look(&found.id)),
            Action::Configure { .. }
            | Action::Restart { .. }
            | Action::DiskAdd { .. }
            | Action::DiskRemove { .. }
            | Action::NicAdd { .. }
            | Action::NicRemove { .. } => look(id),
            _ => Ok(unknown()),
        }
    }

    fn poll(cx: &Cx, queries: &[TaskQuery]) -> Result<Vec<TaskState>> {
        let ids: Vec<&str> = queries.iter().map(|query| query.task.as_str()).collect();
        let found: Tasks = answer(cx.get("/v1/tasks").param("ids", ids.join(",")))?.json()?;
        let states = TaskState::of_batch(queries, &found.tasks, |task| &task.id, provider::state);
        Ok(states)
    }
}

const CHANGEABLE: Changeable = Changeable {
    with_value: &["name", "vcpu", "memory", "settings.firmware"],
    or_unset: &["description", "labels"],
};

/// The action with memory as the provider has it.
fn in_whole_mib(action: &Action) -> Action {
    let mut action = action.clone();
    if let Some(desired) = action.desired_mut() {
        desired.memory = desired.memory.map(|bytes| bytes / MIB * MIB);
    }
    action
}

/// Is there a disk or nic in this slot?
fn has(machine: &Machine, slot: &str) -> bool {
    let config = machine.config.as_ref();
    config.is_some_and(|config| config.disks.contains_key(slot) || config.nics.contains_key(slot))
}

/// The members of a nic that are to change; one that it lacks is to be unset.
fn members(nic: &Nic, changed: &[String]) -> serde_json::Value {
    let nic = json!(nic);
    changed
        .iter()
        .map(|member| (member.clone(), nic[member].clone()))
        .collect()
}

fn create(cx: &Cx, desired: &Config) -> Result<Step<Phase>> {
    if desired.name.is_none() {
        return Err(Error::invalid("a machine needs a name").field("name"));
    }
    let mut body = json!(desired);
    body["mark"] = json!(cx.mark());
    body["client_token"] = json!(cx.key(0));
    let begun: Begun = answer(cx.post("/v1/machines").once().json(&body))?.json()?;
    let id = begun.machine;
    Ok(Step::wait(begun.task, Phase::Made { id: id.clone() })
        .created(Object::machine(&id))
        .machine_id(&id)
        .note(format!("creating {id}")))
}

/// Sends what begins a task. A machine that is there already is as it should be.
fn begin(action: &Action, request: Request<'_>) -> Result<Step<Phase>> {
    let next = match action {
        Action::DiskAdd { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => Phase::Changed,
        _ => Phase::Ended,
    };
    match answer(request) {
        Ok(reply) => Ok(Step::wait(reply.json::<Begun>()?.task, next)),
        Err(error) => match (action, error.provider_code()) {
            (Action::Start, Some("already-running"))
            | (Action::Stop { .. }, Some("already-stopped"))
            | (Action::Destroy { .. }, Some("not-found"))
            | (Action::DiskRemove { .. }, Some("no-disk"))
            | (Action::NicRemove { .. }, Some("no-nic")) => Ok(Step::done(Outcome::default())),
            _ => Err(error),
        },
    }
}

/// Ends the action with the machine as it is now.
fn shown(mut vm: Vm, action: &Action, warnings: Vec<String>) -> Result<Step<Phase>> {
    let id = vm.machine.id.clone();
    if vm.incomplete {
        let error = Error::provider(format_args!("machine {id} was never completed"));
        return Err(error.created(Object::machine(id)));
    }
    let mut created = Vec::new();
    match action {
        Action::Create { .. } => {}
        Action::DiskAdd { name, .. } | Action::NicAdd { name, .. } => {
            vm.slots.retain(|label, _| label == name);
            let kind = match action {
                Action::NicAdd { .. } => "nic",
                _ => "disk",
            };
            let objects = vm.slots.values();
            created.extend(objects.map(|slot| Object::new(kind, format!("{id}/{slot}"))));
        }
        _ => vm.slots.clear(),
    }
    let step = Step::done(Outcome {
        machine: Some(vm.machine),
        slots: vm.slots,
        warnings,
        restart_needed: vm.restart_needed,
    });
    Ok(Step { created, ..step })
}
