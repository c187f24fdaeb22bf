//! What the host does by itself, in hosts that do it wrong: each is found out.

use enginehouse_simulation::{
    Fault, Kill, Kind, Naming, Params, Rule, Settings, Simulation, Violation, breaks,
};
use serde_json::json;

fn is_found(fault: Fault) -> bool {
    (0..3_000).any(|seed| {
        let settings = Settings {
            fault: Some(fault),
            ..Settings::foul(Kill::PerMille(5))
        };
        breaks(seed, settings).is_some_and(|found| found.rule == Rule::Alone)
    })
}

#[test]
fn going_beyond_the_policy_is_found_out() {
    assert!(is_found(Fault::RepairsAgainstPolicy));
}

#[test]
fn going_on_in_a_pause_is_found_out() {
    assert!(is_found(Fault::RepairsInAPause));
}

#[test]
fn repairing_while_something_is_under_way_is_found_out() {
    assert!(is_found(Fault::RepairsTheBusy));
}

/// Somebody wants a machine otherwise, again and again. How many times it was repaired.
fn contested(fault: Option<Fault>) -> Result<u32, Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let machines = [("/vm1", json!({"vcpu": 2}))];
    let mut simulation = Simulation::quiet(7, settings, &[Naming::Marked], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.watch();
    let vms = &simulation.outside.providers[0].vms;
    let ours = vms.iter().filter(|(_, vm)| vm.made_for.is_some());
    let ours: Vec<u64> = ours.map(|(id, _)| *id).collect();
    for times in 0..6 {
        for id in &ours {
            simulation.drift_at(times * 100_000, 0, *id, 4);
        }
    }
    simulation.run()?;
    let arrived = &simulation.outside.providers[0].arrived;
    Ok(arrived.get("configure").copied().unwrap_or_default())
}

#[test]
fn a_field_that_is_changed_back_three_times_is_left() {
    assert_eq!(contested(None), Ok(3));
}

#[test]
fn repairing_it_for_ever_is_found_out() {
    let found = contested(Some(Fault::RepairsForEver));
    assert_eq!(found.map_err(|violation| violation.rule), Err(Rule::Alone));
}
