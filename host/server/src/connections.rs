//! From a hypervisor entry of the tree to a connection that engines are called with.
//!
//! A connection is kept as long as its entry says the same: it holds the pool of sockets, the
//! session, and the limits of requests.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{AuthScheme, Code, Description, Problem};
use enginehouse_engines::{Auth, Connection, ConnectionSpec, Rate, Secret, Tls};
use enginehouse_model::{HypervisorUid, SecretName};
use enginehouse_secrets::Zeroizing;
use enginehouse_tree::{HypervisorEntry, Secret as WrittenSecret, Secrets};
use parking_lot::Mutex;

use crate::secrets::Unusable;

/// Connections by hypervisor, each with the entry it was made from.
#[derive(Default)]
pub(crate) struct Connections {
    made: Mutex<BTreeMap<HypervisorUid, (String, Arc<Connection>)>>,
}

impl Connections {
    /// The connection of an entry; the one there is, if nothing has changed.
    pub(crate) fn get(
        &self,
        hypervisor: HypervisorUid,
        name: &str,
        entry: &HypervisorEntry,
        password: Secret,
        engine: &Description,
    ) -> Result<Arc<Connection>, Problem> {
        let shown = entry.json(Secrets::Shown).to_string();
        // What a reference leads to may change while the entry stays.
        let fingerprint = blake3::hash(format!("{shown}\0{}", password.reveal()).as_bytes())
            .to_hex()
            .to_string();
        let mut made = self.made.lock();
        if let Some((of, connection)) = made.get(&hypervisor)
            && *of == fingerprint
        {
            return Ok(Arc::clone(connection));
        }
        let spec = spec(hypervisor, name, entry, password, engine)?;
        let connection = Connection::new(spec).map_err(|error| {
            let mut text = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                text = format!("{text}: {source}");
            }
            Problem::new(Code::Invalid, text)
        })?;
        made.insert(hypervisor, (fingerprint, Arc::clone(&connection)));
        Ok(connection)
    }
}

fn invalid(name: &str, field: &str, what: &str, hint: &str) -> Problem {
    let mut problem = Problem::new(Code::Invalid, format!("hypervisor `{name}`: {what}"));
    problem.detail.field = Some(format!("hypervisors.{name}.{field}"));
    problem.detail.hint = Some(hint.to_owned());
    problem
}

/// The password that an entry says or refers to; one in the host's own store is asked for by `open`.
pub(crate) fn password(
    name: &str,
    entry: &HypervisorEntry,
    open: impl FnOnce(&SecretName) -> Result<Zeroizing<String>, Unusable>,
) -> Result<Secret, Problem> {
    match &entry.password {
        None => Ok(Secret::default()),
        Some(WrittenSecret::Literal(text)) => Ok(Secret::new(text.as_ref())),
        Some(WrittenSecret::Named(secret)) => match open(secret) {
            Ok(text) => Ok(Secret::new(text.as_str())),
            Err(error) => {
                let what = crate::problem::with_sources(&error);
                Err(invalid(name, "password", &what, &error.hint()))
            }
        },
        Some(WrittenSecret::Env(variable)) => std::env::var(variable.as_ref())
            .map(Secret::new)
            .map_err(|_| {
                invalid(
                    name,
                    "password",
                    &format!("the environment variable {variable} is not set for the host"),
                    "set it where `enginehouse serve` is started",
                )
            }),
        Some(WrittenSecret::File(path)) => match std::fs::read_to_string(path.as_ref()) {
            Ok(text) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => Err(invalid(
                name,
                "password",
                &format!("the password file {path} cannot be read: {error}"),
                "give the user that runs `enginehouse serve` the right to read it",
            )),
        },
    }
}

fn spec(
    hypervisor: HypervisorUid,
    name: &str,
    entry: &HypervisorEntry,
    password: Secret,
    engine: &Description,
) -> Result<ConnectionSpec, Problem> {
    let Some(host) = &entry.host else {
        return Err(invalid(
            name,
            "host",
            "it has no `host`",
            "write its address, as in `host: https://pve1.example:8006`",
        ));
    };
    let user = entry
        .user
        .as_ref()
        .map(|user| user.0.to_string())
        .unwrap_or_default();
    let auth = auth(name, entry, &user, &password, engine)?;
    let mut spec = ConnectionSpec::new(hypervisor, name, host.to_string(), engine);
    for (endpoint, address) in &entry.endpoints {
        spec.endpoints.insert(endpoint.clone(), address.to_string());
    }
    spec.auth = auth;
    spec.user = user;
    spec.password = password;
    spec.tls = if let Some(fingerprint) = &entry.tls.fingerprint {
        Tls::Fingerprint(fingerprint.0.to_string())
    } else if let Some(file) = &entry.tls.ca_file {
        Tls::CaFile(PathBuf::from(file.0.to_string()))
    } else if entry.tls.verify == Some(false) {
        Tls::Insecure
    } else {
        Tls::Roots
    };
    spec.settings = entry.settings.clone();
    if let Some(requests) = entry.limits.requests {
        spec.limits.concurrent = (requests as usize).max(1);
    }
    spec.limits.rate =
        (entry.limits.requests_per_second.and_then(NonZeroU32::new)).map(|rate| Rate {
            per_second: rate,
            burst: (entry.limits.request_burst.and_then(NonZeroU32::new)).unwrap_or(rate),
        });
    if let Some(seconds) = entry.limits.request_timeout_s {
        spec.limits.request_timeout = Duration::from_secs(u64::from(seconds.max(1)));
    }
    Ok(spec)
}

fn auth(
    name: &str,
    entry: &HypervisorEntry,
    user: &str,
    password: &Secret,
    engine: &Description,
) -> Result<Auth, Problem> {
    let Some(written) = &entry.auth else {
        return Auth::choose(&engine.auth, user, password).ok_or_else(|| {
            let offered: Vec<String> = engine.auth.iter().map(|s| scheme_name(*s)).collect();
            invalid(
                name,
                "auth",
                &format!(
                    "{} can be used with {}; none of them fits the `user` and `password` given",
                    engine.title,
                    offered.join(", ")
                ),
                "give the user and password that the scheme needs, or name one with `auth`",
            )
        });
    };
    if !engine.auth.contains(&written.scheme) {
        return Err(invalid(
            name,
            "auth",
            &format!(
                "{} cannot be used with the scheme {}",
                engine.title,
                scheme_name(written.scheme)
            ),
            "leave `auth` out to have it chosen",
        ));
    }
    Ok(match written.scheme {
        AuthScheme::None => Auth::None,
        AuthScheme::Basic => Auth::Basic,
        AuthScheme::Bearer => Auth::Bearer,
        AuthScheme::Header => Auth::Header {
            name: written.header.clone().unwrap_or_default(),
        },
        AuthScheme::ProxmoxToken => Auth::ProxmoxToken,
        AuthScheme::ProxmoxTicket => Auth::ProxmoxTicket,
    })
}

fn scheme_name(scheme: AuthScheme) -> String {
    match serde_json::to_value(scheme) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{scheme:?}"),
    }
}
