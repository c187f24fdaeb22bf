//! The REST API. Types and routes are those of `enginehouse_api`; here is what they do.

mod adoptions;
mod answer;
mod approvals;
mod audit;
mod drift;
mod engines;
mod events;
mod evidence;
mod gate;
mod grants;
mod history;
mod hypervisors;
mod inventory;
mod lost;
mod operations;
mod places;
mod plans;
mod previews;
mod recovery;
mod resolve;
mod results;
mod secrets;
mod text;
mod tokens;
mod tree;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use enginehouse_api::routes;
use enginehouse_tree::Permission::{Approve, Govern, Operate, Read};

use crate::house::House;
use crate::rest::gate::{Route, delete, get, post, put};

pub use gate::{Need, RouteNeed};
pub(crate) use hypervisors::no_such as no_such_hypervisor;
pub(crate) use operations::{find_operation, unreadable};
pub(crate) use tree::{pending_changes_of, pending_of, status};

/// Largest body of a request, bytes.
const BODY_MAX: usize = 8 << 20;

/// All routes, each with what it needs. `On` says the least: what an order needs beyond that, its
/// kind and its change decide.
fn routes() -> Vec<Route> {
    use Need::{Nothing, On, Token};
    vec![
        get(routes::HEALTHZ, Nothing, tree::healthz),
        get(routes::INFO, Token, tree::info),
        get(routes::TREE, On(Read), tree::tree),
        get(routes::NODES, On(Read), tree::node),
        get(routes::NODES_HISTORY, On(Read), history::page),
        post(routes::NODES_PAUSE, On(Operate), drift::pause),
        post(routes::NODES_RESUME, On(Operate), drift::resume),
        post(routes::NODES_MISSING, On(Operate), lost::missing),
        post(routes::NODES_LINK, On(Operate), lost::link),
        get(routes::DRIFT, On(Read), drift::page),
        post(routes::PREVIEWS, On(Operate), previews::make),
        post(routes::OPERATIONS, On(Operate), operations::order),
        get(routes::OPERATIONS, On(Read), operations::list),
        get(routes::OPERATION, On(Read), operations::show),
        get(routes::OPERATION_WAIT, On(Read), operations::wait),
        get(routes::OPERATION_LOG, On(Read), evidence::log),
        get(routes::OPERATION_REQUESTS, On(Read), evidence::requests),
        get(routes::OPERATION_EVENTS, On(Read), events::one),
        get(routes::EVENTS, On(Read), events::all),
        post(routes::OPERATION_CANCEL, On(Operate), operations::cancel),
        post(routes::OPERATION_MOVE, On(Operate), places::give),
        post(routes::OPERATION_RESOLVE, On(Operate), resolve::resolve),
        get(routes::OPERATION_APPROVAL, On(Read), approvals::show),
        post(routes::OPERATION_APPROVE, On(Approve), approvals::approve),
        post(routes::OPERATION_REFUSE, On(Approve), approvals::refuse),
        get(routes::APPROVALS, On(Read), approvals::list),
        get(routes::RESULTS, On(Read), results::results),
        get(routes::EXECUTED, On(Read), results::executed),
        get(routes::AUDIT, On(Govern), audit::page),
        get(routes::AUDIT_HEAD, On(Govern), audit::head),
        get(routes::EXPORT, On(Read), text::export),
        post(routes::IMPORTS, On(Operate), text::import).with_body(routes::IMPORT_MAX),
        post(routes::ADOPTIONS, On(Operate), adoptions::make),
        post(routes::PLANS, On(Read), plans::make),
        get(routes::PLAN, On(Read), plans::show),
        get(routes::ENGINES, Token, engines::list),
        get(routes::ENGINE, Token, engines::show),
        get(routes::HYPERVISORS, On(Read), hypervisors::list),
        post(routes::HYPERVISORS_CHECK, On(Operate), hypervisors::check),
        post(routes::HYPERVISORS_REFRESH, On(Operate), inventory::refresh),
        post(routes::HYPERVISORS_MISSING, On(Govern), inventory::missing),
        get(routes::HYPERVISORS_MACHINES, On(Read), inventory::machines),
        get(routes::WHOAMI, Token, tokens::whoami),
        get(routes::GRANTS, On(Read), grants::list),
        get(routes::TOKENS, Token, tokens::list),
        post(routes::TOKENS, On(Govern), tokens::create),
        delete(routes::TOKEN, Token, tokens::revoke),
        post(routes::TOKENS_ROTATE, On(Govern), tokens::rotate),
        get(routes::SECRETS, On(Govern), secrets::list),
        put(routes::SECRET, On(Govern), secrets::set),
        delete(routes::SECRET, On(Govern), secrets::remove),
        post(routes::SECRET_KEY_ROTATE, On(Govern), secrets::rotate_key),
        get(routes::BACKUP, On(Govern), recovery::backup),
        post(routes::RESUME, On(Govern), recovery::resume),
    ]
}

/// What each route needs.
#[must_use]
pub fn route_needs() -> Vec<RouteNeed> {
    routes().iter().map(Route::need).collect()
}

/// All routes; everything but `healthz` wants a token.
pub(crate) fn router(house: Arc<House>) -> Router {
    gate::router(house, routes(), answer::no_route, answer::no_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}
