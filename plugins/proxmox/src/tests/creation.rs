use super::*;
use crate::Proxmox;

fn expect_clone(hypervisor: &Hypervisor, vmid: &str, answer: Answer) {
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .form(&[("newid", vmid), ("name", "web1"), ("description", MARKED)])
        .answer(answer);
}

fn expect_task(hypervisor: &Hypervisor, upid: &str) {
    hypervisor
        .expect("GET", &task_of(upid, "status"))
        .answer(ended_well());
}

fn expect_config(hypervisor: &Hypervisor, vmid: u64, answer: Answer) {
    hypervisor
        .expect("GET", &api(&format!("/nodes/pve1/qemu/{vmid}/config")))
        .answer(answer);
}

#[test]
fn a_deploy_takes_six_requests() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 105, data(cloned()));
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .form(&[
            ("cores", "4"),
            ("memory", "4096"),
            ("tags", "a;b"),
            ("digest", "d1"),
        ])
        .answer(data(json!(null)));
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/105/status/start"))
        .answer(data(json!(START_UPID)));
    expect_task(&hypervisor, START_UPID);

    let desired = json!({
        "name": "web1", "base_image": "9000", "vcpu": 4, "memory": 4 * GIB,
        "settings": {"tags": ["b", "a"]}, "disks": {"root": {"size": 20 * GIB}},
    });
    let ended = hypervisor.run::<Proxmox>(&create(desired)).unwrap();
    hypervisor
        .run::<Proxmox>(&on_105(json!({"action": "start"})))
        .unwrap();

    assert_eq!(hypervisor.requests().len(), 6);
    assert_eq!(ended.created, [Object::machine(105)]);
    assert_eq!(ended.outcome.slots["root"], "scsi0");
    let machine = ended.outcome.machine.unwrap();
    assert_eq!(machine.id, "105");
    assert_eq!(
        machine.incarnation.as_deref(),
        Some("11111111-2222-3333-4444-555555555555")
    );
    assert_eq!(machine.mark.as_deref(), Some("eh:0123abcd:4567ef:7"));
    assert_eq!(machine.power, PowerState::Stopped);
    // The write has changed the digest, and nobody has read the new one.
    assert_eq!(machine.version, None);
    let config = machine.config.unwrap();
    assert_eq!((config.vcpu, config.memory), (Some(4), Some(4 * GIB)));
    assert_eq!(config.disks["scsi0"].size, Some(8 * GIB));
}

#[test]
fn a_clone_that_lacks_nothing_is_not_written_to() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 105, data(cloned()));
    let ended = hypervisor
        .run::<Proxmox>(&create(
            json!({"name": "web1", "base_image": "9000", "vcpu": 1}),
        ))
        .unwrap();
    // Nothing was written since, so the version is the one that was read.
    assert_eq!(
        ended.outcome.machine.unwrap().version.as_deref(),
        Some("d1")
    );
}

#[test]
fn where_the_definition_says_so_the_clone_is_full_elsewhere_and_in_a_pool() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu/9000/clone"))
        .form(&[
            ("newid", "105"),
            ("description", MARKED),
            ("full", "1"),
            ("storage", "ssd"),
            ("target", "pve2"),
            ("pool", "web"),
        ])
        .answer(data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    hypervisor
        .expect("GET", &api("/nodes/pve2/qemu/105/config"))
        .answer(data(cloned()));
    let desired = json!({
        "base_image": "9000", "placement": {"host": "pve2", "pool": "web"},
        "disks": {"root": {"storage": "ssd"}},
    });
    let ended = hypervisor.run::<Proxmox>(&create(desired)).unwrap();
    assert_eq!(ended.outcome.machine.unwrap().host.as_deref(), Some("pve2"));
}

#[test]
fn a_template_that_has_moved_is_looked_for_once() {
    let hypervisor = scripted();
    let not_here = says(
        500,
        "unable to find configuration file for VM 9000 on node 'pve1'",
    );
    expect_clone(&hypervisor, "105", not_here);
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(json!([
            {"type": "qemu", "vmid": 9000, "node": "pve2", "template": 1, "name": "d12"},
        ])));
    hypervisor
        .expect("POST", &api("/nodes/pve2/qemu/9000/clone"))
        .answer(data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    hypervisor
        .expect("GET", &api("/nodes/pve2/qemu/105/config"))
        .answer(data(cloned()));
    hypervisor
        .run::<Proxmox>(&create(json!({"name": "web1", "base_image": "9000"})))
        .unwrap();
}

#[test]
fn a_taken_vmid_is_refused_and_another_chosen() {
    let hypervisor = scripted();
    let taken = says(500, "unable to create VM 105: config file already exists");
    expect_clone(&hypervisor, "105", taken);
    expect_config(
        &hypervisor,
        105,
        data(json!({"name": "other", "digest": "x"})),
    );
    expect_clone(&hypervisor, "106", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 106, data(cloned()));
    let ended = hypervisor
        .run::<Proxmox>(&create(json!({"name": "web1", "base_image": "9000"})))
        .unwrap();
    assert_eq!(ended.created, [Object::machine(106)]);
}

#[test]
fn a_vmid_taken_by_a_request_of_our_own_is_gone_on_with() {
    let hypervisor = scripted();
    let taken = says(500, "unable to create VM 105: config file already exists");
    expect_clone(&hypervisor, "105", taken);
    expect_config(&hypervisor, 105, data(cloned()));
    expect_config(&hypervisor, 105, data(cloned()));
    let ended = hypervisor
        .run::<Proxmox>(&create(json!({"name": "web1", "base_image": "9000"})))
        .unwrap();
    assert_eq!(ended.created, [Object::machine(105)]);
}

#[test]
fn a_machine_without_our_mark_is_not_touched() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    let mut other = cloned();
    other["description"] = json!("<!-- enginehouse: eh:0:0:1 -->");
    expect_config(&hypervisor, 105, data(other));
    let error = hypervisor
        .run::<Proxmox>(&create(
            json!({"name": "web1", "base_image": "9000", "vcpu": 4}),
        ))
        .unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
}

#[test]
fn a_clone_whose_template_is_locked_is_tried_again_later() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    let lock = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout";
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(data(json!({"status": "stopped", "exitstatus": lock})));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "log"))
        .query(&[("start", "0"), ("limit", "500")])
        .answer(data(json!([{"n": 1, "t": format!("TASK ERROR: {lock}")}])));
    let before = hypervisor.now();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 105, data(cloned()));
    let ended = hypervisor
        .run::<Proxmox>(&create(json!({"name": "web1", "base_image": "9000"})))
        .unwrap();
    assert!(hypervisor.now() - before >= 5000);
    let note = &ended.notes.iter().find(|note| note.poll_after_ms.is_some());
    assert!(note.unwrap().message.starts_with(lock));
}

#[test]
fn a_write_that_comes_too_late_is_fitted_to_the_new_configuration() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 105, data(cloned()));
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .form(&[("cores", "4"), ("digest", "d1")])
        .answer(says(500, "checksum mismatch (file change by other user?)"));
    let mut changed = cloned();
    changed["digest"] = json!("d2");
    changed["sockets"] = json!("2");
    expect_config(&hypervisor, 105, data(changed));
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .form(&[("cores", "4"), ("sockets", "1"), ("digest", "d2")])
        .answer(data(json!(null)));
    hypervisor
        .run::<Proxmox>(&create(
            json!({"name": "web1", "base_image": "9000", "vcpu": 4}),
        ))
        .unwrap();
}

#[test]
fn a_failed_write_names_the_machine_that_exists_now() {
    let hypervisor = scripted();
    expect_clone(&hypervisor, "105", data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    expect_config(&hypervisor, 105, data(cloned()));
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .answer(says(
            403,
            "Permission check failed (/vms/105, VM.Config.CPU)",
        ));
    let error = hypervisor
        .run::<Proxmox>(&create(
            json!({"name": "web1", "base_image": "9000", "vcpu": 4}),
        ))
        .unwrap_err();
    assert!(error.is(Code::Denied));
    assert_eq!(error.detail().created, ["machine 105"]);
}

#[test]
fn a_machine_from_nothing_is_one_request_its_task_and_one_read() {
    let hypervisor = scripted();
    hypervisor
        .expect("POST", &api("/nodes/pve1/qemu"))
        .form(&[
            ("vmid", "105"),
            ("name", "web1"),
            ("cores", "2"),
            ("description", MARKED),
            ("scsi0", "local-lvm:8"),
            ("scsihw", "virtio-scsi-single"),
            ("boot", "order=scsi0"),
        ])
        .answer(data(json!(CLONE_UPID)));
    expect_task(&hypervisor, CLONE_UPID);
    let mut made = cloned();
    made["cores"] = json!(2);
    made["scsihw"] = json!("virtio-scsi-single");
    expect_config(&hypervisor, 105, data(made));
    let desired = json!({
        "name": "web1", "vcpu": 2, "disks": {"root": {"size": 8 * GIB, "storage": "local-lvm"}},
    });
    let ended = hypervisor.run::<Proxmox>(&create(desired)).unwrap();
    assert_eq!(ended.outcome.slots["root"], "scsi0");
}

#[test]
fn what_is_wrong_in_a_definition_is_said_before_anything_is_sent() {
    let hypervisor = scripted();
    for (desired, field) in [
        (json!({"base_image": "9000", "vcpu": 0}), "vcpu"),
        (json!({"base_image": "9000", "memory": 1}), "memory"),
        (
            json!({"disks": {"root": {"storage": "s"}}}),
            "disks.root.size",
        ),
        (
            json!({"disks": {"root": {"size": GIB}}}),
            "disks.root.storage",
        ),
        (
            json!({"disks": {"root": {"size": GIB, "storage": "s", "bus": "floppy"}}}),
            "disks.root.bus",
        ),
        (
            json!({"base_image": "9000", "settings": {"tags": "a"}}),
            "settings.tags",
        ),
        (json!({"nics": {"lan": {}}}), "nics.lan.network"),
    ] {
        let error = hypervisor.run::<Proxmox>(&create(desired)).unwrap_err();
        assert!(error.is(Code::Invalid), "{error}");
        assert_eq!(error.detail().field.as_deref(), Some(field), "{error}");
    }
}
