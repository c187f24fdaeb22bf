//! What follows from a look at a hypervisor.

use std::sync::Arc;

use enginehouse_api::DriftEvent;
use enginehouse_engines::Engine;
use enginehouse_model::{HypervisorUid, Timestamp};
use enginehouse_reconcile::{KeptBack, News, remember};

use crate::continuous::comparing::{Compared, compare};
use crate::continuous::{bounds, following, repairing, showing, watched};
use crate::events::Draft;
use crate::house::{House, Staged, State};
use crate::work::{Target, plan_automatic};

/// Takes in what a round of observation of a hypervisor has found, and orders what may be done about it.
/// What was read longer than `full_ms` ago does not count.
pub(crate) async fn after_round(
    house: &Arc<House>,
    hypervisor: HypervisorUid,
    engine: &Engine,
    full_ms: u64,
) {
    let compared = compare(house, hypervisor, engine, full_ms).await;
    take_in(house, compared).await;
    // After a restore nothing is begun until people have said that it may go on.
    if house.config.no_repair || house.state.lock().hold.is_some() {
        return;
    }
    repairing::order(house, hypervisor).await;
    following::order(house, hypervisor).await;
}

async fn take_in(house: &Arc<House>, compared: Vec<Compared>) {
    let mut judged = Vec::with_capacity(compared.len());
    for one in compared {
        let kept_back = kept_back(house, &one).await;
        judged.push((one, kept_back));
    }
    let is_clean = {
        let state = house.state.lock();
        let mut watched = state.watched.keys();
        watched.all(|machine| state.records.contains_key(machine))
    };
    if judged.is_empty() && is_clean {
        return;
    }
    // What is not taken in is found again when something of the machine changes, at the latest after
    // a restart.
    let _ = house
        .transact(|state, staged, now| {
            watched::forget_gone(&mut state.watched, staged, &state.records);
            for (one, kept_back) in judged {
                note(house, state, staged, &one, kept_back, now);
            }
            Ok(())
        })
        .await;
}

/// What of the drift of a machine is not repaired without a person, and why. `None`: it could not be
/// found out.
async fn kept_back(house: &Arc<House>, one: &Compared) -> Option<Vec<KeptBack>> {
    if one.drift.is_empty() {
        return Some(Vec::new());
    }
    let target = Target::of(house, one.node).ok()?;
    let bounds = {
        // Whether another field is left from now on is known when this is taken in.
        let state = house.state.lock();
        bounds(&state, one.node, false)
    };
    let planned = plan_automatic(&target, &bounds, Some(&one.observed)).await;
    planned.ok().map(|(_, kept_back)| kept_back)
}

fn note(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    one: &Compared,
    kept_back: Option<Vec<KeptBack>>,
    now: Timestamp,
) {
    let is_as_compared = state.records.get(&one.machine).is_some_and(|record| {
        record.node == one.node && record.last_step_ended == one.last_step_ended
    });
    if !is_as_compared {
        return;
    }
    let mut known = state.watched.get(&one.machine).cloned().unwrap_or_default();
    let (drift, news) = remember(&known.drift, &one.drift, one.seen_at);
    known.drift = drift;
    known.seen_at = one.seen_at;
    known.repairs.judge(&known.drift, now);
    known.kept_back = kept_back;
    watched::put(&mut state.watched, staged, one.machine, known);
    if news == News::Nothing {
        return;
    }
    let Ok(path) = state.tree.full_name(one.node).cloned() else {
        return;
    };
    tracing::info!(path = %path, fields = one.drift.len(), "drift {}", word(news));
    if staged.told.wanted {
        let event = DriftEvent {
            node: one.node,
            path: path.clone(),
            drift: showing::drift_of(house, state, one.node),
        };
        let draft = Draft::new("drift", Some(one.node), &path, &event);
        staged.told.drafts.push(draft);
    }
}

fn word(news: News) -> &'static str {
    match news {
        News::Nothing => "is the same",
        News::Appeared => "appeared",
        News::Changed => "changed",
        News::Gone => "is gone",
    }
}
