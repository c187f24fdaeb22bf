//! `/_sim`: knobs, world and transcript over HTTP, for tests in other processes. It needs no token
//! and answers also while the simulation is away.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::exchange::broken;
use crate::server::Shared;
use crate::{Knobs, SimError, World};

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim/knobs", get(knobs).put(put_knobs).patch(patch_knobs))
        .route("/_sim/world", get(world))
        .route("/_sim/requests", get(requests).delete(forget))
        .route("/_sim/reset", post(reset))
}

fn shown<T: serde::Serialize>(result: Result<T, SimError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => broken(&error),
    }
}

async fn knobs(State(shared): State<Arc<Shared>>) -> Response {
    shown(shared.change(|world| world.knobs.clone()))
}

async fn put_knobs(State(shared): State<Arc<Shared>>, Json(wanted): Json<Value>) -> Response {
    turn(&shared, |_| wanted)
}

/// A JSON merge patch (RFC 7396): lists are replaced, `null` is the default again.
async fn patch_knobs(State(shared): State<Arc<Shared>>, Json(patch): Json<Value>) -> Response {
    turn(&shared, |knobs| {
        let mut wanted = json!(knobs);
        merge(&mut wanted, patch);
        wanted
    })
}

fn turn(shared: &Shared, wanted: impl FnOnce(&Knobs) -> Value) -> Response {
    let turned = shared.change(|world| {
        let knobs: Knobs = serde_json::from_value(wanted(&world.knobs))?;
        world.set_knobs(knobs.clone());
        Ok(knobs)
    });
    match turned {
        Ok(Ok(knobs)) => Json(knobs).into_response(),
        Ok(Err::<_, serde_json::Error>(error)) => {
            let body = json!({"error": {"code": "bad-request", "message": error.to_string()}});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Err(error) => broken(&error),
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(target) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

async fn world(State(shared): State<Arc<Shared>>) -> Response {
    shown(shared.change(|world| world.clone()))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.requests.lock().clone()).into_response()
}

async fn forget(State(shared): State<Arc<Shared>>) -> StatusCode {
    *shared.requests.lock() = crate::Requests::default();
    StatusCode::NO_CONTENT
}

/// A new world as at the first start, under the same identity; the transcript is emptied.
async fn reset(State(shared): State<Arc<Shared>>) -> Response {
    *shared.requests.lock() = crate::Requests::default();
    let config = &shared.config;
    shown(shared.change(|world| {
        let fresh = World::new(config);
        *world = World {
            identity: std::mem::take(&mut world.identity),
            now: world.now,
            revision: world.revision + 1,
            ..fresh
        };
        json!({"identity": world.identity})
    }))
}
