//! The mark that everything we create carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{InstallationId, MachineUid, OperationId};

/// Installation, machine and creating operation: `eh:INSTALLATION:MACHINE:OPERATION`.
///
/// At most 89 characters out of `a-z 0-9 :`. Clones copy marks, so a mark alone proves nothing:
/// what is destroyed must agree in record, mark and incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mark {
    pub installation: InstallationId,
    pub machine: MachineUid,
    pub operation: OperationId,
}

/// Not a mark of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a mark of Enginehouse")]
pub struct MarkError;

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "eh:{}:{}:{}",
            self.installation, self.machine, self.operation
        )
    }
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(MarkError);
        if next()? != "eh" {
            return Err(MarkError);
        }
        let mark = Self {
            installation: next()?.parse().map_err(|_| MarkError)?,
            machine: next()?.parse().map_err(|_| MarkError)?,
            operation: next()?.parse().map_err(|_| MarkError)?,
        };
        if parts.next().is_some() {
            return Err(MarkError);
        }
        Ok(mark)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

impl TryFrom<String> for Mark {
    type Error = MarkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_mark_reads_back_and_fits() {
        let mark = Mark {
            installation: InstallationId::from_uuid(Uuid::from_u128(1)),
            machine: MachineUid::from_uuid(Uuid::from_u128(2)),
            operation: OperationId(u64::MAX),
        };
        let text = mark.to_string();
        assert!(text.len() <= 96, "{text}");
        assert_eq!(text.parse(), Ok(mark));
        for wrong in ["", "eh", "eh:1:2", "xx:a:b:1", &format!("{text}:x")] {
            assert_eq!(wrong.parse::<Mark>(), Err(MarkError), "{wrong}");
        }
    }
}
