//! Connections, and the way of a request through the simulation.
//!
//! Verdict of the knobs → (dropped) → latency → token → (answered by a fault) → work, saved →
//! lateness → answer, or the connection closed without one. From the verdict on it runs in a task
//! of its own: a client that goes away stops nothing that has arrived, as with a real provider.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answer::{Answer, Refusal};
use crate::perform::Request;
use crate::server::Shared;
use crate::{Call, RequestEntry, SimError, admin};

const LARGEST_BODY: usize = 16 << 20;

/// In the extensions of a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug, Error)]
#[error("the connection is closed without an answer, as a knob says")]
struct Cut;

/// Accepts connections until it is told to stop; then closes them all at once.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let router = admin::routes().fallback(exchange).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                // Small answers must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(TokioIo::new(stream), router.clone()));
            }
            // Out of file descriptors, or the client has gone already: the next may do better.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TokioIo<tokio::net::TcpStream>, router: Router) {
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        let answer = inner.call(request);
        async move {
            let answer = answer
                .await
                .unwrap_or_else(|never: Infallible| match never {});
            match answer.extensions().get::<Cut>() {
                Some(cut) => Err(*cut),
                None => Ok(answer),
            }
        }
    });
    // What ends a connection early is the client, or a knob: both are known elsewhere.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn exchange(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        let refusal = Refusal::new(413, "too-large", "the body is too large or did not arrive");
        return respond(Err(refusal));
    };
    let Ok(Query(query)) = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri) else {
        return respond(Err(Refusal::new(
            400,
            "bad-request",
            "the query is malformed",
        )));
    };
    let work = tokio::spawn(async move { answer(&shared, &parts, &query, &body).await });
    // It ends early only by a panic, or with the runtime: no answer either way.
    work.await.unwrap_or_else(|_| cut())
}

async fn answer(
    shared: &Shared,
    parts: &Parts,
    query: &BTreeMap<String, String>,
    body: &[u8],
) -> Response {
    let (call, ids) = Call::of(parts.method.as_str(), parts.uri.path());
    let judged = shared.change(|world| (world.judge(call), world.now));
    let (verdict, at) = match judged {
        Ok(judged) => judged,
        Err(error) => return broken(&error),
    };
    let number = shared.requests.lock().open(RequestEntry {
        number: 0,
        at,
        call: call.as_str().to_owned(),
        method: parts.method.to_string(),
        path: parts
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
        status: None,
        cut: false,
    });
    let close = |response: Option<Response>| {
        let status = response.as_ref().map(|response| response.status().as_u16());
        shared.requests.lock().close(number, status);
        response.unwrap_or_else(cut)
    };
    if verdict.drop {
        return close(None);
    }
    pass(verdict.delay_ms).await;
    if let Err(refusal) = authorize(shared, &parts.headers) {
        return close(Some(respond(Err(refusal))));
    }
    let if_match = parts.headers.get(header::IF_MATCH);
    let request = Request {
        call,
        ids: &ids,
        query,
        if_match: if_match.and_then(|value| value.to_str().ok()),
        body,
    };
    let result = match shared.change(|world| world.respond(&request, &verdict)) {
        Ok(result) => result,
        Err(error) => return close(Some(broken(&error))),
    };
    pass(verdict.late_ms).await;
    if verdict.lose_answer {
        return close(None);
    }
    close(Some(respond(result)))
}

async fn pass(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = &shared.config.token else {
        return Ok(());
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(given) if given == token => Ok(()),
        Some(_) => Err(Refusal::new(401, "unauthorized", "the token is wrong")),
        None => Err(Refusal::new(
            401,
            "unauthorized",
            "a bearer token is needed",
        )),
    }
}

fn respond(result: Result<Answer, Refusal>) -> Response {
    let (status, body, version) = match result {
        Ok(answer) => (answer.status, answer.body, answer.version),
        Err(refusal) => (refusal.status, refusal.body(), None),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(tag) =
        version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok())
    {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The world could not be saved: a provider with a full disk of its own.
pub(crate) fn broken(error: &SimError) -> Response {
    respond(Err(Refusal::new(500, "broken", error.to_string())))
}

fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}
