//! Plans: made from what is there now, stored, and readable.

use std::sync::Arc;

use axum::Json;
use enginehouse_api::{
    ErrorCode, OperationKind, OperationRequest, Plan, PlanId, PlanPreview, PlanRequest, Problem,
};
use enginehouse_audit::Action;
use enginehouse_model::{NodeUid, Timestamp};
use enginehouse_reconcile::{Layout, render};
use enginehouse_store::{Document, PlanRow, Write};
use enginehouse_tree::Computed;

use crate::access::Caller;
use crate::audit::Note;
use crate::orders::{Order, check_settings, done_by, in_waves, intent, part_of, preview};
use crate::rest::answer::{Answer, Body, InPath};
use crate::work::Freshness;

/// Version of a stored plan.
const PLAN_VERSION: u16 = 1;

pub(crate) async fn make(caller: Caller, Body(request): Body<PlanRequest>) -> Answer<Json<Plan>> {
    let house = caller.house();
    caller.find(&house.state.lock(), &request.path)?;
    if !request.kind.works_on_machine() {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            format!("`{}` needs no plan: it changes only the tree", request.kind),
        )
        .into());
    }
    let changes = request.params.definition.is_some() || !request.params.changes.is_empty();
    if changes && request.kind != OperationKind::Reconfigure {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "a plan is made of the definition as it stands, not of changes to it",
        )
        .with_hint("`edit` or `reconfigure` writes the changes")
        .into());
    }
    let wanted = intent(request.kind, &request.params);
    let freshness = match request.refresh {
        true => Freshness::Now,
        false => Freshness::Kept,
    };
    let (nodes, waves) = {
        let state = house.state.lock();
        let uid = caller.find(&state, &request.path)?;
        let waves = in_waves(&state, uid, &request)?;
        let nodes: Vec<NodeUid> = state
            .tree
            .descriptors(uid)
            .map_err(|error| crate::problem::of_lookup(&error))?
            .filter(|node| {
                // Below a folder, what has no machine is not stopped, and so on.
                node.uid == uid
                    || request.kind == enginehouse_api::OperationKind::Deploy
                    || node.body().is_some_and(|body| body.machine.is_some())
            })
            .map(|node| node.uid)
            .collect();
        check_settings(&state, &request.path, &nodes, wanted)
            .map_err(|errors| crate::problem::of_settings(&errors))?;
        (nodes, waves)
    };
    let plan = if request.kind == OperationKind::Rollback {
        let whole = |node| Order {
            kind: request.kind,
            node,
            path: request.path.clone(),
            params: request.params.clone(),
        };
        match request.params.of_operation {
            Some(of) => {
                let undoes = done_by(house, &request.path, of).await?;
                let nodes: Vec<NodeUid> = undoes.keys().copied().collect();
                let order = |node| part_of(&whole(node), node, request.path.clone(), Some(&undoes));
                crate::work::plan_rollback(house, &nodes, freshness, order).await
            }
            None => crate::work::plan_rollback(house, &nodes, freshness, whole).await,
        }
    } else if changes {
        let definitions = vec![changed(&caller, &request)?];
        crate::work::plan_definitions(house, definitions, wanted, freshness).await
    } else {
        crate::work::plan_nodes(house, &nodes, wanted, freshness).await
    };
    let plan = plan.map_err(|problem| crate::problem::of_engine(&problem))?;
    let now = house.now();
    let view = Plan {
        max_failures: waves.max_failures,
        waves: waves.machines,
        ..view(&request, &plan, now)
    };
    let stored = house.store.plan(view.id.0.clone()).await;
    let is_new = matches!(stored, Ok(None));
    house
        .transact(|_, staged, now| {
            // Asked for again, it says nothing new.
            if is_new {
                let note = Note::new(Action::PlanStored, caller.who())
                    .about(None, &view.path)
                    .with("plan", &view.id.0)
                    .with("kind", view.kind);
                staged.audit.push(note);
            }
            let document = Document::of(PLAN_VERSION, &view)
                .map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
            staged.writes.push(Write::Plan(PlanRow {
                id: view.id.0.clone(),
                used_at: now,
                document,
            }));
            Ok(())
        })
        .await?;
    let limit = request.limit.and_then(|limit| usize::try_from(limit).ok());
    let layout = Layout {
        now: Some(now),
        limit,
    };
    Ok(Json(Plan {
        text: render(&plan, layout),
        ..view
    }))
}

/// The machine of a `reconfigure`, with its definition as that would leave it.
fn changed(caller: &Caller, request: &PlanRequest) -> Result<(NodeUid, Arc<Computed>), Problem> {
    let order = OperationRequest {
        kind: request.kind,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    let node = caller.find(&caller.house().state.lock(), &request.path)?;
    let looked = preview(caller, &order)?;
    let mut touched = looked.touched.into_iter();
    touched
        .find(|touched| touched.uid == node && !touched.node.is_folder())
        .and_then(|touched| Some((node, touched.after?)))
        .ok_or_else(|| {
            Problem::new(
                ErrorCode::BadRequest,
                "a plan with changes is about one machine, not about a folder",
            )
            .with_hint("`edit` the folder first, then plan what is pending below it")
        })
}

pub(crate) async fn show(caller: Caller, InPath(id): InPath<String>) -> Answer<Json<Plan>> {
    let house = caller.house();
    let missing = || Problem::new(ErrorCode::NotFound, format!("there is no plan {id}"));
    let stored = house
        .store
        .plan(id.clone())
        .await
        .map_err(|error| Problem::new(ErrorCode::Internal, crate::problem::with_sources(&error)))?
        .ok_or_else(missing)?;
    let plan: Plan = stored
        .document
        .read()
        .map_err(|error| Problem::new(ErrorCode::Internal, crate::problem::with_sources(&error)))?;
    if !caller.sees(&house.state.lock(), None, &plan.path) {
        return Err(missing().into());
    }
    Ok(Json(plan))
}

fn view(request: &PlanRequest, plan: &enginehouse_reconcile::Plan, now: Timestamp) -> Plan {
    let PlanPreview {
        text,
        machines,
        counts,
    } = crate::plan_view::preview(
        plan,
        Layout {
            now: Some(now),
            limit: None,
        },
    );
    // Without ages: the same plan a minute later is the same.
    let digest = blake3::hash(format!("{} {}\n{plan}", request.kind, request.path).as_bytes());
    Plan {
        id: PlanId(digest.to_hex().chars().take(16).collect()),
        kind: request.kind,
        path: request.path.clone(),
        made_at: now,
        text,
        machines,
        counts,
        waves: Vec::new(),
        max_failures: None,
    }
}
