//! What every part of the host speaks of: ids, units, names, marks, and the machine's record.
//!
//! Pure: no clock, no randomness, no I/O. Ids are made by the shell and handed in.

mod ids;
mod mark;
mod name;
mod record;
mod secret_name;
mod units;

pub use enginehouse_documents as documents;
pub use ids::{HypervisorUid, InstallationId, MachineUid, NodeUid, OperationId, Timestamp};
pub use mark::Mark;
pub use name::{FullName, NameError, SegmentError};
pub use record::{Identity, MachineRecord, Protected};
pub use secret_name::{SecretName, SecretNameError};
pub use units::{Bytes, BytesError};
