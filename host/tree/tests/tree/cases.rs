//! The numbered cases of the rules for trees, with their values.

use crate::common::Estate;
use enginehouse_model::MachineUid;
use enginehouse_tree::{EditError, Event, LookupError, ResolveError, Secret, Status};
use serde_json::json;
use uuid::Uuid;

fn filtered() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({
            "hypervisors": {
                "ESXi_1": {"type": "VMware", "host": "https://esxi1", "user": "root", "password": "one"},
                "ESXi_3": {"type": "VMware", "host": "https://esxi3"},
                "PR2": {"type": "proxmox", "host": "pve2:8006"},
            },
            "filter_hypervisors_allow": ["ESXi_1", "PR2"],
        }),
    );
    estate.folder("/web", json!({}));
    estate.provision("/web/vm1", json!({}));
    estate
}

#[test]
fn case_1_a_hypervisor_outside_the_filter_is_an_error_naming_user_and_filter() {
    let mut estate = filtered();
    let error = estate
        .try_define("/web/vm1", json!({"use_hypervisor": "ESXi_3"}))
        .unwrap_err();
    let EditError::Unresolved { problems, .. } = &error else {
        panic!("{error}");
    };
    assert!(matches!(
        &problems[..],
        [ResolveError::Filtered { node, filter_at, .. }]
            if node.to_string() == "/web/vm1" && filter_at.is_root()
    ));
    let text = error.to_string();
    assert!(
        text.contains("`/web/vm1`") && text.contains("`/`"),
        "{text}"
    );
}

#[test]
fn case_1_an_allowed_hypervisor_gives_its_host_user_and_type() {
    let mut estate = filtered();
    estate.define("/web/vm1", json!({"use_hypervisor": "ESXi_1"}));
    let lines = estate.lines("/web/vm1");
    for line in [
        "use_hypervisor ESXi_1, from /web/vm1 via ESXi_1 (/)",
        "hypervisor_type vmware, from /web/vm1 via ESXi_1 (/)",
        "host https://esxi1, from /web/vm1 via ESXi_1 (/)",
        "user root, from /web/vm1 via ESXi_1 (/)",
        "password (secret), from /web/vm1 via ESXi_1 (/)",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
}

#[test]
fn case_1_filter_narrows() {
    let mut estate = filtered();
    estate.define(
        "/web",
        json!({"filter_hypervisors_allow": ["ESXi_3", "PR2"]}),
    );
    let allowed = |estate: &Estate, name| estate.computed(name).filter().unwrap().allowed.clone();
    assert_eq!(allowed(&estate, "/web"), ["PR2"]);
    assert_eq!(allowed(&estate, "/web/vm1"), ["PR2"]);
    assert_eq!(allowed(&estate, "/"), ["ESXi_1", "PR2"]);
    estate.define("/web", json!({"filter_hypervisors_allow": null}));
    assert_eq!(
        allowed(&estate, "/web"),
        ["ESXi_1", "PR2"],
        "null changes nothing"
    );
    estate.define("/web", json!({"filter_hypervisors_allow": []}));
    assert!(allowed(&estate, "/web").is_empty());
    let error = estate
        .try_define("/web/vm1", json!({"use_hypervisor": "PR2"}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("the filter at `/web`"), "{error}");
}

fn prototyped(vm1: serde_json::Value) -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({"prototypes": {"proto_docker": {"base_image": "d12", "vcpu": 2, "memory": "4GiB"}}}),
    );
    estate.folder("/web", json!({"memory": "16GiB"}));
    estate.provision("/web/vm1", vm1);
    estate
}

#[test]
fn case_2_a_prototype_named_nearer_wins_over_farther_local_values() {
    let estate = prototyped(json!({"use_prototype": "proto_docker"}));
    assert_eq!(
        estate.line("/web/vm1", "memory"),
        "memory 4 GiB, from /web/vm1 via proto_docker (/)"
    );
    assert_eq!(estate.computed("/web/vm1").config().memory, Some(4 << 30));
    assert_eq!(estate.line("/web", "memory"), "memory 16 GiB, from /web");
}

#[test]
fn case_2_local_values_win_over_the_prototype_of_their_level() {
    let estate = prototyped(json!({"use_prototype": "proto_docker", "memory": "8GiB"}));
    assert_eq!(
        estate.line("/web/vm1", "memory"),
        "memory 8 GiB, from /web/vm1"
    );
    assert_eq!(
        estate.line("/web/vm1", "vcpu"),
        "vcpu 2, from /web/vm1 via proto_docker (/)"
    );
}

#[test]
fn case_3_a_name_is_resolved_where_it_is_named_and_entries_are_never_merged() {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({"hypervisors": {"h": {"host": "a", "password": "p"}}, "use_hypervisor": "h"}),
    );
    estate.folder("/x", json!({"hypervisors": {"h": {"host": "evil"}}}));
    estate.provision("/x/vm", json!({}));
    let used = |estate: &Estate| estate.computed("/x/vm").hypervisor().unwrap().clone();

    let above = used(&estate);
    assert_eq!(above.entry.host.as_ref().unwrap().to_string(), "a");
    assert_eq!(above.entry.password, Some(Secret::Literal("p".into())));
    assert_eq!(above.origin.to_string(), "/ via h (/)");

    estate.define("/x/vm", json!({"use_hypervisor": "h"}));
    let here = used(&estate);
    assert_eq!(here.entry.host.as_ref().unwrap().to_string(), "evil");
    assert_eq!(here.entry.password, None);
    assert_eq!(here.origin.to_string(), "/x/vm via h (/x)");
    assert_ne!(here.uid, above.uid, "two connections, two identities");
}

fn deployed() -> Estate {
    let mut estate = Estate::new();
    estate.folder("/web", json!({}));
    estate.provision("/web/vm1", json!({}));
    let uid = estate.uid("/web/vm1");
    let machine = MachineUid::from_uuid(Uuid::from_u128(77));
    estate.apply(|tree| tree.set_machine(uid, Some(machine)));
    estate.apply(|tree| tree.transition(uid, Event::Deploy));
    estate
}

#[test]
fn case_4_the_machine_of_a_provisioned_descriptor_is_an_error() {
    let mut estate = Estate::new();
    estate.provision("/vm", json!({}));
    let uid = estate.uid("/vm");
    let error = estate.tree.machine(uid).unwrap_err();
    assert!(matches!(error, LookupError::NoMachine(_)));
    assert!(
        error.to_string().contains("`/vm` is provisioned"),
        "{error}"
    );
    // Also with the machine of a failed deploy on record.
    let machine = MachineUid::from_uuid(Uuid::from_u128(77));
    estate.apply(|tree| tree.set_machine(uid, Some(machine)));
    assert!(estate.tree.machine(uid).is_err());
    estate.apply(|tree| tree.transition(uid, Event::Deploy));
    assert_eq!(estate.tree.machine(uid), Ok(machine));
}

#[test]
fn case_4_name_and_definition_of_a_deployed_descriptor_are_refused_with_the_way_out() {
    let mut estate = deployed();
    let (uid, root) = (estate.uid("/web/vm1"), estate.tree.root());
    let errors = [
        estate
            .try_define("/web/vm1", json!({"vcpu": 2}))
            .unwrap_err(),
        estate.tree.rename(uid, root, "vm2").unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(
            error,
            EditError::NotProvisioned {
                status: Status::Deployed,
                ..
            }
        ));
        let text = error.to_string();
        assert!(
            text.contains("undeploy") && text.contains("reconfigure"),
            "{text}"
        );
    }
    let web = estate.uid("/web");
    let error = estate.tree.rename(web, root, "www").unwrap_err();
    assert!(error.to_string().contains("/web/vm1"), "{error}");
    // A folder may be edited at any time.
    estate.define("/web", json!({"vcpu": 4}));
    assert_eq!(estate.computed("/web/vm1").config().vcpu, Some(4));
}

#[test]
fn case_4_deprovision_while_deployed_or_unreachable_and_undeploy_while_unreachable_are_refused() {
    let mut estate = deployed();
    let uid = estate.uid("/web/vm1");
    let refused = |estate: &mut Estate, event, status: &str, instead: &str| {
        let text = estate.tree.transition(uid, event).unwrap_err().to_string();
        for part in ["`/web/vm1`", status, &event.to_string(), instead] {
            assert!(text.contains(part), "{part}: {text}");
        }
    };
    refused(&mut estate, Event::Deprovision, "deployed", "undeploy");
    estate.apply(|tree| tree.transition(uid, Event::ConnectionLost));
    refused(&mut estate, Event::Deprovision, "unreachable", "reachable");
    refused(&mut estate, Event::Undeploy, "unreachable", "reachable");
    assert!(estate.tree.node(uid).is_ok());
}
