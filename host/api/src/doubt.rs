//! What a person has to know of an operation in doubt to decide it.

use enginehouse_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CreatedObject, ResolveAs};

/// An operation in doubt: what may have happened, what was found out about it, and what each
/// verdict would do.
///
/// The body of the request is not part of it: the host keeps only a hash of it, since it may hold
/// passwords for the guest under names that only the engine knows. `text` says what it asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// Why it cannot be known, in the words of the engine or the provider.
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<DoubtHypervisor>,
    /// The provider's id of the machine, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// What Enginehouse writes on a machine that it makes for this: to be looked for at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The step that it is in, from 1.
    pub step: u32,
    /// The step's action: `create`, `start`.
    pub action: String,
    /// The same for people.
    pub text: String,
    /// What may or may not have had an effect. Absent: there is no such request, what is not known is
    /// how a task ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<DoubtfulRequest>,
    /// The provider's last task in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Numbers that were chosen for what is to be made: `vmid 100`. What is there under such a number
    /// may be ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<CreatedObject>,
    /// What exists because of this operation, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedObject>,
    /// What looking at the provider found, oldest first; equal answers in a row are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Finding>,
    /// What a person can say, and what follows.
    pub verdicts: Vec<Verdict>,
}

/// Where it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtHypervisor {
    pub name: String,
    /// Its engine.
    #[serde(rename = "type")]
    pub engine: String,
    /// Where the request went, as it was written; never with credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A request that changes something, without its headers and its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtfulRequest {
    /// Name of the endpoint: `host`.
    pub endpoint: String,
    pub method: String,
    /// Path and query, secrets as [`HIDDEN`](crate::HIDDEN).
    pub path: String,
    /// `once`: sent again, it would act again.
    pub effect: String,
    /// When it was written down, right before it left.
    pub sent_at: Timestamp,
    /// After this it cannot arrive any more.
    pub deadline: Timestamp,
    /// Its answer came, and named a task that the provider does not know any more. Otherwise no answer
    /// is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
}

/// An answer to the question what became of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The first time that this was the answer.
    pub at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// How often in a row.
    pub times: u32,
    pub text: String,
}

/// What a person can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    #[serde(rename = "as")]
    pub verdict: ResolveAs,
    /// What the host does then.
    pub effect: String,
    /// The command to copy.
    pub command: String,
    /// Why it would be refused now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
