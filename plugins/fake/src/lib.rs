//! The engine of the simulated hypervisor, and the shortest example of one.
//!
//! - `describe`: what the engine is, and its settings
//! - `provider`: the provider's answers as documents, and its errors
//! - `act`: the phases of each action
//! - `settle`: what became of a request whose answer was lost
//! - `assess`: how heavy a change of firmware is

mod act;
mod assess;
mod describe;
mod provider;
mod settle;
#[cfg(test)]
mod tests;

use enginehouse_sdk::prelude::*;

pub use describe::{Firmware, HypervisorSettings, MachineSettings};

/// The engine `fake`.
#[derive(Debug)]
pub struct Fake;

/// What an action remembers between two calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The task that makes this machine has ended.
    Made { id: String },
    /// The machine had been started so often before its restart.
    Restarting { boots: u64 },
    /// The machine was changed, and is to be shown as it is now.
    Changed,
    /// The task has ended, and nothing else is to be done.
    Ended,
}

impl Engine for Fake {
    type Phase = Phase;

    fn describe() -> Description {
        describe::describe()
    }

    fn check(cx: &Cx) -> Result<Health> {
        provider::answer(cx.get("/v1/info"))?.json()
    }

    fn list(cx: &Cx, cursor: Option<&str>) -> Result<Page> {
        Ok(provider::machines(cx, cursor)?.into())
    }

    fn read(cx: &Cx, ids: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        let read = |at: &MachineRef| Ok(provider::machine(cx, &at.id)?.shown);
        Ok(ids.iter().map(read).collect())
    }

    fn run(cx: &Cx, action: &ActionRequest, phase: Option<Phase>) -> Result<Step<Phase>> {
        act::run(cx, action, phase)
    }

    fn settle(
        cx: &Cx,
        action: &ActionRequest,
        phase: Option<Phase>,
        sent: Sent,
    ) -> Result<Settled<Phase>> {
        settle::settle(cx, action, phase, &sent)
    }

    fn poll(cx: &Cx, tasks: &[TaskQuery]) -> Result<Vec<TaskState>> {
        provider::poll(cx, tasks)
    }
}

impl Assess for Fake {
    fn assess(question: &Question) -> Result<Assessment> {
        Ok(assess::assess(question))
    }
}

enginehouse_sdk::export!(Fake, assess);
