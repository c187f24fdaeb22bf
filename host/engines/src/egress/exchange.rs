//! One request and its answer: what is checked, added, timed and said when it fails.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enginehouse_documents::{Code, Problem};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::address::RefusedAddress;
use super::endpoint::Endpoint;
use super::pace::Turn;
use super::{Connection, Effect, RequestLine, headers, tls};
use crate::clock::Clock;
use crate::occasion::Observer;

/// Largest body of a request, in bytes.
pub(crate) const BODY_MAX: usize = 16 << 20;

/// A request as the guest made it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    pub endpoint: String,
    pub method: String,
    pub path: String,
    pub effect: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Milliseconds.
    pub timeout: Option<u64>,
}

/// A request that may leave, without credentials.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub endpoint: String,
    pub method: Method,
    pub url: Url,
    pub path: String,
    pub effect: Effect,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub timeout: Duration,
}

impl Prepared {
    /// blake3 of everything the guest decided, each part with its length.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for text in [&self.endpoint, self.method.as_str(), &self.path] {
            part(text.as_bytes());
        }
        for (name, value) in &self.headers {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        part(&self.body);
        hasher.finalize().to_hex().to_string()
    }
}

/// What a call's requests report to, shared with a `once` request that outlives the call.
#[derive(Clone)]
pub(crate) struct Reporting {
    pub observer: Arc<dyn Observer>,
    pub clock: Clock,
    /// Generation of the session that the call's newest request used.
    pub generation: Arc<AtomicU64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SendError {
    /// It provably had no effect.
    NotSent(Problem),
    /// It may have arrived.
    Lost(Problem),
}

impl SendError {
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::NotSent(problem) | Self::Lost(problem) => problem,
        }
    }
}

/// An answer whose body is still coming.
pub(crate) struct Live {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    body: LiveBody,
}

struct LiveBody {
    response: Response,
    /// Read from the connection, not yet by the guest.
    pending: Vec<u8>,
    received: u64,
    limit: u64,
    authority: String,
    /// The request counts as in flight until its body is read or dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl Live {
    /// The next piece, at most `limit` bytes; empty at the end.
    pub(crate) async fn read(&mut self, limit: usize) -> Result<Vec<u8>, Problem> {
        let body = &mut self.body;
        while body.pending.is_empty() && body.permit.is_some() {
            match body.response.chunk().await {
                Ok(Some(chunk)) => {
                    body.received = body.received.saturating_add(chunk.len() as u64);
                    if body.received > body.limit {
                        body.permit = None;
                        let message = format!(
                            "the answer of {} is longer than {} bytes",
                            body.authority, body.limit
                        );
                        return Err(Problem::new(Code::Provider, message));
                    }
                    body.pending = chunk.to_vec();
                }
                Ok(None) => body.permit = None,
                Err(error) => {
                    body.permit = None;
                    let cause = innermost(&error);
                    let message = if error.is_timeout() {
                        format!("the answer of {} did not end in time", body.authority)
                    } else {
                        format!(
                            "the connection to {} broke inside the answer: {cause}",
                            body.authority
                        )
                    };
                    return Err(Problem::new(Code::Unreachable, message));
                }
            }
        }
        let rest = body.pending.split_off(limit.min(body.pending.len()));
        Ok(std::mem::replace(&mut body.pending, rest))
    }

    /// The whole body, and whether it was cut at `max` bytes.
    pub(crate) async fn read_all(&mut self, max: u64) -> Result<(Vec<u8>, bool), Problem> {
        let mut all = Vec::new();
        loop {
            let piece = self.read(64 << 10).await?;
            if piece.is_empty() {
                return Ok((all, false));
            }
            let room = usize::try_from(max)
                .unwrap_or(usize::MAX)
                .saturating_sub(all.len());
            if piece.len() > room {
                all.extend_from_slice(&piece[..room]);
                return Ok((all, true));
            }
            all.extend_from_slice(&piece);
        }
    }
}

impl Connection {
    /// Checks what the guest asked for.
    pub(crate) fn prepare(&self, outgoing: Outgoing) -> Result<Prepared, Problem> {
        let endpoint = self.endpoint(&outgoing.endpoint)?;
        let effect = Effect::parse(&outgoing.effect).ok_or_else(|| {
            let shown: String = outgoing.effect.chars().take(40).collect();
            Problem::new(
                Code::Invalid,
                format!("`{shown}` is no effect: a request is `read`, `repeat` or `once`"),
            )
        })?;
        let method = match outgoing.method.as_str() {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            "OPTIONS" => Method::OPTIONS,
            other => {
                let shown: String = other.chars().take(40).collect();
                let message = format!("`{shown}` is no method that an engine may use");
                return Err(Problem::new(Code::Invalid, message));
            }
        };
        // POST may read (SOAP, EC2); these three never do.
        if effect == Effect::Read && matches!(method, Method::PUT | Method::PATCH | Method::DELETE)
        {
            let message = format!("a {method} changes something: its effect is not `read`");
            return Err(Problem::new(Code::Denied, message));
        }
        if outgoing.body.len() > BODY_MAX {
            return Err(Problem::new(
                Code::Invalid,
                "the request's body is longer than 16 MiB",
            ));
        }
        let url = endpoint.url(&outgoing.path)?;
        let headers = headers::outgoing(&outgoing.headers)?;
        let most = self.spec.limits.request_timeout;
        let timeout = outgoing
            .timeout
            .map_or(most, |ms| Duration::from_millis(ms.max(1)).min(most));
        Ok(Prepared {
            endpoint: outgoing.endpoint,
            method,
            url,
            path: outgoing.path,
            effect,
            headers,
            body: outgoing.body,
            timeout,
        })
    }

    fn endpoint(&self, name: &str) -> Result<&Endpoint, Problem> {
        self.endpoints.get(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let named: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
            let mut problem = Problem::new(
                Code::Denied,
                format!(
                    "hypervisor `{}` has no endpoint `{shown}`; it has: {}",
                    self.spec.name,
                    named.join(", ")
                ),
            );
            problem.detail.hint = Some(format!(
                "an operator can add it as `endpoints.{shown}` of the hypervisor"
            ));
            problem
        })
    }

    /// Reserves the turn of one request: how long it has to wait for it. `busy` when that is too
    /// long to wait.
    pub(super) fn turn(&self) -> Result<Duration, Problem> {
        let Some(pace) = &self.pace else {
            return Ok(Duration::ZERO);
        };
        match pace.reserve() {
            Turn::In(wait) => Ok(wait),
            Turn::TooFar(wait) => Err(pace.busy(&self.spec.name, wait)),
        }
    }

    /// Sends a request that is not `once`. One that only reads is sent again, over a new connection,
    /// when the kept one turns out to be dead.
    pub(crate) async fn exchange(
        &self,
        prepared: &Prepared,
        reporting: &Reporting,
    ) -> Result<Live, Problem> {
        tokio::time::sleep(self.turn()?).await;
        let began = Instant::now();
        let deadline = began + prepared.timeout;
        let result = match self
            .attempt(prepared, &self.client, deadline, reporting)
            .await
        {
            Err(Attempt { stale: true, .. }) if prepared.effect == Effect::Read => {
                self.attempt(prepared, &self.fresh, deadline, reporting)
                    .await
            }
            first => first,
        };
        let result = result.map_err(|attempt| attempt.error.problem());
        let answer = (result.as_ref())
            .map(|live| live.status)
            .map_err(ToString::to_string);
        self.report(prepared, reporting, began, answer, false);
        result
    }

    /// Sends a `once` request, never twice and never over a connection that may be dead. After
    /// `deadline`, which the journal knows, it is not under way any more.
    pub(crate) async fn exchange_once(
        &self,
        prepared: &Prepared,
        deadline: Instant,
        reporting: &Reporting,
    ) -> Result<Live, SendError> {
        if Instant::now() >= deadline {
            return Err(SendError::NotSent(Problem::new(
                Code::Unreachable,
                "it took longer to write the request down than the request may take",
            )));
        }
        (self
            .attempt(prepared, &self.fresh, deadline, reporting)
            .await)
            .map_err(|attempt| attempt.error)
    }

    /// The line of a request for the audit.
    pub(crate) fn report(
        &self,
        prepared: &Prepared,
        reporting: &Reporting,
        began: Instant,
        answer: Result<u16, String>,
        replayed: bool,
    ) {
        reporting.observer.request(&RequestLine {
            endpoint: prepared.endpoint.clone(),
            method: prepared.method.to_string(),
            path: self.redactor.text(&prepared.path),
            effect: prepared.effect,
            status: answer.as_ref().ok().copied(),
            error: answer.err().map(|error| self.redactor.text(&error)),
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes: prepared.body.len() as u64,
            login: false,
            replayed,
        });
    }

    async fn attempt(
        &self,
        prepared: &Prepared,
        client: &reqwest::Client,
        deadline: Instant,
        reporting: &Reporting,
    ) -> Result<Live, Attempt> {
        let endpoint = self
            .endpoint(&prepared.endpoint)
            .map_err(Attempt::not_sent)?;
        let permits = Arc::clone(&self.permits);
        let permit = match tokio::time::timeout_at(deadline, permits.acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => {
                return Err(Attempt::not_sent(Problem::new(
                    Code::Unreachable,
                    format!(
                        "hypervisor `{}` already has {} requests in flight, and none ended in time",
                        self.spec.name, self.spec.limits.concurrent
                    ),
                )));
            }
        };
        let mut headers = prepared.headers.clone();
        let authorized = self.authorize(&mut headers, &prepared.method, deadline, reporting);
        let generation = match tokio::time::timeout_at(deadline, authorized).await {
            Ok(result) => result.map_err(Attempt::not_sent)?,
            Err(_) => {
                let message = format!("no login at {} in time", endpoint.authority());
                return Err(Attempt::not_sent(Problem::new(Code::Unreachable, message)));
            }
        };
        reporting.generation.store(generation, Ordering::Relaxed);
        let sent = client
            .request(prepared.method.clone(), prepared.url.clone())
            .headers(headers)
            .timeout(deadline.saturating_duration_since(Instant::now()))
            .body(prepared.body.clone())
            .send()
            .await;
        match sent {
            Ok(response) => Ok(Live {
                status: response.status().as_u16(),
                reason: reason(&response),
                headers: headers::incoming(response.headers()),
                body: LiveBody {
                    response,
                    pending: Vec::new(),
                    received: 0,
                    limit: self.spec.limits.answer_max,
                    authority: endpoint.authority(),
                    permit: Some(permit),
                },
            }),
            Err(error) => Err(self.failed(&error, endpoint, prepared.timeout)),
        }
    }

    /// What a failed request means and how to say it.
    pub(super) fn failed(
        &self,
        error: &reqwest::Error,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Attempt {
        let authority = endpoint.authority();
        let unreachable = |message: String| Problem::new(Code::Unreachable, message);
        let problem = if let Some(refused) = find::<RefusedAddress>(error) {
            Problem::new(Code::Denied, refused.to_string())
        } else if let Some(tls) = tls::tls_error(error) {
            let (message, hint) =
                tls::explain(tls, &self.spec.tls, endpoint.host(), &authority, &self.seen);
            let mut problem = Problem::new(tls::code(tls), message);
            problem.detail.hint = hint;
            problem
        } else if error.is_connect() && error.is_timeout() {
            let seconds = self.spec.limits.connect_timeout.min(timeout).as_secs_f64();
            unreachable(format!("no connection to {authority} within {seconds} s"))
        } else if error.is_connect() {
            unreachable(format!(
                "no connection to {authority}: {}",
                innermost(error)
            ))
        } else if error.is_timeout() {
            let seconds = timeout.as_secs_f64();
            unreachable(format!("no answer from {authority} within {seconds} s"))
        } else {
            unreachable(format!(
                "the connection to {authority} broke: {}",
                innermost(error)
            ))
        };
        if error.is_connect() {
            self.resolver.forget();
            return Attempt::not_sent(problem);
        }
        let stale = !error.is_timeout()
            && find::<hyper::Error>(error).is_some_and(|inner| {
                inner.is_incomplete_message() || inner.is_closed() || inner.is_canceled()
            })
            || find::<std::io::Error>(error).is_some_and(|inner| {
                use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
                matches!(
                    inner.kind(),
                    BrokenPipe | ConnectionReset | ConnectionAborted
                )
            });
        Attempt {
            error: SendError::Lost(problem),
            stale,
        }
    }
}

/// How one sending of a request failed.
pub(super) struct Attempt {
    pub error: SendError,
    /// The connection was closed by the other side before it answered.
    stale: bool,
}

impl Attempt {
    fn not_sent(problem: Problem) -> Self {
        Self {
            error: SendError::NotSent(problem),
            stale: false,
        }
    }
}

/// The reason phrase as the server wrote it. hyper keeps it only when it is not the usual one.
pub(super) fn reason(response: &Response) -> String {
    match response.extensions().get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => (StatusCode::canonical_reason(&response.status()).unwrap_or_default()).to_owned(),
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
