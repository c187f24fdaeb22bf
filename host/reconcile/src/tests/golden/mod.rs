//! Whole plans as people read them, one scripted world each. The texts are reviewed as texts:
//! `snapshots/` beside each module, brought up to date with `INSTA_UPDATE=always`.

mod adoption;
mod changes;
mod creation;
mod differences;
mod disks;
mod folders;
mod limits;
mod lost;
mod nics;
mod replace;
mod run_state;
mod taken_down;

use enginehouse_model::Timestamp;
use enginehouse_model::documents::Config;
use serde_json::{Map, Value};

use super::world::{MIB, World};
use crate::{Intent, Layout, Plan, plan};

/// When the plans are read.
const NOW: Timestamp = Timestamp(1_700_000_000_000);

macro_rules! golden {
    ($plan:expr) => {
        insta::assert_snapshot!(crate::tests::golden::text(&$plan, None))
    };
    ($plan:expr, $limit:expr) => {
        insta::assert_snapshot!(crate::tests::golden::text(&$plan, Some($limit)))
    };
}
pub(super) use golden;

pub(super) fn text(plan: &Plan, limit: Option<usize>) -> String {
    let now = Some(NOW);
    crate::render(plan, Layout { now, limit })
}

fn small() -> Config {
    Config {
        name: Some("vm".to_owned()),
        vcpu: Some(2),
        memory: Some(2048 * MIB),
        ..Config::default()
    }
}

fn settings(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Deployed, shown and wanted as [`small`].
fn same(number: u128) -> World {
    World::new(number)
        .desired(small())
        .deployed(small())
        .observed(small())
}

/// The plan with where the definition's values come from.
fn traced(world: &World, intent: Intent, origins: &[(&str, &str)]) -> Plan {
    let mut plan = plan(&[world.subject(intent)]);
    for machine in &mut plan.machines {
        machine.trace(origins);
    }
    plan
}

fn all(worlds: &[World], intent: Intent) -> Plan {
    let subjects: Vec<_> = worlds.iter().map(|world| world.subject(intent)).collect();
    plan(&subjects)
}
