//! A whole engine for a provider that could exist: "Shelf", with a small JSON API.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /info` | `{"version": "1.4", "site": "6f1c…"}` |
//! | `GET /vms` | `[{"id": 105, "uuid": "…", "name": "web", "cpus": "2", "memory": 4096, "on": 1, "note": "…", "etag": "7"}]` |
//! | `GET /vms/105` | one of them |
//! | `POST /vms` with id, name, … | `{"task": "t1"}` |
//! | `PATCH /vms/105` with `If-Match` | the machine |
//! | `PUT /vms/105/power` with `{"on": true}` | the machine |
//! | `DELETE /vms/105` | nothing |
//! | `GET /tasks/t1` | `{"done": false, "percent": 40}` or `{"done": true, "error": null}` |
//!
//! A machine is shown as soon as its `POST` was accepted. Memory is in MiB; a number is a number or a
//! string, a flag 0 or 1, as in APIs that have grown.
//!
//! Build it with
//! `cargo build -p enginehouse-sdk --example shelf --profile engine --target wasm32-wasip2`,
//! test it with `cargo test -p enginehouse-sdk --example shelf`.

use enginehouse_sdk::prelude::*;
use serde_json::json;

struct Shelf;

enginehouse_sdk::export!(Shelf);

const MIB: u64 = 1024 * 1024;

/// Settings of a hypervisor of this type.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Lowest number for a new machine.
    #[serde(default = "lowest")]
    lowest_id: u64,
}

fn lowest() -> u64 {
    100
}

/// Settings of a machine: there are none.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineSettings {}

/// What an action remembers between two calls of `run`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// The number is reserved; nothing was sent yet.
    Chosen { id: u64, refused: Vec<u64> },
    /// The machine is being made.
    Made { id: u64 },
}

impl Engine for Shelf {
    type Phase = Phase;

    fn describe() -> Description {
        let actions = [
            "create",
            "create.from-scratch",
            "configure",
            "start",
            "stop",
            "destroy",
        ];
        let memory = FieldRule {
            granularity: Some(MIB),
            ..FieldRule::default()
        };
        Description {
            name: "shelf".to_owned(),
            title: "Shelf".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: vec!["vm".to_owned()],
            actions: actions.map(str::to_owned).to_vec(),
            auth: vec![AuthScheme::Bearer],
            hypervisor_settings_schema: settings_schema::<Settings>(),
            machine_settings_schema: settings_schema::<MachineSettings>(),
            fields: [("memory".to_owned(), memory)].into(),
            ..Description::default()
        }
    }

    fn check(cx: &Cx) -> Result<Health> {
        #[derive(Deserialize)]
        struct Info {
            version: String,
            site: String,
        }
        let Info { version, site } = cx.get("/info").send()?.success()?.json()?;
        Ok(Health {
            version,
            identity: site,
            warnings: Vec::new(),
        })
    }

    fn list(cx: &Cx, _cursor: Option<&str>) -> Result<Page> {
        let vms: Vec<Vm> = cx.get("/vms").send()?.success()?.json()?;
        Ok(Page {
            machines: vms.into_iter().map(Vm::into_machine).collect(),
            ..Page::default()
        })
    }

    fn read(cx: &Cx, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        Ok(ids.iter().map(|machine| read(cx, &machine.id)).collect())
    }

    fn run(cx: &Cx, request: &ActionRequest, phase: Option<Phase>) -> Result<Step<Phase>> {
        let id = request.machine.as_ref().map_or("", |m| m.id.as_str());
        match (&request.action, phase) {
            (Action::Create { .. }, None) => choose(cx, Vec::new()),
            (Action::Create { desired }, Some(Phase::Chosen { id, refused })) => {
                make(cx, desired, id, refused)
            }
            (Action::Create { .. }, Some(Phase::Made { id })) => made(cx, id),
            (
                Action::Configure {
                    desired,
                    changed,
                    observed,
                },
                _,
            ) => configure(cx, id, desired, changed, observed.as_deref()),
            (Action::Start, _) => power(cx, id, true),
            (Action::Stop { .. }, _) => power(cx, id, false),
            (Action::Destroy { keep }, _) if keep.is_empty() => destroy(cx, id),
            (other, _) => Err(Error::unsupported(format_args!(
                "Shelf has no {}",
                other.name()
            ))),
        }
    }

    fn settle(
        cx: &Cx,
        request: &ActionRequest,
        phase: Option<Phase>,
        _sent: Sent,
    ) -> Result<Settled<Phase>> {
        let Some(Phase::Chosen { id, .. }) = phase else {
            // A change with If-Match, or a removal: whether it arrived is seen, but not by whom.
            return Ok(Settled::unknown(format!(
                "a {} leaves no trace of who did it",
                request.action.name()
            )));
        };
        // The number is reserved for us and the mark says whose it is: so we can know.
        match read(cx, &id.to_string()) {
            Ok(machine) if machine.mark == Some(cx.mark()) => Ok(Settled::done(Phase::Made { id })
                .created(Object::machine(id))
                .machine_id(id)),
            Ok(_) => Ok(Settled::not_started()),
            Err(error) if error.is(Code::NotFound) => Ok(Settled::not_started()),
            Err(error) => Err(error),
        }
    }

    fn poll(cx: &Cx, tasks: &[TaskQuery]) -> Result<Vec<TaskState>> {
        tasks.iter().map(|query| poll(cx, &query.task)).collect()
    }
}

// The phases of `create`.

fn choose(cx: &Cx, refused: Vec<u64>) -> Result<Step<Phase>> {
    let settings: Settings = cx.settings()?;
    let id = cx.reserve("vm", settings.lowest_id..=9999, &refused)?;
    Ok(Step::again(Phase::Chosen { id, refused }))
}

fn make(cx: &Cx, desired: &Config, id: u64, mut refused: Vec<u64>) -> Result<Step<Phase>> {
    #[derive(Deserialize)]
    struct Begun {
        task: String,
    }
    let reply = cx
        .post("/vms")
        .once()
        .json(&json!({
            "id": id,
            "name": desired.name,
            "cpus": desired.vcpu,
            "memory": desired.memory.map(|bytes| bytes / MIB),
            "note": cx.mark(),
        }))
        .send()?;
    if reply.status() == 409 {
        warn!(cx, "{id} is taken, trying another");
        refused.push(id);
        return choose(cx, refused);
    }
    let Begun { task } = reply.success()?.json()?;
    Ok(Step::wait(task, Phase::Made { id })
        .created(Object::machine(id))
        .machine_id(id)
        .note(format!("making {id}")))
}

fn made(cx: &Cx, id: u64) -> Result<Step<Phase>> {
    let warnings = cx
        .task_succeeded()
        .map_err(|error| error.created(Object::machine(id)))?;
    Ok(Step::done(Outcome {
        machine: Some(read(cx, &id.to_string())?),
        warnings,
        ..Outcome::default()
    }))
}

// Actions of one request.

fn configure(
    cx: &Cx,
    id: &str,
    desired: &Config,
    changed: &[String],
    observed: Option<&Machine>,
) -> Result<Step<Phase>> {
    let mut change = serde_json::Map::new();
    for field in changed {
        match field.as_str() {
            "vcpu" => change.insert("cpus".to_owned(), json!(desired.vcpu)),
            "memory" => change.insert("memory".to_owned(), json!(desired.memory.map(|b| b / MIB))),
            other => return Err(Error::unsupported("Shelf cannot change it").field(other)),
        };
    }
    let version = observed.and_then(|machine| machine.version.clone());
    let vm: Vm = cx
        .patch(path!("/vms/{}", id))
        .once()
        .header("if-match", version.unwrap_or_else(|| "*".to_owned()))
        .json(&change)
        .send()?
        .success()?
        .json()?;
    Ok(Step::done(Outcome {
        machine: Some(vm.into_machine()),
        ..Outcome::default()
    }))
}

fn power(cx: &Cx, id: &str, on: bool) -> Result<Step<Phase>> {
    let vm: Vm = cx
        .put(path!("/vms/{}/power", id))
        .repeat()
        .json(&json!({ "on": on }))
        .send()?
        .success()?
        .json()?;
    Ok(Step::done(Outcome {
        machine: Some(vm.into_machine()),
        ..Outcome::default()
    }))
}

fn destroy(cx: &Cx, id: &str) -> Result<Step<Phase>> {
    let reply = cx.delete(path!("/vms/{}", id)).once().send()?;
    if reply.status() != 404 {
        reply.success()?;
    }
    Ok(Step::done(Outcome::default()))
}

// What the provider shows.

#[derive(Deserialize)]
struct Vm {
    id: u64,
    uuid: String,
    name: String,
    #[serde(deserialize_with = "loose::number")]
    cpus: u32,
    /// MiB.
    memory: u64,
    #[serde(deserialize_with = "loose::flag")]
    on: bool,
    #[serde(default)]
    note: String,
    etag: String,
}

impl Vm {
    fn into_machine(self) -> Machine {
        Machine {
            id: self.id.to_string(),
            kind: Some("vm".to_owned()),
            name: Some(self.name.clone()),
            incarnation: Some(self.uuid),
            mark: Some(self.note),
            power: if self.on {
                PowerState::Running
            } else {
                PowerState::Stopped
            },
            config: Some(Config {
                name: Some(self.name),
                vcpu: Some(self.cpus),
                memory: Some(self.memory * MIB),
                ..Config::default()
            }),
            version: Some(self.etag),
            ..Machine::default()
        }
    }
}

fn read(cx: &Cx, id: &str) -> Result<Machine> {
    let vm: Vm = cx.get(path!("/vms/{}", id)).send()?.success()?.json()?;
    Ok(vm.into_machine())
}

fn poll(cx: &Cx, task: &str) -> Result<TaskState> {
    #[derive(Deserialize)]
    struct Task {
        done: bool,
        #[serde(default)]
        percent: Option<u8>,
        #[serde(default)]
        error: Option<String>,
    }
    let reply = cx.get(path!("/tasks/{}", task)).send()?;
    if reply.status() == 404 {
        return Ok(TaskState::lost());
    }
    let task: Task = reply.success()?.json()?;
    Ok(if task.done {
        TaskState::ended(TaskEnd {
            warnings: Vec::new(),
            problem: task.error.map(|e| Error::provider(e).into_problem()),
        })
    } else {
        TaskState::running().percent(task.percent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_sdk::testing::{Answer, Hypervisor};

    fn vm(id: u64, note: &str) -> serde_json::Value {
        json!({"id": id, "uuid": format!("u-{id}"), "name": "web", "cpus": "2", "memory": 4096,
               "on": 0, "note": note, "etag": "1"})
    }

    fn create() -> ActionRequest {
        ActionRequest {
            machine: None,
            action: Action::Create {
                desired: Box::new(Config {
                    name: Some("web".to_owned()),
                    vcpu: Some(2),
                    memory: Some(4096 * MIB),
                    ..Config::default()
                }),
            },
        }
    }

    fn expect_made(shelf: &Hypervisor, id: u64, answer: Answer) {
        shelf
            .expect("POST", "/vms")
            .json(json!({"id": id, "name": "web", "cpus": 2, "memory": 4096, "note": "m1"}))
            .answer(answer);
    }

    #[test]
    fn create_waits_for_its_task_and_reads_the_machine() {
        let shelf = Hypervisor::scripted().mark("m1").taken("vm", [100]);
        expect_made(&shelf, 101, Answer::json(json!({"task": "t1"})));
        let running = json!({"done": false, "percent": 40});
        shelf
            .expect("GET", "/tasks/t1")
            .answer(Answer::json(running));
        let done = json!({"done": true, "error": null});
        shelf.expect("GET", "/tasks/t1").answer(Answer::json(done));
        shelf
            .expect("GET", "/vms/101")
            .answer(Answer::json(vm(101, "m1")));

        let ended = shelf.run::<Shelf>(&create()).unwrap();
        let machine = ended.outcome.machine.unwrap();
        assert_eq!(machine.config.unwrap().memory, Some(4096 * MIB));
        assert_eq!(ended.created, [Object::machine(101)]);
    }

    #[test]
    fn a_number_that_is_taken_chooses_again() {
        let shelf = Hypervisor::scripted().mark("m1");
        expect_made(&shelf, 100, Answer::empty().status(409));
        expect_made(&shelf, 101, Answer::json(json!({"task": "t1"})));
        let done = json!({"done": true, "error": "shelf is full"});
        shelf.expect("GET", "/tasks/t1").answer(Answer::json(done));

        let error = shelf.run::<Shelf>(&create()).unwrap_err();
        assert_eq!(error.message(), "shelf is full");
        assert_eq!(error.detail().created, ["machine 101"]);
    }

    #[test]
    fn a_lost_answer_is_found_by_the_mark() {
        let shelf = Hypervisor::scripted().mark("m1");
        expect_made(&shelf, 100, Answer::lost());
        shelf
            .expect("GET", "/vms/100")
            .answer(Answer::json(vm(100, "m1")));
        shelf
            .expect("GET", "/vms/100")
            .answer(Answer::json(vm(100, "m1")));

        let ended = shelf.run::<Shelf>(&create()).unwrap();
        assert_eq!(ended.created, [Object::machine(100)]);
        assert_eq!(ended.settles, 1);
    }

    #[test]
    fn what_never_arrived_is_sent_again() {
        let shelf = Hypervisor::scripted().mark("m1");
        expect_made(&shelf, 100, Answer::lost());
        shelf
            .expect("GET", "/vms/100")
            .answer(Answer::empty().status(404));
        expect_made(&shelf, 100, Answer::json(json!({"task": "t1"})));
        shelf
            .expect("GET", "/tasks/t1")
            .answer(Answer::json(json!({"done": true})));
        shelf
            .expect("GET", "/vms/100")
            .answer(Answer::json(vm(100, "m1")));
        assert!(shelf.run::<Shelf>(&create()).is_ok());
    }

    #[test]
    fn configure_carries_the_version() {
        let shelf = Hypervisor::scripted();
        shelf
            .expect("PATCH", "/vms/105")
            .header("if-match", "7")
            .json(json!({"cpus": 4}))
            .answer(Answer::empty().status(412).reason("Precondition Failed"));
        let error = shelf
            .run::<Shelf>(&ActionRequest {
                machine: Some(MachineRef {
                    id: "105".to_owned(),
                    ..MachineRef::default()
                }),
                action: Action::Configure {
                    desired: Box::new(Config {
                        vcpu: Some(4),
                        ..Config::default()
                    }),
                    changed: vec!["vcpu".to_owned()],
                    observed: Some(Box::new(Machine {
                        version: Some("7".to_owned()),
                        ..Machine::default()
                    })),
                },
            })
            .unwrap_err();
        assert!(error.is(Code::Conflict));
    }
}
