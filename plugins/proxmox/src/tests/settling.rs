use super::*;
use crate::Proxmox;

fn web1() -> ActionRequest {
    create(json!({"name": "web1", "base_image": "9000", "vcpu": 1}))
}

fn expect_lost_clone(hypervisor: &Hypervisor) {
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .answer(Answer::lost());
}

fn expect_config(hypervisor: &Hypervisor, answer: Answer) {
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(answer);
}

fn expect_tasks(hypervisor: &Hypervisor, vmid: &str, tasks: Value) {
    hypervisor
        .expect("GET", &api("/nodes/pve1/tasks"))
        .query(&[("source", "all"), ("vmid", vmid), ("limit", "100")])
        .answer(data(tasks));
}

/// A task that began when the test did (the harness's clock).
fn task(upid: &str, kind: &str, status: Value) -> Value {
    let mut task = json!({"upid": upid, "type": kind, "starttime": 1_767_225_600});
    if !status.is_null() {
        task["status"] = status;
        task["endtime"] = json!(1_767_225_601);
    }
    task
}

#[test]
fn a_lost_clone_that_is_there_is_gone_on_with() {
    let hypervisor = scripted();
    expect_lost_clone(&hypervisor);
    expect_config(&hypervisor, data(cloned()));
    expect_config(&hypervisor, data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(ended.settles, 1);
    assert_eq!(ended.created, [Object::machine(105)]);
}

#[test]
fn a_lost_clone_that_never_came_is_sent_again_under_the_same_vmid() {
    let hypervisor = scripted();
    expect_lost_clone(&hypervisor);
    expect_config(&hypervisor, missing(105));
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .form(&[("newid", "105"), ("name", "web1"), ("description", MARKED)])
        .answer(data(json!(CLONE_UPID)));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended_well());
    expect_config(&hypervisor, data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(ended.created, [Object::machine(105)]);
}

#[test]
fn a_lost_clone_that_hides_its_mark_is_found_by_the_templates_only_task() {
    let hypervisor = scripted();
    expect_lost_clone(&hypervisor);
    expect_config(&hypervisor, data(json!({"lock": "clone", "digest": "x"})));
    let done_before = task("UPID:pve1:1:1:1:qmclone:9000:x:", "qmclone", json!("OK"));
    let ours = task(CLONE_UPID, "qmclone", json!(null));
    expect_tasks(&hypervisor, "9000", json!([done_before, ours]));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended_well());
    expect_config(&hypervisor, data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(ended.tasks, [format!("upid:{CLONE_UPID}")]);
}

#[test]
fn among_several_clones_the_lock_is_waited_for() {
    let hypervisor = scripted();
    expect_lost_clone(&hypervisor);
    let hidden = || data(json!({"lock": "clone"}));
    expect_config(&hypervisor, hidden());
    let other = "UPID:pve1:000003E9:00001B59:6B018AFC:qmclone:9000:root@pam:";
    let running = |upid| task(upid, "qmclone", json!(null));
    expect_tasks(
        &hypervisor,
        "9000",
        json!([running(CLONE_UPID), running(other)]),
    );
    expect_config(&hypervisor, hidden());
    expect_config(&hypervisor, data(cloned()));
    expect_config(&hypervisor, data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(ended.tasks, ["lock:pve1/105"]);
    assert_eq!(ended.created, [Object::machine(105)]);
}

#[test]
fn a_hidden_clone_that_turns_out_to_be_anothers_is_left_alone() {
    let hypervisor = scripted();
    expect_lost_clone(&hypervisor);
    expect_config(&hypervisor, data(json!({"lock": "clone"})));
    expect_tasks(&hypervisor, "9000", json!([]));
    let other = || data(json!({"name": "other", "description": "not ours"}));
    expect_config(&hypervisor, other());
    expect_config(&hypervisor, other());
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .form(&[("newid", "106"), ("name", "web1"), ("description", MARKED)])
        .answer(data(json!(CLONE_UPID)));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended_well());
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/106/config"))
        .answer(data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(ended.created, [Object::machine(106)]);
}

#[test]
fn a_clone_task_that_is_forgotten_is_settled_without_it() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .answer(data(json!(CLONE_UPID)));
    let unknown = json!({"data": null, "errors": {"upid": "no such task"}});
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(
            Answer::json(unknown)
                .status(400)
                .reason("Parameter verification failed."),
        );
    expect_config(&hypervisor, data(json!({"lock": "clone"})));
    expect_config(&hypervisor, data(cloned()));
    expect_config(&hypervisor, data(cloned()));
    let ended = hypervisor.run::<Proxmox>(&web1()).unwrap();
    assert_eq!(
        ended.tasks,
        [format!("upid:{CLONE_UPID}"), "lock:pve1/105".to_owned()]
    );
}

#[test]
fn a_lost_write_is_recognised_or_sent_again() {
    let configure = on_105(json!({
        "action": "configure", "desired": {"vcpu": 4}, "changed": ["vcpu"],
    }));
    let shown =
        |cores: u32, digest: &str| data(json!({"cores": cores, "sockets": 1, "digest": digest}));
    let expect_put = |hypervisor: &Hypervisor, answer| {
        hypervisor
            .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
            .form(&[("cores", "4"), ("sockets", "1"), ("digest", "d1")])
            .answer(answer);
    };
    let written = scripted();
    expect_config(&written, shown(2, "d1"));
    expect_put(&written, Answer::lost());
    expect_config(&written, shown(4, "d2"));
    assert_eq!(written.run::<Proxmox>(&configure).unwrap().settles, 1);

    let not_written = scripted();
    expect_config(&not_written, shown(2, "d1"));
    expect_put(&not_written, Answer::lost());
    expect_config(&not_written, shown(2, "d1"));
    expect_put(&not_written, data(json!(null)));
    assert_eq!(not_written.run::<Proxmox>(&configure).unwrap().settles, 1);
}

fn expect_status(hypervisor: &Hypervisor, status: Value) {
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/status/current"))
        .answer(data(status));
}

#[test]
fn a_lost_start_is_seen_in_the_run_state_or_in_its_task() {
    let start = on_105(json!({"action": "start"}));
    let lost = |hypervisor: &Hypervisor| {
        hypervisor
            .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
            .answer(Answer::lost());
    };
    let running = scripted();
    lost(&running);
    expect_status(&running, json!({"status": "running"}));
    assert_eq!(running.run::<Proxmox>(&start).unwrap().settles, 1);

    // A task that has ended says how: here that it failed.
    let failed = scripted();
    lost(&failed);
    expect_status(&failed, json!({"status": "stopped"}));
    expect_tasks(
        &failed,
        "105",
        json!([task(START_UPID, "qmstart", json!("no such bridge"))]),
    );
    failed
        .expect("GET", &task_of(START_UPID, "status"))
        .answer(data(
            json!({"status": "stopped", "exitstatus": "no such bridge"}),
        ));
    failed
        .expect("GET", &task_of(START_UPID, "log"))
        .query(&[("start", "0"), ("limit", "500")])
        .answer(data(json!([])));
    let error = failed.run::<Proxmox>(&start).unwrap_err();
    assert_eq!(error.message(), "no such bridge");

    let nothing = scripted();
    lost(&nothing);
    expect_status(&nothing, json!({"status": "stopped"}));
    let old = json!({"upid": "UPID:pve1:1:1:1:qmstart:105:x:", "type": "qmstart", "starttime": 1});
    let just_before = task("UPID:pve1:2:2:2:qmstart:105:x:", "qmstart", json!("OK"));
    expect_tasks(&nothing, "105", json!([just_before, old]));
    nothing
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(data(json!(START_UPID)));
    nothing
        .expect("GET", &task_of(START_UPID, "status"))
        .answer(ended_well());
    nothing.run::<Proxmox>(&start).unwrap();
}

#[test]
fn a_lost_restart_is_seen_in_the_uptime() {
    let restart = on_105(json!({"action": "restart", "graceful": true}));
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/reboot"))
        .answer(Answer::lost());
    expect_status(&hypervisor, json!({"status": "running", "uptime": 3}));
    assert_eq!(hypervisor.run::<Proxmox>(&restart).unwrap().settles, 1);
}

#[test]
fn a_lost_restart_that_was_too_quick_for_the_uptime_is_seen_in_its_task() {
    let restart = on_105(json!({"action": "restart", "graceful": true}));
    let reboot = |hypervisor: &Hypervisor, answer| {
        hypervisor
            .expect("POST", &api("/nodes/pve1/qemu/105/status/reboot"))
            .answer(answer);
    };
    // Whole seconds since the request left, when its deadline and the lag are over.
    let age = 30 + crate::describe::VISIBILITY_LAG_MS / 1000;
    let quick = scripted();
    reboot(&quick, Answer::lost());
    expect_status(&quick, json!({"status": "running", "uptime": age}));
    let ended = task("UPID:pve1:2:2:2:qmreboot:105:x:", "qmreboot", json!("OK"));
    expect_tasks(&quick, "105", json!([ended.clone()]));
    let expect_configs = |hypervisor: &Hypervisor, in_effect: u64| {
        let config = api("/nodes/pve1/qemu/105/config");
        hypervisor
            .expect("GET", &config)
            .answer(data(json!({"memory": 2048})));
        hypervisor
            .expect("GET", &config)
            .query(&[("current", "1")])
            .answer(data(json!({ "memory": in_effect })));
    };
    expect_configs(&quick, 2048);
    assert_eq!(quick.run::<Proxmox>(&restart).unwrap().settles, 1);

    // What was written is not in effect: the restart in the list was before.
    let pending = scripted();
    reboot(&pending, Answer::lost());
    expect_status(&pending, json!({"status": "running", "uptime": age}));
    expect_tasks(&pending, "105", json!([ended.clone()]));
    expect_configs(&pending, 1024);
    reboot(&pending, data(json!(START_UPID)));
    pending
        .expect("GET", &task_of(START_UPID, "status"))
        .answer(ended_well());
    pending.run::<Proxmox>(&restart).unwrap();

    // It ran before: the restart in the list is that of an action just before.
    let before = scripted();
    reboot(&before, Answer::lost());
    expect_status(&before, json!({"status": "running", "uptime": age + 1}));
    expect_tasks(&before, "105", json!([ended]));
    reboot(&before, data(json!(START_UPID)));
    before
        .expect("GET", &task_of(START_UPID, "status"))
        .answer(ended_well());
    before.run::<Proxmox>(&restart).unwrap();
}

#[test]
fn a_lost_stop_in_a_restart_is_followed_by_the_start() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/stop"))
        .answer(Answer::lost());
    expect_status(&hypervisor, json!({"status": "stopped"}));
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(Answer::lost());
    expect_status(&hypervisor, json!({"status": "running"}));
    let restart = on_105(json!({"action": "restart", "graceful": false}));
    assert_eq!(hypervisor.run::<Proxmox>(&restart).unwrap().settles, 2);
}

#[test]
fn a_lost_destroy_is_done_when_the_cluster_has_no_such_machine() {
    let hypervisor = scripted();
    hypervisor
        .expect("DELETE", &api("/nodes/pve1/qemu/105"))
        .query(&[("purge", "1"), ("destroy-unreferenced-disks", "1")])
        .answer(Answer::lost());
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/status/current"))
        .answer(missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(
            json!([{"type": "node", "node": "pve1", "status": "online"}]),
        ));
    let destroy = on_105(json!({"action": "destroy"}));
    assert_eq!(hypervisor.run::<Proxmox>(&destroy).unwrap().settles, 1);
}

#[test]
fn an_answer_that_says_nothing_of_the_effect_is_settled() {
    let start = on_105(json!({"action": "start"}));
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(said(596, "Broken pipe"));
    expect_status(&hypervisor, json!({"status": "running"}));
    assert_eq!(hypervisor.run::<Proxmox>(&start).unwrap().settles, 1);
}
