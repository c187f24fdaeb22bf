//! The table: kinds, their steps, and what is done to each.

use std::collections::HashSet;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, OnFailure, Operation, OperationKind, OperationState, Params};
use enginehouse_tests::{confirmed, defined};
use serde_json::{Value, json};

use crate::stage::Stage;

/// A step, by its one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Configure,
    DiskAdd,
    Grow,
    Start,
    Stop,
    Restart,
    Destroy,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Its answer gets lost.
    Lost,
    /// The host is killed when it took effect, before the host could know.
    Killed,
    /// The provider refuses it.
    Refused,
}

/// One line: what is ordered, and which step meets trouble.
#[derive(Clone, Copy, Debug)]
struct Row {
    kind: OperationKind,
    step: Step,
    /// What a reconfigure changes.
    change: &'static str,
    /// The step is one of those that take the operation back.
    undo: bool,
}

const fn row(kind: OperationKind, step: Step, change: &'static str) -> Row {
    let undo = false;
    Row {
        kind,
        step,
        change,
        undo,
    }
}

const fn undo(kind: OperationKind, step: Step, change: &'static str) -> Row {
    let undo = true;
    Row {
        kind,
        step,
        change,
        undo,
    }
}

const ROWS: [Row; 14] = [
    row(OperationKind::Deploy, Step::Create, ""),
    row(OperationKind::Deploy, Step::Grow, ""),
    row(OperationKind::Deploy, Step::Start, ""),
    row(OperationKind::Reconfigure, Step::Configure, "note"),
    row(OperationKind::Reconfigure, Step::Grow, "grow"),
    row(OperationKind::Reconfigure, Step::DiskAdd, "add"),
    row(OperationKind::Stop, Step::Stop, ""),
    row(OperationKind::Start, Step::Start, ""),
    row(OperationKind::Restart, Step::Restart, ""),
    row(OperationKind::Undeploy, Step::Stop, ""),
    row(OperationKind::Undeploy, Step::Destroy, ""),
    undo(OperationKind::Deploy, Step::Stop, "both"),
    undo(OperationKind::Deploy, Step::Destroy, "both"),
    undo(OperationKind::Reconfigure, Step::Configure, "note and grow"),
];

/// The same on every provider.
pub const TABLE: &str = "\
deploy, create lost: succeeded; running, 20 GiB
deploy, create killed: succeeded; running, 20 GiB
deploy, create refused: failed; none; again: running, 20 GiB
deploy, grow lost: succeeded; running, 20 GiB
deploy, grow killed: succeeded; running, 20 GiB
deploy, grow refused: failed; stopped, small; again: running, 20 GiB
deploy, start lost: succeeded; running, 20 GiB
deploy, start killed: succeeded; running, 20 GiB
deploy, start refused: failed; stopped, 20 GiB; again: running, 20 GiB
reconfigure, configure lost: succeeded; running, 20 GiB, noted
reconfigure, configure killed: succeeded; running, 20 GiB, noted
reconfigure, configure refused: failed; running, 20 GiB; again: running, 20 GiB, noted
reconfigure, grow lost: succeeded; running, 30 GiB
reconfigure, grow killed: succeeded; running, 30 GiB
reconfigure, grow refused: failed; running, 20 GiB; again: running, 30 GiB
reconfigure, disk-add lost: succeeded; running, 20 GiB, 2 disks
reconfigure, disk-add killed: succeeded; running, 20 GiB, 2 disks
reconfigure, disk-add refused: failed; running, 20 GiB; again: running, 20 GiB, 2 disks
stop, stop lost: succeeded; stopped, 20 GiB
stop, stop killed: succeeded; stopped, 20 GiB
stop, stop refused: failed; running, 20 GiB; again: stopped, 20 GiB
start, start lost: succeeded; running, 20 GiB
start, start killed: succeeded; running, 20 GiB
start, start refused: failed; stopped, 20 GiB; again: running, 20 GiB
restart, restart lost: succeeded; running, 20 GiB, 1 restart
restart, restart killed: succeeded; running, 20 GiB, 1 restart
restart, restart refused: failed; running, 20 GiB; again: running, 20 GiB, 1 restart
undeploy, stop lost: succeeded; none
undeploy, stop killed: succeeded; none
undeploy, stop refused: failed; running, 20 GiB; again: none
undeploy, destroy lost: succeeded; none
undeploy, destroy killed: succeeded; none
undeploy, destroy refused: failed; stopped, 20 GiB; again: none
undo of deploy, stop lost: failed; back b, a; none; none
undo of deploy, stop killed: failed; back b, a; none; none
undo of deploy, stop refused: failed; back b, not a; running, small; none; again; none; none
undo of deploy, destroy lost: failed; back b, a; none; none
undo of deploy, destroy killed: failed; back b, a; none; none
undo of deploy, destroy refused: failed; back a, not b; none; stopped, small; again; none; none
undo of reconfigure, configure lost: failed; back it; running, 20 GiB
undo of reconfigure, configure killed: failed; back it; running, 20 GiB
undo of reconfigure, configure refused: failed; nothing was taken back, not it; running, 20 GiB, noted; again; running, 20 GiB
";

/// Runs every cell, each on a machine of its own, and prints what became of it.
///
/// # Errors
/// Also when an operation had a step that no row gives trouble.
pub async fn table(stage: &mut Stage) -> Result<String> {
    let mut text = String::new();
    for row in ROWS {
        for trouble in [Trouble::Lost, Trouble::Killed, Trouble::Refused] {
            let name = format!("m{}", text.lines().count());
            let what = if row.undo { "undo of " } else { "" };
            let step = word(row.step);
            let cell = format!("{what}{}, {step} {}", row.kind, happens(trouble));
            let outcome = match row.undo {
                true => taken_back(stage, row, trouble, &name).await,
                false => run(stage, row, trouble, &name).await,
            };
            let outcome = outcome.with_context(|| cell.clone())?;
            println!("{cell}: {outcome}");
            writeln!(text, "{cell}: {outcome}")?;
        }
    }
    let covered: HashSet<(OperationKind, String)> = ROWS
        .iter()
        .map(|row| match row.undo {
            true => (OperationKind::Undo, action(row.step)),
            false => (row.kind, action(row.step)),
        })
        .collect();
    let bare: Vec<_> = stage.ran.difference(&covered).collect();
    ensure!(bare.is_empty(), "steps that no row gives trouble: {bare:?}");
    Ok(text)
}

/// A step, as operations call it.
fn action(step: Step) -> String {
    match step {
        Step::Grow => "disk-grow".to_owned(),
        other => word(other).to_owned(),
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Create => "create",
        Step::Configure => "configure",
        Step::DiskAdd => "disk-add",
        Step::Grow => "grow",
        Step::Start => "start",
        Step::Stop => "stop",
        Step::Restart => "restart",
        Step::Destroy => "destroy",
    }
}

fn happens(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Lost => "lost",
        Trouble::Killed => "killed",
        Trouble::Refused => "refused",
    }
}

fn set(key: &[&str], value: Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            value,
        }],
        ..Params::default()
    }
}

fn params(row: Row) -> Params {
    match (row.kind, row.change) {
        (OperationKind::Undeploy, _) => confirmed(),
        (_, "note") => set(&["description"], json!("noted")),
        (_, "grow") => set(&["disks", "root", "size"], json!("30GiB")),
        (_, "add") => set(&["disks", "data"], json!({"size": "4GiB"})),
        (_, "note and grow") => {
            let mut both = set(&["description"], json!("noted"));
            let grow = set(&["disks", "root", "size"], json!("30GiB"));
            both.changes.extend(grow.changes);
            all_or_nothing(both)
        }
        (_, "both") => all_or_nothing(Params::default()),
        _ => Params::default(),
    }
}

fn all_or_nothing(params: Params) -> Params {
    Params {
        on_failure: Some(OnFailure::Rollback),
        ..params
    }
}

/// One cell in which an operation is taken back, because a disk does not grow: how that ended, what
/// was said, and what is there then; after a refusal what a person makes of it.
async fn taken_back(stage: &mut Stage, row: Row, trouble: Trouble, name: &str) -> Result<String> {
    let grows = json!({"disks": {"root": {"size": "20GiB"}}});
    let (path, machines) = match row.kind {
        OperationKind::Deploy => {
            let folder = format!("/{name}");
            let kind = OperationKind::CreateFolder;
            stage.order(kind, &folder, defined(json!({}))).await?;
            let (first, second) = (format!("{name}a"), format!("{name}b"));
            let mut needs = grows;
            needs["depends_on"] = json!([format!("{folder}/{first}")]);
            for (machine, definition) in [(&first, json!({})), (&second, needs)] {
                let path = format!("{folder}/{machine}");
                let kind = OperationKind::Provision;
                stage.order(kind, &path, defined(definition)).await?;
            }
            (folder, vec![first, second])
        }
        _ => {
            let path = format!("/{name}");
            let mut described = grows;
            described["description"] = json!("before");
            let kind = OperationKind::Provision;
            stage.order(kind, &path, defined(described)).await?;
            let kind = OperationKind::Deploy;
            stage.order(kind, &path, Params::default()).await?;
            (path, vec![name.to_owned()])
        }
    };
    let waits = stage.provider.refuse_slowly(Step::Grow).await?;
    let number = stage.begin(row.kind, &path, params(row)).await?;
    stage.provider.came(Step::Grow, &waits).await?;
    let held = match trouble {
        Trouble::Lost => {
            stage.provider.lose_answer(row.step)?;
            None
        }
        Trouble::Refused => {
            stage.provider.refuse(row.step).await?;
            None
        }
        Trouble::Killed => Some(stage.provider.hold_answer(row.step)?),
    };
    stage.provider.go_on();
    if let Some(held) = held {
        stage.provider.worked(row.step, &held).await?;
        stage.host.kill().await?;
        stage.provider.calm().await?;
        stage.host.restart().await?;
    }
    let operation = stage.ended(number).await?;
    stage.provider.calm().await?;
    let mut text = format!("{}; {}", operation.state, told(&operation, name));
    for machine in &machines {
        write!(text, "; {}", seen(stage, machine, None).await?)?;
    }
    if trouble == Trouble::Refused {
        // Whoever reads what was not taken back removes it, or brings it to its definition.
        let (kind, params) = match row.kind {
            OperationKind::Deploy => (OperationKind::Undeploy, confirmed()),
            other => (other, Params::default()),
        };
        stage.order(kind, &path, params).await?;
        write!(text, "; again")?;
        for machine in &machines {
            write!(text, "; {}", seen(stage, machine, None).await?)?;
        }
    }
    Ok(text)
}

/// What an operation says of what was taken back, in the order in which that was tried.
fn told(operation: &Operation, name: &str) -> String {
    let message = operation.error.as_ref().map_or("", |error| &error.message);
    let story = message
        .split("; ")
        .filter(|part| part.contains("taken back"));
    let words = story.map(|part| match part.strip_prefix("not taken back: ") {
        // The reason is in the provider's own words.
        Some(rest) => format!("not {}", rest.split(": ").next().unwrap_or_default()),
        None => part.replace("taken back: ", "back "),
    });
    let words: Vec<String> = words.collect();
    // Machines of a folder by their letters.
    words
        .join(", ")
        .replace(&format!("/{name}/{name}"), "")
        .replace(&format!("/{name}"), "it")
}

/// One cell: its end, what is there then, and after a refusal what the same order makes of it.
async fn run(stage: &mut Stage, row: Row, trouble: Trouble, name: &str) -> Result<String> {
    let path = format!("/{name}");
    let definition = json!({"disks": {"root": {"size": "20GiB"}}});
    stage
        .order(OperationKind::Provision, &path, defined(definition))
        .await?;
    if row.kind != OperationKind::Deploy {
        let kind = OperationKind::Deploy;
        stage.order(kind, &path, Params::default()).await?;
    }
    if row.kind == OperationKind::Start {
        let kind = OperationKind::Stop;
        stage.order(kind, &path, Params::default()).await?;
    }
    let restarts = stage.provider.restarts().await?;
    let operation = match trouble {
        Trouble::Lost => {
            stage.provider.lose_answer(row.step)?;
            let number = stage.begin(row.kind, &path, params(row)).await?;
            stage.ended(number).await?
        }
        Trouble::Refused => {
            stage.provider.refuse(row.step).await?;
            let number = stage.begin(row.kind, &path, params(row)).await?;
            stage.ended(number).await?
        }
        Trouble::Killed => {
            let held = stage.provider.hold_answer(row.step)?;
            let number = stage.begin(row.kind, &path, params(row)).await?;
            stage.provider.worked(row.step, &held).await?;
            stage.host.kill().await?;
            stage.provider.calm().await?;
            stage.host.restart().await?;
            stage.ended(number).await?
        }
    };
    stage.provider.calm().await?;
    let mut text = format!(
        "{}; {}",
        operation.state,
        seen(stage, name, Some(restarts)).await?
    );
    if operation.state == OperationState::Failed {
        // What a failed reconfigure wrote stays as a pending change.
        let again = match row.kind {
            OperationKind::Reconfigure => Params::default(),
            _ => params(row),
        };
        stage.order(row.kind, &path, again).await?;
        let seen = seen(stage, name, Some(restarts)).await?;
        write!(text, "; again: {seen}")?;
    }
    Ok(text)
}

/// The machines of a name, as the provider has them.
async fn seen(stage: &Stage, name: &str, restarts: Option<usize>) -> Result<String> {
    let mut all = Vec::new();
    let restarted = match restarts {
        Some(before) => stage.provider.restarts().await? - before,
        None => 0,
    };
    for vm in stage.provider.machines(name).await? {
        let mut text = match vm.running {
            true => "running".to_owned(),
            false => "stopped".to_owned(),
        };
        match vm.gib {
            // As the image has it, which is not the same everywhere.
            0..20 => text.push_str(", small"),
            gib => write!(text, ", {gib} GiB")?,
        }
        if vm.disks > 1 {
            write!(text, ", {} disks", vm.disks)?;
        }
        if vm.noted {
            text.push_str(", noted");
        }
        if restarted > 0 {
            write!(text, ", {restarted} restart")?;
        }
        all.push(text);
    }
    if all.is_empty() {
        all.push("none".to_owned());
    }
    Ok(all.join(" and "))
}
