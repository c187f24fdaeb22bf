//! Plans of many machines, inheritance included: the root is edited, so that all is computed anew,
//! and one machine in a hundred is to be changed.
//!
//! Beside it the least that a comparison can be: two maps for each machine, already made, and the
//! values that differ written down. It knows no inheritance, no third side, no classes, no
//! ownership, and has nothing to say to a person.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use enginehouse_model::documents::{Config, Description, Machine, PowerState};
use enginehouse_model::{
    HypervisorUid, Identity, InstallationId, MachineRecord, MachineUid, Mark, NodeUid, OperationId,
    Timestamp,
};
use enginehouse_reconcile::{Intent, Layout, Plan, Rules, Subject, plan_one, render};
use enginehouse_tests::Estate;
use enginehouse_tree::{Computed, Definition, ResolvedHypervisor, Tree};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::core_time::{on_core, since};
use super::sample::{Samples, Table, ratio};

const ROUNDS: usize = 9;

pub fn measure() -> Result<Table> {
    let mut table = Table::default();
    for (estate, budget) in [
        (Estate::SMALLEST, ""),
        (Estate::SMALL, ", budget 50 ms"),
        (Estate::LARGE, ", budget 0.6 s"),
    ] {
        planned(estate, budget, &mut table)?;
    }
    Ok(table)
}

/// A machine on the two other sides.
struct Deployed {
    node: NodeUid,
    record: MachineRecord,
    observed: Machine,
}

impl Deployed {
    fn subject<'a>(
        &'a self,
        intent: Intent,
        computed: &'a Computed,
        used: &'a ResolvedHypervisor,
        desired: &'a Config,
        rules: &'a Rules,
    ) -> Subject<'a> {
        Subject {
            name: computed.full_name(),
            node: self.node,
            machine: Some(self.record.uid),
            hypervisor: used.uid,
            hypervisor_name: &used.name,
            intent,
            shutdown_timeout_ms: None,
            desired: Some(desired),
            record: Some(&self.record),
            observed: Some(&self.observed),
            rules,
            assessment: None,
        }
    }
}

fn planned(estate: Estate, budget: &str, table: &mut Table) -> Result<()> {
    let mut tree = Tree::load(estate.stored()?)?;
    let machines = deployed(&tree)?;
    let maps = maps(&tree, &machines)?;
    let rules = Rules::new(&description());
    let (mut whole, mut inherited, mut compared) = <(Samples, Samples, Samples)>::default();
    let (mut told, mut drift, mut naive) = <(Samples, Samples, Samples)>::default();
    let changed = machines.len() / 100;
    for round in 0..ROUNDS {
        let mut document = tree.node(tree.root())?.local.to_json();
        // Part of no configuration: what the machines are to be stays as it is.
        document["on_failure"] = json!(["keep", "rollback"][round % 2]);
        let definition = Definition::from_json(&document).map_err(|found| anyhow!("{found:?}"))?;
        let (root, before) = (tree.root(), tree.computations());

        let began = on_core();
        let change = tree.set_definition(root, definition, None, &mut Uuid::now_v7)?;
        inherited.add(since(began));
        let planning = on_core();
        let mut each = Vec::with_capacity(machines.len());
        for machine in &machines {
            let computed = tree.computed(machine.node)?;
            let desired = computed.config_or(&machine.record.deployed);
            let used = computed.hypervisor().context("it uses one")?;
            let intent = Intent::Reconfigure;
            each.push(plan_one(
                &machine.subject(intent, &computed, used, &desired, &rules),
            ));
        }
        let made = Plan::of(each);
        compared.add(since(planning));
        whole.add(since(began));

        // As after a look at a hypervisor whose machines have all changed in its list.
        let looking = on_core();
        let mut drifted = 0;
        for machine in &machines {
            let computed = tree.computed(machine.node)?;
            let desired = computed.config_or(&machine.record.deployed);
            let used = computed.hypervisor().context("it uses one")?;
            let intent = Intent::Observe;
            let plan = plan_one(&machine.subject(intent, &computed, used, &desired, &rules));
            drifted += usize::from(!plan.drift.is_empty());
        }
        drift.add(since(looking));
        ensure!(drifted == changed - changed / 2, "{drifted} have drifted");

        ensure!(tree.computations() - before == u64::from(estate.nodes()));
        let acts = made.machines.iter().filter(|made| !made.actions.is_empty());
        ensure!(acts.count() == changed, "{}", made.summary());
        let layout = Layout {
            now: None,
            limit: Some(50),
        };
        let telling = on_core();
        let text = render(&made, layout);
        told.add(since(telling));
        ensure!(!text.is_empty());
        let began = on_core();
        let differences = differences(&maps);
        naive.add(since(began));
        ensure!(differences.len() == changed);
        drop((change, made, differences));
    }
    let count = machines.len();
    table.line(format!("plan of {count} machines{budget}"), &whole);
    table.line("  of that inheritance", &inherited);
    table.line("  of that the planner", &compared);
    table.line("  its text, 50 machines of it", &told);
    table.line("  drift of all, nothing computed anew", &drift);
    table.line("  naive: maps compared", &naive);
    table.line("  plan / naive", ratio(&whole, &naive));
    table.line("  the planner / naive", ratio(&compared, &naive));
    Ok(())
}

/// What is wanted and what is shown, by one key for each value.
type Maps = (Map<String, Value>, Map<String, Value>);

fn maps(tree: &Tree, machines: &[Deployed]) -> Result<Vec<Maps>> {
    let of = |config: &Config| -> Result<Map<String, Value>> {
        let mut flat = Map::new();
        // Shown without a run state.
        let config = Config {
            power: None,
            ..config.clone()
        };
        flatten("", &serde_json::to_value(config)?, &mut flat);
        Ok(flat)
    };
    let machines = machines.iter();
    machines
        .map(|machine| {
            let desired = tree.computed(machine.node)?.config();
            let observed = machine.observed.config.as_ref();
            Ok((of(&desired)?, of(observed.context("it was read")?)?))
        })
        .collect()
}

fn flatten(path: &str, value: &Value, flat: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flatten(&format!("{path}.{name}"), value, flat);
            }
        }
        value => drop(flat.insert(path.to_owned(), value.clone())),
    }
}

/// Which value of which machine is to go from what to what.
type Difference<'m> = (usize, &'m str, Value, Value);

fn differences(maps: &[Maps]) -> Vec<Difference<'_>> {
    let mut differences = Vec::new();
    for (at, (desired, observed)) in maps.iter().enumerate() {
        for (key, wanted) in desired {
            let shown = observed.get(key);
            if shown != Some(wanted) {
                let shown = shown.cloned().unwrap_or_default();
                differences.push((at, key.as_str(), shown, wanted.clone()));
            }
        }
    }
    differences
}

/// Machines as the tree wants them, but one in a hundred: half of those have drifted, half were
/// deployed otherwise.
fn deployed(tree: &Tree) -> Result<Vec<Deployed>> {
    let mut machines = Vec::new();
    for (number, node) in (1_u64..).zip(tree.descriptors(tree.root())?) {
        let computed = tree.computed(node.uid)?;
        let mut deployed = computed.config();
        let mut shown = Config {
            power: None,
            ..deployed.clone()
        };
        if number % 100 == 0 {
            shown.vcpu = Some(31);
        }
        if number % 200 == 0 {
            deployed.vcpu = Some(31);
        }
        let uid = MachineUid::from_uuid(Uuid::from_u128(number.into()));
        let mark = Mark {
            installation: InstallationId::from_uuid(Uuid::from_u128(1)),
            machine: uid,
            operation: OperationId(7),
        };
        let names = deployed.disks.keys().chain(deployed.nics.keys());
        machines.push(Deployed {
            node: node.uid,
            observed: Machine {
                id: number.to_string(),
                kind: Some("qemu".to_owned()),
                incarnation: Some(format!("smbios-{number}")),
                mark: Some(mark.to_string()),
                power: PowerState::Running,
                config: Some(shown),
                ..Machine::default()
            },
            record: MachineRecord {
                uid,
                node: node.uid,
                hypervisor: HypervisorUid::from_uuid(Uuid::from_u128(1)),
                provider_identity: "cluster".to_owned(),
                mark,
                created_by: OperationId(7),
                identity: Some(Identity {
                    machine_id: number.to_string(),
                    kind: Some("qemu".to_owned()),
                    host: None,
                    incarnation: Some(format!("smbios-{number}")),
                }),
                slots: names.map(|name| (name.clone(), name.clone())).collect(),
                deployed,
                last_step_ended: Timestamp(0),
                unnoted: false,
                protected: None,
            },
        });
    }
    Ok(machines)
}

fn description() -> Description {
    Description {
        name: "bench".to_owned(),
        actions: [
            "create",
            "create.from-image",
            "configure",
            "start",
            "stop",
            "disk-add",
            "disk-grow",
            "nic.addresses",
        ]
        .map(str::to_owned)
        .into(),
        fields: BTreeMap::new(),
        ..Description::default()
    }
}
