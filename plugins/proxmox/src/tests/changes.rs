use super::*;
use crate::Proxmox;

fn observed() -> Value {
    json!({
        "id": "105", "kind": "qemu", "host": "pve1", "power": "running", "version": "d1",
        "mark": "eh:0123abcd:4567ef:7",
        "config": {"name": "web1", "vcpu": 2, "memory": 2 * GIB, "description": "front"},
    })
}

fn configure(desired: Value, changed: &[&str], observed: Value) -> ActionRequest {
    on_105(json!({
        "action": "configure", "desired": desired, "changed": changed, "observed": observed,
    }))
}

fn expect_put(hypervisor: &Hypervisor, form: &[(&str, &str)], answer: Answer) {
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .form(form)
        .answer(answer);
}

fn shown(digest: &str, cores: u32) -> Answer {
    data(json!({
        "name": "web1", "cores": cores, "memory": "2048", "digest": digest,
        "description": format!("front\n{MARKED}\n"),
    }))
}

#[test]
fn a_change_of_an_observed_machine_is_one_request() {
    let hypervisor = scripted();
    let description = format!("back\n{MARKED}");
    expect_put(
        &hypervisor,
        &[
            ("cores", "4"),
            ("sockets", "1"),
            ("description", &description),
            ("delete", "tags"),
            ("digest", "d1"),
        ],
        data(json!(null)),
    );
    let desired = json!({"vcpu": 4, "description": "back"});
    let changed = ["vcpu", "description", "settings.tags"];
    let ended = hypervisor
        .run::<Proxmox>(&configure(desired, &changed, observed()))
        .unwrap();
    assert!(ended.outcome.restart_needed);
    let machine = ended.outcome.machine.unwrap();
    assert_eq!(machine.version, None);
    assert_eq!(machine.config.unwrap().vcpu, Some(4));
}

#[test]
fn what_was_not_observed_is_read_first() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(shown("d7", 2));
    let description = format!("back\n{MARKED}");
    expect_put(
        &hypervisor,
        &[("description", &description), ("digest", "d7")],
        data(json!(null)),
    );
    let request = on_105(json!({
        "action": "configure", "desired": {"description": "back"}, "changed": ["description"],
    }));
    let ended = hypervisor.run::<Proxmox>(&request).unwrap();
    assert!(!ended.outcome.restart_needed);
}

#[test]
fn somebody_elses_change_of_something_else_is_no_conflict() {
    for text in [
        "checksum missmatch (file change by other user?)",
        "checksum mismatch (file change by other user?)",
        "detected modified configuration - file changed by other user? Try again.",
    ] {
        let hypervisor = scripted();
        let form = |digest| [("name", "web2"), ("digest", digest)];
        expect_put(&hypervisor, &form("d1"), said(500, text));
        hypervisor
            .expect("GET", &api("/nodes/pve1/qemu/105/config"))
            .answer(shown("d2", 8));
        expect_put(&hypervisor, &form("d2"), data(json!(null)));
        hypervisor
            .run::<Proxmox>(&configure(json!({"name": "web2"}), &["name"], observed()))
            .unwrap();
    }
}

#[test]
fn somebody_elses_change_of_the_same_is_a_conflict() {
    let hypervisor = scripted();
    let stale = says(500, "checksum mismatch (file change by other user?)");
    expect_put(
        &hypervisor,
        &[("cores", "4"), ("sockets", "1"), ("digest", "d1")],
        stale,
    );
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(shown("d2", 3));
    let error = hypervisor
        .run::<Proxmox>(&configure(json!({"vcpu": 4}), &["vcpu"], observed()))
        .unwrap_err();
    assert!(error.is(Code::Conflict));
    assert_eq!(error.detail().field.as_deref(), Some("vcpu"));
}

#[test]
fn a_machine_that_has_moved_is_written_to_where_it_is() {
    let hypervisor = scripted();
    let form = [("name", "web2"), ("digest", "d1")];
    expect_put(&hypervisor, &form, missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(
            json!([{"type": "qemu", "vmid": "105", "node": "pve2"}]),
        ));
    hypervisor
        .expect("PUT", &api("/nodes/pve2/qemu/105/config"))
        .form(&form)
        .answer(data(json!(null)));
    let ended = hypervisor
        .run::<Proxmox>(&configure(json!({"name": "web2"}), &["name"], observed()))
        .unwrap();
    assert_eq!(ended.outcome.machine.unwrap().host.as_deref(), Some("pve2"));
}

#[test]
fn a_disk_is_added_in_the_next_free_slot_beside_the_boot_disk() {
    let hypervisor = scripted();
    let mut config = cloned();
    config["scsi1"] = json!("none,media=cdrom");
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(data(config));
    expect_put(
        &hypervisor,
        &[("scsi2", "local-lvm:10"), ("digest", "d1")],
        data(json!(null)),
    );
    let request = on_105(json!({
        "action": "disk-add", "name": "logs", "disk": {"size": 10 * GIB},
    }));
    let ended = hypervisor.run::<Proxmox>(&request).unwrap();
    assert_eq!(ended.outcome.slots["logs"], "scsi2");
    assert_eq!(ended.created, [Object::disk("105/scsi2")]);
}

#[test]
fn a_disk_grows_to_an_absolute_size() {
    let upid = START_UPID.replace("qmstart", "resize");
    for answer in [json!(null), json!(upid)] {
        let hypervisor = scripted();
        hypervisor
            .expect("PUT", &api("/nodes/pve1/qemu/105/resize"))
            .form(&[("disk", "scsi0"), ("size", "20G")])
            .answer(data(answer.clone()));
        if !answer.is_null() {
            hypervisor
                .expect("GET", &task_of(&upid, "status"))
                .answer(ended_well());
        }
        let request = on_105(json!({"action": "disk-grow", "slot": "scsi0", "size": 20 * GIB}));
        hypervisor.run::<Proxmox>(&request).unwrap();
        assert_eq!(hypervisor.requests()[0].effect, Effect::Repeat);
    }
}

fn read_on_105(hypervisor: &Hypervisor, digest: &str, description: &str) {
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(data(json!({
            "name": "web1", "cores": 2, "digest": digest, "description": description,
        })));
}

#[test]
fn an_adoption_writes_the_mark_below_what_stands_in_the_description() {
    let hypervisor = scripted();
    let theirs = MARKED.replace("0123abcd", "00000000");
    read_on_105(&hypervisor, "d1", &format!("by hand\n{theirs}\n"));
    let form = |digest| {
        let description = format!("by hand\n{MARKED}");
        [
            ("description".to_owned(), description),
            ("digest".to_owned(), digest),
        ]
    };
    let stale = says(500, "checksum mismatch (file change by other user?)");
    let put = |digest: &str, answer| {
        let form = form(digest.to_owned());
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (&**k, &**v)).collect();
        expect_put(&hypervisor, &form, answer);
    };
    put("d1", stale);
    // Somebody has changed something else.
    read_on_105(&hypervisor, "d2", &format!("by hand\n{theirs}\n"));
    put("d2", data(json!(null)));
    let adopt = on_105(json!({"action": "adopt"}));
    hypervisor.run::<Proxmox>(&adopt).unwrap();
    // Once more: it is marked.
    read_on_105(&hypervisor, "d3", &format!("by hand\n{MARKED}\n"));
    hypervisor.run::<Proxmox>(&adopt).unwrap();
}

#[test]
fn a_mark_that_somebody_else_put_there_meanwhile_is_not_written_over() {
    let hypervisor = scripted();
    read_on_105(&hypervisor, "d1", "");
    let stale = says(500, "checksum mismatch (file change by other user?)");
    expect_put(
        &hypervisor,
        &[("description", MARKED), ("digest", "d1")],
        stale,
    );
    let theirs = MARKED.replace("0123abcd", "00000000");
    read_on_105(&hypervisor, "d2", &theirs);
    let adopt = on_105(json!({"action": "adopt"}));
    let error = hypervisor.run::<Proxmox>(&adopt).unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
}
