//! A disk is taken off its machine and destroyed.

use super::*;
use crate::Proxmox;

const CONFIG: &str = "/nodes/pve1/qemu/105/config";
const VOLUME: &str = "local-lvm:vm-105-disk-1";
const DATA: &str = "local-lvm:vm-105-disk-1,iothread=1,size=4G";

fn remove(slot: &str) -> ActionRequest {
    on_105(json!({"action": "disk-remove", "slot": slot}))
}

/// A configuration with the root disk and these entries.
fn with(digest: &str, entries: Value) -> Answer {
    let mut config = json!({
        "name": "web1", "digest": digest, "boot": "order=scsi0",
        "scsi0": "local-lvm:vm-105-disk-0,size=8G",
    });
    for (key, value) in entries.as_object().unwrap() {
        config[key] = value.clone();
    }
    data(config)
}

fn attached(digest: &str) -> Answer {
    with(digest, json!({"scsi1": DATA}))
}

fn unused(digest: &str) -> Answer {
    // Another volume that somebody detached long ago.
    with(
        digest,
        json!({"unused0": "local-lvm:vm-105-disk-9", "unused1": VOLUME}),
    )
}

fn gone(digest: &str) -> Answer {
    with(digest, json!({"unused0": "local-lvm:vm-105-disk-9"}))
}

fn expect_read(hypervisor: &Hypervisor, answer: Answer) {
    hypervisor.expect("GET", &api(CONFIG)).answer(answer);
}

/// As the running machine has it.
fn expect_now(hypervisor: &Hypervisor, answer: Answer) {
    hypervisor
        .expect("GET", &api(CONFIG))
        .query(&[("current", "1")])
        .answer(answer);
}

fn expect_write(hypervisor: &Hypervisor, key: &str, entry: &str, digest: &str, answer: Answer) {
    hypervisor
        .expect("PUT", &api(CONFIG))
        .form(&[(key, entry), ("digest", digest)])
        .answer(answer);
}

fn well() -> Answer {
    data(json!(null))
}

fn stale() -> Answer {
    says(500, "checksum mismatch (file change by other user?)")
}

#[test]
fn a_disk_is_taken_off_and_exactly_its_volume_is_destroyed() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, unused("d2"));
    expect_write(&hypervisor, "delete", "unused1", "d2", well());
    let ended = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
    assert!(ended.outcome.warnings.is_empty());
    let once: Vec<Effect> = hypervisor.requests().iter().map(|r| r.effect).collect();
    assert_eq!(once[1..], [Effect::Once, Effect::Read, Effect::Once]);
}

#[test]
fn one_that_is_gone_is_as_it_is_to_be() {
    let hypervisor = scripted();
    expect_read(&hypervisor, gone("d1"));
    hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
}

#[test]
fn what_is_no_disk_is_left_alone() {
    let hypervisor = scripted();
    let error = hypervisor.run::<Proxmox>(&remove("net0")).unwrap_err();
    assert!(error.is(Code::Invalid), "{error}");
    for drive in ["none,media=cdrom", "local-lvm:vm-105-cloudinit,media=cdrom"] {
        let hypervisor = scripted();
        expect_read(&hypervisor, with("d1", json!({"scsi1": drive})));
        let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
        assert!(error.is(Code::Conflict), "{error}");
    }
}

#[test]
fn a_disk_that_is_to_be_kept_is_not_touched() {
    let hypervisor = scripted();
    let keep = on_105(json!({"action": "disk-remove", "slot": "scsi1", "keep": true}));
    let error = hypervisor.run::<Proxmox>(&keep).unwrap_err();
    assert!(error.is(Code::Unsupported), "{error}");
    assert!(error.detail().hint.as_deref().unwrap().contains("move"));
}

#[test]
fn a_volume_of_anothers_is_taken_off_and_not_destroyed() {
    let hypervisor = scripted();
    let shared = json!({"scsi1": "local-lvm:vm-200-disk-0,size=4G"});
    expect_read(&hypervisor, with("d1", shared));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, gone("d2"));
    expect_now(&hypervisor, gone("d2"));
    let ended = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
    let warning = &ended.outcome.warnings[0];
    assert!(
        warning.contains("vm-200-disk-0 was taken off 105"),
        "{warning}"
    );
}

#[test]
fn a_disk_that_a_snapshot_holds_stays_attached() {
    let hypervisor = scripted();
    let config = json!({"scsi1": DATA, "parent": "before"});
    expect_read(&hypervisor, with("d1", config));
    let snapshot = "/nodes/pve1/qemu/105/snapshot";
    hypervisor
        .expect("GET", &api(snapshot))
        .answer(data(json!([{"name": "before"}, {"name": "current"}])));
    hypervisor
        .expect("GET", &api(&format!("{snapshot}/before/config")))
        .answer(attached("x"));
    let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
    assert!(error.message().contains("snapshot before"), "{error}");
}

#[test]
fn what_only_the_next_start_would_do_is_taken_back() {
    let orders = [
        ("order=scsi0", "order=scsi0", "scsi1"),
        ("order=scsi1;scsi0", "order=scsi0", "scsi1,boot"),
    ];
    for (boot, next, reverted) in orders {
        for unplugged in [None, Some("hotplug problem - error unplugging scsi1")] {
            let answer = unplugged.map_or_else(well, |words| {
                let errors = json!({"data": null, "errors": {"scsi1": words}});
                Answer::json(errors)
                    .status(400)
                    .reason("Parameter verification failed.")
            });
            let hypervisor = scripted();
            expect_read(&hypervisor, with("d1", json!({"scsi1": DATA})));
            expect_write(&hypervisor, "delete", "scsi1", "d1", answer);
            expect_read(&hypervisor, with("d2", json!({ "boot": next })));
            expect_now(
                &hypervisor,
                with("d2", json!({"scsi1": DATA, "boot": boot})),
            );
            expect_write(&hypervisor, "revert", reverted, "d2", well());
            let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
            assert!(error.is(Code::Conflict), "{error}");
            assert!(error.message().contains("does not let go of scsi1"));
            assert!(error.detail().hint.as_deref().unwrap().contains("stop"));
            let said = error.detail().lines.len();
            assert_eq!(said, usize::from(unplugged.is_some()));
        }
    }
}

#[test]
fn somebody_who_is_faster_is_looked_at_again() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", stale());
    expect_read(&hypervisor, attached("d2"));
    expect_write(&hypervisor, "delete", "scsi1", "d2", well());
    expect_read(&hypervisor, unused("d3"));
    expect_write(&hypervisor, "delete", "unused1", "d3", stale());
    // Another entry has gone, and ours has another name now.
    expect_read(&hypervisor, with("d4", json!({"unused0": VOLUME})));
    expect_write(&hypervisor, "delete", "unused0", "d4", well());
    hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
}

#[test]
fn another_disk_in_the_slot_meanwhile_is_a_conflict() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", stale());
    let other = json!({"scsi1": "local-lvm:vm-105-disk-7,size=9G"});
    expect_read(&hypervisor, with("d2", other));
    let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
}

#[test]
fn a_volume_that_somebody_else_destroyed_meanwhile_is_done() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, unused("d2"));
    expect_write(&hypervisor, "delete", "unused1", "d2", stale());
    expect_read(&hypervisor, gone("d3"));
    expect_now(&hypervisor, gone("d3"));
    let ended = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
    assert!(ended.outcome.warnings.is_empty());
}

#[test]
fn a_volume_that_is_not_destroyed_is_named_with_the_way_out() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, unused("d2"));
    let text = format!("unable to delete '{VOLUME}' - volume is still in use (snapshot?)");
    expect_write(&hypervisor, "delete", "unused1", "d2", says(500, &text));
    let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
    let said = format!("{VOLUME} was taken off 105 and is unused1 there: ");
    assert!(error.message().starts_with(&said), "{error}");
    let hint = error.detail().hint.as_deref().unwrap();
    assert!(hint.contains("qm set 105 --delete unused1"), "{hint}");
}

#[test]
fn a_lost_answer_to_either_write_is_settled_by_what_is_there() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", Answer::lost());
    // It had arrived.
    expect_read(&hypervisor, unused("d2"));
    expect_read(&hypervisor, unused("d2"));
    expect_write(&hypervisor, "delete", "unused1", "d2", Answer::lost());
    expect_read(&hypervisor, gone("d3"));
    let ended = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
    assert_eq!(ended.settles, 2);

    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", Answer::lost());
    // It had not.
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, unused("d2"));
    expect_write(&hypervisor, "delete", "unused1", "d2", Answer::lost());
    expect_read(&hypervisor, unused("d2"));
    expect_write(&hypervisor, "delete", "unused1", "d2", well());
    hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
}

#[test]
fn a_lost_answer_to_taking_it_back_is_settled_by_what_is_there() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", well());
    expect_read(&hypervisor, gone("d2"));
    expect_now(&hypervisor, attached("d2"));
    expect_write(&hypervisor, "revert", "scsi1", "d2", Answer::lost());
    expect_read(&hypervisor, attached("d1"));
    let error = hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
}

#[test]
fn a_machine_that_has_moved_loses_its_disk_where_it_is() {
    let hypervisor = scripted();
    expect_read(&hypervisor, attached("d1"));
    expect_write(&hypervisor, "delete", "scsi1", "d1", missing(105));
    let moved = json!([{"type": "qemu", "vmid": 105, "node": "pve2"}]);
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(moved));
    let there = api("/nodes/pve2/qemu/105/config");
    let read = |answer| hypervisor.expect("GET", &there).answer(answer);
    let write = |entry, digest| {
        let form = [("delete", entry), ("digest", digest)];
        hypervisor.expect("PUT", &there).form(&form).answer(well());
    };
    read(attached("d1"));
    write("scsi1", "d1");
    read(unused("d2"));
    write("unused1", "d2");
    hypervisor.run::<Proxmox>(&remove("scsi1")).unwrap();
}
