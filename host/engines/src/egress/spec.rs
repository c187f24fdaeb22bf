//! How to reach one hypervisor, as an operator says it, and what can be wrong with that.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use enginehouse_documents::{AuthScheme, Description};
use enginehouse_model::HypervisorUid;
use serde_json::{Map, Value};
use thiserror::Error;

use super::Rate;
use crate::secret::Secret;

/// How to reach one hypervisor.
#[derive(Clone, Debug)]
pub struct ConnectionSpec {
    pub hypervisor: HypervisorUid,
    /// Its name in the tree.
    pub name: String,
    /// `http` or `https`: for endpoints written without one.
    pub default_scheme: String,
    /// For `host` written without a port.
    pub default_port: Option<u16>,
    /// Name -> `pve1`, `pve1:8006` or `https://pve1:8006/prefix`. `host` is always there.
    pub endpoints: BTreeMap<String, String>,
    pub auth: Auth,
    /// `root@pam`, `root@pam!enginehouse`, `admin`; empty where the scheme needs none.
    pub user: String,
    pub password: Secret,
    pub tls: Tls,
    /// What `hypervisor.settings` says to the engine.
    pub settings: Map<String, Value>,
    pub limits: RequestLimits,
}

impl ConnectionSpec {
    /// A hypervisor at `host`, with what the engine's description says about scheme and port, and
    /// no credentials.
    #[must_use]
    pub fn new(
        hypervisor: HypervisorUid,
        name: impl Into<String>,
        host: impl Into<String>,
        engine: &Description,
    ) -> Self {
        Self {
            hypervisor,
            name: name.into(),
            default_scheme: engine
                .default_scheme
                .clone()
                .unwrap_or_else(|| "https".to_owned()),
            default_port: engine.default_port,
            endpoints: BTreeMap::from([("host".to_owned(), host.into())]),
            auth: Auth::None,
            user: String::new(),
            password: Secret::default(),
            tls: Tls::default(),
            settings: Map::new(),
            limits: RequestLimits::default(),
        }
    }
}

/// How credentials are presented. Host code: an engine only names a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    Basic,
    Bearer,
    /// The password in a header out of [`Auth::HEADERS`].
    Header {
        name: String,
    },
    /// `Authorization: PVEAPIToken=USER=PASSWORD`; the user is `root@pam!token`.
    ProxmoxToken,
    /// `POST /api2/json/access/ticket`, then cookie, and CSRF token on everything but GET.
    ProxmoxTicket,
}

impl Auth {
    /// Headers that may carry a password, in lower case.
    pub const HEADERS: &'static [&'static str] = &[
        "api-key",
        "private-token",
        "x-api-key",
        "x-api-token",
        "x-auth-key",
        "x-auth-token",
        "x-token",
        "x-vault-token",
    ];

    /// The scheme of an engine's description. `user` tells a Proxmox token from a ticket.
    #[must_use]
    pub fn scheme(&self) -> AuthScheme {
        match self {
            Self::None => AuthScheme::None,
            Self::Basic => AuthScheme::Basic,
            Self::Bearer => AuthScheme::Bearer,
            Self::Header { .. } => AuthScheme::Header,
            Self::ProxmoxToken => AuthScheme::ProxmoxToken,
            Self::ProxmoxTicket => AuthScheme::ProxmoxTicket,
        }
    }

    /// What to use when the operator named none: the first of the engine's schemes that fits the
    /// credentials given. A Proxmox user with `!` is a token's.
    #[must_use]
    pub fn choose(offered: &[AuthScheme], user: &str, password: &Secret) -> Option<Self> {
        offered.iter().find_map(|scheme| {
            let (has_user, has_password) = (!user.is_empty(), !password.is_empty());
            let (auth, fits) = match scheme {
                AuthScheme::None => (Self::None, !has_user && !has_password),
                AuthScheme::Basic => (Self::Basic, has_user && has_password),
                AuthScheme::Bearer => (Self::Bearer, !has_user && has_password),
                AuthScheme::Header => (
                    Self::Header {
                        name: "x-auth-token".to_owned(),
                    },
                    !has_user && has_password,
                ),
                AuthScheme::ProxmoxToken => {
                    (Self::ProxmoxToken, has_password && user.contains('!'))
                }
                AuthScheme::ProxmoxTicket => (
                    Self::ProxmoxTicket,
                    has_user && has_password && !user.contains('!'),
                ),
            };
            fits.then_some(auth)
        })
    }
}

/// Whom to believe to be the hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// The system's certificate authorities.
    #[default]
    Roots,
    /// Only these (PEM): authorities, or the server's own certificate.
    CaFile(PathBuf),
    /// Only the certificate with this SHA-256, in hexadecimal, with or without colons.
    Fingerprint(String),
    /// Anybody. The caller warns each time.
    Insecure,
}

/// Limits of the requests to one hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    pub connect_timeout: Duration,
    /// For a whole request and its answer; an engine may ask for less.
    pub request_timeout: Duration,
    /// Bytes of one answer.
    pub answer_max: u64,
    /// Bytes of the answer to a `once` request, which is journalled.
    pub once_answer_max: u64,
    /// Requests in flight.
    pub concurrent: usize,
    /// Requests a second; none: as many as come.
    pub rate: Option<Rate>,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            answer_max: 64 << 20,
            once_answer_max: 1 << 20,
            concurrent: 8,
            rate: None,
        }
    }
}

/// What is wrong with a [`ConnectionSpec`]; each says the field and what to write instead.
#[derive(Debug, Error)]
pub enum ConnectionError {
    #[error("hypervisor `{hypervisor}`: `{field}` is missing: {hint}")]
    Missing {
        hypervisor: String,
        field: String,
        hint: String,
    },
    #[error("hypervisor `{hypervisor}`: `{field}` is `{value}`: {hint}")]
    Invalid {
        hypervisor: String,
        field: String,
        value: String,
        hint: String,
    },
    #[error("hypervisor `{hypervisor}`: `tls.ca_file` {path} cannot be read")]
    CaFile {
        hypervisor: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("hypervisor `{hypervisor}`: the HTTP client cannot be set up: {reason}")]
    Client { hypervisor: String, reason: String },
}

impl ConnectionError {
    /// The member of the hypervisor's entry that is at fault: `host`, `endpoints.login`, `user`,
    /// `password`, `auth`, `tls.ca_file`, `tls.fingerprint`.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Missing { field, .. } | Self::Invalid { field, .. } => field,
            Self::CaFile { .. } => "tls.ca_file",
            Self::Client { .. } => "tls",
        }
    }
}
