//! Health, version and identity.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_sdk::prelude::*;

use crate::api;

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// An item of `GET /cluster/status`: the cluster itself, if there is one, and its nodes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Member {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(deserialize_with = "loose::flag")]
    online: bool,
    #[serde(deserialize_with = "loose::flag")]
    local: bool,
    #[serde(deserialize_with = "loose::maybe_flag")]
    quorate: Option<bool>,
}

/// Privileges on guests that the engine needs; see `docs/engines/proxmox.md`.
const PRIVILEGES: [&str; 11] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "Datastore.AllocateSpace",
];

pub fn check(cx: &Cx) -> Result<Health> {
    let version: Version = api::get(cx, path!("/api2/json/version"))?;
    let members: Vec<Member> =
        api::get(cx, path!("/api2/json/cluster/status")).map_err(|error| {
            if error.is(Code::Denied) {
                error.context("the cluster's name is this hypervisor's identity")
            } else {
                error
            }
        })?;
    let mut health = Health {
        identity: identity(&members)?,
        version: version.version,
        warnings: Vec::new(),
    };
    if members.iter().any(|member| member.quorate == Some(false)) {
        let text = "the cluster has no quorum: reading works, changes fail";
        health.warnings.push(text.to_owned());
    }
    for node in members.iter().filter(|m| m.kind == "node" && !m.online) {
        health
            .warnings
            .push(format!("node {} is offline", node.name));
    }
    let major = health.version.split('.').next().unwrap_or_default();
    if major.parse::<u32>().is_ok_and(|major| major < 7) {
        health.warnings.push(format!(
            "Proxmox VE {} is older than 7, with which this engine was never tried",
            health.version
        ));
    }
    health.warnings.extend(missing_privileges(cx));
    Ok(health)
}

/// A cluster's name outlives its nodes and their addresses. A lone node has only its own.
fn identity(members: &[Member]) -> Result<String> {
    if let Some(cluster) = members.iter().find(|member| member.kind == "cluster") {
        return Ok(format!("cluster {}", cluster.name));
    }
    let mut nodes = members.iter().filter(|member| member.kind == "node");
    let local = nodes
        .clone()
        .find(|node| node.local)
        .or_else(|| nodes.next());
    match local {
        Some(node) => Ok(format!("node {}", node.name)),
        None => Err(Error::provider(
            "the answer to GET /cluster/status names neither a cluster nor a node",
        )),
    }
}

/// A warning for each privilege that is granted nowhere. Where exactly it is needed is found out when
/// it is used; that it is nowhere at all is worth saying early.
fn missing_privileges(cx: &Cx) -> Option<String> {
    type Granted = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
    // Without this answer nothing is known, and nothing is wrong.
    let granted: Granted = api::get(cx, path!("/api2/json/access/permissions")).ok()?;
    let held: BTreeSet<&str> = granted
        .values()
        .flat_map(|privileges| privileges.keys().map(String::as_str))
        .collect();
    let missing: Vec<_> = PRIVILEGES
        .into_iter()
        .filter(|privilege| !held.contains(privilege))
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the user or API token of this hypervisor lacks {}",
            missing.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(members: serde_json::Value) -> Result<String> {
        identity(&serde_json::from_value::<Vec<Member>>(members).unwrap())
    }

    #[test]
    fn a_cluster_is_known_by_its_name_and_a_lone_node_by_its_own() {
        let node = json!({"type": "node", "name": "pve1", "local": 1, "online": 1});
        let cluster = json!({"type": "cluster", "name": "prod", "quorate": 1});
        assert_eq!(of(json!([node, cluster])).unwrap(), "cluster prod");
        assert_eq!(of(json!([node])).unwrap(), "node pve1");
        assert!(of(json!([])).unwrap_err().is(Code::Provider));
    }
}
