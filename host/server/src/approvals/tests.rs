//! When an approval is good, to the millisecond.

use std::sync::Arc;

use enginehouse_approval::Signed;
use enginehouse_documents::{Action as EngineAction, ActionRequest};
use enginehouse_model::{NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Event, Operation, Spec};
use enginehouse_reconcile::{Class, GatedAction, Grounds, PlannedAction, Unit};
use enginehouse_tree::Definition;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Request, Verdict, before_step, decide};
use crate::access::Caller;
use crate::house::{House, Staged, State};
use crate::{Running, ServeConfig, Server};

const KEY: &str = include_str!("../../../approval/tests/vectors/ed25519.pub");
const SIGNATURE: &str = include_str!("../../../approval/tests/vectors/ed25519.sig");
const FINGERPRINT: &str = "SHA256:xZgcXCI222o4uAawess6OCcGU0BIYX8rH715gZbg3+8";
const NUMBER: OperationId = OperationId(7);
const NOW: Timestamp = Timestamp(1_000_000);
const LIFETIME: u64 = 5_000;
const UNTIL: Timestamp = Timestamp(1_005_000);

async fn host() -> (tempfile::TempDir, Running) {
    let data = tempfile::tempdir().unwrap();
    let mut config = ServeConfig::new(data.path().to_owned());
    config.listen.set_port(0);
    let running = Server::start(config).await.unwrap();
    (data, running)
}

/// `/vm` asks for one approval of the key; operation 7 on it is being planned.
fn plant(house: &House) -> (NodeUid, Unit) {
    let mut state = house.state.lock();
    let root = state.tree.root();
    let asks = json!({"approvals": {"need": 1, "keys": [KEY.trim()]}});
    let asks = Definition::from_json(&asks).unwrap();
    let _ = state
        .tree
        .provision(root, "vm", asks, &mut Uuid::now_v7)
        .unwrap();
    let path = "/vm".parse().unwrap();
    let node = state.tree.find(&path).unwrap();
    let spec = Spec::new(NUMBER, "undeploy", node, path, "cleo", NOW);
    let _ = state.queue.submit(vec![spec], NOW);
    let planned = destroy();
    let unit = Unit::of(&grounds(&state, node, "e1"), [&planned]).unwrap();
    (node, unit)
}

fn destroy() -> PlannedAction {
    PlannedAction {
        order: 1,
        request: ActionRequest {
            machine: None,
            action: EngineAction::Destroy { keep: Vec::new() },
        },
        disk: None,
        nic: None,
        class: Class::Destructive,
        reason: "with its disks".to_owned(),
        fields: Vec::new(),
        takes_over: None,
    }
}

fn grounds<'a>(state: &'a State, node: NodeUid, engine: &'a str) -> Grounds<'a> {
    Grounds {
        name: state.tree.full_name(node).unwrap(),
        node,
        hypervisor: enginehouse_model::HypervisorUid::from_uuid(Uuid::nil()),
        hypervisor_name: "pve",
        record: None,
        observed: None,
        engine,
    }
}

fn verdict(house: &House, unit: Option<&Unit>, now: Timestamp) -> Verdict {
    let state = house.state.lock();
    let operation = state.queue.get(NUMBER).unwrap();
    decide(&state, house.installation, operation, unit, LIFETIME, now)
}

fn outdated(verdict: Verdict) -> String {
    match verdict {
        Verdict::Outdated(problem) => problem.message,
        Verdict::Go => "goes on".to_owned(),
        Verdict::Ask(_) => "asks".to_owned(),
        Verdict::Never(problem) => problem.message,
    }
}

/// People are asked, and one with the key has signed.
fn approved(house: &House, unit: &Unit) -> Request {
    let Verdict::Ask(request) = verdict(house, Some(unit), NOW) else {
        panic!("nobody is asked");
    };
    assert_eq!((request.asked_at, request.until), (NOW, UNTIL));
    let mut state = house.state.lock();
    let asks = Event::Asks {
        request: serde_json::to_value(&request).unwrap(),
        until: request.until,
    };
    let _ = state.queue.handle(NUMBER, asks, NOW).unwrap();
    let signed = Signed {
        owner: "ann@laptop".to_owned(),
        fingerprint: FINGERPRINT.to_owned(),
        by: "ann".to_owned(),
        at: NOW,
        signature: SIGNATURE.to_owned(),
    };
    let signed: Value = serde_json::to_value(&signed).unwrap();
    let _ = state.queue.sign(NUMBER, signed, true, NOW).unwrap();
    *request
}

fn operation(house: &House) -> Operation {
    house.state.lock().queue.get(NUMBER).unwrap().clone()
}

fn step(house: &House, node: NodeUid, engine: &str, now: Timestamp) -> Result<(), String> {
    let operation = operation(house);
    let state = house.state.lock();
    let grounds = grounds(&state, node, engine);
    before_step(&state, &operation, &destroy(), &grounds, now).map_err(|problem| problem.message)
}

#[tokio::test]
async fn an_approval_is_good_until_its_time_and_not_at_it() {
    let (_data, running) = host().await;
    let house = running.house();
    let (node, unit) = plant(house);
    assert_eq!(outdated(verdict(house, None, NOW)), "goes on");
    approved(house, &unit);
    let last = Timestamp(UNTIL.0 - 1);
    assert_eq!(outdated(verdict(house, Some(&unit), last)), "goes on");
    let late = "it was approved, and its turn came too late";
    assert_eq!(outdated(verdict(house, Some(&unit), UNTIL)), late);
    assert_eq!(step(house, node, "e1", last), Ok(()));
    assert_eq!(step(house, node, "e1", UNTIL), Err(late.to_owned()));
    // Once a step of it was begun, the rest goes on.
    {
        let mut state = house.state.lock();
        let body = enginehouse_queue::Json::of(&destroy()).unwrap();
        let steps = ["destroy", "destroy"].map(|action| enginehouse_queue::StepSpec {
            action: action.to_owned(),
            reason: String::new(),
            template: None,
            may_escalate: false,
            may_be_left: false,
            body: body.clone(),
        });
        let plan = enginehouse_queue::StepPlan::from(steps.to_vec());
        let _ = state
            .queue
            .handle(NUMBER, Event::Prepared(Ok(plan)), NOW)
            .unwrap();
        let done = Event::NotNeeded(String::new());
        let _ = state.queue.handle(NUMBER, done, NOW).unwrap();
    }
    assert_eq!(step(house, node, "e1", UNTIL), Ok(()));
    assert!(
        step(house, node, "e2", UNTIL).is_err(),
        "but not as another"
    );
    running.stop().await;
}

#[tokio::test]
async fn it_is_too_late_to_sign_at_the_end_of_its_time_and_not_before() {
    let (_data, running) = host().await;
    let house = running.house();
    let (_, unit) = plant(house);
    let Verdict::Ask(request) = verdict(house, Some(&unit), NOW) else {
        panic!("nobody is asked");
    };
    {
        let mut state = house.state.lock();
        let asks = Event::Asks {
            request: serde_json::to_value(&request).unwrap(),
            until: request.until,
        };
        let _ = state.queue.handle(NUMBER, asks, NOW).unwrap();
        let caller = Caller::new(Arc::clone(house), "admin".parse().unwrap(), None);
        let mut sign = |now| {
            let staged = &mut Staged::default();
            let refused = super::sign(&mut state, staged, &caller, NUMBER, SIGNATURE, None, now);
            refused.unwrap_err().detail
        };
        // The signature is of another text.
        let last = sign(Timestamp(UNTIL.0 - 1));
        assert!(
            last.contains("not a signature of this text by ann@laptop"),
            "{last}"
        );
        assert_eq!(sign(UNTIL), "it is too late to approve operation 7");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_was_approved_counts_for_this_unit_these_keys_and_this_life_of_the_database() {
    let (_data, running) = host().await;
    let house = running.house();
    let (node, unit) = plant(house);
    assert_eq!(
        step(house, node, "e1", NOW),
        Err("/vm asks for approvals by now, and this was not approved".to_owned())
    );
    approved(house, &unit);
    let other = Unit {
        actions: vec![GatedAction {
            asks: "more".to_owned(),
            ..unit.actions[0].clone()
        }],
        ..unit.clone()
    };
    let said = outdated(verdict(house, Some(&other), NOW));
    assert!(
        said.starts_with("it is not what was approved any more: "),
        "{said}"
    );
    assert!(
        step(house, node, "e2", NOW)
            .unwrap_err()
            .contains("engine: e1 -> e2")
    );
    let keys = |keys: Value| {
        let asks = json!({"approvals": {"need": 1, "keys": keys}});
        let asks = Definition::from_json(&asks).unwrap();
        let mut state = house.state.lock();
        let uids = &mut Uuid::now_v7;
        let _ = state.tree.set_definition(node, asks, None, uids).unwrap();
    };
    keys(json!(["ssh-ed25519 AAAA nobody"]));
    let gone = "1 of the signatures do not count any more: the keys of /vm were changed";
    assert_eq!(outdated(verdict(house, Some(&unit), NOW)), gone);
    assert_eq!(step(house, node, "e1", NOW), Err(gone.to_owned()));
    keys(json!([KEY.trim()]));
    assert_eq!(step(house, node, "e1", NOW), Ok(()));
    // After a restore, people are asked anew.
    house.state.lock().fence.epoch.0 += 1;
    assert_eq!(outdated(verdict(house, Some(&unit), NOW)), "asks");
    assert!(step(house, node, "e1", NOW).is_err());
    running.stop().await;
}
