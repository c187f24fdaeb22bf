//! What people want: orders, and what they want otherwise soon after.

use enginehouse_model::FullName;
use serde_json::{Value, json};

use super::approvers::approvals;
use super::{FOLDERS, name};
use crate::memory::OperationDocument;
use crate::orders::{Kind, Order, Params};
use crate::random::Random;
use crate::run::Simulation;
use crate::violation::Violation;
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
            79..=80 => (Kind::Stop, folder),
            81 => (Kind::Reconfigure, folder),
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
            confirm_lowered: random.chance(600),
            ..Params::default()
        };
        if is_folder && kind == Kind::Reconfigure && random.chance(700) {
            // On most days what is done to folders is about to be seen in them.
            params.waves = waves(random);
            params.max_failures = 1 + u32::from(random.chance(300));
            params.rollback = random.chance(150);
        }
        match kind {
            Kind::Reconfigure if !is_folder && random.chance(800) => {
                params.change = Some(change(random));
            }
            Kind::Edit => params.change = Some(change(random)),
            Kind::Provision => params.change = Some(machine(random, 100)),
            Kind::Move => {
                let last = path.rsplit('/').next().unwrap_or("x");
                let to = random.pick(&FOLDERS).copied().unwrap_or("/");
                let suffix = if random.chance(500) { "x" } else { "" };
                let to = format!("{}/{last}{suffix}", to.trim_end_matches('/'));
                params.to = Some(name(&to));
            }
            Kind::Reconfigure | Kind::Start => params.automatic = random.chance(600),
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
        if order.kind == Kind::Undeploy && self.below(3) == 0 {
            self.think_better_of(&order.path);
            return;
        }
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
            Kind::Reconfigure if random.chance(500) => return,
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

impl Simulation {
    /// A person takes back what some operation did, mostly the last one.
    pub(super) fn go_back(&mut self) -> Result<(), Violation> {
        let operations = self.disk.operations.values().rev();
        let ended = operations.filter(|row| row.ended_at.is_some());
        let documents = ended.filter_map(|row| {
            let document = row.document.read::<OperationDocument>().ok()?;
            let whole = document.kind == Kind::Reconfigure.name() && document.parent.is_none();
            whole.then_some((row.id, document.path))
        });
        let candidates: Vec<_> = documents.take(3).collect();
        let random = &mut self.outside.random;
        let last = candidates.first().filter(|_| random.chance(600));
        let picked = last.or_else(|| random.pick(&candidates));
        let Some((of, path)) = picked.cloned() else {
            return Ok(());
        };
        let params = Params {
            of: Some(of),
            ..Params::default()
        };
        self.order(Order {
            params,
            ..Order::of(Kind::Rollback, path)
        })
    }

    /// What is on its way to be destroyed is protected, and not for long.
    fn think_better_of(&mut self, path: &FullName) {
        let folder = path.parent().unwrap_or_else(FullName::root);
        let mut after = self.below(4_000);
        for protect in [json!(true), Value::Null] {
            let params = Params {
                change: Some(json!({"protect": protect})),
                confirm_lowered: true,
                ..Params::default()
            };
            let edit = Order {
                params,
                ..Order::of(Kind::Edit, folder.clone())
            };
            self.later_outside(after, WorldWork::Order(Box::new(edit)));
            after += self.below(40_000);
        }
    }
}

/// `asks`: of a thousand, so many ask for approvals.
pub(super) fn machine(random: &mut Random, asks: u64) -> Value {
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
    if random.chance(60) {
        definition["protect"] = json!(random.chance(700));
    }
    if random.chance(asks) {
        definition["approvals"] = approvals(random);
    }
    if random.chance(200) {
        let policy = random.pick(&["observe", "disruptive"]);
        definition["policy"] = json!(policy);
    }
    if random.chance(100) {
        definition["on_failure"] = json!("rollback");
    }
    definition
}

/// How many machines at a time.
fn waves(random: &mut Random) -> Vec<usize> {
    match random.below(4) {
        0 => Vec::new(),
        1 => vec![1, 1, 1],
        2 => vec![1, 2],
        _ => vec![2],
    }
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
    match random.below(8) {
        6 | 7 => match random.below(4) {
            0 => json!({"disks": {"data": {"size": "4GiB"}}}),
            1 => json!({"disks": {"root": {"size": "16GiB"}, "logs": {"size": "2GiB"}}}),
            _ => json!({"disks": null}),
        },
        0 => json!({"vcpu": 1 + random.below(4)}),
        1 => json!({"memory": format!("{}GiB", 1 + random.below(4))}),
        2 if random.chance(250) => json!({"description": null}),
        2 => json!({"description": format!("the {}.", random.below(3))}),
        3 if random.chance(400) => match random.chance(600) {
            true => json!({"approvals": approvals(random)}),
            false => json!({"approvals": null}),
        },
        3 if random.chance(300) => {
            let policies = [
                json!("observe"),
                json!("benign"),
                json!("disruptive"),
                Value::Null,
            ];
            json!({"policy": random.pick(&policies)})
        }
        3 => {
            let said = [json!(true), json!(false), Value::Null];
            json!({"protect": random.pick(&said)})
        }
        4 => json!({"labels": {"tier": format!("t{}", random.below(3))}}),
        _ => json!({"vcpu": 1 + random.below(4), "memory": "2GiB"}),
    }
}
