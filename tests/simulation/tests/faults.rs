//! A host that does something wrong is found out: the checks can fail.

use enginehouse_simulation::{
    Fault, Kill, Kind, Naming, Params, Rule, Settings, Simulation, Violation, run_seed,
};
use serde_json::json;

/// The promises that are broken when the host has this fault, over so many seeds.
fn broken_by(fault: Fault, seeds: u64) -> Vec<Rule> {
    let failed = (0..seeds).filter_map(|seed| {
        let settings = Settings {
            fault: Some(fault),
            ..Settings::foul(Kill::PerMille(40))
        };
        // Without a second run for its trace.
        run_seed(seed, settings).err()?.violation
    });
    failed.map(|violation| violation.rule).collect()
}

#[test]
fn a_request_that_is_sent_again_blindly_is_found_out() {
    let rules = broken_by(Fault::LosesIntents, 150);
    assert!(rules.contains(&Rule::Once), "{rules:?}");
}

#[test]
fn an_answer_before_the_disk_is_found_out() {
    let rules = broken_by(Fault::AnswersEarly, 150);
    assert!(rules.contains(&Rule::Ends), "{rules:?}");
}

#[test]
fn an_act_before_the_disk_is_found_out() {
    let rules = broken_by(Fault::ActsEarly, 150);
    assert!(!rules.is_empty());
}

#[test]
fn a_lag_that_is_ignored_is_found_out() {
    let rules = broken_by(Fault::IgnoresLag, 150);
    assert!(rules.contains(&Rule::Once), "{rules:?}");
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
    let rules = broken_by(Fault::ForgetsOutcomes, 50);
    assert!(!rules.is_empty());
}
