//! A host that does something wrong is found out: the checks can fail.

use enginehouse_model::OperationId;
use enginehouse_queue::Final;
use enginehouse_simulation::{
    Fault, Kill, Kind, Naming, Params, Rule, Settings, Simulation, Temper, Verdict, Violation,
    Weather, breaks,
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
fn a_plan_that_destroys_what_is_protected_is_found_out() {
    assert!(is_found(Fault::PlansThroughTheGate, Some(Rule::Protected)));
}

/// A machine is undeployed, and while it is being stopped somebody protects it.
fn protected_late(fault: Option<Fault>, after: u64) -> Result<(), Violation> {
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
    let protect = Params {
        change: Some(json!({"protect": true})),
        ..Params::default()
    };
    simulation.order_at(after, Kind::Edit, "/", protect);
    simulation.run()
}

#[test]
fn a_look_at_what_is_protected_that_is_not_taken_again_is_found_out() {
    let moments = (600..6_000).step_by(100);
    for after in moments.clone() {
        assert_eq!(protected_late(None, after), Ok(()), "{after}");
    }
    let fault = Some(Fault::LooksOnceForProtection);
    let found = moments.filter_map(|after| protected_late(fault, after).err());
    let rules: Vec<Rule> = found.map(|violation| violation.rule).collect();
    assert!(rules.contains(&Rule::Protected), "{rules:?}");
}

/// A machine is undeployed at a provider that does not answer for a while; meanwhile somebody protects the
/// machine, or puts another in its place.
fn put_off(fault: Option<Fault>, after: u64, usurps: bool) -> Result<(), Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let machines = [("/vm1", json!({"power": "stopped"}))];
    let mut simulation = Simulation::quiet(after, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.down_at(after, 0, 20_000);
    let protect = Params {
        change: Some(json!({"protect": true})),
        ..Params::default()
    };
    match usurps {
        true => simulation.usurp_at(10_000, 0, 100),
        false => simulation.order_at(10_000, Kind::Edit, "/", protect),
    }
    simulation.run()
}

#[test]
fn what_is_tried_again_and_not_looked_at_again_is_found_out() {
    for (usurps, rule) in [(false, Rule::Protected), (true, Rule::Ours)] {
        let moments = 0..700;
        for after in moments.clone() {
            assert_eq!(put_off(None, after, usurps), Ok(()), "{after}");
        }
        let fault = Some(Fault::TriesAgainUnguarded);
        let found = moments.filter_map(|after| put_off(fault, after, usurps).err());
        let rules: Vec<Rule> = found.map(|violation| violation.rule).collect();
        assert!(rules.contains(&rule), "{rules:?}");
    }
}

#[test]
fn protection_that_is_lowered_by_the_way_is_found_out() {
    assert!(is_found(Fault::LowersByTheWay, Some(Rule::Protected)));
}

#[test]
fn believing_what_was_seen_before_the_last_step_is_found_out() {
    assert!(is_found(
        Fault::BelievesOldObservations,
        Some(Rule::Observed)
    ));
}

#[test]
fn touching_what_the_definition_does_not_say_is_found_out() {
    assert!(is_found(Fault::TakesUnsetForEmpty, Some(Rule::Unmanaged)));
}

#[test]
fn a_wave_that_begins_before_its_turn_is_found_out() {
    assert!(is_found(Fault::BeginsAllWaves, Some(Rule::Waves)));
}

#[test]
fn a_rollout_that_failures_do_not_stop_is_found_out() {
    assert!(is_found(Fault::NeverStopsWaves, Some(Rule::Waves)));
}

/// A machine is reconfigured twice, and a person takes the first back.
fn taken_back_too_late(fault: Option<Fault>) -> Result<Option<Final>, Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let machines = [("/vm1", json!({}))];
    let mut simulation = Simulation::quiet(7, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    for vcpu in [2, 3] {
        let change = Params {
            change: Some(json!({"vcpu": vcpu})),
            ..Params::default()
        };
        simulation.order_at(0, Kind::Reconfigure, "/vm1", change);
        simulation.run()?;
    }
    let back = Params {
        of: Some(OperationId(2)),
        ..Params::default()
    };
    simulation.order_at(0, Kind::Rollback, "/vm1", back);
    simulation.run()?;
    Ok(simulation.end_of(OperationId(4)))
}

#[test]
fn taking_back_what_was_changed_since_is_found_out() {
    // It is refused, and no operation.
    assert_eq!(taken_back_too_late(None), Ok(None));
    let found = taken_back_too_late(Some(Fault::TakesBackWhatWasChanged));
    let found = found.map_err(|violation| violation.rule);
    assert_eq!(found, Err(Rule::Rollback));
}

/// All slots are taken; the host wants one of the machines started, and then a person another.
fn one_slot_too_few(fault: Option<Fault>) -> Result<(), Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let paths = ["/vm0", "/vm1", "/vm2", "/vm3", "/vm4"];
    let machines = paths.map(|path| (path, json!({"power": "stopped"})));
    let mut simulation = Simulation::quiet(7, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/", Params::default());
    simulation.run()?;
    for (ms, path) in (0..).zip(paths) {
        let params = Params {
            automatic: path != "/vm4",
            ..Params::default()
        };
        simulation.order_at(ms, Kind::Start, path, params);
    }
    simulation.run()
}

#[test]
fn what_the_host_wants_itself_and_gets_first_is_found_out() {
    assert_eq!(one_slot_too_few(None), Ok(()));
    let found = one_slot_too_few(Some(Fault::AllAreAlike));
    assert_eq!(found.map_err(|violation| violation.rule), Err(Rule::People));
}

#[test]
fn a_lost_hypervisor_that_nobody_asks_again_is_found_out() {
    assert!(is_found(Fault::NeverProbes, Some(Rule::Ends)));
}

#[test]
fn a_machine_that_is_gone_on_with_and_not_on_record_is_found_out() {
    assert!(is_found(Fault::LeavesOffRecord, Some(Rule::Adopted)));
}

#[test]
fn a_second_machine_beside_the_one_to_go_on_with_is_found_out() {
    assert!(is_found(Fault::MakesAnother, Some(Rule::Adopted)));
}

/// A person removes the machine of a creation in doubt, and then says that it is there.
fn wrongly_called_done(fault: Option<Fault>) -> Result<(), Violation> {
    let settings = Settings {
        fault,
        ..Settings::foul(Kill::Never)
    };
    let machines = [("/vm1", json!({}))];
    let one = OperationId(1);
    let mut simulation = Simulation::quiet(7, settings, &[Naming::ChosenId], &machines)?;
    simulation.outside.weather = Weather::Fair;
    simulation.outside.providers[0].temper = Temper {
        forgets: 1_000,
        slow: 12_000,
        ..Temper::GOOD
    };
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run_out()?;
    assert!(simulation.is_in_doubt(one));
    let vms = &mut simulation.outside.providers[0].vms;
    vms.retain(|_, vm| vm.made_for.is_none());
    simulation.resolve_at(20_000, one, Verdict::Done);
    simulation.run()
}

#[test]
fn going_on_with_whatever_a_person_says_is_found_out() {
    assert_eq!(wrongly_called_done(None), Ok(()));
    let found = wrongly_called_done(Some(Fault::TakesTheirWord));
    assert_eq!(
        found.map_err(|violation| violation.rule),
        Err(Rule::Adopted)
    );
}

#[test]
fn an_undeploy_that_does_not_look_by_the_mark_is_found_out() {
    assert!(is_found(Fault::LooksForNoMark, Some(Rule::Truth)));
}

#[test]
fn a_deploy_that_takes_its_own_machine_for_a_stranger_is_found_out() {
    assert!(is_found(Fault::ForgetsFirst, Some(Rule::Adopted)));
}

/// A copy of which the task is forgotten fails and is removed; a person has it sent again, which makes
/// another machine, under another id. That fails too, and is undeployed. None: it did not come to that.
fn copied_twice(fault: Option<Fault>, seed: u64) -> Result<Option<()>, Violation> {
    let settings = Settings {
        fault,
        ..Settings::foul(Kill::Never)
    };
    let machines = [("/vm1", json!({}))];
    let one = OperationId(1);
    let mut simulation = Simulation::quiet(seed, settings, &[Naming::Blind], &machines)?;
    simulation.outside.weather = Weather::Fair;
    let fails = Temper {
        fails: 1_000,
        slow: 12_000,
        ..Temper::GOOD
    };
    simulation.outside.providers[0].temper = Temper {
        forgets: 1_000,
        ..fails
    };
    let is_left = |simulation: &Simulation| {
        let mut vms = simulation.outside.providers[0].vms.values();
        vms.any(|vm| vm.made_for.is_some())
    };
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run_out()?;
    if is_left(&simulation) {
        return Ok(None);
    }
    simulation.outside.providers[0].temper = fails;
    simulation.resolve_at(20_000, one, Verdict::Retry);
    simulation.run()?;
    if !is_left(&simulation) {
        return Ok(None);
    }
    simulation.outside.providers[0].temper = Temper::GOOD;
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.check_over()?;
    Ok(Some(()))
}

#[test]
fn an_id_of_a_machine_that_is_gone_is_found_out() {
    let tried = |fault| (0..30).map(move |seed| copied_twice(fault, seed));
    let kept: Result<Vec<_>, _> = tried(None).collect();
    assert!(kept.unwrap().contains(&Some(())));
    let found = tried(Some(Fault::KeepsFirstId)).filter_map(Result::err);
    let rules: Vec<Rule> = found.map(|violation| violation.rule).collect();
    assert!(rules.contains(&Rule::Truth), "{rules:?}");
}

/// A machine is to be made anew, and while the old one is being removed another operation has the machines
/// listed.
fn made_anew(fault: Option<Fault>, after: u64) -> Result<(), Violation> {
    let settings = Settings {
        fault,
        ..Settings::fair()
    };
    let machines = [("/vm1", json!({})), ("/vm2", json!({}))];
    let mut simulation = Simulation::quiet(after, settings, &[Naming::ChosenId], &machines)?;
    simulation.order_at(0, Kind::Deploy, "/vm1", Params::default());
    simulation.run()?;
    simulation.outside.providers[0].temper.slow = 12_000;
    simulation.order_at(0, Kind::Undeploy, "/vm1", Params::default());
    simulation.order_at(20, Kind::Deploy, "/vm1", Params::default());
    simulation.order_at(after, Kind::Deploy, "/vm2", Params::default());
    simulation.run()?;
    simulation.check_over()
}

#[test]
fn a_list_from_before_the_lane_went_on_is_found_out() {
    let moments = (40..6_000).step_by(100);
    for after in moments.clone() {
        assert_eq!(made_anew(None, after), Ok(()), "{after}");
    }
    let found = moments.filter_map(|after| made_anew(Some(Fault::TrustsOldLists), after).err());
    let rules: Vec<Rule> = found.map(|violation| violation.rule).collect();
    assert!(rules.contains(&Rule::Adopted), "{rules:?}");
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
