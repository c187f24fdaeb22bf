//! `rollback --of N`: what an operation changed is taken back, on the machines that nobody has changed
//! since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enginehouse_api::{ErrorCode, Operation, Problem, Undo};
use enginehouse_model::{FullName, NodeUid, OperationId};

use crate::disk::READS;
use crate::history::Entry;
use crate::house::House;
use crate::orders::{find, kind_is_undone};
use crate::rest::unreadable;
use crate::work::did_something;

/// Rows of a history that are read at a time.
const PAGE: u32 = 100;
/// Machines that an error names.
const NAMED: usize = 5;

/// What is to be taken back, machine by machine.
pub(crate) type Undoes = BTreeMap<NodeUid, Undo>;

/// What operation `of` did at and below `path`.
///
/// # Errors
/// When it is not known, has not ended, did nothing, or is none that can be taken back; when a machine was
/// changed since.
pub(crate) async fn done_by(
    house: &Arc<House>,
    path: &FullName,
    of: OperationId,
) -> Result<Undoes, Problem> {
    let below: BTreeSet<NodeUid> = {
        let state = house.state.lock();
        let root = find(&state, path)?;
        let below = state.tree.descriptors(root);
        let below = below.map_err(|error| crate::problem::of_lookup(&error))?;
        below.map(|node| node.uid).collect()
    };
    on_disk(house).await?;
    let whole = read(house, of).await?;
    if !kind_is_undone(whole.kind) {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            format!(
                "operation {of} is a `{}`: only what reconfigures machines is taken back",
                whole.kind
            ),
        )
        .with_hint("`undeploy` destroys what `deploy` made; `history` shows what a machine was"));
    }
    let mut parts = Vec::new();
    match whole.children.as_slice() {
        [] => parts.push(whole),
        children => {
            for child in children {
                parts.push(read(house, child.number).await?);
            }
        }
    }
    let did = parts.iter().filter(|part| did_something(part));
    let did: Vec<(NodeUid, &Operation)> = did
        .filter_map(|part| Some((part.node.filter(|node| below.contains(node))?, part)))
        .collect();
    // What comes before it may change them yet.
    let open: Vec<String> = {
        let state = house.state.lock();
        let before = |(node, part): &(NodeUid, &Operation)| {
            let before = state.queue.lane(*node).next()?;
            let (number, kind) = (before.number(), &before.spec.kind);
            Some(format!("operation {number} ({kind}) on {}", part.path))
        };
        did.iter().filter_map(before).collect()
    };
    // What is in no lane any more has ended, and is in the history once it is on disk.
    on_disk(house).await?;
    let mut done = Undoes::new();
    let mut changed = Vec::new();
    for (node, part) in did {
        if let Some(since) = changed_since(house, node, part.number).await? {
            changed.push(format!("{} by operation {since}", part.path));
        }
        let undo = Undo {
            of: part.number,
            destroy: false,
        };
        done.insert(node, undo);
    }
    if !changed.is_empty() {
        let more = changed.len().saturating_sub(NAMED);
        changed.truncate(NAMED);
        let mut named = changed.join(", ");
        if more > 0 {
            named.push_str(&format!(" and {more} more"));
        }
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!("what operation {of} did was changed since: {named}"),
        )
        .with_hint(
            "take that back first, or bring each machine back with `rollback NODE --to NUMBER`",
        ));
    }
    if let [first, others @ ..] = open.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!("{first}{more} may change what operation {of} did, and has not ended"),
        )
        .with_hint("wait for it, or `enginehouse ops cancel` it"));
    }
    if done.is_empty() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("operation {of} changed no machine at or below {path}: there is nothing to take back"),
        )
        .with_hint(format!("`enginehouse ops show {of}` says what it did")));
    }
    Ok(done)
}

/// Waits until what memory has by now is on disk: what has ended is read from there.
async fn on_disk(house: &Arc<House>) -> Result<(), Problem> {
    for _ in 0..READS {
        let fence = house.state.lock().fence;
        if house.stands(fence).await {
            return Ok(());
        }
        house.reloaded().await;
    }
    Err(Problem::new(
        ErrorCode::Busy,
        "the database cannot be written: it is not known what operations have done",
    )
    .with_hint("see the host's log; order it again"))
}

async fn read(house: &Arc<House>, number: OperationId) -> Result<Operation, Problem> {
    if house.state.lock().queue.get(number).is_some() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("operation {number} has not ended"),
        )
        .with_hint(format!("wait for it, or `enginehouse ops cancel {number}`")));
    }
    let stored = house.store.operation(number).await;
    let stored = stored.map_err(|error| unreadable(&error))?;
    let Some(stored) = stored else {
        return Err(Problem::new(
            ErrorCode::NotFound,
            format!("there is no operation {number}, or it is not kept any more"),
        )
        .with_hint("`enginehouse ops list` shows those that are"));
    };
    stored.document.read().map_err(|error| unreadable(&error))
}

/// The operation that changed a machine after `number` did.
async fn changed_since(
    house: &Arc<House>,
    node: NodeUid,
    number: OperationId,
) -> Result<Option<OperationId>, Problem> {
    let mut before = None;
    loop {
        let rows = house.store.history(node.to_string(), before, PAGE).await;
        let rows = rows.map_err(|error| unreadable(&error))?;
        let is_last = rows.len() < PAGE as usize;
        for row in rows {
            before = Some(row.seq);
            let entry: Entry = row
                .row
                .document
                .read()
                .map_err(|error| unreadable(&error))?;
            match row.row.operation {
                Some(by) if by > number && entry.deployed.is_some() => return Ok(Some(by)),
                Some(by) if by <= number => return Ok(None),
                Some(_) | None => {}
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}
