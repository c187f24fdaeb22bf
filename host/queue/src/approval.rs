//! What waits for people's approval: outside of its lane, so that nothing on the same machine waits with
//! it, and without a slot. Once enough have signed, it joins its lane at the end (before what waits for something that waits for it) and is planned again:
//! whoever plans it sees whether that is still what was approved.

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{OperationId, Timestamp};
use serde_json::Value;

use crate::command::Output;
use crate::decide::failed;
use crate::entry::Entry;
use crate::lanes::behind;
use crate::operation::{Illegal, Operation, Phase};
use crate::position::Place;
use crate::queue::Queue;

impl Queue {
    /// Somebody approved what an operation asks for; `enough`: with this, it may go on.
    ///
    /// # Errors
    /// When it does not wait for that. Nothing has changed then.
    pub fn sign(
        &mut self,
        number: OperationId,
        signature: Value,
        enough: bool,
        now: Timestamp,
    ) -> Result<Output, Illegal> {
        let Some(operation) = self.get(number) else {
            return Err(Illegal {
                operation: number,
                entry: "signed".to_owned(),
                phase: "ended".to_owned(),
            });
        };
        let mut entries = vec![Entry::Signed { signature }];
        if enough {
            let last = self.lanes.last_rank(operation.spec.target);
            let rank = last.map_or(operation.rank, |last| behind(last.max(operation.rank)));
            entries.push(Entry::Approved { rank });
        }
        let mut output = self.take(number, entries)?;
        if enough {
            output.append(self.out_of_circles(number));
        }
        self.follow(number, now, &mut output);
        output.append(self.schedule(now));
        Ok(output)
    }

    /// What came into its lane meanwhile may wait for something that waits for it. Then it goes before that:
    /// to the last place at which they do not wait for each other.
    fn out_of_circles(&mut self, number: OperationId) -> Output {
        if self.order_with(number, Place::Last).is_ok() {
            return Output::default();
        }
        let Some(operation) = self.get(number) else {
            return Output::default();
        };
        let who = operation.spec.who.clone();
        let others: Vec<OperationId> = self
            .lane(operation.spec.target)
            .map(Operation::number)
            .filter(|other| *other != number)
            .collect();
        let mut places = others.into_iter().rev().map(Place::Before);
        match places.find_map(|place| self.order_with(number, place).ok()) {
            Some(order) => self.rank(&order, number, &who),
            None => Output::default(),
        }
    }

    /// Operations that wait for approval, by number.
    pub fn waiting_approval(&self) -> impl Iterator<Item = &Operation> {
        self.iter()
            .filter(|operation| operation.phase == Phase::WaitingApproval)
    }

    /// When it is too late for what was asked.
    pub(crate) fn set_expiry(&mut self, number: OperationId) {
        let operation = self.operations.get(&number);
        let approval = operation.and_then(|operation| operation.approval.as_ref());
        if let Some(until) = approval.map(|approval| approval.until) {
            self.timers.set(number, until);
        }
    }

    /// Nobody approved it in time.
    pub(crate) fn expire(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        let mut problem = Problem::new(
            Code::Denied,
            "it was not approved in time; nothing was done",
        );
        problem.detail.hint = Some("order it again, and ask those who may approve it".to_owned());
        self.end_with(number, failed(problem), now, output);
    }
}
