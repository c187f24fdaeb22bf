//! Connections, and the way of a request through the proxy.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::rule::judge;
use super::{Fate, Seen, Shared, Trouble, hide};
use crate::Exchange;

const LARGEST_BODY: usize = 16 << 20;

/// Headers of one connection, not of a message, and those that are made anew.
const OWN: [header::HeaderName; 4] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// The connection is closed without an answer.
#[derive(Debug)]
struct Cut(String);

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cut {}

/// Until it is aborted, which closes all connections.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(connection(stream, shared));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // A small answer must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(Body::new(body), LARGEST_BODY)
                .await
                .map_err(|error| Cut(error.to_string()))?;
            let request = Request::from_parts(parts, body);
            tokio::spawn(carry(request, shared))
                .await
                .unwrap_or_else(|error| Err(Cut(error.to_string())))
        }
    });
    // It ends early when the client goes, or by a rule: both are known elsewhere.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Takes a request to fakepve and its answer back.
async fn carry(request: Request<Bytes>, shared: Arc<Shared>) -> Result<Response<Body>, Cut> {
    let mut released = shared.released.subscribe();
    let at = shared.arrived(&request);
    let path = path_of(&request);
    let trouble = judge(&mut shared.rules.lock(), request.method().as_str(), &path);
    let mut hold = async |what: &str| {
        released.mark_unchanged();
        // It ends only with the proxy, and this task with it.
        let _ = released.changed().await;
        match *released.borrow() {
            Fate::GoesOn => Ok(()),
            Fate::IsLost => Err(Cut(format!("the held {what} was lost"))),
        }
    };
    match trouble {
        Some(Trouble::LoseRequest) => return Err(Cut("a rule loses this request".to_owned())),
        Some(Trouble::HoldRequest) => hold("request").await?,
        Some(Trouble::Delay(time)) => tokio::time::sleep(time).await,
        Some(Trouble::HoldAnswer | Trouble::LoseAnswer) | None => {}
    }
    shared.advance(at, |seen| seen.forwarded = true);
    let answer = forward(&shared, request, &path)
        .await
        .map_err(|error| Cut(error.to_string()))?;
    shared.advance(at, |seen| {
        seen.exchange.status = Some(answer.status().as_u16());
    });
    match trouble {
        Some(Trouble::HoldAnswer) => hold("answer").await?,
        Some(Trouble::LoseAnswer) => return Err(Cut("a rule loses this answer".to_owned())),
        Some(Trouble::LoseRequest | Trouble::HoldRequest | Trouble::Delay(_)) | None => {}
    }
    shared.advance(at, |seen| seen.answered = true);
    Ok(answer)
}

async fn forward(
    shared: &Shared,
    request: Request<Bytes>,
    path: &str,
) -> anyhow::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    remove_own(&mut parts.headers);
    let url = format!("{}{path}", shared.upstream);
    let answer = shared
        .client
        .request(parts.method, url)
        .headers(parts.headers)
        .body(body)
        .send()
        .await?;
    let (mut parts, body) = Response::<reqwest::Body>::from(answer).into_parts();
    let body = to_bytes(Body::new(body), LARGEST_BODY).await?;
    remove_own(&mut parts.headers);
    let body = hide::reduced(path, &body).unwrap_or(body);
    let reason = parts.extensions.remove::<ReasonPhrase>();
    parts.extensions.clear();
    if let Some(reason) = reason {
        parts.extensions.insert(reason);
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn remove_own(headers: &mut HeaderMap) {
    for name in OWN {
        headers.remove(name);
    }
}

fn path_of(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

impl Shared {
    /// Writes a request down; answers its place.
    fn arrived(&self, request: &Request<Bytes>) -> usize {
        let credentials = ["authorization", "cookie", "csrfpreventiontoken"];
        let exchange = Exchange {
            at_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: request.method().to_string(),
            path: path_of(request),
            credentials: credentials
                .into_iter()
                .filter(|name| request.headers().contains_key(*name))
                .map(str::to_owned)
                .collect(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            status: None,
        };
        let at = {
            let mut seen = self.seen.lock();
            seen.push(Seen {
                exchange,
                forwarded: false,
                answered: false,
            });
            seen.len() - 1
        };
        self.progress.send_replace(());
        at
    }

    fn advance(&self, at: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen.lock().get_mut(at) {
            change(seen);
        }
        self.progress.send_replace(());
    }
}
