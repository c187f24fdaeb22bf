//! The table: kinds, their steps, and what is done to each.

use std::fmt::Write;

use anyhow::{Context, Result};
use enginehouse_api::{Change, OperationKind, OperationState, Params};
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
}

const fn row(kind: OperationKind, step: Step, change: &'static str) -> Row {
    Row { kind, step, change }
}

const ROWS: [Row; 11] = [
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
";

/// Runs every cell, each on a machine of its own.
pub async fn table(stage: &mut Stage) -> Result<String> {
    let mut text = String::new();
    for row in ROWS {
        for trouble in [Trouble::Lost, Trouble::Killed, Trouble::Refused] {
            let name = format!("m{}", text.lines().count());
            let cell = format!("{}, {} {}", row.kind, word(row.step), happens(trouble));
            let outcome = run(stage, row, trouble, &name);
            let outcome = outcome.await.with_context(|| cell.clone())?;
            writeln!(text, "{cell}: {outcome}")?;
        }
    }
    Ok(text)
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
        _ => Params::default(),
    }
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
        seen(stage, name, restarts).await?
    );
    if operation.state == OperationState::Failed {
        // What a failed reconfigure wrote stays as a pending change.
        let again = match row.kind {
            OperationKind::Reconfigure => Params::default(),
            _ => params(row),
        };
        stage.order(row.kind, &path, again).await?;
        write!(text, "; again: {}", seen(stage, name, restarts).await?)?;
    }
    Ok(text)
}

/// The machines of a name, as the provider has them.
async fn seen(stage: &Stage, name: &str, restarts: usize) -> Result<String> {
    let mut all = Vec::new();
    let restarted = stage.provider.restarts().await? - restarts;
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
