//! What an engine says of itself, and of its provider.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Machine;

/// Answer of `meta.describe`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Description {
    /// `proxmox`: lower case, what operators write as `type` of a hypervisor.
    pub name: String,
    /// `Proxmox VE`
    pub title: String,
    /// The engine's own version, semver.
    pub version: String,
    /// Other names that operators may write as `type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Kinds of machines: `qemu`, `container`.
    pub kinds: Vec<String>,
    /// The actions it can run, by the names in the `action` document; `create.from-image`,
    /// `create.from-scratch`, `stop.graceful`, `destroy.keep-disks`, `disk-remove.keep` and
    /// `nic.addresses` (`addresses` and `gateway` of nics are set and shown) are asked for
    /// separately. What is not named here is refused by the plan.
    pub actions: Vec<String>,
    /// Schemes it can be used with, the best first.
    pub auth: Vec<AuthScheme>,
    /// Endpoints beside `host`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointDescription>,
    /// Port of `host` when the operator gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_port: Option<u16>,
    /// `http` or `https` when the operator gives none. Absent: `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_scheme: Option<String>,
    /// JSON Schema of `settings` of a hypervisor.
    pub hypervisor_settings_schema: Value,
    /// JSON Schema of `settings` of a machine.
    pub machine_settings_schema: Value,
    /// Rules for fields: `vcpu`, `memory`, `description`, `settings.NAME`, `disks.size`, `nics.vlan`, …
    /// Of a nic without a class, a change is taken to be noticed by the guest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldRule>,
    /// How long after a request its effect may still be invisible to reads, in milliseconds.
    pub visibility_lag_ms: u64,
}

/// How credentials are presented. The host's code carries each of them out; an engine only names
/// it. Unknown names are refused when the engine is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthScheme {
    None,
    /// HTTP Basic with user and password.
    Basic,
    /// `Authorization: Bearer` with the password as the token.
    Bearer,
    /// A header of the operator's choice out of the host's list, with the password as its value.
    Header,
    /// `Authorization: PVEAPIToken=USER@REALM!TOKENID=SECRET`.
    ProxmoxToken,
    /// `POST /access/ticket`; cookie, and CSRF token on everything but GET.
    ProxmoxTicket,
}

/// An endpoint that an operator may name beside `host`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EndpointDescription {
    pub name: String,
    pub description: String,
}

/// How heavy a change of a field is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeClass {
    /// While it runs.
    InPlace,
    /// Takes effect with a restart.
    Restart,
    /// Only by destroying and creating the machine.
    Replace,
}

/// What the planner has to know of a field before it compares or writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FieldRule {
    /// Class of a change. Absent: the host's own for common fields, destructive for settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ChangeClass>,
    /// The provider holds multiples of this many bytes; a wanted value is truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granularity: Option<u64>,
    /// One trailing newline is nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_trailing_newline: bool,
    /// Upper and lower case are the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// The order of a list is nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unordered: bool,
}

/// Answer of `meta.check`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Health {
    /// Version of the provider, in its own words.
    pub version: String,
    /// What stays the same when the address or the certificate changes: cluster name, instance uuid.
    pub identity: String,
    /// What works, but not as it should.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer of `machines.list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Page {
    pub machines: Vec<Machine>,
    /// Cursor of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What the whole list (not this page) covers.
    pub coverage: Coverage,
}

/// What a list could not see. Without gaps it saw everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Coverage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gap {
    /// `host`, `pool`, `all`.
    pub scope: String,
    /// Its name: `pve2`.
    pub name: String,
    pub reason: String,
}

impl Gap {
    /// A node or host that is away.
    #[must_use]
    pub fn host(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            scope: "host".to_owned(),
            name: name.into(),
            reason: reason.into(),
        }
    }
}
