//! What is asked of people for a node, and what an operation waits for.

use enginehouse_api::{Approval as View, ApprovalSignature};
use enginehouse_approval::{Asked, Signed, Signer, request_of, signed_of};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_queue::{Operation, Phase};

use crate::house::State;

/// Who may sign for a node now; none where no approvals are asked for.
pub(super) fn asked_of(state: &State, node: NodeUid, author: &str) -> Option<Asked> {
    let computed = state.tree.computed(node).ok()?;
    let approvals = computed.approvals()?;
    let by = computed.approvals_by();
    let by = by.cloned().unwrap_or_else(FullName::root);
    Some(Asked::of(approvals.need, &approvals.keys, by, author))
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
