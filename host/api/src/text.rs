//! The tree as text: `GET /v1/export`, `POST /v1/imports`.

use std::collections::BTreeMap;

use enginehouse_model::FullName;
use serde::{Deserialize, Serialize};

use crate::{NodeKind, Operation, PlanPreview};

/// Answer of `GET /v1/export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The folder that was exported.
    pub path: FullName,
    /// Relative path with `/` between its parts -> content. The same tree gives the same bytes.
    pub files: BTreeMap<String, String>,
}

/// Body of `POST /v1/imports`. One import is one transaction: when anything is wrong, all of it is
/// said and nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The folder that the files are about; it is made when its own folder is there.
    pub path: FullName,
    /// As an export has them. Files that belong to no node are counted.
    pub files: BTreeMap<String, String>,
    /// Remove what is below the folder and in no file: provisioned descriptors without a machine on
    /// record, and folders that become empty. Anything else that would have to go is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
    /// Change nothing; say what would be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Refuse the import when the definition of a deployed machine differs, instead of
    /// reconfiguring the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_reconfigure: bool,
    /// A person said yes to machines being less protected after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm_lowered: bool,
    /// A person said yes to what its machines lose, such as a disk that no file has any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm_destructive: bool,
    /// The digest of a dry run: refuse the import as `stale` when it would change something else by
    /// now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Answer of `POST /v1/imports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportAnswer {
    pub path: FullName,
    pub dry_run: bool,
    /// Of what changes in the tree; the plan of machines is not in it.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<ImportNode>,
    /// Folders and provisioned descriptors, whose definitions are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<ImportNode>,
    /// Deployed descriptors: their definitions are written when their `reconfigure` starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconfigured: Vec<ImportNode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<ImportNode>,
    /// Nodes that are as the files say.
    pub unchanged: usize,
    /// Nodes below the folder that are in no file, and stay.
    pub left: usize,
    /// Files that belong to no node.
    pub ignored: usize,
    /// What protects machines and would be less, or is, as lines for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lowered: Vec<String>,
    /// Deployed machines whose definitions the import changes, also from above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<ImportMachine>,
    /// Of a dry run: what reconfiguring those machines would do, against what they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanPreview>,
    /// Of a dry run: why there is no plan, as when a hypervisor cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_planned: Option<String>,
    /// The import; absent for a dry run, and where there is nothing to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The import was taken in before, with the same idempotency key: only the operation is answered
    /// again, not what it changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// A node that an import makes, changes or removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportNode {
    pub path: FullName,
    pub kind: NodeKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<DefinitionChange>,
}

/// A key of a local definition that changes. Secrets are [`HIDDEN`](crate::HIDDEN) in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionChange {
    /// `disks.root.size`
    pub key: String,
    /// As JSON; absent: not written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What an import means for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportMachine {
    pub path: FullName,
    /// Whether the import reconfigures it. Otherwise the change waits until somebody does.
    pub reconfigured: bool,
    /// `memory 4 GiB -> 8 GiB`
    pub changes: Vec<String>,
}

/// What an import came to: parameters of its operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportCounts {
    pub made: usize,
    pub edited: usize,
    pub reconfigured: usize,
    pub removed: usize,
}

impl ImportAnswer {
    /// The answer to an import that was taken in before.
    #[must_use]
    pub fn replayed(path: FullName, operation: Operation) -> Self {
        Self {
            path,
            dry_run: false,
            digest: String::new(),
            made: Vec::new(),
            edited: Vec::new(),
            reconfigured: Vec::new(),
            removed: Vec::new(),
            unchanged: 0,
            left: 0,
            ignored: 0,
            lowered: Vec::new(),
            machines: Vec::new(),
            plan: None,
            not_planned: None,
            operation: Some(operation),
            replayed: true,
        }
    }

    /// Whether the tree is as the files say already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts() == ImportCounts::default()
    }

    #[must_use]
    pub fn counts(&self) -> ImportCounts {
        ImportCounts {
            made: self.made.len(),
            edited: self.edited.len(),
            reconfigured: self.reconfigured.len(),
            removed: self.removed.len(),
        }
    }
}
