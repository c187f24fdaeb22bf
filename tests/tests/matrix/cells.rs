//! Runs the cells of the table.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{AdoptionRequest, Operation, OperationKind, OperationState, Params, Status};
use enginehouse_model::{FullName, OperationId};
use enginehouse_tests::{confirmed, defined};
use serde_json::json;

use crate::rows::{REPLACE, ROWS, Row, Step, Trouble, action, happens, params, word};
use crate::stage::Stage;

/// Runs every cell, each on a machine of its own, and prints what became of it.
///
/// # Errors
/// Also when an operation had a step that no row gives trouble.
pub async fn table(stage: &mut Stage) -> Result<String> {
    let mut text = String::new();
    for row in ROWS {
        for trouble in [Trouble::Lost, Trouble::Killed, Trouble::Refused] {
            let name = format!("m{}", text.lines().count());
            let step = word(row.step);
            let cell = format!("{}, {step} {}", row.name(), happens(trouble));
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
    let before = Before {
        restarts: stage.provider.restarts().await?,
        ..Before::default()
    };
    let waits = stage.provider.refuse_slowly(Step::Grow).await?;
    let order = params(row, stage.provider.another_image());
    let number = stage.begin(row.kind, &path, order).await?;
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
        write!(text, "; {}", seen(stage, machine, &before).await?)?;
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
            write!(text, "; {}", seen(stage, machine, &before).await?)?;
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
    if row.kind == OperationKind::Adopt {
        stage.provider.stranger(name).await?;
    } else {
        stage
            .order(OperationKind::Provision, &path, defined(row.definition()))
            .await?;
    }
    if !matches!(row.kind, OperationKind::Deploy | OperationKind::Adopt) {
        let kind = OperationKind::Deploy;
        stage.order(kind, &path, Params::default()).await?;
    }
    if row.kind == OperationKind::Start {
        let kind = OperationKind::Stop;
        stage.order(kind, &path, Params::default()).await?;
    }
    let before = Before {
        restarts: stage.provider.restarts().await?,
        incarnations: match row.change {
            REPLACE => Some(incarnations(stage, name).await?),
            _ => None,
        },
        adopts: row.kind == OperationKind::Adopt,
    };
    let operation = match trouble {
        Trouble::Lost => {
            stage.provider.lose_answer(row.step)?;
            let number = begin(stage, row, name).await?;
            stage.ended(number).await?
        }
        Trouble::Refused => {
            stage.provider.refuse(row.step).await?;
            let number = begin(stage, row, name).await?;
            stage.ended(number).await?
        }
        Trouble::Killed => {
            let held = stage.provider.hold_answer(row.step)?;
            let number = begin(stage, row, name).await?;
            stage.provider.worked(row.step, &held).await?;
            stage.host.kill().await?;
            stage.provider.calm().await?;
            stage.host.restart().await?;
            stage.ended(number).await?
        }
    };
    stage.provider.calm().await?;
    let mut text = format!("{}; {}", operation.state, seen(stage, name, &before).await?);
    if operation.state == OperationState::Failed {
        again(stage, row, name).await?;
        write!(text, "; again: {}", seen(stage, name, &before).await?)?;
    }
    Ok(text)
}

/// Orders what the row is about.
async fn begin(stage: &Stage, row: Row, name: &str) -> Result<OperationId> {
    if row.kind != OperationKind::Adopt {
        let order = params(row, stage.provider.another_image());
        return stage.begin(row.kind, &format!("/{name}"), order).await;
    }
    let machines = stage.provider.machines(name).await?;
    let request = AdoptionRequest {
        hypervisor: "h".to_owned(),
        into: FullName::root(),
        ids: machines.into_iter().map(|vm| vm.id).collect(),
        prototype: None,
        rename: false,
        dry_run: false,
    };
    let answer = stage.host.client().adopt(&request).await?;
    Ok(answer.operation.context("nothing to adopt")?.number)
}

/// Orders it once more, which has to succeed. What a failed reconfigure wrote stays as a pending change;
/// where it left no machine, or one that is not finished, that is deployed.
async fn again(stage: &mut Stage, row: Row, name: &str) -> Result<()> {
    let path = format!("/{name}");
    match row.kind {
        OperationKind::Reconfigure => {
            let node = stage.host.client().node(&path.parse()?).await?;
            let kind = match node.status {
                Some(Status::Provisioned) => OperationKind::Deploy,
                _ => row.kind,
            };
            stage.order(kind, &path, confirmed()).await
        }
        OperationKind::Adopt => {
            let number = begin(stage, row, name).await?;
            let operation = stage.ended(number).await?;
            let ended = operation.state == OperationState::Succeeded;
            ensure!(ended, "{operation:#?}");
            Ok(())
        }
        kind => {
            let order = params(row, stage.provider.another_image());
            stage.order(kind, &path, order).await
        }
    }
}

/// What was so before the order of a cell.
#[derive(Default)]
struct Before {
    restarts: usize,
    /// Where the machine is to be another one.
    incarnations: Option<BTreeSet<String>>,
    /// Whether it was to become ours.
    adopts: bool,
}

async fn incarnations(stage: &Stage, name: &str) -> Result<BTreeSet<String>> {
    let machines = stage.provider.machines(name).await?;
    Ok(machines.into_iter().map(|vm| vm.incarnation).collect())
}

/// The machines of a name, as the provider has them.
async fn seen(stage: &Stage, name: &str, before: &Before) -> Result<String> {
    let mut all = Vec::new();
    let restarted = stage.provider.restarts().await? - before.restarts;
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
        for vlan in vm.vlans {
            write!(text, ", vlan {vlan}")?;
        }
        if vm.noted {
            text.push_str(", noted");
        }
        if restarted > 0 {
            write!(text, ", {restarted} restart")?;
        }
        if let Some(old) = &before.incarnations {
            text.push_str(match old.contains(&vm.incarnation) {
                true => ", the old one",
                false => ", a new one",
            });
        }
        if before.adopts {
            text.push_str(if vm.marked {
                ", marked"
            } else {
                ", not marked"
            });
        }
        all.push(text);
    }
    if all.is_empty() {
        all.push("none".to_owned());
    }
    Ok(all.join(" and "))
}
