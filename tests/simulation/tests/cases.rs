//! Cases of the rules of operations, with their results.

use std::collections::BTreeSet;

use enginehouse_model::OperationId;
use enginehouse_model::documents::PowerState;
use enginehouse_queue::{Entry, Final};
use enginehouse_simulation::{Kill, Kind, Naming, Params, Settings, Simulation, Temper, Violation};
use serde_json::json;

const ONE: OperationId = OperationId(1);

/// A deploy of one machine at a provider that is slow and shows things late, and a kill.
fn deploy(naming: Naming, kill: Kill) -> Result<Simulation, Violation> {
    let settings = Settings {
        kill,
        ..Settings::fair()
    };
    let mut simulation = Simulation::quiet(7, settings, &[naming], &[("/vm1", json!({}))])?;
    simulation.outside.providers[0].temper = Temper {
        slow: 12_000,
        lag: 2_500,
        ..Temper::GOOD
    };
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run_out()?;
    Ok(simulation)
}

fn was_settled(simulation: &Simulation) -> bool {
    let rows = simulation.disk.journal.get(&ONE);
    let mut entries = rows.into_iter().flatten();
    entries.any(|row| matches!(row.document.read(), Ok(Entry::Settling { .. })))
}

/// Case 13, first half: wherever the host is killed, a provider that takes an id, and shows whose a
/// machine is only when its first disk is copied, has one machine in the end.
#[test]
fn a_clone_whose_answer_is_lost_is_found_by_its_id() {
    let moments = deploy(Naming::ChosenId, Kill::Never)
        .unwrap()
        .outside
        .moments;
    let mut settled = 0;
    for moment in 1..=moments {
        let simulation = deploy(Naming::ChosenId, Kill::At(moment)).unwrap();
        let provider = &simulation.outside.providers[0];
        let ours = provider.vms.values().filter(|vm| vm.made_for.is_some());
        if simulation.disk.operations.is_empty() {
            // Killed before anybody was told a number.
            assert!(simulation.outside.ledger.acknowledged.is_empty());
            continue;
        }
        assert_eq!(simulation.end_of(ONE), Some(Final::Succeeded), "{moment}");
        assert_eq!(ours.count(), 1, "{moment}");
        assert_eq!(provider.effects["1/0/clone"], 1, "{moment}");
        settled += usize::from(was_settled(&simulation));
    }
    assert!(settled > 1, "{settled}");
}

/// Case 13, second half: one that can neither be given an id nor asked leaves the operation in
/// doubt, and nothing is sent a second time.
#[test]
fn a_clone_that_cannot_be_found_again_is_in_doubt() {
    let moments = deploy(Naming::Blind, Kill::Never).unwrap().outside.moments;
    let mut doubts = BTreeSet::new();
    for moment in 1..=moments {
        let simulation = deploy(Naming::Blind, Kill::At(moment)).unwrap();
        if simulation.disk.operations.is_empty() {
            continue;
        }
        let provider = &simulation.outside.providers[0];
        let requests = provider.arrived.get("clone").copied().unwrap_or_default();
        assert!(requests <= 1, "{moment}: {requests} requests");
        if simulation.is_in_doubt(ONE) {
            doubts.insert(requests);
        } else {
            assert_eq!(simulation.end_of(ONE), Some(Final::Succeeded), "{moment}");
            assert_eq!(requests, 1, "{moment}");
        }
    }
    // Killed before it left, and after: nobody can tell the two apart.
    assert_eq!(doubts, BTreeSet::from([0, 1]));
}

/// Case 11: a deployment of machine, disk, nic, initialize whose nic fails, `on_failure: keep`.
#[test]
fn what_was_made_before_a_failure_stays_and_is_never_switched_on() {
    let definition = json!({
        "on_failure": "keep",
        "disks": {"data": {"size": "4GiB"}},
        "nics": {"lan": {"network": "vmbr0"}},
        "guest": {"hostname": "vm1"},
    });
    let machines = [("/vm1", definition)];
    let namings = [Naming::ChosenId];
    let mut simulation = Simulation::quiet(1, Settings::fair(), &namings, &machines).unwrap();
    simulation.outside.providers[0].refuses = vec![("nics", None)];
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run().unwrap();
    simulation.check_over().unwrap();

    let result = simulation.document(ONE).unwrap();
    assert_eq!(result.end, Some(Final::Failed));
    assert_eq!(result.problem.unwrap().message, "not that");
    assert_eq!(result.created, ["machine 100", "disk 100/data"]);
    assert_eq!(result.machine_id.as_deref(), Some("100"));
    let provider = &simulation.outside.providers[0];
    let vm = &provider.vms[&100];
    assert!(vm.slots.contains_key("data"));
    assert!(!vm.initialized);
    assert_eq!(vm.power, PowerState::Stopped);
    assert_eq!(provider.arrived.get("initialize"), None);
    assert_eq!(provider.arrived.get("start"), None);

    // It is still on record, so that it can be finished or removed.
    simulation.outside.providers[0].refuses.clear();
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run().unwrap();
    assert_eq!(simulation.end_of(OperationId(2)), Some(Final::Succeeded));
    let provider = &simulation.outside.providers[0];
    assert_eq!(provider.arrived["clone"], 1);
    assert_eq!(provider.vms[&100].power, PowerState::Running);
}

/// Case 12: rollback of a, b, c where undoing b fails: tried c, b, a; c and a gone, b reported with the
/// reason.
#[test]
fn what_cannot_be_taken_back_is_said_and_stops_nothing() {
    let machines = ["/a/m1", "/a/m2", "/a/m3"].map(|path| (path, json!({})));
    let namings = [Naming::ChosenId];
    let mut simulation = Simulation::quiet(3, Settings::fair(), &namings, &machines).unwrap();
    // Ids are given in the order of the names, one copy after the other; 101 is somebody else's.
    simulation.outside.providers[0].refuses = vec![("start", Some(103)), ("destroy", Some(102))];
    let rollback = Params {
        rollback: true,
        ..Params::default()
    };
    simulation.order_at(0, Kind::Deploy, "/a", rollback);
    simulation.run().unwrap();
    simulation.check_over().unwrap();

    let undone = simulation
        .disk
        .executed
        .iter()
        .filter(|line| line.kind == "undo");
    let tried: Vec<(&str, &str)> = undone
        .map(|line| (line.targets[0].as_str(), line.outcome.as_str()))
        .collect();
    let expected = [
        ("/a/m3", "succeeded"),
        ("/a/m2", "failed"),
        ("/a/m1", "succeeded"),
    ];
    assert_eq!(tried, expected);
    let vms = &simulation.outside.providers[0].vms;
    assert_eq!(vms.keys().copied().collect::<Vec<u64>>(), [101, 102]);
    let whole = simulation.document(ONE).unwrap();
    assert_eq!(whole.end, Some(Final::Failed));
    assert_eq!(
        whole.problem.unwrap().message,
        "1 of 3 failed, first /a/m3: not that; taken back: /a/m3, /a/m1; not taken back: /a/m2: not that"
    );
}

/// Operations on one machine while the first of them makes it: what is cancelled before it began
/// leaves the others alone.
#[test]
fn who_cancels_what_has_not_begun_does_not_touch_what_has() {
    let machines = [("/vm1", json!({}))];
    for moment in (0..12_000).step_by(500) {
        let namings = [Naming::Marked];
        let mut simulation = Simulation::quiet(5, Settings::fair(), &namings, &machines).unwrap();
        simulation.outside.providers[0].temper.slow = 12_000;
        simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
        simulation.order_at(1, Kind::Undeploy, "/vm1", Params::default());
        simulation.order_at(2, Kind::Deploy, "/vm1", Params::default());
        simulation.cancel_at(3 + moment, OperationId(3));
        simulation.run().unwrap();
        simulation.check_over().unwrap();
        assert_eq!(simulation.end_of(ONE), Some(Final::Succeeded), "{moment}");
        let undeployed = simulation.end_of(OperationId(2));
        assert_eq!(undeployed, Some(Final::Succeeded), "{moment}");
    }
}

/// What is taken back comes after what was ordered before: by then another operation may have made
/// another machine in the same place.
#[test]
fn a_machine_that_another_operation_made_is_not_taken_back() {
    let machines = [("/vm1", json!({}))];
    let namings = [Naming::ChosenId];
    let mut simulation = Simulation::quiet(9, Settings::fair(), &namings, &machines).unwrap();
    simulation.outside.providers[0].refuses = vec![("start", None)];
    let rollback = Params {
        rollback: true,
        ..Params::default()
    };
    simulation.order_at(0, Kind::Deploy, "/vm1", rollback);
    simulation.order_at(20, Kind::Undeploy, "/vm1", Params::default());
    simulation.order_at(40, Kind::Deploy, "/vm1", Params::default());
    simulation.run().unwrap();
    simulation.check_over().unwrap();
    let lines = simulation.disk.executed.iter();
    let ends: Vec<String> = lines
        .map(|line| format!("{} {} {}", line.operation, line.kind, line.outcome))
        .collect();
    let expected = [
        "2 deploy failed",
        "3 undeploy succeeded",
        "4 deploy failed",
        "5 undo succeeded",
        "1 deploy failed",
    ];
    assert_eq!(ends, expected);
    let provider = &simulation.outside.providers[0];
    assert_eq!(provider.arrived["destroy"], 1);
    let mut vms = provider.vms.values();
    assert!(vms.any(|vm| vm.made_by == Some(OperationId(4))));
}

/// A newer reconfigure carries what the queue would leave: also an edit that waits between an undeploy
/// and a deploy.
#[test]
fn an_edit_that_waits_is_part_of_what_a_newer_reconfigure_carries() {
    let machines = [("/vm1", json!({}))];
    let namings = [Naming::ChosenId];
    let mut simulation = Simulation::quiet(11, Settings::fair(), &namings, &machines).unwrap();
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run().unwrap();
    let set = |members| Params {
        change: Some(members),
        ..Params::default()
    };
    simulation.order_at(0, Kind::Reconfigure, "/vm1", set(json!({"vcpu": 2})));
    simulation.order_at(1, Kind::Undeploy, "/vm1", Params::default());
    simulation.order_at(2, Kind::Edit, "/vm1", set(json!({"memory": "2GiB"})));
    simulation.order_at(3, Kind::Deploy, "/vm1", Params::default());
    let described = set(json!({"description": "the third."}));
    simulation.order_at(4, Kind::Reconfigure, "/vm1", described);
    simulation.run().unwrap();
    simulation.check_over().unwrap();
    let vms = &simulation.outside.providers[0].vms;
    let ours = vms.values().find(|vm| vm.made_for.is_some()).unwrap();
    assert_eq!(ours.config.vcpu, Some(2));
    assert_eq!(ours.config.memory, Some(2 << 30));
}
