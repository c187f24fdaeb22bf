//! What people want: orders, and what they want otherwise soon after.

use serde_json::{Value, json};

use super::{FOLDERS, name};
use crate::orders::{Kind, Order, Params};
use crate::random::Random;
use crate::run::Simulation;
use crate::work::WorldWork;

impl Simulation {
    pub(super) fn some_order(&mut self, paths: &[String]) -> Order {
        let random = &mut self.outside.random;
        let one = random.pick(paths).cloned().unwrap_or_default();
        let folder = random.pick(&FOLDERS).copied().unwrap_or("/").to_owned();
        let at = random.below(100);
        let (kind, path) = match at {
            0..=24 => (Kind::Deploy, one),
            25..=31 => (Kind::Deploy, folder),
            32..=43 => (Kind::Undeploy, one),
            44..=46 => (Kind::Undeploy, folder),
            47..=58 => (Kind::Reconfigure, one),
            59..=62 => (Kind::Reconfigure, folder),
            63..=68 => (Kind::Stop, one),
            69..=74 => (Kind::Start, one),
            75..=78 => (Kind::Restart, one),
            79..=81 => (Kind::Stop, folder),
            82..=87 => (Kind::Edit, one),
            88..=91 => (Kind::Edit, folder),
            92..=94 => (Kind::Move, one),
            95 => (Kind::Move, "/a/b".to_owned()),
            96..=97 => (Kind::Deprovision, one),
            _ => (
                Kind::Provision,
                format!("{}/new", folder.trim_end_matches('/')),
            ),
        };
        let is_folder = FOLDERS.contains(&path.as_str());
        let mut params = Params {
            force: random.chance(300),
            rollback: random.chance(400),
            ..Params::default()
        };
        match kind {
            Kind::Reconfigure if !is_folder && random.chance(800) => {
                params.change = Some(change(random));
            }
            Kind::Edit => params.change = Some(change(random)),
            Kind::Provision => params.change = Some(machine(random)),
            Kind::Move => {
                let last = path.rsplit('/').next().unwrap_or("x");
                let to = random.pick(&FOLDERS).copied().unwrap_or("/");
                let suffix = if random.chance(500) { "x" } else { "" };
                let to = format!("{}/{last}{suffix}", to.trim_end_matches('/'));
                params.to = Some(name(&to));
            }
            Kind::Reconfigure | Kind::Start => params.automatic = random.chance(400),
            _ => {}
        }
        Order {
            params,
            ..Order::of(kind, name(&path))
        }
    }

    /// Who has ordered something may soon want it otherwise.
    pub(crate) fn follow_up(&mut self, order: &Order) {
        if !self.mishap(300) {
            return;
        }
        let after = self.below(6_000);
        let random = &mut self.outside.random;
        let mut params = Params::default();
        let kind = match order.kind {
            Kind::Stop if !order.params.force && random.chance(600) => {
                params.force = true;
                Kind::Stop
            }
            Kind::Stop => Kind::Start,
            Kind::Reconfigure if !order.params.automatic => {
                params.change = order.params.change.as_ref().map(|_| change(random));
                Kind::Reconfigure
            }
            Kind::Deploy => Kind::Stop,
            // A new one in its place.
            Kind::Undeploy => Kind::Deploy,
            _ => return,
        };
        let again = Order {
            params,
            ..Order::of(kind, order.path.clone())
        };
        self.later_outside(after, WorldWork::Order(Box::new(again)));
        self.later_outside(after + 1, WorldWork::Reposition);
    }
}

pub(super) fn machine(random: &mut Random) -> Value {
    let mut definition = json!({});
    if random.chance(500) {
        definition["disks"] = json!({"data": {"size": "4GiB"}});
    }
    if random.chance(200) {
        definition["disks"] = json!({"root": {"size": "16GiB"}});
    }
    if random.chance(300) {
        definition["power"] = json!("running");
    }
    if random.chance(100) {
        definition["power"] = json!("stopped");
    }
    if random.chance(100) {
        definition["on_failure"] = json!("rollback");
    }
    definition
}

/// What a machine needs: others, or all that are in a folder.
pub(super) fn needs(random: &mut Random, paths: &[String]) -> Vec<String> {
    let mut needed: Vec<String> = Vec::new();
    for _ in 0..=random.below(2) {
        let one = match random.chance(150) {
            true => random.pick(&FOLDERS).map(|folder| (*folder).to_owned()),
            false => random.pick(paths).cloned(),
        };
        needed.extend(one.filter(|one| !needed.contains(one)));
    }
    needed
}

fn change(random: &mut Random) -> Value {
    match random.below(5) {
        0 => json!({"vcpu": 1 + random.below(4)}),
        1 => json!({"memory": format!("{}GiB", 1 + random.below(4))}),
        2 => json!({"description": format!("the {}.", random.below(3))}),
        3 => json!({"labels": {"tier": format!("t{}", random.below(3))}}),
        _ => json!({"vcpu": 1 + random.below(4), "memory": "2GiB"}),
    }
}
