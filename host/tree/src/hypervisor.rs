//! A hypervisor entry. It is defined whole at one node: were entries merged, a child could replace
//! `host` and inherit `password`.

use std::fmt;
use std::sync::Arc;

use enginehouse_model::documents::AuthScheme;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::address::Address;
use crate::entries::wrong_name;
use crate::guest::{optional, put};
use crate::leaf::Filled;
use crate::observing::Observing;
use crate::problem::{ProblemKind, Reader, found};
use crate::schema::{Schemas, described, entries, object as object_of, or_null};
use crate::secret::{Secret, Secrets, Visit, without_secrets};
use crate::written::{Leaf, Part};
use crate::{Line, Origin, Traced};

/// A connection, as one node defines it.
#[derive(Clone, Default, PartialEq)]
pub struct HypervisorEntry {
    /// The engine, by its name or an alias, in lower case.
    pub kind: Option<Filled>,
    pub host: Option<Address>,
    pub user: Option<Filled>,
    pub password: Option<Secret>,
    /// Absent: the best scheme of the engine that what is given here suffices for.
    pub auth: Option<Auth>,
    /// Endpoints beside `host`.
    pub endpoints: IndexMap<String, Address>,
    pub tls: Tls,
    pub limits: Limits,
    pub observe: Observing,
    /// The engine's own settings of a connection, checked against its schema by the host.
    pub settings: Map<String, Value>,
}

/// How the password is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub scheme: AuthScheme,
    /// Which header, for the scheme `header`; the host checks it against its list.
    pub header: Option<String>,
}

/// Whom to believe to be the hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Absent: yes.
    pub verify: Option<bool>,
    /// PEM file on the host with the authorities to trust.
    pub ca_file: Option<Filled>,
    /// SHA-256 of the certificate: 64 hexadecimal digits, lower case.
    pub fingerprint: Option<Fingerprint>,
}

/// See [`Tls::fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub Arc<str>);

/// How much at once, and how long. Absent: the host's own limit. Each is at least 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Operations at once.
    pub concurrent: Option<u32>,
    /// Clones of one template at once.
    pub clones_per_template: Option<u32>,
    /// HTTP requests at once.
    pub requests: Option<u32>,
    /// HTTP requests a second.
    pub requests_per_second: Option<u32>,
    /// HTTP requests that may leave at once after a quiet while; unset: as many as in one second.
    pub request_burst: Option<u32>,
    /// Seconds until a request without an answer is given up.
    pub request_timeout_s: Option<u32>,
    /// Seconds to go on trying while the provider says that it is busy.
    pub busy_timeout_s: Option<u32>,
    /// Seconds that a guest has to shut down by itself before it is stopped.
    pub shutdown_timeout_s: Option<u32>,
}

const KEYS: [&str; 10] = [
    "type",
    "host",
    "user",
    "password",
    "auth",
    "endpoints",
    "tls",
    "limits",
    "observe",
    "settings",
];
/// Other spellings, after the keys they stand for.
const ALIASES: [(&str, &str); 3] = [
    ("type", "hypervisor_type"),
    ("user", "username"),
    ("tls", "verify_ssl"),
];

impl HypervisorEntry {
    pub(crate) fn read(value: &Value, at: &mut Reader) -> Option<Self> {
        let members = at.members(value, "an object with type, host, user, password, …")?;
        at.only(
            members,
            KEYS.into_iter()
                .chain(ALIASES.into_iter().map(|(_, alias)| alias)),
        );
        let verify_ssl = members.contains_key("verify_ssl");
        let tls_verify = members
            .get("tls")
            .is_some_and(|tls| tls.get("verify").is_some());
        for (key, alias) in ALIASES {
            let twice = match key {
                "tls" => verify_ssl && tls_verify,
                _ => members.contains_key(key) && members.contains_key(alias),
            };
            if twice {
                let other = if key == "tls" { "tls.verify" } else { key };
                at.within(alias, |at| {
                    at.note(ProblemKind::Twice {
                        other: other.to_owned(),
                    });
                });
            }
        }
        let mut kind = optional::<Filled>(members, "type", at);
        if kind.is_none() {
            kind = optional(members, "hypervisor_type", at);
        }
        let mut user = optional::<Filled>(members, "user", at);
        if user.is_none() {
            user = optional(members, "username", at);
        }
        let mut tls = object(members, "tls", at, Tls::read).unwrap_or_default();
        if verify_ssl && tls.verify.is_none() {
            tls.verify = optional(members, "verify_ssl", at);
        }
        Some(Self {
            kind: kind.map(|Filled(kind)| Filled(kind.trim().to_lowercase().into())),
            host: optional(members, "host", at),
            user,
            password: optional(members, "password", at),
            auth: optional(members, "auth", at),
            endpoints: object(members, "endpoints", at, read_endpoints).unwrap_or_default(),
            tls,
            limits: object(members, "limits", at, Limits::read).unwrap_or_default(),
            observe: object(members, "observe", at, Observing::read).unwrap_or_default(),
            settings: object(members, "settings", at, |settings, _| settings.clone())
                .unwrap_or_default(),
        })
    }

    fn schema_members(schemas: &mut Schemas) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |key: &str, schema: Value| {
            members.insert(key.to_owned(), schema);
        };
        let kind = "The engine, by its name or an alias; upper and lower case are the same.";
        put("type", schemas.key::<Filled>(kind));
        let alias = |of: &str| format!("Another spelling of `{of}`.");
        put("hypervisor_type", schemas.key::<Filled>(&alias("type")));
        put(
            "host",
            schemas.key::<Address>(
                "Where it is. What is not said of scheme and port, the engine knows.",
            ),
        );
        put("user", schemas.key::<Filled>("Whom the host logs in as."));
        put("username", schemas.key::<Filled>(&alias("user")));
        put(
            "password",
            schemas.key::<Secret>("The user's password, or a token. Never shown."),
        );
        put(
            "auth",
            schemas.key::<Auth>("How the password is presented. Unset: the best way of the engine that what is given here suffices for."),
        );
        let mut endpoints = entries(true, <Address as Part>::schema(schemas));
        if let Value::Object(endpoints) = &mut endpoints {
            endpoints.insert("properties".to_owned(), json!({ "host": false }));
        }
        put(
            "endpoints",
            described(
                "Addresses beside `host`, by the engine's names for them.",
                or_null(endpoints),
            ),
        );
        put(
            "tls",
            described(
                "Whom to believe to be the hypervisor.",
                or_null(Tls::schema(schemas)),
            ),
        );
        let verify = "Another spelling of `tls.verify`.";
        put("verify_ssl", schemas.key::<bool>(verify));
        put(
            "limits",
            described(
                "How much at once, and how long. Unset: the host's own limit.",
                or_null(Limits::schema(schemas)),
            ),
        );
        put(
            "observe",
            described(
                "How often it is looked at where nobody asks. Unset: as the host does.",
                or_null(Observing::schema(schemas)),
            ),
        );
        put(
            "settings",
            described(
                "The engine's own settings of a connection, by its schema.",
                json!({ "type": ["object", "null"] }),
            ),
        );
        members
    }

    /// The entry's document, in the spelling of the table.
    #[must_use]
    pub fn json(&self, secrets: Secrets) -> Value {
        let mut members = Map::new();
        put(&mut members, "type", self.kind.as_ref(), secrets);
        put(&mut members, "host", self.host.as_ref(), secrets);
        put(&mut members, "user", self.user.as_ref(), secrets);
        put(&mut members, "password", self.password.as_ref(), secrets);
        put(&mut members, "auth", self.auth.as_ref(), secrets);
        if !self.endpoints.is_empty() {
            let endpoints: Map<String, Value> = self
                .endpoints
                .iter()
                .map(|(name, address)| (name.clone(), json!(address.to_string())))
                .collect();
            members.insert("endpoints".to_owned(), Value::Object(endpoints));
        }
        put_object(&mut members, "tls", self.tls.json());
        put_object(&mut members, "limits", self.limits.json());
        put_object(&mut members, "observe", self.observe.json());
        let settings = match secrets {
            Secrets::Shown => Value::Object(self.settings.clone()),
            Secrets::Hidden => without_secrets(&Value::Object(self.settings.clone())),
        };
        if let Value::Object(settings) = settings {
            put_object(&mut members, "settings", settings);
        }
        Value::Object(members)
    }
}

fn put_object(members: &mut Map<String, Value>, key: &str, object: Map<String, Value>) {
    if !object.is_empty() {
        members.insert(key.to_owned(), Value::Object(object));
    }
}

fn object<T>(
    members: &Map<String, Value>,
    key: &str,
    at: &mut Reader,
    read: impl FnOnce(&Map<String, Value>, &mut Reader) -> T,
) -> Option<T> {
    let value = members.get(key).filter(|value| !value.is_null())?;
    at.within(key, |at| {
        at.members(value, "an object")
            .map(|members| read(members, at))
    })
}

fn read_endpoints(members: &Map<String, Value>, at: &mut Reader) -> IndexMap<String, Address> {
    let mut endpoints = IndexMap::new();
    for (name, value) in members {
        at.within(name, |at| {
            if let Some(expected) = wrong_name(name, true) {
                at.expected(expected, found(&json!(name)), None);
            } else if name == "host" {
                at.note(ProblemKind::Twice {
                    other: "host".to_owned(),
                });
            }
            if let Some(address) = Address::read(value, at) {
                endpoints.insert(name.clone(), address);
            }
        });
    }
    endpoints
}

impl Tls {
    fn schema(schemas: &mut Schemas) -> Value {
        let mut members = Map::new();
        let mut put = |key: &str, schema| members.insert(key.to_owned(), schema);
        put(
            "verify",
            schemas.key::<bool>(
                "Whether its certificate is checked. Unset: yes. `false` warns each time.",
            ),
        );
        put(
            "ca_file",
            schemas.key::<Filled>("PEM file on the host with the authorities to trust."),
        );
        put(
            "fingerprint",
            schemas.key::<Fingerprint>(
                "SHA-256 of its certificate, the only one that is then accepted.",
            ),
        );
        Value::Object(object_of(members))
    }

    fn read(members: &Map<String, Value>, at: &mut Reader) -> Self {
        at.only(members, ["verify", "ca_file", "fingerprint"]);
        Self {
            verify: optional(members, "verify", at),
            ca_file: optional(members, "ca_file", at),
            fingerprint: optional(members, "fingerprint", at),
        }
    }

    fn json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        put(&mut members, "verify", self.verify.as_ref(), Secrets::Shown);
        put(
            &mut members,
            "ca_file",
            self.ca_file.as_ref(),
            Secrets::Shown,
        );
        put(
            &mut members,
            "fingerprint",
            self.fingerprint.as_ref(),
            Secrets::Shown,
        );
        members
    }
}

impl Limits {
    fn schema(schemas: &mut Schemas) -> Value {
        let about = [
            "Operations at once.",
            "Clones of one template at once.",
            "HTTP requests at once.",
            "HTTP requests a second; unset: as many as come.",
            "HTTP requests that may leave at once after a quiet while; unset: as many as `requests_per_second`.",
            "Seconds until a request without an answer is given up.",
            "Seconds to go on trying while the provider says that it is busy.",
            "Seconds that a guest has to shut down by itself before it is stopped.",
        ];
        let members = Self::KEYS
            .into_iter()
            .zip(about)
            .map(|(key, about)| (key.to_owned(), schemas.key::<u32>(about)));
        Value::Object(object_of(members.collect()))
    }

    const KEYS: [&str; 8] = [
        "concurrent",
        "clones_per_template",
        "requests",
        "requests_per_second",
        "request_burst",
        "request_timeout_s",
        "busy_timeout_s",
        "shutdown_timeout_s",
    ];

    fn read(members: &Map<String, Value>, at: &mut Reader) -> Self {
        at.only(members, Self::KEYS);
        let mut limit = |key| optional(members, key, at);
        Self {
            concurrent: limit("concurrent"),
            clones_per_template: limit("clones_per_template"),
            requests: limit("requests"),
            requests_per_second: limit("requests_per_second"),
            request_burst: limit("request_burst"),
            request_timeout_s: limit("request_timeout_s"),
            busy_timeout_s: limit("busy_timeout_s"),
            shutdown_timeout_s: limit("shutdown_timeout_s"),
        }
    }

    fn json(self) -> Map<String, Value> {
        let values = [
            self.concurrent,
            self.clones_per_template,
            self.requests,
            self.requests_per_second,
            self.request_burst,
            self.request_timeout_s,
            self.busy_timeout_s,
            self.shutdown_timeout_s,
        ];
        let mut members = Map::new();
        for (key, value) in Self::KEYS.into_iter().zip(values) {
            put(&mut members, key, value.as_ref(), Secrets::Shown);
        }
        members
    }
}

impl Leaf for Fingerprint {
    const EXPECTED: &'static str =
        "a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let text = value
            .as_str()
            .ok_or(None)?
            .trim_ascii()
            .to_ascii_lowercase();
        let digits: String = text
            .strip_prefix("sha256:")
            .unwrap_or(&text)
            .chars()
            .filter(|c| *c != ':')
            .collect();
        if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(digits.into()))
        } else {
            Err(None)
        }
    }

    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": r"^[ \t\n\f\r]*([Ss][Hh][Aa]256:)?:*([0-9A-Fa-f]:*){64}[ \t\n\f\r]*$",
        })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

impl Auth {
    const WITHOUT_HEADER: [AuthScheme; 5] = [
        AuthScheme::None,
        AuthScheme::Basic,
        AuthScheme::Bearer,
        AuthScheme::ProxmoxToken,
        AuthScheme::ProxmoxTicket,
    ];
}

impl Leaf for Auth {
    const EXPECTED: &'static str = "none, basic, bearer, proxmox-token, proxmox-ticket, or {\"scheme\": \"header\", \"header\": NAME}";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let (scheme, header) = match value {
            Value::String(_) => (value, None),
            Value::Object(members) => {
                if members.keys().any(|key| key != "scheme" && key != "header") {
                    return Err(None);
                }
                let header = match members.get("header") {
                    None | Some(Value::Null) => None,
                    Some(header) => Some(header.as_str().ok_or(None)?.to_ascii_lowercase()),
                };
                (members.get("scheme").ok_or(None)?, header)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(None),
        };
        let scheme: AuthScheme = serde_json::from_value(scheme.clone()).map_err(|_| None)?;
        match (scheme == AuthScheme::Header, header.is_some()) {
            (true, false) => Err(Some(
                "the scheme `header` needs the header's name".to_owned(),
            )),
            (false, true) => Err(Some("only the scheme `header` takes a header".to_owned())),
            (true, true) | (false, false) => Ok(Self { scheme, header }),
        }
    }

    fn schema() -> Value {
        json!({
            "anyOf": [
                { "enum": Self::WITHOUT_HEADER },
                {
                    "type": "object",
                    "properties": {
                        "scheme": { "enum": Self::WITHOUT_HEADER },
                        "header": { "type": "null" },
                    },
                    "required": ["scheme"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {
                        "scheme": { "const": AuthScheme::Header },
                        "header": { "description": "Which header.", "type": "string" },
                    },
                    "required": ["scheme", "header"],
                    "additionalProperties": false,
                },
            ],
        })
    }

    fn json(&self, _: Secrets) -> Value {
        match &self.header {
            Some(header) => json!({ "scheme": self.scheme, "header": header }),
            None => json!(self.scheme),
        }
    }
}

/// As a whole: the entry of the nearest level that defines the name.
impl Part for HypervisorEntry {
    type Computed = Traced<Self>;
    const NAMED: bool = true;

    fn read(value: &Value, at: &mut Reader) -> Option<Self> {
        Self::read(value, at)
    }

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.shared("hypervisor", |schemas| {
            let mut schema = object_of(Self::schema_members(schemas));
            // The same thing said in two spellings.
            schema.insert(
                "not".to_owned(),
                json!({
                    "anyOf": [
                        { "required": ["type", "hypervisor_type"] },
                        { "required": ["user", "username"] },
                        {
                            "required": ["tls", "verify_ssl"],
                            "properties": { "tls": { "type": "object", "required": ["verify"] } },
                        },
                    ],
                }),
            );
            Value::Object(schema)
        })
    }

    fn json(&self, secrets: Secrets) -> Value {
        self.json(secrets)
    }

    fn apply(&self, slot: &mut Option<Traced<Self>>, origin: &Origin) {
        *slot = Some(Traced {
            value: self.clone(),
            origin: origin.clone(),
        });
    }

    fn forget_prototypes(_: &mut Option<Traced<Self>>) {}

    fn lines(computed: &Traced<Self>, path: &str, lines: &mut Vec<Line>) {
        lines.push(Line {
            key: path.to_owned(),
            value: computed.value.json(Secrets::Hidden).to_string(),
            origin: computed.origin.clone(),
        });
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        if let Some(password) = &mut self.password {
            visit.within("password", |visit| visit.secret(password));
        }
        visit.within("settings", |visit| {
            if let Some(Value::Object(settings)) =
                visit.free_form(&Value::Object(self.settings.clone()))
            {
                self.settings = settings;
            }
        });
    }
}

/// Without secrets.
impl fmt::Debug for HypervisorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HypervisorEntry({})", self.json(Secrets::Hidden))
    }
}
