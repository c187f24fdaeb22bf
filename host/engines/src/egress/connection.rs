//! One hypervisor, connected.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, Problem};
use enginehouse_model::HypervisorUid;
use reqwest::{Client, Url, redirect};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::address::Resolver;
use super::endpoint::Endpoint;
use super::login::Credentials;
use super::pace::Pace;
use super::tls::{self, Seen};
use super::{ConnectionError, ConnectionSpec, Tls};
use crate::redact::Redactor;

/// pveproxy closes idle connections after 5 s.
const IDLE: Duration = Duration::from_secs(4);
/// Names of endpoints.
const ENDPOINT_NAME_MAX: usize = 63;

/// One hypervisor: endpoints, TLS, credentials, session, and the limits of its requests. Shared by
/// all calls; connects when the first request is sent.
pub struct Connection {
    pub(super) spec: ConnectionSpec,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) credentials: Credentials,
    /// Keeps connections open.
    pub(super) client: Client,
    /// A new connection for each request: for `once` requests, whose answer must not get lost with a
    /// connection that the other side is just closing.
    pub(super) fresh: Client,
    pub(super) resolver: Resolver,
    pub(super) seen: Seen,
    pub(super) permits: Arc<Semaphore>,
    pub(super) pace: Option<Pace>,
    pub(crate) redactor: Redactor,
}

impl Connection {
    /// # Errors
    /// When an endpoint, the credentials or the TLS settings cannot be used. Nothing is connected.
    pub fn new(spec: ConnectionSpec) -> Result<Arc<Self>, ConnectionError> {
        let mut endpoints = BTreeMap::new();
        for (name, text) in &spec.endpoints {
            let is_host = name == "host";
            let field = if is_host {
                name.clone()
            } else {
                format!("endpoints.{name}")
            };
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || name.len() > ENDPOINT_NAME_MAX || !name.chars().all(good) {
                return Err(ConnectionError::Invalid {
                    hypervisor: spec.name.clone(),
                    field: "endpoints".to_owned(),
                    value: name.chars().take(80).collect(),
                    hint: "an endpoint's name has letters, digits, `-` and `_`".to_owned(),
                });
            }
            let port = spec.default_port.filter(|_| is_host);
            let endpoint = Endpoint::parse(&spec.name, &field, text, &spec.default_scheme, port)?;
            endpoints.insert(name.clone(), endpoint);
        }
        if !endpoints.contains_key("host") {
            return Err(ConnectionError::Missing {
                hypervisor: spec.name.clone(),
                field: "host".to_owned(),
                hint: "write a host name, an address, or a URL".to_owned(),
            });
        }
        let credentials = Credentials::new(&spec)?;
        let seen = Seen::default();
        let resolver = Resolver::default();
        let config = tls::client_config(&spec.name, &spec.tls, Arc::clone(&seen))?;
        let build = |keep: bool| {
            let builder = Client::builder()
                .user_agent(concat!("enginehouse/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(config.clone())
                .dns_resolver(resolver.clone())
                .connect_timeout(spec.limits.connect_timeout)
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .http1_only()
                .tcp_nodelay(true);
            let builder = if keep {
                builder.pool_idle_timeout(IDLE)
            } else {
                builder.pool_max_idle_per_host(0)
            };
            builder.build().map_err(|error| ConnectionError::Client {
                hypervisor: spec.name.clone(),
                reason: error.to_string(),
            })
        };
        Ok(Arc::new(Self {
            client: build(true)?,
            fresh: build(false)?,
            endpoints,
            credentials,
            resolver,
            seen,
            permits: Arc::new(Semaphore::new(spec.limits.concurrent.max(1))),
            pace: spec.limits.rate.map(Pace::new),
            redactor: Redactor::new([spec.password.reveal()]),
            spec,
        }))
    }

    #[must_use]
    pub fn hypervisor(&self) -> HypervisorUid {
        self.spec.hypervisor
    }

    /// Its name in the tree.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// TLS verification is off: warn each time it is used.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.spec.tls == Tls::Insecure
    }

    /// Counts the logins; 0 where the scheme has no session, or before the first.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.credentials
            .session()
            .map_or(0, super::login::Session::generation)
    }

    /// Whether the scheme logs in.
    pub(crate) fn has_session(&self) -> bool {
        self.credentials.session().is_some()
    }

    /// The session of this generation is no longer good: the next request logs in again. Does
    /// nothing when somebody else has logged in since. Calls of an [`crate::Engine`] that end with
    /// `session-expired` have done it already.
    pub fn expire_session(&self, generation: u64) {
        if let Some(session) = self.credentials.session() {
            session.expire(generation);
        }
    }

    /// Takes every secret of this hypervisor out of a text.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// What `hypervisor.settings` says.
    pub(crate) fn settings(&self) -> String {
        Value::Object(self.spec.settings.clone()).to_string()
    }

    /// Which endpoint a URL of the provider belongs to, and the path on it.
    pub(crate) fn locate(&self, text: &str) -> Result<(String, String), Problem> {
        let shown: String = text.chars().take(200).collect();
        let url = Url::parse(text).map_err(|error| {
            Problem::new(Code::Invalid, format!("`{shown}` is no URL: {error}"))
        })?;
        (self.endpoints.iter())
            .find_map(|(name, endpoint)| Some((name.clone(), endpoint.path_of(&url)?)))
            .ok_or_else(|| {
                let mut problem = Problem::new(
                    Code::Denied,
                    format!(
                        "no endpoint of hypervisor `{}` leads to {shown}",
                        self.spec.name
                    ),
                );
                problem.detail.hint = Some(
                    "if it is meant, an operator names it among the hypervisor's `endpoints`"
                        .to_owned(),
                );
                problem
            })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("hypervisor", &self.spec.hypervisor)
            .field("name", &self.spec.name)
            .finish_non_exhaustive()
    }
}
