//! What is taken off a machine, by hosts that do it wrong.

use enginehouse_simulation::{Fault, Kill, Rule, Settings, breaks};

#[test]
fn removing_a_disk_that_somebody_else_put_there_is_found_out() {
    let found = (0..2_000).any(|seed| {
        let settings = Settings {
            fault: Some(Fault::TakesAllDisksForOurs),
            ..Settings::foul(Kill::PerMille(10))
        };
        breaks(seed, settings).is_some_and(|found| found.rule == Rule::Ours)
    });
    assert!(found);
}
