//! Names in definitions that do not resolve.

use enginehouse_model::{FullName, NodeUid};
use thiserror::Error;

/// A definition that is well formed, but names what is not there or not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    #[error("`{node}`: `{key}` names `{name}`, which is not defined there or above{}", known_text(.known, .nearest.as_ref()))]
    Unknown {
        node: FullName,
        /// `use_hypervisor` or `use_prototype`.
        key: &'static str,
        name: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("`{node}` uses hypervisor `{name}`, which the filter at `{filter_at}` does not allow{}", allowed_text(.allowed))]
    Filtered {
        node: FullName,
        name: String,
        /// The node whose `filter_hypervisors_allow` leaves it out, the nearest to the root.
        filter_at: FullName,
        /// What is allowed at `node`.
        allowed: Vec<String>,
    },
    /// Damage in the store: uids are given when an entry is written.
    #[error("hypervisor `{name}` of node {uid} has no uid")]
    NoUid { uid: NodeUid, name: String },
}

fn known_text(known: &[String], nearest: Option<&String>) -> String {
    match (nearest, known.is_empty()) {
        (Some(nearest), _) => format!("; did you mean `{nearest}`?"),
        (None, true) => "; there are none".to_owned(),
        (None, false) => format!("; there are: {}", list(known)),
    }
}

fn allowed_text(allowed: &[String]) -> String {
    if allowed.is_empty() {
        "; none is allowed there".to_owned()
    } else {
        format!("; allowed there: {}", list(allowed))
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
