//! What a limit holds: it waits in its lane, so that what was ordered after it stays after it, but
//! without a slot, so that nothing else at its hypervisor waits with it. When its time has come, or when
//! somebody changed what holds it, it is planned again: whoever plans it sees whether it may go on.

use enginehouse_model::{OperationId, Timestamp};

use crate::command::Output;
use crate::entry::Entry;
use crate::operation::Operation;
use crate::queue::Queue;

/// The longest that anything is held before it looks again, milliseconds.
const HELD_MOST_MS: u64 = 60 * 60 * 1000;

impl Queue {
    /// Operations that a limit holds, by number.
    pub fn held(&self) -> impl Iterator<Item = &Operation> {
        self.iter()
            .filter(|operation| operation.held_until.is_some())
    }

    /// What holds operations is another now: all of them try again.
    pub fn release_all(&mut self, now: Timestamp) -> Output {
        let mut output = Output::default();
        let held: Vec<OperationId> = self.held().map(Operation::number).collect();
        for number in held {
            self.let_go(number, now, &mut output);
        }
        output.append(self.schedule(now));
        output
    }

    pub(crate) fn let_go(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        let mut taken = self.take(number, vec![Entry::Released]).unwrap_or_default();
        self.follow(number, now, &mut taken);
        output.append(taken);
    }

    /// After a restart.
    pub(crate) fn set_release(&mut self, number: OperationId, now: Timestamp) {
        let until = self.get(number).and_then(|operation| operation.held_until);
        if let Some(until) = until {
            // A clock that was ahead when it was written does not delay it for long.
            self.timers
                .set(number, until.min(now.plus_ms(HELD_MOST_MS)));
        }
    }
}
