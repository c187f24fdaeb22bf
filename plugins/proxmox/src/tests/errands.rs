use super::*;
use crate::Proxmox;

const STOP_UPID: &str = "UPID:pve1:000003EA:00001B5A:6B018AFD:qmshutdown:105:root@pam!eh:";

fn expect_failed(hypervisor: &Hypervisor, upid: &str, exit: &str) {
    hypervisor
        .expect("GET", &task_of(upid, "status"))
        .answer(data(json!({"status": "stopped", "exitstatus": exit})));
    hypervisor
        .expect("GET", &task_of(upid, "log"))
        .query(&[("start", "0"), ("limit", "500")])
        .answer(data(
            json!([{"n": 1, "t": "begin"}, {"n": 2, "t": format!("TASK ERROR: {exit}")}]),
        ));
}

#[test]
fn a_guest_that_ignores_its_shutdown_is_busy_at_once() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/shutdown"))
        .form(&[("timeout", "3")])
        .answer(data(json!(STOP_UPID)));
    expect_failed(
        &hypervisor,
        STOP_UPID,
        "VM quit/powerdown failed - got timeout",
    );
    let stop = on_105(json!({"action": "stop", "graceful": true, "timeout_ms": 2500}));
    let error = hypervisor.run::<Proxmox>(&stop).unwrap_err();
    assert!(error.is(Code::Busy));
    assert_eq!(error.message(), "VM quit/powerdown failed - got timeout");
    assert_eq!(error.detail().lines.len(), 2);
}

#[test]
fn what_is_so_already_is_done() {
    let stop = on_105(json!({"action": "stop", "graceful": true}));
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/shutdown"))
        .answer(said(500, "VM 105 not running"));
    hypervisor.run::<Proxmox>(&stop).unwrap();

    let start = on_105(json!({"action": "start"}));
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(data(json!(START_UPID)));
    expect_failed(&hypervisor, START_UPID, "VM 105 already running");
    hypervisor.run::<Proxmox>(&start).unwrap();
}

#[test]
fn a_restart_is_asked_of_the_guest() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/reboot"))
        .form(&[("timeout", "60")])
        .answer(data(json!(START_UPID)));
    hypervisor
        .expect("GET", &task_of(START_UPID, "status"))
        .answer(ended_well());
    let restart = on_105(json!({"action": "restart", "graceful": true}));
    hypervisor.run::<Proxmox>(&restart).unwrap();
}

#[test]
fn a_restart_without_asking_is_a_stop_and_a_start() {
    let hypervisor = scripted();
    for (verb, upid) in [("stop", STOP_UPID), ("start", START_UPID)] {
        hypervisor
            .expect("POST", &api(&format!("/nodes/pve1/qemu/105/status/{verb}")))
            .answer(data(json!(upid)));
        hypervisor
            .expect("GET", &task_of(upid, "status"))
            .answer(ended_well());
    }
    let restart = on_105(json!({"action": "restart", "graceful": false}));
    hypervisor.run::<Proxmox>(&restart).unwrap();
}

#[test]
fn a_start_of_a_locked_machine_is_tried_again_and_given_up_in_the_end() {
    let hypervisor = scripted();
    let before = hypervisor.now();
    for _ in 0..9 {
        hypervisor
            .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
            .answer(data(json!(START_UPID)));
        expect_failed(&hypervisor, START_UPID, "VM is locked (backup)");
    }
    let start = on_105(json!({"action": "start"}));
    let error = hypervisor.run::<Proxmox>(&start).unwrap_err();
    assert!(error.is(Code::Busy));
    assert_eq!(error.message(), "VM is locked (backup)");
    assert!(
        error
            .detail()
            .hint
            .as_deref()
            .unwrap()
            .contains("qm unlock")
    );
    assert!(hypervisor.now() - before > 300_000);
}

#[test]
fn what_the_ha_manager_does_is_waited_for() {
    let upid = START_UPID.replace("qmstart", "hastart");
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(data(json!(upid)));
    hypervisor
        .expect("GET", &task_of(&upid, "status"))
        .answer(ended_well());
    for status in ["stopped", "running"] {
        hypervisor
            .expect("GET", &api("/nodes/pve1/qemu/105/status/current"))
            .answer(data(json!({ "status": status })));
    }
    let start = on_105(json!({"action": "start"}));
    let ended = hypervisor.run::<Proxmox>(&start).unwrap();
    assert_eq!(ended.tasks.len(), 2);
}

#[test]
fn a_machine_is_destroyed_with_its_disks() {
    let upid = START_UPID.replace("qmstart", "qmdestroy");
    let hypervisor = scripted();
    hypervisor
        .expect("DELETE", &api("/nodes/pve1/qemu/105"))
        .query(&[("purge", "1"), ("destroy-unreferenced-disks", "1")])
        .answer(data(json!(upid)));
    hypervisor
        .expect("GET", &task_of(&upid, "status"))
        .answer(ended_well());
    hypervisor
        .run::<Proxmox>(&on_105(json!({"action": "destroy"})))
        .unwrap();
}

#[test]
fn destroying_what_is_nowhere_in_the_cluster_is_done() {
    let hypervisor = scripted();
    hypervisor
        .expect("DELETE", &api("/nodes/pve1/qemu/105"))
        .query(&[("purge", "1"), ("destroy-unreferenced-disks", "1")])
        .answer(missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(
            json!([{"type": "node", "node": "pve1", "status": "online"}]),
        ));
    hypervisor
        .run::<Proxmox>(&on_105(json!({"action": "destroy"})))
        .unwrap();
}

#[test]
fn a_machine_that_has_moved_is_destroyed_where_it_is() {
    let query = [("purge", "1"), ("destroy-unreferenced-disks", "1")];
    let hypervisor = scripted();
    hypervisor
        .expect("DELETE", &api("/nodes/pve1/qemu/105"))
        .query(&query)
        .answer(missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(json!([{"type": "qemu", "vmid": 105, "node": "pve2"}])));
    hypervisor
        .expect("DELETE", &api("/nodes/pve2/qemu/105"))
        .query(&query)
        .answer(data(json!(null)));
    hypervisor
        .run::<Proxmox>(&on_105(json!({"action": "destroy"})))
        .unwrap();
}

#[test]
fn disks_cannot_be_kept_and_nothing_is_sent() {
    let hypervisor = scripted();
    let destroy = on_105(json!({"action": "destroy", "keep": ["scsi1"]}));
    let error = hypervisor.run::<Proxmox>(&destroy).unwrap_err();
    assert!(error.is(Code::Unsupported));
    assert!(error.detail().hint.as_deref().unwrap().contains("move"));
}

#[test]
fn containers_are_not_touched() {
    let hypervisor = scripted();
    let mut start = on_105(json!({"action": "start"}));
    start.machine.as_mut().unwrap().kind = Some("lxc".to_owned());
    let error = hypervisor.run::<Proxmox>(&start).unwrap_err();
    assert!(error.is(Code::Unsupported), "{error}");
    // Not known to be one, it is found to be.
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(json!([{"type": "lxc", "vmid": 105, "node": "pve1"}])));
    let error = hypervisor
        .run::<Proxmox>(&on_105(json!({"action": "start"})))
        .unwrap_err();
    assert!(error.is(Code::Unsupported), "{error}");
}
