//! What people are asked, and what they answered, as the journal has it.

use enginehouse_model::{InstallationId, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::Unit;
use serde::{Deserialize, Serialize};

use crate::quorum::Signer;

/// What is to be approved. The text that is signed is made of it, and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
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
pub struct Signed {
    pub owner: String,
    pub fingerprint: String,
    /// Who handed it in.
    pub by: String,
    pub at: Timestamp,
    /// The signature itself, to be checked by anybody later.
    pub signature: String,
}

impl Signed {
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer {
            owner: self.owner.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// What an operation asks, or asked; none where it never did, or a later version wrote it.
#[must_use]
pub fn request_of(operation: &Operation) -> Option<Request> {
    operation.approval.as_ref()?.request.read().ok()
}

/// The signatures that were handed in for an operation, in their order.
#[must_use]
pub fn signed_of(operation: &Operation) -> Vec<Signed> {
    let approval = operation.approval.as_ref();
    let signatures = approval
        .into_iter()
        .flat_map(|approval| &approval.signatures);
    signatures
        .filter_map(|signature| signature.read().ok())
        .collect()
}
