//! The engine against a scripted provider, and against the world of the simulation.

mod description;
mod faults;
mod parts;
mod scripted;
mod simulated;

use std::cell::RefCell;
use std::rc::Rc;

use enginehouse_sdk::prelude::*;
use enginehouse_sdk::testing::{Answer, Hypervisor};
use enginehouse_sim::{Fault, SimConfig, World};
use serde_json::json;

const GIB: u64 = 1 << 30;

/// A hypervisor whose answers are those of a simulated world, on the test's clock.
fn simulated() -> (Rc<RefCell<World>>, Hypervisor) {
    let world = Rc::new(RefCell::new(World::new(&SimConfig::default())));
    let (behind, mut began) = (Rc::clone(&world), None);
    let hypervisor = Hypervisor::world(move |request| {
        let mut world = behind.borrow_mut();
        let now = request.at - *began.get_or_insert(request.at);
        world.advance(now);
        let (path, query) = (request.path.as_str(), &request.query);
        let if_match = request.header("if-match");
        match world.ask(&request.method, path, query, if_match, &request.body) {
            Some((status, body)) => Answer::json(body).status(status),
            None => Answer::lost(),
        }
    });
    (world, hypervisor)
}

fn fault(world: &Rc<RefCell<World>>, fault: Fault) {
    world.borrow_mut().knobs.faults.push(fault);
}

fn create(desired: serde_json::Value) -> ActionRequest {
    let desired = serde_json::from_value(desired).unwrap();
    ActionRequest {
        machine: None,
        action: Action::Create { desired },
    }
}

/// A machine from image `d12`.
fn web() -> ActionRequest {
    create(json!({
        "name": "web", "base_image": "d12", "vcpu": 2, "memory": GIB + 1, "labels": {"tier": "front"},
        "disks": {"data": {"size": GIB}, "root": {"size": 12 * GIB}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 7}},
    }))
}

fn on(id: &str, action: Action) -> ActionRequest {
    ActionRequest {
        machine: Some(MachineRef {
            id: id.to_owned(),
            ..MachineRef::default()
        }),
        action,
    }
}

fn configure(desired: serde_json::Value, changed: &[&str], seen: Option<&Machine>) -> Action {
    Action::Configure {
        desired: serde_json::from_value(desired).unwrap(),
        changed: changed.iter().map(|&field| field.to_owned()).collect(),
        observed: seen.cloned().map(Box::new),
    }
}

fn stop(graceful: bool) -> Action {
    Action::Stop {
        graceful,
        timeout_ms: Some(5000),
    }
}
