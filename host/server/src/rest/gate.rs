//! The gate before every route.
//!
//! A route is made of what it [`Need`]s and its handler; there is no other way to add one. The state
//! that handlers run with holds the house shut: the only key is a [`Caller`], which the gate makes
//! of a good token. So a handler that asks for no caller reaches nothing, and one that asks for
//! `State<Arc<House>>` does not compile.
//!
//! What a request is about, only its handler finds out, so only it can ask whether the caller may.
//! The caller notes the questions; when a handler answers well without having asked what its route
//! needs, the gate keeps the answer back and says so. Every test of such a route fails.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Router, routing};
use enginehouse_api::{ErrorCode, Problem};
use enginehouse_model::Timestamp;
use enginehouse_tree::{Permission, Subject};

use crate::access::{Caller, Holder, RefusedToken, TOKEN_VERSION, TokenId, TokenText};
use crate::disk::READS;
use crate::house::House;
use crate::rest::answer::Refused;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, not even a token.
    Nothing,
    /// A valid token, whatever its subject may do.
    Token,
    /// This permission on what the request is about; of a list, on each thing in it.
    On(Permission),
}

const EVENT_STREAM: &[u8] = b"text/event-stream";

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Gate {
    house: Arc<House>,
}

/// A method, a path, what they need, and what answers them.
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    need: Need,
    handler: routing::MethodRouter<Gate>,
}

/// A route as tests and documentation see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNeed {
    pub method: String,
    /// As in `enginehouse_api::routes`, with `{number}` and the like.
    pub path: &'static str,
    pub need: Need,
}

/// `GET` of a path.
pub(crate) fn get<H, T>(path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Gate>,
    T: 'static,
{
    route(Method::GET, MethodFilter::GET, path, need, handler)
}

/// `POST` to a path.
pub(crate) fn post<H, T>(path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Gate>,
    T: 'static,
{
    route(Method::POST, MethodFilter::POST, path, need, handler)
}

/// `PUT` to a path.
pub(crate) fn put<H, T>(path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Gate>,
    T: 'static,
{
    route(Method::PUT, MethodFilter::PUT, path, need, handler)
}

/// `DELETE` of a path.
pub(crate) fn delete<H, T>(path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Gate>,
    T: 'static,
{
    route(Method::DELETE, MethodFilter::DELETE, path, need, handler)
}

fn route<H, T>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    need: Need,
    handler: H,
) -> Route
where
    H: Handler<T, Gate>,
    T: 'static,
{
    Route {
        method,
        path,
        need,
        handler: on(filter, handler),
    }
}

impl Route {
    /// With bodies of up to this many bytes; the limit of all routes is less.
    pub(crate) fn with_body(mut self, most: usize) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::max(most));
        self
    }

    pub(crate) fn need(&self) -> RouteNeed {
        RouteNeed {
            method: self.method.to_string(),
            path: self.path,
            need: self.need,
        }
    }
}

/// A router of the routes, each behind the gate; what is none of them wants a token, too.
pub(crate) fn router<H, T, M, U>(
    house: Arc<House>,
    routes: Vec<Route>,
    no_route: H,
    no_method: M,
) -> Router
where
    H: Handler<T, Gate>,
    T: 'static,
    M: Handler<U, Gate>,
    U: 'static,
{
    let gate = Gate { house };
    let behind = |need: Need| middleware::from_fn_with_state((gate.clone(), need), pass);
    let mut router = Router::new();
    for route in routes {
        let handler = route.handler.layer(behind(route.need));
        router = router.route(route.path, handler);
    }
    router
        .fallback(no_route.layer(behind(Need::Token)))
        .method_not_allowed_fallback(no_method.layer(behind(Need::Token)))
        .with_state(gate)
}

async fn pass(
    State((gate, need)): State<(Gate, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    if need == Need::Nothing {
        return next.run(request).await;
    }
    let caller = match gate.caller(request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return Refused(problem).into_response(),
    };
    if matches!(need, Need::On(_)) && !gate.house.state.lock().tree.has_grants(caller.subject()) {
        return Refused(without_grant(caller.subject())).into_response();
    }
    request.extensions_mut().insert(caller.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer = if method == Method::GET {
        gate.read(request, next).await
    } else {
        next.run(request).await
    };
    match need {
        Need::On(permission) if answer.status().is_success() && !caller.was_asked(permission) => {
            tracing::error!(%method, %path, %permission, "a route answered without asking whether the caller may");
            let problem = Problem::new(
                ErrorCode::Internal,
                format!(
                    "{method} {path} did not check whether {} may {permission}",
                    caller.subject()
                ),
            );
            Refused(problem).into_response()
        }
        Need::Nothing | Need::Token | Need::On(_) => answer,
    }
}

fn without_grant(subject: &Subject) -> Problem {
    Problem::new(
        ErrorCode::Forbidden,
        format!("{subject} was not given a role on any folder"),
    )
    .with_hint(format!(
        "who governs a folder can give one: `enginehouse grant /FOLDER {subject} viewer`"
    ))
}

impl Gate {
    /// The answer of a route that reads, once all that it was read from is on disk. Where the disk
    /// took it back, the answer is made again.
    async fn read(&self, request: Request, next: Next) -> Response {
        let (parts, _) = request.into_parts();
        for _ in 0..READS {
            let fence = self.house.state.lock().fence;
            let request = Request::from_parts(parts.clone(), Body::empty());
            let answer = next.clone().run(request).await;
            let kind = answer.headers().get(header::CONTENT_TYPE);
            // The feed holds back by itself what is not on disk.
            let is_feed = kind.is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM));
            if is_feed || self.house.stands(fence).await {
                return answer;
            }
            self.house.reloaded().await;
        }
        let problem = Problem::new(
            ErrorCode::Busy,
            "the database cannot be written, and what was read may be taken back",
        );
        Refused(problem.with_hint("see the host's log; ask again")).into_response()
    }

    /// Who shows the token.
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let shown = bearer(headers)?;
        let house = &self.house;
        let now = house.now();
        let installation = *house.installation_token.lock();
        let holder = house.state.lock().holder(&installation, &shown, now);
        match holder {
            Ok(Holder::Installation) => Ok(Caller::new(
                Arc::clone(house),
                Subject::installation(),
                None,
            )),
            Ok(Holder::Issued {
                id,
                subject,
                first_on,
            }) => {
                if let Some(day) = first_on {
                    // Once a day this answer waits for the disk.
                    note_use(house, &id, day).await;
                }
                Ok(Caller::new(Arc::clone(house), subject, Some(id)))
            }
            Err(RefusedToken::Unknown) => Err(unauthorized(
                "the bearer token is not one of this installation",
                "that of the installation is in the file `token` of the data directory that the host serves",
            )),
            Err(RefusedToken::Expired) => Err(unauthorized(
                "the bearer token has expired",
                "ask for a new one: `enginehouse token create SUBJECT`",
            )),
            Err(RefusedToken::Revoked) => Err(unauthorized(
                "the bearer token was revoked",
                "ask for a new one: `enginehouse token create SUBJECT`",
            )),
        }
    }
}

/// The bearer token of a request: one header, `Bearer` in any case, one word.
fn bearer(headers: &HeaderMap) -> Result<TokenText, Problem> {
    let none = || {
        unauthorized(
            "the request shows no bearer token",
            "send `Authorization: Bearer TOKEN`; that of the installation is in the file `token` of the data directory that the host serves",
        )
    };
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let first = shown.next().ok_or_else(none)?;
    if shown.next().is_some() {
        return Err(unauthorized(
            "the request has more than one `Authorization` header",
            "send one",
        ));
    }
    let (scheme, token) = first
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(none)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(none());
    }
    TokenText::shown(token.trim()).ok_or_else(|| {
        unauthorized(
            "the bearer token is too long to be one of this installation",
            "a token is one line, as in the file `token` of the data directory that the host serves",
        )
    })
}

fn unauthorized(detail: &str, hint: &str) -> Problem {
    Problem::new(ErrorCode::Unauthorized, detail).with_hint(hint)
}

/// Writes down that a token was used on a day, once a day.
async fn note_use(house: &Arc<House>, id: &TokenId, day: Timestamp) {
    let noted = house
        .transact(|state, staged, _| {
            if let Some(token) = state.tokens.get_mut(id)
                && token.last_used_day < Some(day)
            {
                token.last_used_day = Some(day);
                staged.put(
                    enginehouse_store::Table::Token,
                    id.to_string(),
                    TOKEN_VERSION,
                    token,
                );
            }
            Ok(())
        })
        .await;
    if let Err(problem) = noted {
        tracing::warn!(token = %id, "its use was not noted: {}", problem.detail);
    }
}

impl FromRequestParts<Gate> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Gate) -> Result<Self, Refused> {
        // Only the gate puts one there; a route that needs nothing has none.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Refused(Problem::new(
                ErrorCode::Internal,
                "this route knows no caller",
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use enginehouse_model::FullName;

    use super::*;
    use crate::{ServeConfig, Server};

    async fn nothing_asked(_: Caller) -> Json<&'static str> {
        Json("what nobody should see")
    }

    async fn read_asked(caller: Caller) -> Result<Json<&'static str>, Refused> {
        let state = caller.house().state.lock();
        caller.find(&state, &FullName::root())?;
        Ok(Json("what may be seen"))
    }

    async fn govern_asked(caller: Caller) -> Result<Json<&'static str>, Refused> {
        caller.must_govern_all(&caller.house().state.lock())?;
        Ok(Json("what may be seen"))
    }

    #[tokio::test]
    async fn the_answer_of_a_handler_that_forgot_to_ask_is_kept_back() {
        let data = tempfile::tempdir().unwrap();
        let mut config = ServeConfig::new(data.path().to_owned());
        config.listen.set_port(0);
        let running = Server::start(config).await.unwrap();
        let (read, operate) = (Need::On(Permission::Read), Need::On(Permission::Operate));
        let routes = vec![
            get("/forgot", read, nothing_asked),
            get("/asked", read, read_asked),
            get("/asked-less", operate, read_asked),
            get("/asked-more", operate, govern_asked),
            get("/token", Need::Token, nothing_asked),
            get("/open", Need::Nothing, nothing_asked),
        ];
        let none = super::super::answer::no_route;
        let app = router(Arc::clone(running.house()), routes, none, none);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        // Fails when the process has one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut statuses = Vec::new();
        for path in [
            "forgot",
            "asked",
            "asked-less",
            "asked-more",
            "token",
            "open",
        ] {
            let request = http
                .get(format!("{url}/{path}"))
                .bearer_auth(running.token());
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            assert_eq!(text.contains("nobody"), path == "token", "{path}: {text}");
            statuses.push((path, status));
        }
        let expected = [
            ("forgot", 500),
            ("asked", 200),
            ("asked-less", 500),
            ("asked-more", 200),
            ("token", 200),
            // Without a caller there is no way to the house.
            ("open", 500),
        ];
        assert_eq!(statuses, expected);
        running.stop().await;
    }
}
