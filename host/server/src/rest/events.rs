//! Server-Sent Events: of one operation, and of all that the caller may see.
//!
//! A stream makes its next piece when the client has taken the one before, so a slow reader costs the
//! host nothing but its place. Whether the token is still good and what the caller may read is asked
//! again for each piece.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{End, EndReason, ErrorCode, LogLine, Operation, Problem, Reset};
use enginehouse_model::OperationId;
use enginehouse_tree::Permission;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Caller;
use crate::events::{After, Listening, Watching};
use crate::house::House;
use crate::rest::answer::{Answer, InPath, Params};
use crate::rest::evidence::evidence;
use crate::rest::operations::find_operation;

/// Events, or lines of a log, in one piece.
const PIECE: usize = 200;
/// Shortest time between two looks at one operation.
const LOOK: Duration = Duration::from_millis(100);
const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";
/// Bytes of an id that is looked at.
const ID_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllQuery {
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneQuery {
    timeout_ms: Option<u64>,
    log: Option<bool>,
}

/// What all streams have.
struct Stream {
    caller: Caller,
    /// Hash of the installation's own token when the stream began.
    installation: blake3::Hash,
    stopping: watch::Receiver<bool>,
    heartbeat: Duration,
    ends_at: Option<Instant>,
    over: bool,
}

/// What ended a wait.
enum Woken {
    More,
    Heartbeat,
    End(EndReason),
}

impl Stream {
    fn new(caller: Caller, timeout_ms: Option<u64>) -> Self {
        let house = Arc::clone(caller.house());
        let installation = *house.installation_token.lock();
        Self {
            installation,
            stopping: house.stopping.subscribe(),
            heartbeat: house.config.heartbeat,
            // Longer than anybody waits is for ever.
            ends_at: timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms.min(1 << 40))),
            over: false,
            caller,
        }
    }

    fn house(&self) -> &Arc<House> {
        self.caller.house()
    }

    /// Whether the token that the stream was asked for with is still good.
    fn has_token(&self) -> bool {
        let house = self.house();
        match self.caller.token() {
            Some(_) => {
                let state = house.state.lock();
                self.caller.must_still_be_good(&state, house.now()).is_ok()
            }
            None => *house.installation_token.lock() == self.installation,
        }
    }

    /// Waits for `more`, but no longer than a heartbeat.
    async fn wait(&mut self, more: impl Future<Output = ()>) -> Woken {
        let Self {
            stopping,
            heartbeat,
            ends_at,
            ..
        } = self;
        let end = async {
            match ends_at {
                Some(at) => tokio::time::sleep_until(*at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => Woken::End(EndReason::Stopping),
            () = more => Woken::More,
            () = end => Woken::End(EndReason::Time),
            () = tokio::time::sleep(*heartbeat) => Woken::Heartbeat,
        }
    }

    /// The last piece.
    fn end(&mut self, text: &mut String, reason: EndReason) {
        self.over = true;
        event(text, "end", None, &End { reason });
    }
}

fn event(text: &mut String, kind: &str, id: Option<&str>, data: &impl Serialize) {
    // JSON has no line ends outside of its strings, and escapes them inside.
    let data = serde_json::to_string(data).unwrap_or_default();
    raw(text, kind, id, &data);
}

fn raw(text: &mut String, kind: &str, id: Option<&str>, data: &str) {
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = writeln!(text, "event: {kind}\ndata: {data}\n");
}

const HEARTBEAT: &str = ": alive\n\n";

fn answer<S, F>(first: S, next: fn(S) -> F) -> Response
where
    S: Send + 'static,
    F: Future<Output = Option<(String, S)>> + Send + 'static,
{
    let pieces = stream::unfold(first, move |state| async move {
        let (text, state) = next(state).await?;
        Some((Ok::<String, Infallible>(text), state))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that collects would keep the events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn too_many() -> Problem {
    Problem::new(ErrorCode::Busy, "too many listen to events already")
        .with_hint("ask for the state now and then instead, or try again later")
}

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(LAST_EVENT_ID)?.to_str().ok()?.trim();
    (!id.is_empty() && id.len() <= ID_MAX).then_some(id)
}

// ---- all ----

struct All {
    stream: Stream,
    listening: Listening,
    /// The last event that was told, or passed over.
    place: u64,
    /// Nothing was told yet; whether the client has missed something.
    begins: Option<bool>,
}

pub(crate) async fn all(
    caller: Caller,
    headers: HeaderMap,
    Params(query): Params<AllQuery>,
) -> Answer<Response> {
    caller.asks_of_each(Permission::Read);
    let listening = {
        let _state = caller.house().state.lock();
        caller.house().feed.listen()
    };
    let mut listening = listening.ok_or_else(too_many)?;
    let feed = &caller.house().feed;
    let latest = listening.latest();
    let (place, missed) = match last_event_id(&headers).map(|id| feed.place(id)) {
        None => (latest, false),
        Some(Some(place)) if matches!(listening.after(place, 1), After::Events(_)) => {
            (place, false)
        }
        Some(_) => (latest, true),
    };
    let all = All {
        stream: Stream::new(caller, query.timeout_ms),
        listening,
        place,
        begins: Some(missed),
    };
    Ok(answer(all, next_of_all))
}

async fn next_of_all(mut all: All) -> Option<(String, All)> {
    if all.stream.over {
        return None;
    }
    let mut text = String::new();
    if let Some(missed) = all.begins.take() {
        let id = all.stream.house().feed.id(all.place);
        if missed {
            reset(
                &mut text,
                Some(&id),
                "what happened since that event is no longer there",
            );
        } else {
            raw(&mut text, "ready", Some(&id), "{}");
        }
        return Some((text, all));
    }
    loop {
        if !all.stream.has_token() {
            all.stream.end(&mut text, EndReason::Token);
            return Some((text, all));
        }
        all.tell(&mut text);
        if !text.is_empty() {
            return Some((text, all));
        }
        let All {
            stream, listening, ..
        } = &mut all;
        match stream.wait(listening.more()).await {
            Woken::More => {}
            Woken::Heartbeat => {
                text.push_str(HEARTBEAT);
                return Some((text, all));
            }
            Woken::End(reason) => {
                all.stream.end(&mut text, reason);
                return Some((text, all));
            }
        }
    }
}

impl All {
    /// Tells what is new and may be seen.
    fn tell(&mut self, text: &mut String) {
        let house = Arc::clone(self.stream.house());
        loop {
            match self.listening.after(self.place, PIECE) {
                After::Lost => {
                    self.place = self.listening.latest();
                    let id = house.feed.id(self.place);
                    reset(
                        text,
                        Some(&id),
                        "more happened than is kept for a slow reader",
                    );
                    return;
                }
                After::Events(events) => {
                    let Some(last) = events.last() else {
                        return;
                    };
                    self.place = last.id;
                    let state = house.state.lock();
                    for event in &events {
                        let draft = &event.draft;
                        if self.stream.caller.sees(&state, draft.node, &draft.path) {
                            let id = house.feed.id(event.id);
                            raw(text, draft.kind, Some(&id), &draft.data);
                        }
                    }
                    drop(state);
                    // What is passed over costs no answer, but other requests have their turn.
                    if !text.is_empty() || events.len() < PIECE {
                        return;
                    }
                }
            }
        }
    }
}

fn reset(text: &mut String, id: Option<&str>, reason: &str) {
    let reason = reason.to_owned();
    event(text, "reset", id, &Reset { reason });
}

// ---- one operation ----

struct One {
    stream: Stream,
    watching: Watching,
    number: OperationId,
    /// Whether the log is told, too.
    log: bool,
    /// Where the log is: the last line that was told.
    told: Place,
    /// What the client says it has, until that was compared.
    resumes: Option<Option<Place>>,
    /// Hash of the operation as it was told last.
    shown: Option<blake3::Hash>,
    looked_at: Option<Instant>,
}

/// A line of a log, by its number and what it says: after a crash of the host, another line may have
/// the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    seq: u64,
    hash: u32,
}

impl Place {
    fn of(line: &LogLine) -> Self {
        let text = format!("{} {} {} {}", line.seq, line.at.0, line.level, line.text);
        let [a, b, c, d, ..] = *blake3::hash(text.as_bytes()).as_bytes();
        Self {
            seq: line.seq,
            hash: u32::from_be_bytes([a, b, c, d]),
        }
    }

    fn id(self) -> String {
        format!("{:x}-{:08x}", self.seq, self.hash)
    }

    fn parse(id: &str) -> Option<Self> {
        let (seq, hash) = id.split_once('-')?;
        Some(Self {
            seq: u64::from_str_radix(seq, 16).ok()?,
            hash: u32::from_str_radix(hash, 16).ok()?,
        })
    }
}

pub(crate) async fn one(
    caller: Caller,
    headers: HeaderMap,
    InPath(number): InPath<u64>,
    Params(query): Params<OneQuery>,
) -> Answer<Response> {
    let number = OperationId(number);
    // Watched before it is looked at: what happens in between is not missed.
    let watching = caller.house().feed.watch(number).ok_or_else(too_many)?;
    find_operation(&caller, number).await?;
    let one = One {
        stream: Stream::new(caller, query.timeout_ms),
        watching,
        number,
        log: query.log.unwrap_or(true),
        told: Place::default(),
        resumes: last_event_id(&headers).map(Place::parse),
        shown: None,
        looked_at: None,
    };
    Ok(answer(one, next_of_one))
}

async fn next_of_one(mut one: One) -> Option<(String, One)> {
    if one.stream.over {
        return None;
    }
    let mut text = String::new();
    loop {
        if let Some(at) = one.looked_at {
            tokio::time::sleep_until(at + LOOK).await;
        }
        if !one.stream.has_token() {
            one.stream.end(&mut text, EndReason::Token);
            return Some((text, one));
        }
        one.watching.look();
        let more = match one.tell(&mut text).await {
            Ok(more) => more,
            // The disk fails just now: the client comes again, and says how far it has got.
            Err(problem) if problem.code == ErrorCode::Busy => return None,
            Err(_) => {
                one.stream.end(&mut text, EndReason::Hidden);
                return Some((text, one));
            }
        };
        // More lines are there already: they need no pause.
        one.looked_at = (!more).then(Instant::now);
        if !text.is_empty() {
            return Some((text, one));
        }
        let One {
            stream, watching, ..
        } = &mut one;
        match stream.wait(watching.more()).await {
            Woken::More => {}
            Woken::Heartbeat => {
                text.push_str(HEARTBEAT);
                return Some((text, one));
            }
            Woken::End(reason) => {
                one.stream.end(&mut text, reason);
                return Some((text, one));
            }
        }
    }
}

impl One {
    /// Tells what is new; answers whether there is more of the log already.
    ///
    /// # Errors
    /// When the operation may not be read any more, or is gone.
    async fn tell(&mut self, text: &mut String) -> Result<bool, Problem> {
        // The operation first: lines that come in between are told with the next look.
        let operation = find_operation(&self.stream.caller, self.number).await?;
        let ended = operation.state.has_ended();
        let mut more = false;
        if self.log {
            more = self.lines(text).await?;
        }
        if !more {
            self.state(text, &operation);
            if ended {
                self.stream.end(text, EndReason::Over);
            }
        }
        Ok(more)
    }

    fn state(&mut self, text: &mut String, operation: &Operation) {
        let data = serde_json::to_string(operation).unwrap_or_default();
        let hash = blake3::hash(data.as_bytes());
        if self.shown != Some(hash) {
            self.shown = Some(hash);
            raw(text, "operation", Some(&self.told.id()), &data);
        }
    }

    async fn lines(&mut self, text: &mut String) -> Result<bool, Problem> {
        if let Some(resumes) = self.resumes.take() {
            let has = match resumes {
                Some(place) if place == Place::default() => Some(place),
                Some(place) => {
                    let before = place.seq.saturating_sub(1);
                    let (lines, _) = self.after(before, 1).await?;
                    let found = lines.first().map(Place::of);
                    found.filter(|found| *found == place)
                }
                None => None,
            };
            match has {
                Some(place) => self.told = place,
                None => {
                    let id = Place::default().id();
                    reset(text, Some(&id), "the log is not as it was: it comes again");
                }
            }
        }
        let (lines, more) = self.after(self.told.seq, PIECE).await?;
        for line in &lines {
            self.told = Place::of(line);
            event(text, "log", Some(&self.told.id()), line);
        }
        Ok(more)
    }

    /// Lines of the log after one, and whether there are more.
    async fn after(&self, seq: u64, limit: usize) -> Result<(Vec<LogLine>, bool), Problem> {
        let house = self.stream.house();
        let newest = house
            .state
            .lock()
            .live
            .get(&self.number)
            .map(|live| live.last_line());
        if newest.is_some_and(|newest| newest <= seq) {
            return Ok((Vec::new(), false));
        }
        let (lines, _) = evidence(house, self.number).await?;
        let first = lines.partition_point(|line| line.seq <= seq);
        let rest = lines.get(first..).unwrap_or_default();
        let lines: Vec<LogLine> = rest.iter().take(limit).cloned().collect();
        Ok((lines, rest.len() > limit))
    }
}
