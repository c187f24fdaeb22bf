//! What is kept of what was destroyed, over time.

use enginehouse_documents::{Action as EngineAction, ActionRequest};
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::{Json, Spec, StepPlan, StepSpec};
use enginehouse_reconcile::Class;
use enginehouse_tree::Definition;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::house::House;
use crate::{Running, ServeConfig, Server};

const NOW: Timestamp = Timestamp(100 * LIMIT_WINDOW_MS);

async fn host() -> (tempfile::TempDir, Running) {
    let data = tempfile::tempdir().unwrap();
    let mut config = ServeConfig::new(data.path().to_owned());
    config.listen.set_port(0);
    let running = Server::start(config).await.unwrap();
    (data, running)
}

/// `/vm1` to `/vm3` below a root that says so; operation N on `/vmN` is being planned.
fn plant(house: &House, limit: &Value) {
    let mut state = house.state.lock();
    let root = state.tree.root();
    let define = |value: Value| Definition::from_json(&value).unwrap();
    let limit = define(json!({"destruction_limit": limit}));
    let uids = &mut Uuid::now_v7;
    let _ = state.tree.set_definition(root, limit, None, uids).unwrap();
    let mut specs = Vec::new();
    for n in 1..=3 {
        let name = format!("vm{n}");
        let _ = state
            .tree
            .provision(root, &name, Definition::default(), uids)
            .unwrap();
        let path: enginehouse_model::FullName = format!("/{name}").parse().unwrap();
        let node = state.tree.find(&path).unwrap();
        specs.push(Spec::new(
            OperationId(n),
            "undeploy",
            node,
            path,
            "cleo",
            NOW,
        ));
    }
    let _ = state.queue.submit(specs, NOW);
}

fn step(class: Class) -> StepSpec {
    let planned = PlannedAction {
        order: 1,
        request: ActionRequest {
            machine: None,
            action: EngineAction::Destroy { keep: Vec::new() },
        },
        disk: None,
        nic: None,
        class,
        reason: String::new(),
        fields: Vec::new(),
        takes_over: None,
    };
    StepSpec {
        action: "destroy".to_owned(),
        reason: String::new(),
        template: None,
        may_escalate: false,
        may_be_left: false,
        body: Json::of(&planned).unwrap(),
    }
}

fn plan(house: &House, number: u64, steps: Vec<StepSpec>) {
    let event = Event::Prepared(Ok(StepPlan::from(steps)));
    let mut state = house.state.lock();
    let _ = state.queue.handle(OperationId(number), event, NOW).unwrap();
}

fn operation(house: &House, number: u64) -> Operation {
    let state = house.state.lock();
    state.queue.get(OperationId(number)).unwrap().clone()
}

/// The current step begins; answers the rows that are written and removed.
fn begin(house: &House, number: u64, now: Timestamp) -> Vec<Write> {
    let operation = operation(house, number);
    let mut staged = Staged::default();
    note(&mut house.state.lock(), &mut staged, &operation, now);
    staged.writes
}

/// Until when it is held, counted from [`NOW`].
fn held_for(house: &House, number: u64, actions: usize, now: Timestamp) -> Option<u64> {
    let operation = operation(house, number);
    match held(&house.state.lock(), &operation, actions, now)? {
        Event::Held { until, .. } => Some(until.0 - NOW.0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_begins_counts_for_an_hour_and_its_row_goes_with_the_next() {
    let (_data, running) = host().await;
    let house = running.house();
    plant(house, &json!({"per_hour": 1}));
    assert_eq!(held_for(house, 2, 1, NOW), None);
    let written = begin(house, 1, NOW);
    assert!(matches!(written.as_slice(), [Write::Put { .. }]));
    let later = |ms| Timestamp(NOW.0 + ms);
    assert_eq!(held_for(house, 2, 0, NOW), None, "it destroys nothing");
    for at in [0, 1, LIMIT_WINDOW_MS - 1] {
        assert_eq!(held_for(house, 2, 1, later(at)), Some(LIMIT_WINDOW_MS));
    }
    assert_eq!(held_for(house, 2, 1, later(LIMIT_WINDOW_MS)), None);
    let written = begin(house, 2, later(LIMIT_WINDOW_MS));
    assert!(
        matches!(
            written.as_slice(),
            [Write::Delete { .. }, Write::Put { .. }]
        ),
        "{written:?}"
    );
    running.stop().await;
}

#[tokio::test]
async fn what_was_planned_takes_room_until_it_begins_and_its_own_does_not_hold_it() {
    let (_data, running) = host().await;
    let house = running.house();
    plant(house, &json!({"per_hour": 2}));
    let heavy = || step(Class::Destructive);
    plan(house, 1, vec![step(Class::Disruptive), heavy(), heavy()]);
    assert_eq!(held_for(house, 1, 2, NOW), None);
    let again = held_for(house, 2, 1, NOW).unwrap();
    assert!(again < LIMIT_WINDOW_MS, "nobody knows when that is over");
    // At its own step, what others only planned is no reason to wait: they found room beside it.
    plan(house, 2, vec![heavy()]);
    let planned: PlannedAction = heavy().body.read().unwrap();
    let second = operation(house, 2);
    let at_step = || before_step(&house.state.lock(), &second, &planned, NOW);
    assert!(at_step().is_none());
    begin(house, 1, NOW);
    begin(house, 1, NOW);
    assert!(at_step().is_some());
    running.stop().await;
}

#[tokio::test]
async fn what_is_stored_reads_back_in_the_order_of_its_times() {
    let (_data, running) = host().await;
    let house = running.house();
    plant(house, &json!({"percent": 40}));
    for (number, at) in [(1, 2), (2, 1)] {
        let mut written = begin(house, number, Timestamp(NOW.0 + at));
        let Some(Write::Put {
            table,
            key,
            document,
        }) = written.pop()
        else {
            panic!("{written:?}");
        };
        let mut commit = enginehouse_store::Commit::new(house.state.lock().fence);
        commit.writes = vec![Write::Put {
            table,
            key,
            document,
        }];
        house.store.commit(commit).await.unwrap();
    }
    let kept = house.state.lock().destroyed.clone();
    let config = house.config.clone();
    running.stop().await;
    let again = Server::start(config).await.unwrap();
    let read = again.house().state.lock().destroyed.clone();
    let times = |ledger: &Ledger| -> Vec<u64> { ledger.0.iter().map(|(_, it)| it.at.0).collect() };
    assert_eq!(times(&read), [NOW.0 + 1, NOW.0 + 2]);
    let mut entries = kept.0;
    entries.sort_by_key(|(_, it)| it.at);
    assert_eq!(read, Ledger(entries));
    again.stop().await;
}
