//! What a folder asks signatures for, in hosts that do it wrong: each is found out by the rule about it.

use std::collections::{BTreeSet, HashSet};

use enginehouse_model::OperationId;
use enginehouse_queue::Final;
use enginehouse_simulation::{
    Fault, Kill, Kind, Naming, Params, Rule, Settings, Simulation, Violation, breaks, key_of,
};
use serde_json::json;

/// Each fault is found within so many.
const SEEDS: u64 = 3_000;

fn is_found(fault: Fault) -> bool {
    (0..SEEDS).any(|seed| {
        let settings = Settings {
            fault: Some(fault),
            ..Settings::foul(Kill::PerMille(10))
        };
        breaks(seed, settings).is_some_and(|found| found.rule == Rule::Approved)
    })
}

#[test]
fn destroying_without_asking_is_found_out() {
    assert!(is_found(Fault::AsksNobody));
}

#[test]
fn counting_the_author_is_found_out() {
    assert!(is_found(Fault::CountsTheAuthor));
}

#[test]
fn doing_what_was_approved_whatever_it_has_become_is_found_out() {
    assert!(is_found(Fault::ApprovesWhatever));
}

#[test]
fn not_looking_again_right_before_is_found_out() {
    assert!(is_found(Fault::LooksOnceForApproval));
}

/// A machine is undeployed with an approval, its hypervisor does not answer for a while when it is to be
/// destroyed, and meanwhile somebody gives it another disk.
fn put_off(fault: Option<Fault>, after: u64) -> Result<Option<Final>, Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let asks = json!({"need": 1, "keys": [key_of("ann")]});
    let machines = [("/vm1", json!({"power": "stopped", "approvals": asks}))];
    let mut simulation = Simulation::quiet(after, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.sign_at(2_000, OperationId(2), "ann");
    simulation.down_at(2_000 + after, 0, 20_000);
    simulation.plug_at(12_000, 0, 100);
    simulation.run()?;
    Ok(simulation.end_of(OperationId(2)))
}

#[test]
fn trying_again_what_is_another_by_then_is_found_out() {
    let moments = (0..700).step_by(2);
    let ends: Result<HashSet<_>, _> = moments.clone().map(|at| put_off(None, at)).collect();
    let all = [Some(Final::Superseded), Some(Final::Succeeded)];
    assert_eq!(ends, Ok(HashSet::from(all)));
    let fault = Some(Fault::TriesAgainUncovered);
    let found = moments.filter_map(|after| put_off(fault, after).err());
    let rules: BTreeSet<Rule> = found.map(|violation| violation.rule).collect();
    assert_eq!(rules, BTreeSet::from([Rule::Approved]));
}

#[test]
fn using_an_approval_twice_is_found_out() {
    assert!(is_found(Fault::ApprovesForEver));
}

#[test]
fn doing_what_was_approved_too_late_is_found_out() {
    assert!(is_found(Fault::ForgetsTheTime));
}

#[test]
fn not_hearing_a_no_is_found_out() {
    assert!(is_found(Fault::OverhearsNo));
}

#[test]
fn an_approval_that_other_machines_end_is_found_out() {
    assert!(is_found(Fault::SignsTheWorld));
}
