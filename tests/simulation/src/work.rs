//! What happens at a time: in the host, and outside of it.

use enginehouse_model::documents::{Machine, Problem};
use enginehouse_model::{FullName, MachineRecord, MachineUid, OperationId, Timestamp};
use enginehouse_queue::{CallEnd, Command, PollEnd, SettleEnd, StepPlan};
use enginehouse_reconcile::Unit;
use enginehouse_store::Write;

use crate::ledger::Promise;
use crate::orders::Order;
use crate::provider::{Answer, Flight};
use crate::resolve::Verdict;

/// Of the host: gone when it is killed.
#[derive(Clone, Debug)]
pub(crate) enum HostWork {
    /// The oldest commit becomes durable.
    Durable,
    Prepare(OperationId),
    /// Goes on after the definition was written.
    Look(OperationId),
    Prepared(OperationId, Box<Prepared>),
    Call(OperationId),
    /// Calls the engine; the number is the id that was reserved for it.
    Run(OperationId, Option<u64>),
    /// The request is journalled, or needs not be, and leaves.
    Send(OperationId, Box<Flight>),
    /// Nobody can tell what became of it.
    Lost(OperationId),
    Answered(OperationId, bool, Answer),
    /// The engine goes on with the answer.
    Read(OperationId, Answer),
    Returned(OperationId, Box<CallEnd>),
    /// What the parts of an operation did is taken back.
    RollBack(OperationId),
    Settle(OperationId),
    Settled(OperationId, Box<SettleEnd>),
    Poll(usize, Vec<OperationId>),
    Polled(OperationId, Box<PollEnd>),
    /// Looks whether a provider that was lost is back.
    Probe(usize),
    /// A provider's machines are to be listed.
    Observe(usize),
    /// What a list shows that began then.
    Listed(usize, Timestamp, Vec<Machine>),
    /// A machine as it was read in full by what began then.
    ReadFull(usize, Timestamp, Box<Machine>),
    /// A client reads the number of its operation.
    Acknowledge(OperationId, String),
}

/// Outside: it goes on whatever becomes of the host.
#[derive(Clone, Debug)]
pub(crate) enum WorldWork {
    Order(Box<Order>),
    Cancel(OperationId),
    /// Somebody gives an operation that waits another place in its lane.
    Reposition,
    /// A person decides what is in doubt.
    LookAround,
    /// A person says this of an operation in doubt.
    Resolve(OperationId, Verdict),
    Arrive {
        provider: usize,
        flight: Box<Flight>,
        /// The life of the host that waits for the answer.
        reply_to: Option<u64>,
    },
    /// Some task is due.
    TaskEnds,
    GoesDown(usize, u64),
    /// Somebody does something to one of our machines.
    Meddle,
    /// Somebody who may approve it looks at an operation that waits for that.
    Consider(OperationId),
    /// Somebody signs for it.
    Sign(OperationId, &'static str),
    /// Somebody gives the machine with this id another disk, or takes that away again.
    Plug(usize, u64),
    /// A person pauses a folder, or no longer.
    Pause(FullName),
    /// Somebody changes the machine with this id, in one of several ways.
    Drift(usize, u64, u64),
    /// A person takes back what some `reconfigure` did.
    GoBack,
    /// Somebody puts another machine in the place of the one with this id.
    Usurp(usize, u64),
    Restart,
}

/// What was found before an operation is planned, and the plan.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub result: Result<StepPlan, Problem>,
    pub record: Option<MachineRecord>,
    pub observed: Option<Machine>,
    pub forgets: Option<MachineUid>,
    /// What of the plan is to be approved where its folder asks for that.
    pub unit: Option<Unit>,
}

/// A commit on its way to the disk, and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub writes: Vec<Write>,
    pub promises: Vec<Promise>,
    pub commands: Vec<Command>,
    pub then: Vec<HostWork>,
    pub durable_at: Timestamp,
}
