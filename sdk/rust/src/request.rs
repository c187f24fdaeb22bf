//! Requests to the provider.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::host::{Host, Outgoing};
use crate::path::Path;
use crate::{Effect, Error, Reply, Result, encoding};

/// A request that has not said what it does to the provider. Only then can it be sent.
#[must_use = "say the effect, then send"]
pub struct Effectless<'a> {
    pub(crate) request: Request<'a>,
}

impl<'a> Effectless<'a> {
    /// Changes nothing, like a search by `POST`.
    pub fn read(self) -> Request<'a> {
        self.with(Effect::Read)
    }

    /// Sets an absolute state: safe to send again.
    pub fn repeat(self) -> Request<'a> {
        self.with(Effect::Repeat)
    }

    /// Anything else, and every request that carries a version or digest. The host journals it
    /// before it leaves and never sends it twice; one in each call of `run`.
    pub fn once(self) -> Request<'a> {
        self.with(Effect::Once)
    }

    /// Sets an absolute state, if the provider still has it at this version (`If-Match`). With a
    /// version a second sending would be refused, so it is `once`; without one it is `repeat`.
    pub fn if_match(self, version: Option<&str>) -> Request<'a> {
        match version {
            Some(version) => {
                let bare = !version.ends_with('"');
                let quote = if bare { "\"" } else { "" };
                self.once()
                    .header("if-match", format!("{quote}{version}{quote}"))
            }
            None => self.repeat(),
        }
    }

    fn with(mut self, effect: Effect) -> Request<'a> {
        self.request.effect = effect;
        self.request
    }
}

/// A request in the making.
///
/// ```no_run
/// # use enginehouse_sdk::prelude::*;
/// # fn clone(cx: &Cx) -> Result<()> {
/// let upid: String = cx
///     .post(path!("/nodes/{}/qemu/{}/clone", "pve1", 9000))
///     .once()
///     .form(&[("newid", "105"), ("name", "web 1")])
///     .send()?
///     .success()?
///     .json()?;
/// # Ok(()) }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    host: &'a dyn Host,
    endpoint: String,
    method: String,
    path: Path,
    effect: Effect,
    query: String,
    headers: Vec<(String, String)>,
    body: Option<Body>,
    timeout: Option<Duration>,
    fault: Option<Error>,
}

enum Body {
    Form(String),
    Bytes(Vec<u8>),
}

impl<'a> Request<'a> {
    pub(crate) fn new(host: &'a dyn Host, method: &str, path: Path, effect: Effect) -> Self {
        Self {
            host,
            endpoint: "host".to_owned(),
            method: method.to_owned(),
            path,
            effect,
            query: String::new(),
            headers: Vec::new(),
            body: None,
            timeout: None,
            fault: None,
        }
    }

    /// Another endpoint than `host`: a name from the description's `endpoints`.
    pub fn endpoint(mut self, name: impl Into<String>) -> Self {
        self.endpoint = name.into();
        self
    }

    /// Adds to the query, percent-encoded.
    pub fn query<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: &[(K, V)]) -> Self {
        for (key, value) in pairs {
            encoding::push_pair(&mut self.query, key.as_ref(), value.as_ref());
        }
        self
    }

    /// Adds one value of any type to the query, percent-encoded.
    pub fn param(mut self, key: &str, value: impl fmt::Display) -> Self {
        encoding::push_pair(&mut self.query, key, &value.to_string());
        self
    }

    /// Adds to a body of type `application/x-www-form-urlencoded`; replaces one of another type.
    pub fn form<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: &[(K, V)]) -> Self {
        for (key, value) in pairs {
            self.push_form(key.as_ref(), value.as_ref());
        }
        self
    }

    /// Adds one value of any type to a body of type `application/x-www-form-urlencoded`.
    pub fn field(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.push_form(key, &value.to_string());
        self
    }

    fn push_form(&mut self, key: &str, value: &str) {
        let mut form = if let Some(Body::Form(form)) = self.body.take() {
            form
        } else {
            self.set_header("content-type", "application/x-www-form-urlencoded");
            String::new()
        };
        encoding::push_pair(&mut form, key, value);
        self.body = Some(Body::Form(form));
    }

    /// Sets the body to a JSON document. A value that has no JSON is reported by
    /// [`Request::send`].
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body(bytes, "application/json"),
            Err(error) => {
                self.fault = Some(Error::invalid(format_args!("no JSON body: {error}")));
                self
            }
        }
    }

    /// Sets the body and its type. At most 16 MiB.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>, content_type: &str) -> Self {
        self.set_header("content-type", content_type);
        self.body = Some(Body::Bytes(bytes.into()));
        self
    }

    /// Adds a header. The host refuses those that carry credentials or frame the message.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn set_header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(old, _)| !old.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Time for the whole answer; the host's own limit stays in force.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Sends it, and reads the answer to its end, whatever its status: see [`Reply::success`].
    ///
    /// # Errors
    /// `unreachable`, `session-expired`, `invalid` (a malformed request), `denied` (an endpoint
    /// nobody named, a forbidden header, an effect that this call may not have), `provider` (an
    /// answer beyond the host's size limit).
    pub fn send(self) -> Result<Reply> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut target = self.path.checked()?;
        let title = format!("{} {target}", self.method);
        if !self.query.is_empty() {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&self.query);
        }
        let body = match self.body {
            None => None,
            Some(Body::Form(form)) => Some(form.into_bytes()),
            Some(Body::Bytes(bytes)) => Some(bytes),
        };
        let incoming = self.host.send(Outgoing {
            endpoint: self.endpoint,
            method: self.method,
            target,
            effect: self.effect,
            headers: self.headers,
            body,
            timeout: self.timeout,
        })?;
        Ok(Reply::new(title, incoming))
    }
}
