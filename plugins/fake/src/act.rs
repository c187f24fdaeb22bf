//! The phases of each action.

use enginehouse_sdk::prelude::*;
use serde_json::{Value, json};

use crate::Phase;
use crate::describe::{MIB, MachineSettings};
use crate::provider::{Vm, answer, machine, refused};

type Stepped = Result<Step<Phase>>;

pub(crate) fn run(cx: &Cx, request: &ActionRequest, phase: Option<Phase>) -> Stepped {
    let id = request.machine.as_ref().map_or("", |machine| &machine.id);
    match (phase, &request.action) {
        (None, action) => begin(cx, id, action),
        (Some(Phase::Made { id }), action) => {
            // A task that failed may have left the machine behind.
            let left = |error: Error| match machine(cx, &id) {
                Ok(_) => error.created(Object::machine(&id)),
                Err(_) => error,
            };
            let warnings = cx.task_succeeded().map_err(left)?;
            show(machine(cx, &id)?, action, warnings)
        }
        (Some(Phase::Changed), action) => {
            let warnings = cx.task_succeeded()?;
            show(machine(cx, id)?, action, warnings)
        }
        (
            Some(Phase::Restarting { .. }),
            Action::Restart {
                graceful,
                timeout_ms,
            },
        ) => {
            let body = json!({"force": !graceful, "timeout_ms": timeout_ms});
            let request = cx.post(path!("/v1/machines/{}/restart", id)).once();
            task(request.json(&body), Phase::Ended)
        }
        (Some(Phase::Restarting { .. } | Phase::Ended), _) => {
            let warnings = cx.task_succeeded()?;
            Ok(Step::done(Outcome {
                warnings,
                ..Outcome::default()
            }))
        }
    }
}

fn begin(cx: &Cx, id: &str, action: &Action) -> Stepped {
    match action {
        // A machine that an earlier creation left: it is brought to what it is to be.
        Action::Create { desired } if !id.is_empty() => {
            let body = changes(desired, &managed(desired))?;
            let request = cx.patch(path!("/v1/machines/{}", id)).repeat();
            let vm = answer(request.json(&body))?.json()?;
            show(vm, action, Vec::new())
        }
        Action::Create { desired } => create(cx, desired),
        Action::Configure {
            desired,
            changed,
            observed,
        } => {
            let request = cx.patch(path!("/v1/machines/{}", id));
            // With a version, a second sending would be refused: so there must be none.
            let version = observed
                .as_ref()
                .and_then(|machine| machine.version.as_ref());
            let request = match version {
                Some(version) => request.once().header("if-match", format!("\"{version}\"")),
                None => request.repeat(),
            };
            let vm = answer(request.json(&changes(desired, changed)?))?.json()?;
            show(vm, action, Vec::new())
        }
        Action::Start => {
            let request = cx.post(path!("/v1/machines/{}/start", id)).repeat();
            task_unless(request, "already-running")
        }
        Action::Stop {
            graceful: true,
            timeout_ms,
        } => {
            let request = cx.post(path!("/v1/machines/{}/shutdown", id)).repeat();
            let request = request.json(&json!({"timeout_ms": timeout_ms}));
            task_unless(request, "already-stopped")
        }
        Action::Stop {
            graceful: false, ..
        } => {
            let request = cx.post(path!("/v1/machines/{}/stop", id)).repeat();
            task_unless(request, "already-stopped")
        }
        Action::Restart { .. } => {
            let boots = machine(cx, id)?.raw["boots"].as_u64().unwrap_or(0);
            Ok(Step::again(Phase::Restarting { boots }))
        }
        Action::Destroy { keep } => {
            let request = cx.delete(path!("/v1/machines/{}", id)).repeat();
            task_unless(request.param("keep", keep.join(",")), "not-found")
        }
        Action::DiskAdd { name, disk } => {
            let request = cx.post(path!("/v1/machines/{}/disks", id)).once();
            task(request.json(&drive(name, disk)), Phase::Changed)
        }
        Action::DiskGrow { slot, size } => {
            let request = cx
                .patch(path!("/v1/machines/{}/disks/{}", id, slot))
                .repeat();
            task(request.json(&json!({"size": size})), Phase::Ended)
        }
    }
}

/// Sends what begins a task.
fn task(request: Request<'_>, phase: Phase) -> Stepped {
    let begun: Value = answer(request)?.json()?;
    Ok(Step::wait(
        begun["task"].as_str().unwrap_or_default(),
        phase,
    ))
}

/// The same; a machine that is so already is as it should be.
fn task_unless(request: Request<'_>, already: &str) -> Stepped {
    match task(request, Phase::Ended) {
        Err(error) if refused(&error, already) => Ok(Step::done(Outcome::default())),
        other => other,
    }
}

/// What is null is left to the provider.
fn create(cx: &Cx, desired: &Config) -> Stepped {
    let name = desired.name.as_ref();
    let nic = |(name, nic): (&String, &Nic)| {
        json!({
            "label": name, "network": nic.network, "vlan": nic.vlan, "mac": nic.mac,
            "adapter": nic.adapter,
        })
    };
    let body = json!({
        "name": name.ok_or_else(|| Error::invalid("a machine needs a name").field("name"))?,
        "mark": cx.mark(),
        "client_token": cx.key(0),
        "image": desired.base_image,
        "vcpu": desired.vcpu,
        "memory": desired.memory.map(|bytes| bytes / MIB * MIB),
        "description": desired.description,
        "labels": desired.labels,
        "firmware": machine_settings::<MachineSettings>(desired)?.firmware,
        "disks": desired.disks.iter().map(|(name, disk)| drive(name, disk)).collect::<Value>(),
        "nics": desired.nics.iter().map(nic).collect::<Value>(),
    });
    let begun: Value = answer(cx.post("/v1/machines").once().json(&body))?.json()?;
    let id = begun["machine"].as_str().unwrap_or_default();
    let phase = Phase::Made { id: id.to_owned() };
    Ok(
        Step::wait(begun["task"].as_str().unwrap_or_default(), phase)
            .created(Object::machine(id))
            .machine_id(id)
            .note(format!("creating {id}")),
    )
}

fn drive(name: &str, disk: &Disk) -> Value {
    json!({"label": name, "size": disk.size, "storage": disk.storage, "bus": disk.bus})
}

/// Ends the action with the machine as it is now.
fn show(vm: Vm, action: &Action, warnings: Vec<String>) -> Stepped {
    if vm.raw["incomplete"] == true {
        let id = &vm.shown.id;
        let error = Error::provider(format_args!("machine {id} was never completed"));
        return Err(error.created(Object::machine(id)));
    }
    let mut outcome = Outcome {
        restart_needed: vm.raw["restart_needed"] == true,
        warnings,
        ..Outcome::default()
    };
    let mut step = Step::done(Outcome::default());
    for (label, slot) in vm.slots() {
        match action {
            Action::Create { .. } => {}
            Action::DiskAdd { name, .. } if *name == label => {
                step = step.created(Object::disk(format_args!("{}/{slot}", vm.shown.id)));
            }
            _ => continue,
        }
        outcome.slots.insert(label, slot);
    }
    outcome.machine = Some(vm.shown);
    step.next = Next::Done(Box::new(outcome));
    Ok(step)
}

/// The fields that a definition says something about.
fn managed(desired: &Config) -> Vec<String> {
    let mut fields = vec!["name".to_owned()];
    let said = [
        ("vcpu", desired.vcpu.is_some()),
        ("memory", desired.memory.is_some()),
        ("description", desired.description.is_some()),
    ];
    fields.extend(
        said.iter()
            .filter(|(_, said)| *said)
            .map(|(field, _)| (*field).to_owned()),
    );
    fields.extend(desired.labels.keys().map(|name| format!("labels.{name}")));
    fields.extend(
        desired
            .settings
            .keys()
            .map(|name| format!("settings.{name}")),
    );
    fields
}

/// The body that writes the changed fields; `null` unsets.
pub(crate) fn changes(desired: &Config, changed: &[String]) -> Result<Value> {
    let mut body = json!({});
    for field in changed {
        let (key, value) = match field.as_str() {
            "description" => {
                body["description"] = json!(desired.description);
                continue;
            }
            "name" => ("name", json!(desired.name)),
            "vcpu" => ("vcpu", json!(desired.vcpu)),
            "memory" => (
                "memory",
                json!(desired.memory.map(|bytes| bytes / MIB * MIB)),
            ),
            "settings.firmware" => {
                let settings: MachineSettings = machine_settings(desired)?;
                ("firmware", json!(settings.firmware))
            }
            other => {
                let Some(label) = other.strip_prefix("labels.") else {
                    let message = format!("{field} cannot be changed on a simulated hypervisor");
                    return Err(Error::unsupported(message).field(field));
                };
                body["labels"][label] = json!(desired.labels.get(label));
                continue;
            }
        };
        if value.is_null() {
            let message = format!("{field} cannot be unset: give it a value");
            return Err(Error::invalid(message).field(field));
        }
        body[key] = value;
    }
    Ok(body)
}
