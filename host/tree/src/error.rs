//! Why a tree cannot be loaded, a node not found, an edit not made.

use std::fmt;

use enginehouse_model::{FullName, MachineUid, NodeUid, SegmentError};
use thiserror::Error;

use crate::nesting::LEVELS_MAX;
use crate::{DefinitionErrors, Refused, ResolveError, SettingErrors, Status};

/// Nodes that are no tree. They come from the store: this is damage, not a mistake of a user.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LoadError {
    #[error("there is no root node")]
    NoRoot,
    #[error("there are two root nodes, {0} and {1}")]
    TwoRoots(NodeUid, NodeUid),
    #[error("the root is a descriptor, not a folder")]
    RootIsNoFolder,
    #[error("node {0} is there twice")]
    Twice(NodeUid),
    #[error("node {uid} `{name}` hangs below {parent}, which is no folder of this tree")]
    NoParent {
        uid: NodeUid,
        name: String,
        parent: NodeUid,
    },
    #[error("node {uid} has no valid name")]
    Name {
        uid: NodeUid,
        #[source]
        source: SegmentError,
    },
    #[error("two nodes below {parent} are named `{name}`")]
    SameName { parent: NodeUid, name: String },
    #[error("a definition does not resolve: {}", FirstFew(.0))]
    Unresolved(Vec<ResolveError>),
}

/// A name that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    #[error("there is no `{name}`{}", nearest_text(.within, .nearest.as_ref()))]
    NotFound {
        name: FullName,
        /// The deepest folder on the way that is there.
        within: FullName,
        nearest: Option<FullName>,
    },
    #[error("node {0} is not in the tree; it was removed")]
    Gone(NodeUid),
    #[error("`{0}` is a folder, not a descriptor; name one of its descriptors")]
    Folder(FullName),
    #[error("`{0}` is a descriptor, not a folder")]
    Descriptor(FullName),
    /// Its machine id does not exist yet.
    #[error("`{0}` is provisioned and has no machine id; deploy makes the machine")]
    NoMachine(FullName),
}

/// Why an edit was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EditError {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Definition(#[from] DefinitionErrors),
    #[error("`{name}` cannot be the name of a node")]
    Name {
        name: String,
        #[source]
        source: SegmentError,
    },
    #[error("`{0}` exists already; choose another name")]
    Exists(FullName),
    #[error("the root cannot be {0}")]
    Root(&'static str),
    #[error(
        "folder `{folder}` is not empty: it has {count} nodes, `{first}` first; remove them, or name them one by one"
    )]
    NotEmpty {
        folder: FullName,
        count: usize,
        first: String,
    },
    #[error("`{0}` cannot move below itself")]
    BelowItself(FullName),
    #[error("`{0}` would be more than {LEVELS_MAX} levels below the root")]
    TooDeep(FullName),
    #[error(
        "`{node}` was changed by somebody else: it has revision {found}, the change was made for {expected}; read it again"
    )]
    Stale {
        node: FullName,
        expected: u64,
        found: u64,
    },
    #[error("`{node}`: {refused}")]
    State { node: FullName, refused: Refused },
    /// `local_definition` or `full_name` of a descriptor that is not provisioned.
    #[error(
        "`{node}` is {status}: its {what} cannot be changed directly; reconfigure changes the machine with its definition, undeploy makes the descriptor free to edit"
    )]
    NotProvisioned {
        node: FullName,
        status: Status,
        /// `definition` or `name`.
        what: &'static str,
    },
    #[error("folder `{folder}` cannot be moved or renamed while descriptors below it are not provisioned: {}", FirstFew(.below))]
    FolderInUse {
        folder: FullName,
        below: Vec<FullName>,
    },
    #[error("`{0}` is provisioned; edit its definition instead, deploy applies it")]
    NothingToReconfigure(FullName),
    #[error("`{0}` cannot become deployed without a machine on record")]
    NoMachineOnRecord(FullName),
    #[error(
        "`{node}` has machine {machine} on record; undeploy it before another one takes its place"
    )]
    OtherMachine { node: FullName, machine: MachineUid },
    #[error("hypervisor `{hypervisor}` cannot be removed from `{node}` while machines are on it: {}; undeploy them first", FirstFew(.machines_of))]
    HypervisorInUse {
        node: FullName,
        hypervisor: String,
        machines_of: Vec<FullName>,
    },
    #[error("the tree was edited since; only the latest change can be taken back")]
    NotTheLatest,
    #[error(transparent)]
    Settings(#[from] SettingErrors),
    /// The node's own definition does not resolve, or one below it no longer would.
    #[error("the change of `{node}` is refused: {}", FirstFew(.problems))]
    Unresolved {
        node: FullName,
        problems: Vec<ResolveError>,
    },
}

/// The first few of many, and how many more.
pub(crate) struct FirstFew<'a, T>(pub(crate) &'a Vec<T>);

const SHOWN: usize = 5;

impl<T: fmt::Display> fmt::Display for FirstFew<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.0.iter().take(SHOWN).enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            item.fmt(f)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

fn nearest_text(within: &FullName, nearest: Option<&FullName>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => format!("; `{within}` is there, see what it holds"),
    }
}
