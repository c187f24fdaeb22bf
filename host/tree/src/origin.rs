//! Where a computed value came from.

use std::fmt;
use std::sync::Arc;

use enginehouse_model::{FullName, NodeUid};

/// The node that a value is written on, and the prototype or hypervisor it came through.
///
/// Shown as `/web/vm1`, or `/web/vm1 via small (/)`: named at `/web/vm1`, defined at `/`.
/// Cheap to clone: one origin serves all values of a level.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin(Arc<Place>);

#[derive(PartialEq, Eq)]
struct Place {
    node: NodeUid,
    full_name: FullName,
    via: Option<Via>,
}

/// A prototype or hypervisor that a value came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    pub name: String,
    /// Node that defines it.
    pub node: NodeUid,
    pub full_name: FullName,
}

impl Origin {
    pub(crate) fn at(node: NodeUid, full_name: FullName) -> Self {
        Self(Arc::new(Place {
            node,
            full_name,
            via: None,
        }))
    }

    /// This origin, through `name` which `definer` defines.
    pub(crate) fn through(&self, name: &str, definer: &Self) -> Self {
        Self(Arc::new(Place {
            node: self.0.node,
            full_name: self.0.full_name.clone(),
            via: Some(Via {
                name: name.to_owned(),
                node: definer.0.node,
                full_name: definer.0.full_name.clone(),
            }),
        }))
    }

    /// Node that the value, or the name it came through, is written on.
    #[must_use]
    pub fn node(&self) -> NodeUid {
        self.0.node
    }

    #[must_use]
    pub fn full_name(&self) -> &FullName {
        &self.0.full_name
    }

    #[must_use]
    pub fn via(&self) -> Option<&Via> {
        self.0.via.as_ref()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.full_name)?;
        match &self.0.via {
            Some(via) => write!(f, " via {} ({})", via.name, via.full_name),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced<T> {
    pub value: T,
    pub origin: Origin,
}
