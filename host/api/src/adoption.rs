//! Machines that somebody else has made, taken into the tree: `POST /v1/adoptions`.

use enginehouse_model::FullName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Operation, Whose};

/// Body of `POST /v1/adoptions`. One adoption is one transaction in the tree: all descriptors are made,
/// or none; the mark is then written onto each machine by an operation of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptionRequest {
    /// Name of the hypervisor, looked up at `into`.
    pub hypervisor: String,
    /// The folder that gets the descriptors.
    pub into: FullName,
    /// The provider's ids of the machines. None: all machines that are nobody's. Each that is named must
    /// be adoptable, or nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The prototype that the descriptors use, looked up at `into`: what it gives is not written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototype: Option<String>,
    /// Give machines whose names cannot be names of descriptors another one. The machine keeps its own
    /// until it is reconfigured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rename: bool,
    /// Change nothing; say what would be adopted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Answer of `POST /v1/adoptions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdoptionAnswer {
    pub hypervisor: String,
    pub into: FullName,
    pub dry_run: bool,
    /// In the order of the provider's ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<AdoptedMachine>,
    /// Machines that are nobody's, and are not adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftMachine>,
    /// Machines that are descriptors' already.
    pub ours: usize,
    pub templates: usize,
    /// The adoption; absent for a dry run, and where there is nothing to adopt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The adoption was taken in before, with the same idempotency key: only the operation is answered
    /// again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// A machine that becomes a descriptor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedMachine {
    /// The provider's.
    pub id: String,
    /// What it is called on the hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The descriptor.
    pub path: FullName,
    pub whose: Whose,
    /// What is written on the descriptor: what was observed, minus what it inherits.
    pub definition: Map<String, Value>,
    /// What a plan would do to it afterwards, a line for each action. Empty, unless it is renamed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
}

/// A machine that is not adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftMachine {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What an adoption came to: parameters of its operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptionCounts {
    pub hypervisor: String,
    pub machines: usize,
}

/// The machine that a part of an adoption takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopts {
    /// The provider's.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What tells it from another one that has its id by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
}

impl AdoptionAnswer {
    /// The answer to an adoption that was taken in before.
    #[must_use]
    pub fn replayed(hypervisor: String, into: FullName, operation: Operation) -> Self {
        Self {
            hypervisor,
            into,
            dry_run: false,
            adopted: Vec::new(),
            left: Vec::new(),
            ours: 0,
            templates: 0,
            operation: Some(operation),
            replayed: true,
        }
    }
}
