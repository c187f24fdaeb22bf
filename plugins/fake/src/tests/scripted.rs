//! Requests and answers, word for word.

use enginehouse_sdk::prelude::*;
use enginehouse_sdk::testing::{Answer, Hypervisor};
use serde_json::json;

use super::{GIB, configure, create, on};
use crate::{Fake, Phase};

#[test]
fn a_create_sends_what_is_wanted_with_mark_and_key() {
    let hypervisor = Hypervisor::scripted();
    let body = json!({
        "name": "web", "mark": "eh:0123abcd:4567ef:7", "client_token": null, "base_image": "d12",
        "memory": GIB, "settings": {"firmware": "uefi"},
        "disks": {"data": {"size": 5, "bus": "scsi"}}, "nics": {"lan": {"network": "vmbr0"}},
    });
    hypervisor
        .expect("POST", "/v1/machines")
        .answer(Answer::json(json!({"machine": "m-4", "task": "t-9"})).status(202));
    let action = create(json!({
        "name": "web", "base_image": "d12", "memory": GIB + 1000, "settings": {"firmware": "uefi"},
        "disks": {"data": {"size": 5, "bus": "scsi"}}, "nics": {"lan": {"network": "vmbr0"}},
    }));
    let step = hypervisor.step::<Fake>(&action, None).unwrap();
    let request = &hypervisor.requests()[0];
    let mut sent: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(sent["client_token"].take().as_str().unwrap().len(), 32);
    assert_eq!((request.effect, sent), (Effect::Once, body));
    let phase = Phase::Made {
        id: "m-4".to_owned(),
    };
    assert_eq!(
        step.next,
        Next::Wait {
            task: "t-9".to_owned(),
            phase
        }
    );
    assert_eq!(step.note.machine_id.as_deref(), Some("m-4"));
}

#[test]
fn a_change_with_a_version_is_sent_once_and_without_one_may_be_repeated() {
    let seen = Machine {
        version: Some("3".to_owned()),
        ..Machine::default()
    };
    let answer = || Answer::json(json!({"id": "m-1", "power": "stopped"}));
    let hypervisor = Hypervisor::scripted();
    let body = json!({"memory": GIB, "description": null, "labels": {"a": null}});
    hypervisor
        .expect("PATCH", "/v1/machines/m-1")
        .header("if-match", "\"3\"")
        .json(body)
        .answer(answer());
    hypervisor
        .expect("PATCH", "/v1/machines/m-1")
        .answer(answer());
    let fields = ["memory", "description", "labels.a"];
    for seen in [Some(&seen), None] {
        let change = configure(json!({"memory": GIB}), &fields, seen);
        hypervisor.run::<Fake>(&on("m-1", change)).unwrap();
    }
    let effects: Vec<Effect> = hypervisor
        .requests()
        .iter()
        .map(|request| request.effect)
        .collect();
    assert_eq!(effects, [Effect::Once, Effect::Repeat]);
}

#[test]
fn what_cannot_be_changed_is_refused_before_anything_is_sent() {
    let hypervisor = Hypervisor::scripted();
    for (field, code) in [
        ("vcpu", Code::Invalid),
        ("settings.firmware", Code::Invalid),
        ("placement.host", Code::Unsupported),
        ("settings.color", Code::Unsupported),
    ] {
        let change = on("m-1", configure(json!({}), &[field], None));
        let refused = hypervisor.run::<Fake>(&change).unwrap_err();
        assert_eq!(
            (refused.code(), refused.detail().field.as_deref()),
            (code, Some(field))
        );
    }
    let unknown = json!({"name": "x", "settings": {"firmware": "coreboot"}});
    let refused = hypervisor.run::<Fake>(&create(unknown)).unwrap_err();
    assert_eq!(refused.detail().field.as_deref(), Some("settings.firmware"));
    let nameless = hypervisor.run::<Fake>(&create(json!({}))).unwrap_err();
    assert_eq!(nameless.detail().field.as_deref(), Some("name"));
}

#[test]
fn a_poll_asks_once_for_many_tasks_and_goes_on_in_their_logs() {
    let hypervisor = Hypervisor::scripted();
    hypervisor
        .expect("GET", "/v1/tasks")
        .query(&[("ids", "t-1,t-2,t-3")])
        .answer(Answer::json(json!({"tasks": [
            {"id": "t-3", "state": "ended", "percent": 100, "log": ["a", "b", "c"],
             "result": "ok", "warnings": [], "error": null},
            {"id": "t-1", "state": "running", "percent": 40, "log": ["a"]},
        ]})));
    let ask = |task: &str, cursor: &str| TaskQuery {
        task: task.to_owned(),
        cursor: cursor.to_owned(),
    };
    let states = hypervisor
        .poll::<Fake>(&[ask("t-1", ""), ask("t-2", ""), ask("t-3", "2")])
        .unwrap();
    let status: Vec<TaskStatus> = states.iter().map(|state| state.status).collect();
    assert_eq!(
        status,
        [TaskStatus::Running, TaskStatus::Lost, TaskStatus::Ended]
    );
    assert_eq!(
        (states[0].report.percent, states[0].cursor.as_str()),
        (Some(40), "1")
    );
    assert_eq!(
        (states[2].report.lines.as_slice(), states[2].cursor.as_str()),
        (&["c".to_owned()][..], "3")
    );
}

#[test]
fn an_answer_that_is_no_json_is_an_error_that_shows_it() {
    let hypervisor = Hypervisor::scripted();
    let page = || Answer::text("<html>Bad gateway</html>");
    hypervisor
        .expect("GET", "/v1/info")
        .answer(page().status(502));
    hypervisor.expect("GET", "/v1/info").answer(page());
    for says in ["502", "unexpected JSON"] {
        let error = hypervisor.check::<Fake>().unwrap_err();
        assert!(
            error.is(Code::Provider) && error.message().contains(says),
            "{error}"
        );
        assert!(error.message().contains("Bad gateway"), "{error}");
    }
}
