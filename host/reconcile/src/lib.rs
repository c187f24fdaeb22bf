//! Desired, deployed and observed state in, a plan out.
//!
//! Pure, total and deterministic: no clock, no I/O, no randomness; every input has an answer, and
//! the order of the subjects does not matter.
//!
//! ```text
//! changed(&Subject) -> Vec<String>                what an engine's `assess` is asked about
//! plan(&[Subject]) -> Plan                        stored, shown, approved; plan_one for one
//! still_needed(&PlannedAction, &MachineRecord, newest Option<&Machine>, &Rules) -> Needed
//!                                                 before an action is sent: Yes(ActionRequest),
//!                                                 No(reason) or Refused(reason)
//! apply(&mut MachineRecord, &PlannedAction, &Outcome)             after it succeeded
//! skipped(&mut MachineRecord, &PlannedAction, Option<&Machine>)   after a No
//! Budget::room(&Intended, Timestamp) -> Result<(), Shortage>      how much may be destroyed in an hour
//! MachinePlan::confine(&Bounds) -> Vec<KeptBack>                  what of it may run without a person
//! adopt(&mut MachineRecord, &MachinePlan, &Config, &Rules)        what is in step already
//! definition_of(&Machine, &Config, &Rules) -> Map                 of a machine that was found
//! taken_away(&Config, &MachineRecord) -> Vec<String>              what an order has to be asked about
//! ```
//!
//! Three ways: *drift* is observed against deployed, a *pending change* is desired against deployed,
//! and what is done is desired against observed. A field that the definition leaves unset is not
//! managed and never touched; what could not be read is never written.

mod adoption;
mod budget;
mod compare;
mod continuous;
mod disks;
mod draft;
mod execution;
mod field;
mod foreseen;
mod found;
mod gate;
pub mod inventory;
mod lines;
mod nics;
mod order;
mod ownership;
mod plan;
mod planner;
mod power;
mod render;
mod replace;
mod rules;
mod sound;
mod step;
mod subject;
mod undeploy;
mod unit;

pub use adoption::TakenOver;
pub use budget::{Budget, Destroyed, Intended, LIMIT_WINDOW_MS, Level, Shortage};
pub use continuous::{
    Bounds, Drifted, KeptBack, News, Reason, Repairs, TIMES, WINDOW_MS, remember,
};
pub use execution::{Needed, adopt, apply, skipped, still_needed};
pub use foreseen::taken_away;
pub use found::{definition_of, slots_of};
pub use ownership::{Ownership, owned, recognise};
pub use plan::{Class, FieldChange, MachinePlan, Plan, PlannedAction, Refusal};
pub use planner::{changed, plan, plan_one};
pub use render::{Layout, render};
pub use rules::Rules;
pub use subject::{Intent, KeepDisks, Subject};
pub use unit::{GatedAction, Grounds, Unit};

#[cfg(test)]
mod tests;
