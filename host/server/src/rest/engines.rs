//! Engines that are loaded, and files that were refused.

use std::path::Path as FilePath;

use axum::Json;
use enginehouse_api::{
    Engine as EngineView, EngineList, EngineSummary, ErrorCode, Problem, RefusedEngine,
};
use enginehouse_engines::Engine;

use crate::access::Caller;
use crate::rest::answer::{Answer, InPath};

pub(crate) async fn list(caller: Caller) -> Json<EngineList> {
    let house = caller.house();
    Json(EngineList {
        engines: house.engines.iter().map(|engine| summary(engine)).collect(),
        refused: house
            .refused
            .iter()
            .map(|(path, error)| RefusedEngine {
                file: file_name(path),
                reason: crate::problem::with_sources(error),
                hint: None,
            })
            .collect(),
    })
}

pub(crate) async fn show(caller: Caller, InPath(name): InPath<String>) -> Answer<Json<EngineView>> {
    let mut engines = caller.house().engines.iter();
    let engine = engines.find(|engine| engine.is_called(&name));
    match engine {
        Some(engine) => Ok(Json(EngineView {
            summary: summary(engine),
            description: engine.description().clone(),
        })),
        None => Err(
            Problem::new(ErrorCode::NotFound, format!("no engine `{name}` is loaded"))
                .with_hint("see `enginehouse engines list`")
                .into(),
        ),
    }
}

fn summary(engine: &Engine) -> EngineSummary {
    let description = engine.description();
    EngineSummary {
        name: description.name.clone(),
        version: description.version.clone(),
        kinds: description.kinds.clone(),
        file: file_name(engine.path()),
        hash: engine.hash().to_owned(),
    }
}

fn file_name(path: &FilePath) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
