//! What an operation takes while it waits for its provider. Alone in its process: what is looked at is
//! the memory that the kernel says it has.

#![cfg(target_os = "linux")]

use std::error::Error;
use std::fs;

use enginehouse_model::documents::{Note, Sent};
use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{
    CallEnd, Command, Event, Json, Limits, PollEnd, Queue, Spec, StepPlan, StepSpec, Token,
};
use serde_json::{Value, json};
use uuid::Uuid;

type Tried<T> = Result<T, Box<dyn Error>>;

const MANY: u64 = 10_000;
/// Bytes that an operation may take. Ten thousand of them have to leave room for the rest of the host in
/// 100 MB: half of it.
const BYTES_MAX: u64 = 5_000;

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

/// A plan as those of the host are: a machine is made, then started.
fn plan(number: u64) -> StepPlan {
    let mark = format!("eh:{0:032x}:{0:032x}:{number}", 7);
    let body = |action: &str| {
        json!({
            "request": {
                "action": action,
                "machine": null,
                "desired": desired(number),
                "mark": mark,
            },
            "class": "benign",
            "touched": {
                "vcpu": {"from": null, "to": 2},
                "memory": {"from": null, "to": 4_294_967_296_u64},
            },
            "guards": {"power": "stopped"},
        })
    };
    let step = |action: &str, template: Option<&str>| StepSpec {
        action: action.to_owned(),
        reason: format!("{action} vm-{number}: the definition says so"),
        template: template.map(str::to_owned),
        may_escalate: false,
        may_be_left: false,
        body: Json::from(body(action)),
    };
    StepPlan::from(vec![step("create", Some("d12")), step("start", None)])
}

fn desired(number: u64) -> Value {
    json!({
        "name": format!("vm-{number}"),
        "base_image": "d12",
        "vcpu": 2,
        "memory": 4_294_967_296_u64,
        "labels": {"team": "web", "cost": "4711"},
        "disks": {"root": {"size": 17_179_869_184_u64, "storage": "fast"}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 12}},
    })
}

fn tell(queue: &mut Queue, number: u64, event: Event) -> Tried<()> {
    // What follows is made durable and carried out elsewhere.
    let _ = queue.handle(OperationId(number), event, Timestamp(1_000))?;
    Ok(())
}

/// The operation waits for a task that its `once` request began.
fn wait(queue: &mut Queue, number: u64) -> Tried<()> {
    let name = format!("/web/front/vm-{number}").parse()?;
    let node = NodeUid::from_uuid(uuid(number));
    let id = OperationId(number);
    let spec = Spec {
        hypervisor: Some(HypervisorUid::from_uuid(uuid(1))),
        ..Spec::new(id, "deploy", node, name, "ann", Timestamp(1_000))
    };
    let _ = queue.submit(vec![spec], Timestamp(1_000));
    tell(queue, number, Event::Prepared(Ok(plan(number))))?;
    let filled = json!({"action": "create", "desired": desired(number)});
    tell(queue, number, Event::Filled(filled))?;
    let sent = Sent {
        endpoint: "host".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/machines".to_owned(),
        ..Sent::default()
    };
    let digest = format!("{number:064x}");
    tell(queue, number, Event::Sending { sent, digest })?;
    let answer = json!({"status": 202, "body": {"machine": number, "task": number}});
    tell(queue, number, Event::Answered(answer))?;
    let end = CallEnd::Wait {
        task: format!("t-{number}"),
        token: Token(vec![1; 60]),
        created: vec![format!("machine m-{number}")],
        note: Note {
            message: format!("creating m-{number}"),
            ..Note::default()
        },
    };
    tell(queue, number, Event::Returned(end))
}

/// Bytes of this process that are in memory.
fn resident() -> Tried<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: u64 = kib.ok_or("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}

#[test]
fn an_operation_that_waits_for_a_task_is_small_and_stays_so() -> Tried<()> {
    let mut queue = Queue::new(Limits {
        operations: 100_000,
        copies_per_template: 100_000,
        ..Limits::default()
    });
    for number in 1..=1_000 {
        wait(&mut queue, number)?;
    }
    let before = resident()?;
    for number in 1_001..=1_000 + MANY {
        wait(&mut queue, number)?;
    }
    let waiting = resident()?;
    let each = (waiting - before) / MANY;
    assert!(each <= BYTES_MAX, "{each} bytes for each");
    // A while later, each was polled some times.
    let mut polls = 0;
    while polls < 10 * MANY {
        let now = queue.next_wake().ok_or("nothing is due")?;
        for command in queue.tick(now).commands {
            let Command::Poll { operations, .. } = command else {
                return Err(format!("{command:?}").into());
            };
            for number in operations {
                polls += 1;
                let cursor = format!("{polls}:{}", now.0);
                let polled = Event::Polled(PollEnd::Running { cursor });
                let _ = queue.handle(number, polled, now)?;
            }
        }
    }
    let later = resident()?;
    let more = later.saturating_sub(waiting) / MANY;
    assert!(more <= BYTES_MAX / 10, "{more} bytes more for each");
    Ok(())
}
