//! The tree as text: export and import.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{ErrorCode, Export, ImportAnswer, ImportRequest, Problem};
use enginehouse_model::FullName;
use enginehouse_text::{Exported, SCHEMA_FILE};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::idempotency::{OrderKey, Taken, replayed};
use crate::rest::answer::{Answer, Body, Params};
use crate::rest::operations::{say_replayed, status_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    #[serde(default = "FullName::root")]
    path: FullName,
}

pub(crate) async fn export(
    caller: Caller,
    Params(query): Params<ExportQuery>,
) -> Answer<Json<Export>> {
    let nodes = nodes(&caller, &query.path)?;
    let path = query.path;
    let top = path.clone();
    // Writing many files takes longer than anybody should wait for the tree.
    let files = tokio::task::spawn_blocking(move || {
        let mut files = Exported::files(&top, &nodes);
        let schema = enginehouse_text::definition_schema();
        files.insert(SCHEMA_FILE.to_owned(), format!("{schema:#}\n"));
        files
    })
    .await
    .map_err(|_| Problem::new(ErrorCode::Internal, "the export broke off"))?;
    Ok(Json(Export { path, files }))
}

fn nodes(caller: &Caller, path: &FullName) -> Result<Vec<Exported>, Problem> {
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let house = Arc::clone(caller.house());
    let state = house.state.lock();
    let top = caller.find(&state, path)?;
    if !state.tree.node(top).map_err(of_lookup)?.is_folder() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("{path} is a descriptor; a folder is exported with all that it holds"),
        )
        .with_hint(match path.parent() {
            Some(parent) => format!("export its folder {parent}, or see `enginehouse show {path}`"),
            None => "name a folder".to_owned(),
        }));
    }
    let walk = state.tree.walk(top).map_err(of_lookup)?;
    walk.map(|node| {
        Ok(Exported {
            node: state.tree.full_name(node.uid).map_err(of_lookup)?.clone(),
            is_folder: node.is_folder(),
            definition: node.local.clone(),
        })
    })
    .collect()
}

pub(crate) async fn import(
    caller: Caller,
    headers: HeaderMap,
    Body(request): Body<ImportRequest>,
) -> Answer<Response> {
    let key = OrderKey::of(&caller, &headers, "POST /v1/imports", &request)?;
    let path = request.path.clone();
    let (answer, again) = match crate::orders::import(&caller, request, key).await? {
        Taken::New(answer) => (answer, false),
        Taken::Before(before) => {
            let operation = replayed(&caller, before, Permission::Operate).await?;
            (ImportAnswer::replayed(path, operation), true)
        }
    };
    let status = answer.operation.as_ref().map_or(StatusCode::OK, status_of);
    let mut response = (status, Json(answer)).into_response();
    if again {
        say_replayed(&mut response);
    }
    Ok(response)
}
