//! The history of a node, also of one that is gone.

use std::collections::BTreeMap;

use axum::Json;
use enginehouse_api::{
    DefinitionVersions, ErrorCode, HistoryChange, HistoryEntry, HistoryMachine, HistoryPage,
    HistoryPart, OtherNode, Problem, flattened, routes,
};
use enginehouse_documents::Config;
use enginehouse_model::{Bytes, FullName, NodeUid};
use enginehouse_store::HistoryEntry as Stored;
use serde::Deserialize;
use serde_json::Value;

use crate::access::Caller;
use crate::history::{Entry, MachineEvent};
use crate::house::House;
use crate::rest::answer::{Answer, Params};
use crate::rest::operations::unreadable;

/// Nodes of one name that an answer tells of.
const OTHERS: u32 = 10;

/// Rows that are read at once when an older deployed config is looked for.
const LOOK_BACK: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    path: Option<FullName>,
    uid: Option<NodeUid>,
    before: Option<u64>,
    limit: Option<u32>,
}

pub(crate) async fn page(
    caller: Caller,
    Params(query): Params<HistoryQuery>,
) -> Answer<Json<HistoryPage>> {
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_DEFAULT)
        .clamp(1, routes::PAGE_MAX);
    let house = caller.house();
    let (uid, others) = which(&caller, &query).await?;
    let now = {
        let state = house.state.lock();
        state.tree.full_name(uid).ok().cloned()
    };
    let read = |before, limit| house.store.history(uid.to_string(), before, limit);
    // One more than asked for tells whether there is another page.
    let mut rows = read(query.before, limit + 1)
        .await
        .map_err(|error| unreadable(&error))?;
    let more = rows.len() > limit as usize;
    let beyond = if more { rows.pop() } else { None };
    let last = rows.last().map(|row| row.seq);
    let mut entries: Vec<(Stored, Entry)> = Vec::with_capacity(rows.len());
    for row in rows {
        let entry = read_entry(&row)?;
        entries.push((row, entry));
    }
    let oldest = oldest_deployed(house, uid, &entries, beyond.as_ref()).await?;
    let full_name = match &now {
        Some(name) => Some(name.clone()),
        None => match entries.first() {
            Some((row, _)) => row.row.name.parse().ok(),
            None => None,
        },
    };
    let mut shown = Vec::with_capacity(entries.len());
    let mut applied = oldest;
    // Oldest first: what was applied before is that of the entry before.
    for (row, entry) in entries.into_iter().rev() {
        shown.push(view(row, entry, &mut applied)?);
    }
    shown.reverse();
    Ok(Json(HistoryPage {
        uid,
        gone: now.is_none(),
        full_name,
        entries: shown,
        next: last.filter(|_| more),
        others,
    }))
}

/// The node that is asked for, and others of its name, as far as the caller may see them.
async fn which(
    caller: &Caller,
    query: &HistoryQuery,
) -> Result<(NodeUid, Vec<OtherNode>), Problem> {
    let house = caller.house();
    let path = match (&query.uid, &query.path) {
        (Some(uid), None) => return seen_by_uid(caller, *uid).await,
        (None, Some(path)) => path,
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                "say `path` or `uid`, one of the two",
            ));
        }
    };
    let named = house
        .store
        .named(path.to_string(), OTHERS + 1)
        .await
        .map_err(|error| unreadable(&error))?;
    let mut once: Vec<(OtherNode, FullName)> = Vec::with_capacity(named.len());
    for named in named {
        let Ok(uid) = named.node.parse() else {
            continue;
        };
        // It may have been moved before it went: who may see it, its last place decides.
        let last = last_name(house, uid).await?;
        let other = OtherNode { uid, at: named.at };
        once.push((other, last.unwrap_or_else(FullName::root)));
    }
    let state = house.state.lock();
    let found = caller.find(&state, path);
    let mut others: Vec<OtherNode> = once
        .into_iter()
        .filter(|(other, last)| caller.sees(&state, Some(other.uid), last))
        .map(|(other, _)| other)
        .collect();
    let uid = match (found, others.first()) {
        (Ok(uid), _) => uid,
        // Nobody is called so now: the last one who was.
        (Err(_), Some(latest)) => latest.uid,
        (Err(problem), None) => return Err(problem),
    };
    others.retain(|other| other.uid != uid);
    others.truncate(OTHERS as usize);
    Ok((uid, others))
}

/// A node that is asked for by its uid, also a gone one.
async fn seen_by_uid(caller: &Caller, uid: NodeUid) -> Result<(NodeUid, Vec<OtherNode>), Problem> {
    let house = caller.house();
    let last = last_name(house, uid).await?;
    let has_history = last.is_some();
    let state = house.state.lock();
    let name = state.tree.full_name(uid).ok().cloned().or(last);
    // Asked also where nothing is known, so that both are one answer.
    let name = name.unwrap_or_else(FullName::root);
    let known = has_history || state.tree.node(uid).is_ok();
    if caller.sees(&state, Some(uid), &name) && known {
        return Ok((uid, Vec::new()));
    }
    Err(Problem::new(
        ErrorCode::NotFound,
        format!("there is no node {uid} that {} may read", caller.subject()),
    )
    .with_hint("`enginehouse show` and `enginehouse history` say the uids of nodes"))
}

/// What a node was called when the last entry of its history was written; `None`: it has no history.
async fn last_name(house: &House, uid: NodeUid) -> Result<Option<FullName>, Problem> {
    let rows = house
        .store
        .history(uid.to_string(), None, 1)
        .await
        .map_err(|error| unreadable(&error))?;
    Ok(rows.first().and_then(|row| row.row.name.parse().ok()))
}

fn read_entry(row: &Stored) -> Result<Entry, Problem> {
    row.row
        .document
        .read()
        .map_err(|error| Problem::new(ErrorCode::Internal, crate::problem::with_sources(&error)))
}

/// What was applied before the oldest entry of a page that says what was.
async fn oldest_deployed(
    house: &House,
    uid: NodeUid,
    entries: &[(Stored, Entry)],
    beyond: Option<&Stored>,
) -> Result<Option<Config>, Problem> {
    let needed = entries.iter().any(|(_, entry)| entry.deployed.is_some());
    let Some(mut next) = beyond.filter(|_| needed).cloned() else {
        return Ok(None);
    };
    loop {
        if let Some(found) = applied_by(&read_entry(&next)?) {
            return Ok(found);
        }
        let rows = house
            .store
            .history(uid.to_string(), Some(next.seq), LOOK_BACK)
            .await
            .map_err(|error| unreadable(&error))?;
        for row in &rows {
            if let Some(found) = applied_by(&read_entry(row)?) {
                return Ok(found);
            }
        }
        match rows.last() {
            Some(last) => next = last.clone(),
            None => return Ok(None),
        }
    }
}

/// What is applied after an entry; `None`: it says nothing of that.
fn applied_by(entry: &Entry) -> Option<Option<Config>> {
    match (&entry.deployed, &entry.machine) {
        (Some(config), _) => Some(Some(config.clone())),
        (None, Some(machine)) => match machine.event {
            MachineEvent::Linked => None,
            MachineEvent::Removed
            | MachineEvent::Lost
            | MachineEvent::NeverMade
            | MachineEvent::NotTaken => Some(None),
        },
        (None, None) => None,
    }
}

fn view(
    stored: Stored,
    entry: Entry,
    applied: &mut Option<Config>,
) -> Result<HistoryEntry, Problem> {
    let mut changes = Vec::new();
    if let Some(name) = &entry.name {
        changes.push(HistoryChange {
            of: HistoryPart::Name,
            key: String::new(),
            before: Some(name.before.to_string()),
            after: Some(name.after.to_string()),
        });
    }
    if let Some(both) = &entry.definition {
        let flat = |document: &Option<Value>| document.as_ref().map(flattened).unwrap_or_default();
        let (before, after) = (flat(&both.before), flat(&both.after));
        compare(HistoryPart::Definition, before, after, &mut changes);
    }
    if let Some(both) = &entry.grants {
        let (before, after) = (flattened(&both.before), flattened(&both.after));
        compare(HistoryPart::Rights, before, after, &mut changes);
    }
    if let Some(now) = applied_by(&entry) {
        let flat = |config: &Option<Config>| config.as_ref().map(readable).unwrap_or_default();
        // That all of it is gone with the machine is told by the machine.
        if let Some(config) = &now {
            let (before, after) = (flat(applied), readable(config));
            compare(HistoryPart::Deployed, before, after, &mut changes);
        }
        *applied = now;
    }
    let members = |document: Option<Value>| match document {
        Some(Value::Object(members)) => Some(members),
        _ => None,
    };
    let path = stored.row.name.parse().map_err(|_| {
        Problem::new(
            ErrorCode::Internal,
            format!("entry {} of the history has no valid name", stored.seq),
        )
    })?;
    Ok(HistoryEntry {
        seq: stored.seq,
        at: stored.row.at,
        operation: stored.row.operation,
        who: stored.row.who,
        kind: stored.row.kind,
        path,
        changes,
        definition: entry.definition.map(|both| DefinitionVersions {
            before: members(both.before),
            after: members(both.after),
        }),
        machine: entry.machine.map(|machine| HistoryMachine {
            uid: machine.uid,
            machine_id: machine.machine_id,
            hypervisor: machine.hypervisor,
            event: machine.event.as_str().to_owned(),
        }),
        deployed: entry.deployed,
    })
}

fn compare(
    of: HistoryPart,
    mut before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
    changes: &mut Vec<HistoryChange>,
) {
    for (key, after) in after {
        let before = before.remove(&key);
        if before.as_ref() != Some(&after) {
            changes.push(HistoryChange {
                of,
                key,
                before,
                after: Some(after),
            });
        }
    }
    changes.extend(before.into_iter().map(|(key, before)| HistoryChange {
        of,
        key,
        before: Some(before),
        after: None,
    }));
    changes.sort_by(|a, b| (a.of as u8, &a.key).cmp(&(b.of as u8, &b.key)));
}

/// A deployed config key by key, sizes with a unit.
fn readable(config: &Config) -> BTreeMap<String, String> {
    let document = serde_json::to_value(config).unwrap_or_default();
    let mut members = flattened(&document);
    for (key, value) in &mut members {
        let is_size = key == "memory" || key.starts_with("disks.") && key.ends_with(".size");
        if let Some(bytes) = value.parse().ok().filter(|_| is_size) {
            *value = Bytes(bytes).to_string();
        }
    }
    members
}
