//! A node as it is stored: one JSON document, with the version of its form.

use std::collections::BTreeMap;

use enginehouse_model::{HypervisorUid, MachineUid, NodeUid, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Definition, Grants, Status};

/// Version of the stored document that this code writes, and the newest it reads.
const FORM: u32 = 1;

/// A folder or a descriptor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Version of this document's form. A newer one than this code knows is not read.
    #[serde(deserialize_with = "known_form")]
    form: u32,
    pub uid: NodeUid,
    /// Absent for the root alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<NodeUid>,
    /// Last part of the full name; empty for the root.
    pub name: String,
    pub kind: NodeKind,
    /// What is written on this node.
    #[serde(default)]
    pub local: Definition,
    /// Uid of each hypervisor entry of `local`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hypervisor_uids: BTreeMap<String, HypervisorUid>,
    /// Who was given which roles here; they hold for all below.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grants: Grants,
    /// Counts what people change: the definition and the name. What the host records of a
    /// descriptor does not touch it.
    pub revision: u64,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    Folder,
    Descriptor(DescriptorBody),
}

/// What the host records of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorBody {
    pub status: Status,
    /// The machine's record. Also set while a deploy makes it, and after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUid>,
    /// Machines that were declared missing, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_machines: Vec<MachineUid>,
    /// Last error or warning; cleared by the next success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_operation: Option<LastOperation>,
}

/// The last operation that worked on a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOperation {
    pub number: OperationId,
    /// `deploy`, `reconfigure`, …
    pub kind: String,
    /// Who asked for it.
    pub who: String,
    /// When it ended.
    pub when: Timestamp,
    /// `succeeded`, `failed`, `cancelled`, …
    pub outcome: String,
}

impl Node {
    /// The root of an empty tree.
    #[must_use]
    pub fn root(uid: NodeUid) -> Self {
        Self {
            form: FORM,
            uid,
            parent: None,
            name: String::new(),
            kind: NodeKind::Folder,
            local: Definition::default(),
            hypervisor_uids: BTreeMap::new(),
            grants: Grants::new(),
            revision: 1,
        }
    }

    /// A folder without hypervisor entries.
    #[must_use]
    pub fn folder(uid: NodeUid, parent: NodeUid, name: &str) -> Self {
        Self {
            parent: Some(parent),
            name: name.to_owned(),
            ..Self::root(uid)
        }
    }

    /// A provisioned descriptor.
    #[must_use]
    pub fn descriptor(uid: NodeUid, parent: NodeUid, name: &str) -> Self {
        Self {
            kind: NodeKind::Descriptor(DescriptorBody::provisioned()),
            ..Self::folder(uid, parent, name)
        }
    }

    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.body().is_none()
    }

    #[must_use]
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// What the host records; `None` for a folder.
    #[must_use]
    pub fn body(&self) -> Option<&DescriptorBody> {
        match &self.kind {
            NodeKind::Folder => None,
            NodeKind::Descriptor(body) => Some(body),
        }
    }
}

impl DescriptorBody {
    /// Of a descriptor that was just made.
    #[must_use]
    pub fn provisioned() -> Self {
        Self {
            status: Status::Provisioned,
            machine: None,
            lost_machines: Vec::new(),
            last_error: None,
            last_operation: None,
        }
    }
}

fn known_form<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let form = u32::deserialize(deserializer)?;
    if form == FORM {
        Ok(form)
    } else {
        Err(serde::de::Error::custom(format!(
            "this node was stored in form {form}, this version reads form {FORM}: a newer enginehouse wrote it"
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_node_reads_back_with_its_secrets() {
        let mut node = Node::descriptor(
            NodeUid::from_uuid(Uuid::from_u128(2)),
            NodeUid::from_uuid(Uuid::from_u128(1)),
            "vm1",
        );
        node.local = Definition::from_json(&json!({
            "hypervisors": {"h": {"type": "Proxmox", "host": "https://pve:8006", "password": "p"}},
            "memory": "4GiB", "description": null,
            "disks": {"root": {"size": "32G"}, "old": null}
        }))
        .unwrap();
        node.hypervisor_uids
            .insert("h".into(), HypervisorUid::from_uuid(Uuid::from_u128(3)));
        let text = serde_json::to_string(&node).unwrap();
        assert!(text.contains("\"form\":1"), "{text}");
        assert_eq!(serde_json::from_str::<Node>(&text).unwrap(), node);
    }

    #[test]
    fn grants_read_back_and_a_node_without_any_does_not_speak_of_them() {
        let mut node = Node::root(NodeUid::from_uuid(Uuid::from_u128(1)));
        assert!(!serde_json::to_string(&node).unwrap().contains("grants"));
        let roles = [crate::Role::Viewer, crate::Role::Approver];
        node.grants.insert("ann".parse().unwrap(), roles.into());
        let text = serde_json::to_string(&node).unwrap();
        assert!(
            text.contains(r#""grants":{"ann":["viewer","approver"]}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Node>(&text).unwrap(), node);
    }

    #[test]
    fn a_document_of_a_newer_form_is_not_read() {
        let mut document =
            serde_json::to_value(Node::root(NodeUid::from_uuid(Uuid::from_u128(1)))).unwrap();
        document["form"] = json!(2);
        let error = serde_json::from_value::<Node>(document).unwrap_err();
        assert!(error.to_string().contains("a newer enginehouse"), "{error}");
    }
}
