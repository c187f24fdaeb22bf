//! Ten thousand runs, each from its seed.
//!
//! `ENGINEHOUSE_RUNS=200000` runs more; `ENGINEHOUSE_FIRST_SEED=…` begins elsewhere. A seed that
//! failed is run again, with all that happens in it, by the command that its failure prints.

use std::env;

use enginehouse_simulation::{Kill, Settings, run_seed, run_seeds, trace_seed};

const RUNS: u64 = 10_000;

/// A number of the environment; none where it is not set.
fn number(name: &str) -> Result<Option<u64>, String> {
    let Ok(text) = env::var(name) else {
        return Ok(None);
    };
    let number = text.parse();
    number
        .map(Some)
        .map_err(|_| format!("{name} is no number: {text}"))
}

#[test]
fn ten_thousand_runs_keep_every_promise() {
    let first = number("ENGINEHOUSE_FIRST_SEED").unwrap().unwrap_or(0);
    let runs = number("ENGINEHOUSE_RUNS").unwrap().unwrap_or(RUNS);
    let totals = run_seeds(first..first + runs, Settings::of_seed);
    let totals = totals.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(totals.runs, runs);
    println!("{totals:#?}");
    if runs < RUNS {
        return;
    }
    // The runs are about something: every entry, every request and every end is in them, and often.
    assert_eq!(totals.entries.len(), 27, "{:?}", totals.entries);
    assert!(totals.entries.values().all(|n| *n > 150), "{totals:?}");
    assert_eq!(totals.requests.len(), 10, "{:?}", totals.requests);
    assert!(totals.requests.values().all(|n| *n > 100), "{totals:?}");
    for kind in [
        "deploy",
        "undeploy",
        "reconfigure",
        "start",
        "stop",
        "restart",
    ] {
        for end in ["succeeded", "failed", "cancelled"] {
            let times = totals.ends.get(&format!("{kind} {end}"));
            assert!(times.is_some_and(|n| *n > 10), "{kind} {end}: {times:?}");
        }
    }
    for end in [
        "reconfigure superseded",
        "stop superseded",
        "undo succeeded",
        "undo failed",
    ] {
        let times = totals.ends.get(end);
        assert!(times.is_some_and(|n| *n > 50), "{end}: {times:?}");
    }
    assert!(totals.moved > 500, "{}", totals.moved);
    for why in [
        "cycle",
        "impossible there",
        "has begun",
        "has parts",
        "other lane",
    ] {
        let times = totals.refusals.get(why);
        assert!(times.is_some_and(|n| *n > 5), "{why}: {times:?}");
    }
    assert!(totals.crashes > runs, "{}", totals.crashes);
    assert!(totals.judged > 500, "{}", totals.judged);
    assert!(totals.drifted > 300, "{}", totals.drifted);
    assert!(totals.repaired > 100, "{}", totals.repaired);
    assert!(totals.asked > 500, "{}", totals.asked);
    assert!(totals.approved > 200, "{}", totals.approved);
    assert!(totals.said_no > 50, "{}", totals.said_no);
    assert!(totals.outdated > 50, "{}", totals.outdated);
    assert!(totals.taken_back > 100, "{}", totals.taken_back);
    assert!(totals.meddled > 500, "{}", totals.meddled);
    assert!(totals.gone_on > 100, "{}", totals.gone_on);
    assert!(totals.found_to_deploy > 10, "{}", totals.found_to_deploy);
    assert!(
        totals.found_to_undeploy > 30,
        "{}",
        totals.found_to_undeploy
    );
}

#[test]
fn a_kill_at_every_moment_of_a_run_keeps_them_too() {
    let mut crashes = 0;
    for seed in [5, 31, 35] {
        let calm = run_seed(seed, Settings::foul(Kill::Never));
        let moments = calm.unwrap_or_else(|failure| panic!("{failure}")).moments;
        for moment in 1..=usize::try_from(moments).unwrap() {
            let killed = run_seed(seed, Settings::foul(Kill::At(moment)));
            // The last moments are those in which all is taken down again, without a kill.
            crashes += killed.unwrap_or_else(|failure| panic!("{failure}")).crashes;
        }
    }
    assert!(crashes > 600, "{crashes}");
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..20 {
        let (once, _) = trace_seed(seed, Settings::of_seed(seed));
        let (again, _) = trace_seed(seed, Settings::of_seed(seed));
        assert!(once.len() > 1);
        assert_eq!(once, again);
    }
}

#[test]
fn the_seed_that_is_asked_for() {
    let Some(seed) = number("ENGINEHOUSE_SEED").unwrap() else {
        return;
    };
    let mut settings = Settings::of_seed(seed);
    if let Ok(kill) = env::var("ENGINEHOUSE_KILL") {
        settings.kill = kill.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let (trace, failed) = trace_seed(seed, settings);
    for line in &trace {
        println!("{line}");
    }
    println!("seed {seed}, killed {}", settings.kill);
    assert_eq!(failed, None);
}
