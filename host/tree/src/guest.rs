//! Configuration inside the guest. By key, but the domain join as a whole: were its members merged,
//! a child could name another domain and inherit the account's password.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::leaf::{Filled, Text, Texts};
use crate::problem::Reader;
use crate::record::record;
use crate::schema::{Schemas, object};
use crate::secret::{Secret, Secrets, Visit, without_secrets};
use crate::written::{Leaf, Part};
use crate::{Line, Origin, Traced};

record! {
    /// What one level says of the guest.
    GuestValues as "guest",
    GuestComputed,
    "an object with hostname, users, ssh_keys, dns, domain and user_data",
    {
        /// Its name inside. Unset: that of the machine.
        hostname: Filled,
        /// Users to make; what an entry may say, the engine decides.
        users: Shape<true>,
        /// Public keys that may log in, as in `authorized_keys`.
        ssh_keys: Texts,
        /// Name servers and search domains; what it may say, the engine decides.
        dns: Shape<false>,
        /// The domain it joins, replaced as a whole.
        domain: Domain,
        /// Handed to the guest's first start as it is, such as a `#cloud-config`.
        user_data: Text,
    }
}

/// A list (`LIST`) or an object, whose inside the guest configuration of a later version decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape<const LIST: bool>(pub Arc<Value>);

impl<const LIST: bool> Leaf for Shape<LIST> {
    const EXPECTED: &'static str = if LIST {
        "a list"
    } else {
        "an object, or a list of servers"
    };

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        if value.is_array() || (!LIST && value.is_object()) {
            Ok(Self(Arc::new(value.clone())))
        } else {
            Err(None)
        }
    }

    fn schema() -> Value {
        if LIST {
            json!({ "type": "array" })
        } else {
            json!({ "type": ["object", "array"] })
        }
    }

    fn json(&self, secrets: Secrets) -> Value {
        match secrets {
            Secrets::Shown => self.0.as_ref().clone(),
            Secrets::Hidden => without_secrets(&self.0),
        }
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        if let Some(value) = visit.free_form(&self.0) {
            self.0 = Arc::new(value);
        }
    }
}

/// Joining a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub domain: Option<Filled>,
    /// Organisational unit.
    pub ou: Option<Filled>,
    pub account: Option<Filled>,
    pub password: Option<Secret>,
}

impl Part for Domain {
    type Computed = Traced<Self>;

    fn read(value: &Value, at: &mut Reader) -> Option<Self> {
        let members = at.members(value, "an object with domain, ou, account and password")?;
        at.only(members, ["domain", "ou", "account", "password"]);
        Some(Self {
            domain: optional(members, "domain", at),
            ou: optional(members, "ou", at),
            account: optional(members, "account", at),
            password: optional(members, "password", at),
        })
    }

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.shared("domain", |schemas| {
            let mut members = Map::new();
            let mut put = |key: &str, schema| members.insert(key.to_owned(), schema);
            put("domain", schemas.key::<Filled>("Name of the domain."));
            put("ou", schemas.key::<Filled>("Organisational unit."));
            put("account", schemas.key::<Filled>("Who joins it."));
            put(
                "password",
                schemas.key::<Secret>("The account's password. Never shown."),
            );
            Value::Object(object(members))
        })
    }

    fn json(&self, secrets: Secrets) -> Value {
        let mut members = Map::new();
        put(&mut members, "domain", self.domain.as_ref(), secrets);
        put(&mut members, "ou", self.ou.as_ref(), secrets);
        put(&mut members, "account", self.account.as_ref(), secrets);
        put(&mut members, "password", self.password.as_ref(), secrets);
        Value::Object(members)
    }

    fn apply(&self, slot: &mut Option<Traced<Self>>, origin: &Origin) {
        *slot = Some(Traced {
            value: self.clone(),
            origin: origin.clone(),
        });
    }

    fn forget_prototypes(slot: &mut Option<Traced<Self>>) {
        slot.take_if(|traced| traced.origin.via().is_some());
    }

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
    }
}

/// A member that is not inherited by itself: `null` there is the same as nothing.
pub(crate) fn optional<T: Part>(
    members: &Map<String, Value>,
    key: &str,
    at: &mut Reader,
) -> Option<T> {
    let value = members.get(key).filter(|value| !value.is_null())?;
    at.within(key, |at| T::read(value, at))
}

pub(crate) fn put<T: Part>(
    members: &mut Map<String, Value>,
    key: &str,
    value: Option<&T>,
    secrets: Secrets,
) {
    if let Some(value) = value {
        members.insert(key.to_owned(), value.json(secrets));
    }
}

impl GuestComputed {
    /// As an engine gets it: secrets only as references or hidden. An engine gets the value of a
    /// guest's secret by asking for it by name, never with the configuration, which is stored and
    /// shown in plans.
    pub(crate) fn document(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let hidden = Secrets::Hidden;
        put_traced(&mut members, "hostname", self.hostname.as_ref(), hidden);
        put_traced(&mut members, "users", self.users.as_ref(), hidden);
        put_traced(&mut members, "ssh_keys", self.ssh_keys.as_ref(), hidden);
        put_traced(&mut members, "dns", self.dns.as_ref(), hidden);
        put_traced(&mut members, "domain", self.domain.as_ref(), hidden);
        put_traced(&mut members, "user_data", self.user_data.as_ref(), hidden);
        members
    }
}

fn put_traced<T: Part>(
    members: &mut Map<String, Value>,
    key: &str,
    value: Option<&Traced<T>>,
    secrets: Secrets,
) {
    put(members, key, value.map(|traced| &traced.value), secrets);
}
