//! The REST API. Types and routes are those of `enginehouse_api`; here is what they do.

mod answer;
mod auth;
mod engines;
mod hypervisors;
mod operations;
mod plans;
mod tree;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use enginehouse_api::routes;

use crate::house::House;

/// Largest body of a request, bytes.
const BODY_MAX: usize = 8 << 20;

/// All routes; everything but `healthz` wants the token.
pub(crate) fn router(house: Arc<House>, token: &str) -> Router {
    let guarded = Router::new()
        .route(routes::INFO, get(tree::info))
        .route(routes::TREE, get(tree::tree))
        .route(routes::NODES, get(tree::node))
        .route(
            routes::OPERATIONS,
            get(operations::list).post(operations::order),
        )
        .route(routes::OPERATION, get(operations::show))
        .route(routes::OPERATION_WAIT, get(operations::wait))
        .route(routes::OPERATION_LOG, get(operations::log))
        .route(routes::OPERATION_REQUESTS, get(operations::requests))
        .route(routes::OPERATION_CANCEL, post(operations::cancel))
        .route(routes::OPERATION_RESOLVE, post(operations::resolve))
        .route(routes::PLANS, post(plans::make))
        .route(routes::PLAN, get(plans::show))
        .route(routes::ENGINES, get(engines::list))
        .route(routes::ENGINE, get(engines::show))
        .route(routes::HYPERVISORS, get(hypervisors::list))
        .route(routes::HYPERVISORS_CHECK, post(hypervisors::check))
        .fallback(answer::no_route)
        .method_not_allowed_fallback(answer::no_method)
        .layer(middleware::from_fn_with_state(
            auth::Guard::new(token),
            auth::guard,
        ));
    Router::new()
        .route(routes::HEALTHZ, get(tree::healthz))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(house)
}
