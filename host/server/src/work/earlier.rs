//! What a machine was once: what a rollback brings it back to.

use std::sync::Arc;

use enginehouse_api::{ErrorCode, OperationKind};
use enginehouse_documents::{Code, Config, Problem};
use enginehouse_model::{NodeUid, OperationId};
use enginehouse_queue::Spec;
use enginehouse_reconcile::MachinePlan;
use enginehouse_tree::Definition;
use uuid::Uuid;

use crate::history::{Both, Entry};
use crate::house::House;
use crate::orders::{Order, keep_or_revert};
use crate::work::Target;

/// Rows of a history that are read at a time.
const PAGE: u32 = 100;

/// The config that `order` wants back. Whether the machine runs is not part of it.
///
/// # Errors
/// When none is on record.
pub(crate) async fn config(
    house: &Arc<House>,
    target: &Target,
    order: &Order,
) -> Result<Config, Problem> {
    let now = target
        .record
        .as_ref()
        .map(|record| without_power(&record.deployed));
    let wanted = |number: Option<OperationId>, config: &Config| match (order.kind, &order.params) {
        (OperationKind::Undo, params) => {
            let of = params.undo.map_or(OperationId(0), |undo| undo.of);
            number.is_some_and(|number| number < of)
        }
        (_, params) => match params.to_operation {
            Some(to) => number.is_some_and(|number| number <= to),
            None => now.as_ref() != Some(&without_power(config)),
        },
    };
    let mut before = None;
    loop {
        let rows = house
            .store
            .history(order.node.to_string(), before, PAGE)
            .await
            .map_err(|error| unreadable(&error))?;
        let is_last = rows.len() < PAGE as usize;
        for row in rows {
            before = Some(row.seq);
            let entry: Entry = row
                .row
                .document
                .read()
                .map_err(|error| unreadable(&error))?;
            if let Some(config) = entry.deployed
                && wanted(row.row.operation, &config)
            {
                return Ok(without_power(&config));
            }
        }
        if is_last {
            return Err(nothing(target, order));
        }
    }
}

/// What the earlier config says nothing of, so that nobody knows what it was.
pub(crate) fn left_as_it_is(plan: &MachinePlan) -> impl Iterator<Item = String> {
    let let_go = plan.in_step.iter().filter(|change| change.is_let_go());
    let_go.map(|change| {
        format!(
            "{} stays as it is ({}): it was not managed before",
            change.field, change.from
        )
    })
}

fn without_power(config: &Config) -> Config {
    Config {
        power: None,
        ..config.clone()
    }
}

fn nothing(target: &Target, order: &Order) -> Problem {
    let name = &target.name;
    let message = match (order.kind, order.params.to_operation) {
        (OperationKind::Undo, _) => {
            format!("what {name} was before is not on record")
        }
        (_, Some(to)) => {
            format!("no deployed config of {name} is on record from operation {to} or before")
        }
        (_, None) => format!("{name} was never deployed with another config than it has now"),
    };
    let mut problem = Problem::new(Code::Conflict, message);
    problem.detail.hint = Some(format!(
        "see `enginehouse history {name}` for what it has been"
    ));
    problem
}

fn unreadable(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::Provider, crate::problem::with_sources(error))
}

/// Gives the node the definition that it had before the operation that is taken back, unless
/// somebody has changed it since. Answers what a person should know.
///
/// # Errors
/// When the history cannot be read, or the definition not be written.
pub(crate) async fn restore_definition(
    house: &Arc<House>,
    spec: &Spec,
    order: &Order,
) -> Result<Option<String>, Problem> {
    let Some(undo) = order.params.undo else {
        return Ok(None);
    };
    let Some(Both { before, after }) = written(house, order.node, undo.of).await? else {
        return Ok(None);
    };
    let Some(before) = before else {
        return Ok(None);
    };
    let outcome = house
        .transact(|state, staged, _| {
            let node = state
                .tree
                .node(order.node)
                .map_err(|error| crate::problem::of_lookup(&error))?;
            if Some(node.local.redacted()) == Some(before.clone()) {
                return Ok(None);
            }
            if Some(node.local.redacted()) != after {
                return Ok(Some(format!(
                    "the definition of {} has been changed since operation {}, and stays",
                    order.path, undo.of
                )));
            }
            let definition = Definition::parse(&order.path, &before)
                .map_err(|errors| crate::problem::of_definition(&errors))?;
            let change = state
                .tree
                .apply_reconfigure(order.node, definition, None, &mut Uuid::now_v7)
                .map_err(|error| crate::problem::of_edit(&error))?;
            let change = match keep_or_revert(&mut state.tree, change, false) {
                Ok(change) => change,
                // Nobody said so: the machine goes back, its protection does not.
                Err(problem) if problem.code == ErrorCode::NeedsConfirmation => {
                    return Ok(Some(format!(
                        "the definition of {} stays as it is: {}",
                        order.path, problem.detail
                    )));
                }
                Err(problem) => return Err(problem),
            };
            staged.because_of(spec);
            staged.nodes(&state.tree, &change);
            Ok(None)
        })
        .await;
    outcome.map_err(|problem| crate::problem::in_operation(problem, Code::Conflict))
}

/// What an operation made of a node's definition.
async fn written(
    house: &Arc<House>,
    node: NodeUid,
    number: OperationId,
) -> Result<Option<Both<Option<serde_json::Value>>>, Problem> {
    let mut before = None;
    loop {
        let rows = house
            .store
            .history(node.to_string(), before, PAGE)
            .await
            .map_err(|error| unreadable(&error))?;
        let is_last = rows.len() < PAGE as usize;
        for row in rows {
            before = Some(row.seq);
            match row.row.operation {
                Some(of) if of < number => return Ok(None),
                Some(of) if of == number => {
                    let entry: Entry = row
                        .row
                        .document
                        .read()
                        .map_err(|error| unreadable(&error))?;
                    if entry.definition.is_some() {
                        return Ok(entry.definition);
                    }
                }
                Some(_) | None => {}
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}
