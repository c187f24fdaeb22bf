//! Folders, descriptors, definitions, inheritance and origins.
//!
//! A [`Node`] holds what people wrote on it (its [`Definition`]); a [`Tree`] holds the nodes and,
//! for each, what results from inheritance ([`Computed`]), with the [`Origin`] of every value:
//!
//! ```text
//! computed(node) = computed(parent) <- prototype named at this level <- local values
//! ```
//!
//! The crate is pure: no clock, no randomness, no I/O. Uids come from the caller. An edit is
//! checked as a whole, for the node and for all below it, before anything changes; it answers with
//! a [`Change`] that says which nodes to write, and that [`Tree::revert`] takes back when they
//! could not be written.
//!
//! | file | idea |
//! | --- | --- |
//! | `written`, `entries`, `by_name`, `record`, `leaf` | one key: how it is read, written, inherited, shown |
//! | `values`, `guest`, `rules`, `hypervisor` | the keys there are |
//! | `definition`, `key_path`, `problem` | a node's document, single keys of it, what is wrong |
//! | `schema` | the same as a JSON Schema, said by each kind of key |
//! | `secret`, `seal` | passwords, and how none stays in a definition |
//! | `origin`, `computed`, `cascade`, `resolve` | inheritance |
//! | `settings` | settings against what engines take |
//! | `state`, `node` | descriptors, their states and edges |
//! | `access`, `governed`, `rights` | who may do what, with which nodes and keys |
//! | `preview`, `difference` | what an edit would do |
//! | `tree`, `edit`, `batch`, `error` | all of them together, and edits |
//! | `change` | what an edit did, and how it is taken back |

mod access;
mod address;
mod batch;
mod by_name;
mod by_uid;
mod cascade;
mod change;
mod computed;
mod definition;
mod destruction;
mod difference;
mod edit;
mod entries;
mod error;
mod governed;
mod guard;
mod guest;
mod hypervisor;
mod key_path;
mod leaf;
mod nearest;
mod nesting;
mod node;
mod observing;
mod origin;
mod preview;
mod problem;
mod record;
mod resolve;
mod rights;
mod rules;
mod same;
mod schema;
mod seal;
mod secret;
mod settings;
mod state;
mod tree;
mod values;
mod written;

pub use access::{Grants, Permission, Permissions, Role, RoleError, Subject, SubjectError};
pub use address::{Address, AddressError, Scheme};
pub use batch::{BatchErrors, NodeEdit};
pub use by_name::ByName;
pub use change::{Before, Change};
pub use computed::{Computed, DefinedPrototype, Filter, Line, ResolvedHypervisor};
pub use definition::Definition;
pub use destruction::DestructionLimit;
pub use difference::Difference;
pub use entries::Entries;
pub use error::{EditError, LoadError, LookupError};
pub use governed::{GOVERNED_KEYS, governed_difference, governed_key_difference, governed_keys};
pub use guard::{Guard, GuardChange};
pub use guest::{Domain, GuestComputed, GuestValues, Shape};
pub use hypervisor::{Auth, Fingerprint, HypervisorEntry, Limits, Tls};
pub use key_path::{KeyEdit, KeyPath, KeyPathError};
pub use leaf::{Filled, Gateway, Json, Mac, NicAddresses, Size, Text, Texts, Vlan};
pub use nearest::nearest;
pub use nesting::{DEFINITION_DEPTH_MAX, LEVELS_MAX};
pub use node::{DescriptorBody, LastOperation, Node, NodeKind};
pub use observing::{Observing, Seconds};
pub use origin::{Origin, Traced, Via};
pub use preview::{Counts, Differences, NodeDifference, Preview, RightsChange, Touched};
pub use problem::{DefinitionErrors, Problem, ProblemKind, found, found_secret};
pub use resolve::ResolveError;
pub use rights::Right;
pub use rules::{Approvals, FullNames, OnFailure, Policy, RuleComputed, RuleValues};
pub use schema::definition_schema;
pub use seal::{SECRET_MAX, name_keys, sealed_value};
pub use secret::{Secret, Secrets, is_secret_key, is_secret_reference};
pub use settings::{EngineSettings, SettingErrors, SettingFault, SettingFaultKind, SettingProblem};
pub use state::{Event, Next, Refused, Status, next};
pub use tree::Tree;
pub use values::{
    DiskComputed, DiskValues, MachineComputed, MachineValues, NicComputed, NicValues,
    PlacementComputed, PlacementValues,
};
pub use written::Written;
