//! The tree at the size it is made for: what loading and edits cost, beside maps that are cloned and
//! merged.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, anyhow};
use enginehouse_model::{InstallationId, NodeUid};
use enginehouse_store::{Commit, Document, Opening, Store, Table as StoreTable};
use enginehouse_tests::Estate;
use enginehouse_tree::{Definition, Node, Tree};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::core_time::{on_core, since};
use super::sample::{Samples, Table, ratio};

const ROUNDS: usize = 7;
/// One folder in the middle: 6 levels below the root, a thirty-second of the estate below it.
const MIDDLE: u32 = 32;

pub fn measure() -> Result<Table> {
    let mut table = Table::default();
    // First of all, while the process is small.
    memory(&mut table)?;
    let large = Estate::LARGE;
    let full = loaded(large)?;
    let naive = Naive::of(large)?;
    let merged = naive_full(&naive);
    table.line("full computation (load of the nodes)", &full);
    table.line("naive clone + merge of all, no origins", &merged);
    table.line("full computation / naive", ratio(&full, &merged));
    let mut tree = Tree::load(large.stored()?)?;
    edits(large, &mut tree, &mut table, &merged)?;
    drop(tree);
    store(large, &mut table)?;
    Ok(table)
}

/// Resident memory of a loaded tree, over that of the process before.
fn memory(table: &mut Table) -> Result<()> {
    let estate = Estate::LARGE;
    let before = resident()?;
    let nodes = estate.stored()?;
    let stored = resident()?;
    let tree = Tree::load(nodes)?;
    let after = resident()?;
    let each = |bytes: u64| format!("{} B", bytes / u64::from(estate.descriptors()));
    table.line(
        "memory per descriptor, all of it",
        each(after.saturating_sub(before)),
    );
    table.line(
        "of that what is written on the nodes",
        each(stored.saturating_sub(before)),
    );
    drop(tree);
    Ok(())
}

/// `VmRSS` of this process, in bytes.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmRSS in /proc/self/status")?
        .trim()
        .parse()?;
    Ok(kib * 1024)
}

fn loaded(estate: Estate) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        let nodes = estate.stored()?;
        let began = on_core();
        let tree = Tree::load(nodes)?;
        samples.add(since(began));
        drop(tree);
    }
    Ok(samples)
}

fn edits(estate: Estate, tree: &mut Tree, table: &mut Table, merged: &Samples) -> Result<()> {
    let middle = estate.nodes_from(MIDDLE);
    for (what, node, rounds, cost) in [
        ("one edit at the bottom", estate.bottom(), 200, 1),
        ("one edit in the middle", estate.folder(MIDDLE), 20, middle),
        (
            "one edit at the root",
            estate.root(),
            ROUNDS,
            estate.nodes(),
        ),
    ] {
        let before = tree.computations();
        let took = edited(tree, node, rounds)?;
        let computed = (tree.computations() - before) / rounds as u64;
        anyhow::ensure!(
            computed == u64::from(cost),
            "{what} computed {computed} nodes"
        );
        table.line(format!("{what}, {cost} of {} nodes", tree.len()), &took);
        if node == estate.root() {
            table.line("edit at the root / naive", ratio(&took, merged));
        }
    }
    Ok(())
}

/// A description there, and away again.
fn edited(tree: &mut Tree, node: NodeUid, rounds: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 0..rounds {
        let mut document = tree.node(node)?.local.to_json();
        document["description"] = json!(format!("round {round}"));
        let definition = Definition::from_json(&document).map_err(|found| anyhow!("{found:?}"))?;
        let began = on_core();
        let change = tree.set_definition(node, definition, None, &mut Uuid::now_v7)?;
        samples.add(since(began));
        drop(change);
    }
    Ok(samples)
}

/// The least that inheritance can be: maps cloned and merged, without checks, names or origins.
struct Naive {
    /// Parents first.
    nodes: Vec<(NodeUid, Option<NodeUid>, Map<String, Value>)>,
}

impl Naive {
    fn of(estate: Estate) -> Result<Self> {
        let nodes = estate
            .planted()
            .map(|node| match node.local {
                Value::Object(local) => Ok((node.uid, node.parent, local)),
                other => Err(anyhow!("{other} is no definition")),
            })
            .collect::<Result<_>>()?;
        Ok(Self { nodes })
    }

    fn computed(&self) -> HashMap<NodeUid, Map<String, Value>> {
        let mut all: HashMap<NodeUid, Map<String, Value>> =
            HashMap::with_capacity(self.nodes.len());
        for (uid, parent, local) in &self.nodes {
            let mut merged = parent
                .and_then(|parent| all.get(&parent))
                .cloned()
                .unwrap_or_default();
            if let Some(Value::Object(defined)) = local.get("prototypes") {
                merge_members(&mut merged, "prototypes", defined);
            }
            let used = local.get("use_prototype").and_then(Value::as_str);
            let prototype = used
                .and_then(|name| merged.get("prototypes")?.get(name))
                .cloned();
            if let Some(Value::Object(prototype)) = prototype {
                merge(&mut merged, &prototype);
            }
            merge(&mut merged, local);
            all.insert(*uid, merged);
        }
        all
    }
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (key.as_str(), value) {
            ("disks" | "nics", Value::Object(entries)) => {
                let Some(held) = members(into, key) else {
                    continue;
                };
                for (name, entry) in entries {
                    if let Value::Object(fields) = entry {
                        merge_members(held, name, fields);
                    }
                }
            }
            (
                "labels" | "settings" | "placement" | "guest" | "prototypes" | "hypervisors",
                Value::Object(entries),
            ) => {
                merge_members(into, key, entries);
            }
            _ => _ = into.insert(key.clone(), value.clone()),
        }
    }
}

fn merge_members(into: &mut Map<String, Value>, key: &str, from: &Map<String, Value>) {
    if let Some(held) = members(into, key) {
        for (key, value) in from {
            held.insert(key.clone(), value.clone());
        }
    }
}

fn members<'m>(of: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Map<String, Value>> {
    of.entry(key).or_insert_with(|| json!({})).as_object_mut()
}

fn naive_full(naive: &Naive) -> Samples {
    let mut samples = Samples::default();
    for _ in 0..ROUNDS.min(3) {
        let began = on_core();
        let all = naive.computed();
        samples.add(since(began));
        drop(all);
    }
    samples
}

/// From the data directory to the tree, as a start of the host does it.
fn store(estate: Estate, table: &mut Table) -> Result<()> {
    let dir = tempfile::tempdir_in(enginehouse_tests::target_dir())?;
    let opening = Opening {
        host: "bench".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(1)),
        max_pages: None,
    };
    let (store, loaded) = Store::open(dir.path(), &opening)?;
    for chunk in estate.stored()?.chunks(5_000) {
        let mut commit = Commit::new(loaded.fence);
        for node in chunk {
            commit = commit.put(
                StoreTable::Node,
                node.uid.to_string(),
                Document::of(1, node)?,
            );
        }
        store.submit(commit).wait()?;
    }
    drop(store);
    let (mut opened, mut read, mut all) = <(Samples, Samples, Samples)>::default();
    for _ in 0..3 {
        let began = on_core();
        let (store, loaded) = Store::open(dir.path(), &opening)?;
        opened.add(since(began));
        let reading = on_core();
        let nodes = loaded
            .nodes
            .iter()
            .map(|row| row.document.read())
            .collect::<Result<Vec<Node>, _>>()?;
        read.add(since(reading));
        let tree = Tree::load(nodes)?;
        all.add(since(began));
        drop((tree, store));
    }
    table.line("load from the store, all of it", &all);
    table.line("of that the database", &opened);
    table.line("of that reading the documents", &read);
    Ok(())
}
