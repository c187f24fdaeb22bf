//! What holds of what the host does by itself.

use enginehouse_model::NodeUid;
use enginehouse_tree::Policy;

use crate::alone::is_below;
use crate::provider::{Flight, Request};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

/// Repairs of a field that did not last, before it is left.
const TIMES: u32 = 3;

impl Simulation {
    /// A repair is about to be ordered: nothing is under way on the machine.
    pub(crate) fn check_idle(&self, node: NodeUid) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let open = memory.queue.lane(node).next();
        holds(open.is_none(), Rule::Alone, || {
            let open = open.map(enginehouse_queue::Operation::number);
            format!("{node} is repaired while {open:?} is open")
        })
    }

    /// What a repair sends is not above the policy, nor below a folder that is paused, nor to a field of
    /// which the repair never lasted.
    pub(super) fn check_alone(&self, flight: &Flight) -> Result<(), Violation> {
        let ledger = &self.outside.ledger;
        let number = flight.operation;
        let (Some(node), Some(looked)) = (ledger.alone.get(&number), ledger.looked.get(&number))
        else {
            return Ok(());
        };
        let says = |what: &str| {
            format!(
                "{} of {number} at {}, by itself: {what}",
                flight.request.name(),
                flight.node
            )
        };
        let heavy = match &flight.request {
            Request::Clone { .. } | Request::Destroy | Request::RemoveDisk { .. } => None,
            Request::Stop { .. } | Request::Restart => Some(Policy::Disruptive),
            Request::AddDisk { .. }
            | Request::AddNics { .. }
            | Request::Initialize { .. }
            | Request::Configure { .. }
            | Request::Grow { .. }
            | Request::Start => Some(Policy::Benign),
        };
        holds(heavy.is_some(), Rule::Alone, || {
            says("never without a person")
        })?;
        let policy = ledger
            .policies
            .get(node)
            .filter(|(_, since)| since < looked);
        let may = policy.is_none_or(|(policy, _)| match (policy, heavy) {
            (Policy::Observe, _) => false,
            (Policy::Benign, heavy) => heavy == Some(Policy::Benign),
            (Policy::Disruptive, _) => true,
        });
        holds(may, Rule::Alone, || {
            says(&format!("the policy is {policy:?}"))
        })?;
        let memory = self.memory.as_ref().filter(|_| ledger.moved_at < *looked);
        let paused = ledger.paused.iter().filter(|(_, since)| *since < looked);
        let paused = paused.map(|(folder, _)| *folder).collect();
        let is_paused = memory.is_some_and(|memory| is_below(&memory.tree, *node, &paused));
        holds(!is_paused, Rule::Alone, || says("it is paused"))?;
        let Request::Configure { changed, .. } = &flight.request else {
            return Ok(());
        };
        let mut fields = changed.iter();
        let again = fields.find(|field| {
            let times = ledger.repaired.get(&(*node, (*field).clone()));
            times.is_some_and(|times| *times >= TIMES)
        });
        holds(again.is_none(), Rule::Alone, || {
            says(&format!("{again:?} was repaired often enough"))
        })
    }
}
