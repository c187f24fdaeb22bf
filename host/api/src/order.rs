//! What a client orders: `POST /v1/operations`, `…/resolve`.

use std::fmt;

use enginehouse_model::{FullName, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AdoptionCounts, Adopts, GrantChange, ImportCounts, WaveSize};

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Makes a folder; `params.definition`.
    CreateFolder,
    /// Removes an empty folder.
    RemoveFolder,
    /// Makes a descriptor; `params.definition`.
    Provision,
    /// Removes a provisioned descriptor.
    Deprovision,
    /// Protects a deployed machine, or all below a folder, on its record: nothing destroys it, whatever
    /// its definition says, from this moment on.
    Protect,
    /// Takes that away; needs `params.confirm_lowered`.
    Unprotect,
    /// Changes the definition of a folder or of a provisioned descriptor.
    Edit,
    /// Gives a node the full name `params.to`: another name, another folder, or both.
    Move,
    /// Changes the definition of a deployed descriptor, and the machine with it. Without changes,
    /// brings the machine to its definition; of a folder: all deployed machines below.
    Reconfigure,
    Deploy,
    Undeploy,
    Start,
    Stop,
    Restart,
    /// Brings a machine, or all below a folder, back to an earlier deployed config: that which
    /// operation `params.to_operation` left, or the one before the present one. The definition stays.
    Rollback,
    /// Takes back what a part of an operation did that is rolled back. Only the host orders it.
    Undo,
    /// Changes who has which role on a node and all below it; `params.grants`.
    SetGrants,
    /// Gives a secret a value: `PUT /v1/secrets/{name}`.
    SetSecret,
    /// Removes a secret: `DELETE /v1/secrets/{name}`.
    RemoveSecret,
    /// Encrypts all secrets with a new key: `POST /v1/secret-key/rotate`.
    RotateKey,
    /// Brings a folder to what files say; ordered by `POST /v1/imports` alone. Its parts reconfigure
    /// machines.
    Import,
    /// Takes machines that somebody else has made into the tree; ordered by `POST /v1/adoptions` alone.
    Adopt,
}

impl OperationKind {
    pub const ALL: [Self; 22] = [
        Self::CreateFolder,
        Self::RemoveFolder,
        Self::Provision,
        Self::Deprovision,
        Self::Protect,
        Self::Unprotect,
        Self::Edit,
        Self::Move,
        Self::Reconfigure,
        Self::Deploy,
        Self::Undeploy,
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Rollback,
        Self::Undo,
        Self::SetGrants,
        Self::SetSecret,
        Self::RemoveSecret,
        Self::RotateKey,
        Self::Import,
        Self::Adopt,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateFolder => "create-folder",
            Self::RemoveFolder => "remove-folder",
            Self::Provision => "provision",
            Self::Deprovision => "deprovision",
            Self::Protect => "protect",
            Self::Unprotect => "unprotect",
            Self::Edit => "edit",
            Self::Move => "move",
            Self::Reconfigure => "reconfigure",
            Self::Deploy => "deploy",
            Self::Undeploy => "undeploy",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Rollback => "rollback",
            Self::Undo => "undo",
            Self::SetGrants => "set-grants",
            Self::SetSecret => "set-secret",
            Self::RemoveSecret => "remove-secret",
            Self::RotateKey => "rotate-key",
            Self::Import => "import",
            Self::Adopt => "adopt",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it is carried out on machines, in steps; the others change only the tree.
    #[must_use]
    pub fn works_on_machine(self) -> bool {
        match self {
            Self::Deploy
            | Self::Undeploy
            | Self::Reconfigure
            | Self::Start
            | Self::Stop
            | Self::Restart
            | Self::Rollback
            | Self::Undo
            | Self::Adopt => true,
            Self::CreateFolder
            | Self::RemoveFolder
            | Self::Provision
            | Self::Deprovision
            | Self::Protect
            | Self::Unprotect
            | Self::Edit
            | Self::Move
            | Self::SetGrants
            | Self::SetSecret
            | Self::RemoveSecret
            | Self::RotateKey
            | Self::Import => false,
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Body of `POST /v1/operations`. Kinds of machine actions on a folder mean all machines below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRequest {
    pub kind: OperationKind,
    pub path: FullName,
    #[serde(default)]
    pub params: Params,
}

/// What the host does without a person, as far as the policy of each machine lets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// Drift is repaired; what the definition changed stays pending.
    Repair,
    /// The folder follows its definition: what that changed is done.
    Follow,
}

/// Parameters of an order; one that does not belong to the kind is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// `create-folder`, `provision`: the whole local definition. `edit`, `reconfigure`: replaces
    /// the local definition; where [`HIDDEN`](crate::HIDDEN) stands, the secret stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<Map<String, Value>>,
    /// `create-folder`, `provision`, `edit`, `reconfigure`: changes of single keys, in order, after
    /// `definition`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// `move`: the full name that the node gets; its folder must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    /// `undeploy`: leave all disks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_disks: bool,
    /// `undeploy`, `stop`, `restart`: do not ask the guest, switch off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// `undeploy`, `stop`, `restart`: how long the guest may take to shut down. Seconds; absent:
    /// what the definition or the engine's default says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_timeout_s: Option<u32>,
    /// `set-grants`: what to change, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantChange>,
    /// `import`: what it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportCounts>,
    /// `adopt`: what it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionCounts>,
    /// A part of an `adopt`: which machine it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopts: Option<Adopts>,
    /// `deploy`, `reconfigure`, `rollback`: what becomes of what was done when one of the machines
    /// fails; absent: what the definition of each, or of the folder, says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// `reconfigure`: what the host orders by itself. Nobody else says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
    /// `rollback`: the operation whose deployed config is wanted back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_operation: Option<OperationId>,
    /// `rollback`, in place of `to_operation`: the operation whose changes are taken back, on each
    /// machine that it changed and nobody else has since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_operation: Option<OperationId>,
    /// `reconfigure`, `restart` and `rollback` of a folder: how many machines are gone through at a
    /// time, wave after wave. Absent: [`WaveSize::DEFAULT`] of `reconfigure`, all at once of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<Vec<WaveSize>>,
    /// Where machines go in waves: how many may fail until nothing more is begun, 1 or more; absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    /// `undo`: what is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// A person said yes to what this destroys.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirm_destructive: bool,
    /// `edit`, `reconfigure`, `move`, `remove-folder`, `deprovision`, `unprotect`: a person said yes to machines
    /// being less protected after it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirm_lowered: bool,
}

impl Params {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// What becomes of what was done when an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It stays.
    Keep,
    /// It is taken back: of several machines the last one first.
    Rollback,
}

/// What an `undo` takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The part of the operation that is rolled back.
    pub of: OperationId,
    /// That part made the machine: it is destroyed, with all its disks.
    pub destroy: bool,
}

/// Body of `POST /v1/operations/{number}/move`: where in its lane an operation goes that has not
/// begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveRequest {
    First,
    Last,
    Before(OperationId),
    After(OperationId),
}

/// A change of one key of a local definition. Maps on the way are made where they are missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Writes the value; `null` unsets what is inherited.
    Set { key: Vec<String>, value: Value },
    /// Removes the key from this node, so that what is inherited shows again.
    Unset { key: Vec<String> },
}

impl Change {
    #[must_use]
    pub fn key(&self) -> &[String] {
        match self {
            Self::Set { key, .. } | Self::Unset { key } => key,
        }
    }
}

/// Body of `POST /v1/operations/{number}/resolve`: what a person found out about an operation that
/// is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    #[serde(rename = "as")]
    pub verdict: ResolveAs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolveAs {
    /// The request took effect; go on after it.
    Done,
    /// End the operation as failed.
    Failed,
    /// The request did not take effect; send it again.
    Retry,
}

impl ResolveAs {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Retry => "retry",
        }
    }
}
