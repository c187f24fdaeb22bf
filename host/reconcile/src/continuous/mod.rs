//! What the machine does by itself, without being asked.
//!
//! Drift is remembered with its age, and repaired as far as the folder's policy lets it; what does not
//! stay repaired is left. A pending change runs alone only where the folder follows its definition. The
//! plan is that of people: here it is only made smaller.
//!
//! ```text
//! Drifted, remember(before, found, now) -> (Vec<Drifted>, News)   what differs, and since when
//! MachinePlan::confine(&Bounds) -> Vec<KeptBack>                  what of a plan may run alone
//! Repairs                                                         what was repaired, and is given up
//! ```

mod bounds;
mod drifted;
mod repairs;

pub use bounds::{Bounds, KeptBack, Reason};
pub use drifted::{Drifted, News, remember};
pub use repairs::{Repairs, TIMES, WINDOW_MS};
