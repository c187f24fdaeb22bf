use super::*;
use crate::Proxmox;

fn expect_config(hypervisor: &Hypervisor, node: &str, vmid: u64, answer: Answer) {
    hypervisor
        .expect("GET", &api(&format!("/nodes/{node}/qemu/{vmid}/config")))
        .answer(answer);
}

#[test]
fn a_machine_is_read_with_two_requests() {
    let hypervisor = scripted();
    expect_config(&hypervisor, "pve1", 105, data(cloned()));
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/status/current"))
        .answer(data(
            json!({"vmid": "105", "status": "running", "qmpstatus": "paused", "template": ""}),
        ));
    let machines = hypervisor
        .read::<Proxmox>(&[ref_to("105", Some("pve1"))])
        .unwrap();
    let machine = machines[0].clone().unwrap();
    assert_eq!(machine.power, PowerState::Paused);
    assert_eq!(machine.version.as_deref(), Some("d1"));
}

#[test]
fn run_states_of_many_come_out_of_the_nodes_list() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu"))
        .answer(data(json!([
            {"vmid": 105, "status": "running"}, {"vmid": "106", "status": "stopped"},
        ])));
    for vmid in [105, 106, 107] {
        expect_config(&hypervisor, "pve1", vmid, data(cloned()));
    }
    // A list leaves out what the token may not see.
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/107/status/current"))
        .answer(data(json!({"status": "running"})));
    let ids = ["105", "106", "107"].map(|id| ref_to(id, Some("pve1")));
    let machines = hypervisor.read::<Proxmox>(&ids).unwrap();
    let power: Vec<_> = machines.into_iter().map(|m| m.unwrap().power).collect();
    assert_eq!(
        power,
        [
            PowerState::Running,
            PowerState::Stopped,
            PowerState::Running
        ]
    );
}

#[test]
fn moved_and_missing_machines_cost_one_look_at_the_cluster() {
    let hypervisor = scripted();
    expect_config(&hypervisor, "pve1", 105, missing(105));
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(json!([{"type": "qemu", "vmid": 105, "node": "pve2"}])));
    expect_config(&hypervisor, "pve2", 105, data(cloned()));
    hypervisor
        .expect("GET", &api("/nodes/pve2/qemu/105/status/current"))
        .answer(data(json!({"status": "stopped"})));
    expect_config(&hypervisor, "pve1", 106, missing(106));
    let ids = ["105", "106"].map(|id| ref_to(id, Some("pve1")));
    let machines = hypervisor.read::<Proxmox>(&ids).unwrap();
    assert_eq!(machines[0].as_ref().unwrap().host.as_deref(), Some("pve2"));
    assert!(machines[1].as_ref().unwrap_err().is(Code::NotFound));
}

#[test]
fn one_machine_that_cannot_be_read_hides_no_other() {
    let hypervisor = scripted();
    let denied = "Permission check failed (/vms/105, VM.Audit)";
    expect_config(&hypervisor, "pve1", 105, says(403, denied));
    expect_config(&hypervisor, "pve1", 106, data(cloned()));
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/106/status/current"))
        .answer(data(json!({"status": "stopped"})));
    let ids = [ref_to("105", None), ref_to("106", None)];
    let machines = hypervisor.read::<Proxmox>(&ids).unwrap();
    assert!(machines[0].as_ref().unwrap_err().is(Code::Denied));
    assert!(machines[1].is_ok());
    let wrong = hypervisor.read::<Proxmox>(&[ref_to("x", None)]).unwrap();
    assert!(wrong[0].as_ref().unwrap_err().is(Code::Invalid));
}

#[test]
fn a_container_is_shown_without_its_configuration() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(data(json!([{"type": "lxc", "vmid": 200, "node": "pve1"}])));
    hypervisor
        .expect("GET", &api("/nodes/pve1/lxc/200/status/current"))
        .answer(data(json!({"status": "running", "name": "ct"})));
    let mut container = ref_to("200", Some("pve1"));
    container.kind = Some("lxc".to_owned());
    let machines = hypervisor.read::<Proxmox>(&[container]).unwrap();
    let machine = machines[0].clone().unwrap();
    assert_eq!(machine.kind.as_deref(), Some("lxc"));
    assert_eq!(machine.config, None);
}

#[test]
fn health_says_what_works_but_not_as_it_should() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/version"))
        .answer(data(json!({"version": "6.4-15", "release": "6.4"})));
    hypervisor
        .expect("GET", &api("/cluster/status"))
        .answer(data(json!([
            {"type": "cluster", "name": "prod", "quorate": 0},
            {"type": "node", "name": "pve2", "online": 0},
        ])));
    hypervisor
        .expect("GET", &api("/access/permissions"))
        .answer(data(json!({"/vms": {
            "VM.Allocate": 1, "VM.Audit": 1, "VM.Config.CPU": 1, "VM.Config.Disk": 1,
            "VM.Config.HWType": 1, "VM.Config.Memory": 1, "VM.Config.Network": 1,
            "VM.Config.Options": 1, "VM.PowerMgmt": 1,
        }})));
    let health = hypervisor.check::<Proxmox>().unwrap();
    assert_eq!(
        (&*health.version, &*health.identity),
        ("6.4-15", "cluster prod")
    );
    assert_eq!(health.warnings.len(), 4, "{:?}", health.warnings);
    assert_eq!(
        health.warnings[3],
        "the user or API token of this hypervisor lacks VM.Clone, Datastore.AllocateSpace"
    );
}

#[test]
fn without_the_right_to_know_the_cluster_there_is_no_identity() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/version"))
        .answer(data(json!({"version": "9.0.10"})));
    hypervisor
        .expect("GET", &api("/cluster/status"))
        .answer(says(403, "Permission check failed (/, Sys.Audit)"));
    let error = hypervisor.check::<Proxmox>().unwrap_err();
    assert!(error.is(Code::Denied));
    assert!(
        error
            .detail()
            .hint
            .as_deref()
            .unwrap()
            .contains("Sys.Audit on /")
    );
}
