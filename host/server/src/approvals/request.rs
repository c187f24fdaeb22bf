//! What people are asked, and what they answered, as the journal has it.

use enginehouse_api::{Approval as View, ApprovalSignature};
use enginehouse_approval::{Quorum, Signer};
use enginehouse_model::{FullName, InstallationId, NodeUid, Timestamp};
use enginehouse_queue::{Operation, Phase};
use enginehouse_reconcile::Unit;
use serde::{Deserialize, Serialize};

use crate::house::State;

/// What is to be approved. The text that is signed is made of it, and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub installation: InstallationId,
    /// The life of the installation: a restore ends it, and what was signed in it.
    pub epoch: u64,
    pub kind: String,
    /// Who ordered it.
    pub author: String,
    pub asked_at: Timestamp,
    pub until: Timestamp,
    pub unit: Unit,
}

/// A signature that was handed in, and counted then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub owner: String,
    pub fingerprint: String,
    /// Who handed it in.
    pub by: String,
    pub at: Timestamp,
    /// The signature itself, to be checked by anybody later.
    pub signature: String,
}

impl Signed {
    pub(crate) fn signer(&self) -> Signer {
        Signer {
            owner: self.owner.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// What an operation asks, or asked; none where it never did, or a later version wrote it.
pub(crate) fn request_of(operation: &Operation) -> Option<Request> {
    operation.approval.as_ref()?.request.read().ok()
}

pub(crate) fn signed_of(operation: &Operation) -> Vec<Signed> {
    let approval = operation.approval.as_ref();
    let signatures = approval
        .into_iter()
        .flat_map(|approval| &approval.signatures);
    signatures
        .filter_map(|signature| signature.read().ok())
        .collect()
}

/// Who may sign for a node now, the node that says so, and lines that are no keys; none where no
/// approvals are asked for.
pub(super) struct Asked {
    pub quorum: Quorum,
    pub by: FullName,
    pub unusable: Vec<String>,
}

pub(super) fn asked_of(state: &State, node: NodeUid, author: &str) -> Option<Asked> {
    let computed = state.tree.computed(node).ok()?;
    let approvals = computed.approvals()?;
    let (quorum, unusable) = Quorum::of(approvals.need, &approvals.keys, author);
    let unusable = unusable
        .into_iter()
        .map(|(at, error)| format!("key {} of {}: {error}", at + 1, approvals.keys.len()))
        .collect();
    Some(Asked {
        quorum,
        by: computed
            .approvals_by()
            .cloned()
            .unwrap_or_else(FullName::root),
        unusable,
    })
}

/// How many signatures an operation still waits for; none where nobody asks for any.
pub(crate) fn missing_of(state: &State, operation: &Operation) -> Option<u32> {
    let spec = &operation.spec;
    let asked = asked_of(state, spec.target, &spec.who)?;
    let signed = signed_of(operation);
    let signers: Vec<Signer> = signed.iter().map(Signed::signer).collect();
    Some(asked.quorum.missing(&signers))
}

/// What an operation waits for, as the API shows it.
pub(crate) fn shown(state: &State, operation: &Operation) -> Option<View> {
    let request = request_of(operation)?;
    let signed = signed_of(operation);
    let asked = asked_of(state, operation.spec.target, &request.author);
    let signers: Vec<Signer> = signed.iter().map(Signed::signer).collect();
    Some(View {
        operation: operation.number(),
        parent: operation.spec.parent,
        kind: operation.spec.kind.clone(),
        path: operation.spec.target_name.clone(),
        who: request.author.clone(),
        asked_at: request.asked_at,
        until: request.until,
        waits: operation.phase == Phase::WaitingApproval,
        need: asked.as_ref().map_or(0, |asked| asked.quorum.need()),
        missing: asked
            .as_ref()
            .map_or(0, |asked| asked.quorum.missing(&signers)),
        may_sign: asked
            .as_ref()
            .map(|asked| asked.quorum.may_sign())
            .unwrap_or_default(),
        unusable: asked
            .as_ref()
            .map(|asked| asked.unusable.clone())
            .unwrap_or_default(),
        by: asked.map(|asked| asked.by),
        signed: signed
            .into_iter()
            .map(|signed| ApprovalSignature {
                owner: signed.owner,
                fingerprint: signed.fingerprint,
                by: signed.by,
                at: signed.at,
            })
            .collect(),
        digest: request.unit.digest(),
        what: request.unit.to_string(),
    })
}
