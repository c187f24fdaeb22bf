//! Tests of an engine without WebAssembly, host or provider.
//!
//! [`Hypervisor`] stands for one hypervisor and for the host in front of it. It is scripted
//! ([`Hypervisor::scripted`]: these requests, in this order, with these answers) or has a world of
//! its own ([`Hypervisor::world`]: a function from request to answer), and it calls an engine's
//! functions as the host would: [`Hypervisor::run`] drives an action through all its phases, tasks
//! and lost answers to its end, on a clock that nobody has to wait for.
//!
//! What the contract forbids (a second `once` request in one call, a change outside of `run`, a token
//! beyond 64 KiB, a `create` that does not say what it made, …) makes the test fail by a panic, as do
//! requests that the script does not expect, and expected ones that never came.
//!
//! ```
//! use enginehouse_sdk::prelude::*;
//! use enginehouse_sdk::testing::{Answer, Hypervisor};
//! # struct Mine;
//! # impl Engine for Mine {
//! #     type Phase = ();
//! #     fn describe() -> Description { Description::default() }
//! #     fn check(cx: &Cx) -> Result<Health> {
//! #         let version: String = cx.get("/version").send()?.success()?.json()?;
//! #         Ok(Health { version, ..Health::default() })
//! #     }
//! #     fn list(_: &Cx, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
//! #     fn read(_: &Cx, _: &[MachineRef]) -> Result<Vec<Result<Machine>>> { Ok(vec![]) }
//! #     fn run(_: &Cx, _: &ActionRequest, _: Option<()>) -> Result<Step<()>> {
//! #         Err(Error::unsupported("nothing"))
//! #     }
//! #     fn settle(_: &Cx, _: &ActionRequest, _: Option<()>, _: Sent) -> Result<Settled<()>> {
//! #         Ok(Settled::not_started())
//! #     }
//! #     fn poll(_: &Cx, _: &[TaskQuery]) -> Result<Vec<TaskState>> { Ok(vec![]) }
//! # }
//!
//! let hypervisor = Hypervisor::scripted();
//! hypervisor.expect("GET", "/version").answer(Answer::json("2.1"));
//! let health = hypervisor.check::<Mine>()?;
//! assert_eq!(health.version, "2.1");
//! # Ok::<(), Error>(())
//! ```

mod answer;
mod drive;
mod hand;
mod hypervisor;
mod recorded;
mod script;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use drive::Ended;
pub use hypervisor::Hypervisor;
pub use recorded::RecordedRequest;
pub use script::Expected;

/// Fails the test: the engine broke the contract, or did not do what the test expects.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a panic is how a Rust test fails; this module is used by tests only"
)]
fn fail(why: impl std::fmt::Display) -> ! {
    panic!("{why}");
}
