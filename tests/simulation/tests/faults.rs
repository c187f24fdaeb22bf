//! A host that does something wrong is found out: the checks can fail.

use enginehouse_simulation::{
    Fault, Kill, Kind, Naming, Params, Rule, Settings, Simulation, Violation, breaks,
};
use serde_json::json;

/// Each fault is found within so many.
const SEEDS: u64 = 2_000;

/// Looks for a seed with which a host with this fault breaks a promise: this one, or any.
fn is_found(fault: Fault, rule: Option<Rule>) -> bool {
    (0..SEEDS).any(|seed| {
        let settings = Settings {
            fault: Some(fault),
            ..Settings::foul(Kill::PerMille(40))
        };
        let violation = breaks(seed, settings);
        violation.is_some_and(|found| rule.is_none_or(|rule| found.rule == rule))
    })
}

#[test]
fn a_request_that_is_sent_again_blindly_is_found_out() {
    assert!(is_found(Fault::LosesIntents, Some(Rule::Once)));
}

#[test]
fn an_answer_before_the_disk_is_found_out() {
    assert!(is_found(Fault::AnswersEarly, Some(Rule::Ends)));
}

#[test]
fn an_act_before_the_disk_is_found_out() {
    assert!(is_found(Fault::ActsEarly, None));
}

#[test]
fn a_lag_that_is_ignored_is_found_out() {
    assert!(is_found(Fault::IgnoresLag, Some(Rule::Once)));
}

#[test]
fn an_operation_that_does_not_wait_for_what_it_needs_is_found_out() {
    assert!(is_found(Fault::IgnoresNeeds, Some(Rule::Needs)));
}

#[test]
fn a_move_to_an_impossible_place_is_found_out() {
    assert!(is_found(Fault::MovesBlindly, Some(Rule::Accepted)));
}

#[test]
fn a_change_that_is_lost_with_what_was_superseded_is_found_out() {
    assert!(is_found(Fault::DropsSuperseded, Some(Rule::Superseded)));
}

#[test]
fn a_forced_stop_that_waits_in_line_is_found_out() {
    assert!(is_found(Fault::WaitsInLine, Some(Rule::Lane)));
}

#[test]
fn taking_back_what_others_still_need_is_found_out() {
    assert!(is_found(Fault::TakesBackForwards, Some(Rule::Needs)));
}

#[test]
fn taking_back_what_somebody_else_made_is_found_out() {
    assert!(is_found(Fault::TakesBackAll, Some(Rule::Rollback)));
}

#[test]
fn what_the_host_wants_itself_and_gets_first_is_found_out() {
    assert!(is_found(Fault::AllAreAlike, Some(Rule::People)));
}

#[test]
fn a_lost_hypervisor_that_nobody_asks_again_is_found_out() {
    assert!(is_found(Fault::NeverProbes, Some(Rule::Ends)));
}

/// A machine is undeployed, and while it is being stopped somebody puts another in its place.
fn usurped(fault: Option<Fault>, after: u64) -> Result<(), Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let machines = [("/vm1", json!({}))];
    let mut simulation = Simulation::quiet(after, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.outside.providers[0].temper.slow = 12_000;
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.usurp_at(after, 0, 100);
    simulation.run()
}

#[test]
fn a_guard_that_is_skipped_is_found_out() {
    // Once the stop was sent, and before the machine is looked at again.
    let moments = (600..6_000).step_by(100);
    for after in moments.clone() {
        assert_eq!(usurped(None, after), Ok(()), "{after}");
    }
    let found = moments.filter_map(|after| usurped(Some(Fault::SkipsGuards), after).err());
    let rules: Vec<Rule> = found.map(|violation| violation.rule).collect();
    assert!(rules.contains(&Rule::Ours), "{rules:?}");
}

#[test]
fn an_outcome_that_is_not_written_down_is_found_out() {
    assert!(is_found(Fault::ForgetsOutcomes, None));
}
