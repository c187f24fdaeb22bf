//! Network cards of a machine that is there.

use super::*;
use crate::Proxmox;

const CONFIG: &str = "/nodes/pve1/qemu/105/config";
const LAN: &str = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=10";

fn expect_read(hypervisor: &Hypervisor, digest: &str) {
    hypervisor
        .expect("GET", &api(CONFIG))
        .answer(data(json!({"name": "web1", "digest": digest, "net0": LAN})));
}

fn expect_write(hypervisor: &Hypervisor, form: &[(&str, &str)], answer: Answer) {
    hypervisor
        .expect("PUT", &api(CONFIG))
        .form(form)
        .answer(answer);
}

fn run(hypervisor: &Hypervisor, action: Value) -> Outcome {
    let ended = hypervisor.run::<Proxmox>(&on_105(action)).unwrap();
    ended.outcome
}

#[test]
fn a_card_is_added_in_the_next_free_slot() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let form = [("net1", "virtio,bridge=vmbr9,tag=7"), ("digest", "d1")];
    expect_write(&hypervisor, &form, data(json!(null)));
    let nic = json!({"network": "vmbr9", "vlan": 7});
    let outcome = run(
        &hypervisor,
        json!({"action": "nic-add", "name": "wan", "nic": nic}),
    );
    assert_eq!(
        outcome.slots,
        [("wan".to_owned(), "net1".to_owned())].into()
    );
}

#[test]
fn a_card_whose_name_is_a_slot_that_is_taken_is_refused() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let action = json!({"action": "nic-add", "name": "net0", "nic": {"network": "vmbr9"}});
    let error = hypervisor.run::<Proxmox>(&on_105(action)).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
    assert_eq!(error.detail().field.as_deref(), Some("nics.net0"));
}

fn in_vlan(vlan: u16) -> Value {
    // The network is wanted, too, but has not changed.
    json!({
        "action": "nic-change", "slot": "net0", "changed": ["vlan"],
        "nic": {"network": "vmbr4", "vlan": vlan},
    })
}

#[test]
fn only_what_changed_of_a_card_is_written_and_somebody_elses_change_is_kept() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let wanted = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20";
    let stale = says(500, "checksum mismatch (file change by other user?)");
    expect_write(&hypervisor, &[("net0", wanted), ("digest", "d1")], stale);
    hypervisor.expect("GET", &api(CONFIG)).answer(data(json!({
        "name": "web1", "digest": "d2",
        "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1,tag=10",
    })));
    let wanted = "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1,tag=20";
    expect_write(
        &hypervisor,
        &[("net0", wanted), ("digest", "d2")],
        data(json!(null)),
    );
    run(&hypervisor, in_vlan(20));
}

#[test]
fn somebody_elses_change_of_the_same_member_is_a_conflict() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let wanted = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20";
    let stale = says(500, "checksum mismatch (file change by other user?)");
    expect_write(&hypervisor, &[("net0", wanted), ("digest", "d1")], stale);
    let theirs = json!({"digest": "d2", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=30"});
    hypervisor.expect("GET", &api(CONFIG)).answer(data(theirs));
    let error = hypervisor.run::<Proxmox>(&on_105(in_vlan(20))).unwrap_err();
    assert!(error.is(Code::Conflict), "{error}");
}

#[test]
fn a_card_that_is_so_already_needs_no_write() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    run(&hypervisor, in_vlan(10));
}

#[test]
fn a_card_that_is_gone_is_not_changed() {
    let hypervisor = scripted();
    let gone = json!({"name": "web1", "digest": "d1"});
    hypervisor.expect("GET", &api(CONFIG)).answer(data(gone));
    let error = hypervisor.run::<Proxmox>(&on_105(in_vlan(20))).unwrap_err();
    assert!(error.is(Code::NotFound), "{error}");
}

#[test]
fn a_card_is_removed_and_one_that_is_gone_is_as_it_is_to_be() {
    let remove = |slot: &str| json!({"action": "nic-remove", "slot": slot});
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let form = [("delete", "net0"), ("digest", "d1")];
    expect_write(&hypervisor, &form, data(json!(null)));
    run(&hypervisor, remove("net0"));
    expect_read(&hypervisor, "d2");
    run(&hypervisor, remove("net1"));
    // What is no card is not put into a request.
    expect_read(&hypervisor, "d3");
    let error = hypervisor.run::<Proxmox>(&on_105(remove("scsi0")));
    assert!(error.unwrap_err().is(Code::Invalid));
}

#[test]
fn a_lost_write_of_a_card_is_compared() {
    let hypervisor = scripted();
    expect_read(&hypervisor, "d1");
    let form = [("delete", "net0"), ("digest", "d1")];
    expect_write(&hypervisor, &form, Answer::lost());
    let gone = json!({"name": "web1", "digest": "d2"});
    hypervisor.expect("GET", &api(CONFIG)).answer(data(gone));
    let action = json!({"action": "nic-remove", "slot": "net0"});
    let ended = hypervisor.run::<Proxmox>(&on_105(action)).unwrap();
    assert_eq!(ended.settles, 1);
}
