//! A person says what became of an operation that is in doubt.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Outcome;
use enginehouse_queue::{Event, Final, Operation, Phase};

use crate::call::planned_of;
use crate::ledger::Promise;
use crate::run::Simulation;
use crate::violation::Violation;

/// What a person may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Done,
    /// It is over, whatever became of it.
    Failed,
    /// It had no effect: send it again.
    Retry,
}

/// What "done" comes to.
enum Taken {
    /// The step achieved what it was to.
    Step,
    /// What the step was to make is there, under this id: the step goes on with it.
    Machine(u64),
}

pub(crate) fn creates(operation: &Operation) -> bool {
    planned_of(operation).is_some_and(|planned| planned.request.action.name() == "create")
}

impl Simulation {
    /// False: it is refused, and nothing has changed.
    pub(crate) fn resolve(
        &mut self,
        number: OperationId,
        verdict: Verdict,
    ) -> Result<bool, Violation> {
        let Some(memory) = &self.memory else {
            return Ok(false);
        };
        let operation = memory.queue.get(number).cloned();
        let in_doubt = |operation: &Operation| matches!(operation.phase, Phase::InDoubt { .. });
        let Some(operation) = operation.filter(in_doubt) else {
            return Ok(false);
        };
        let who = "person".to_owned();
        let taken = match verdict {
            Verdict::Done => match self.as_done(&operation) {
                Some(taken) => Some(taken),
                None => return Ok(false),
            },
            Verdict::Failed | Verdict::Retry => None,
        };
        let event = match (verdict, &taken) {
            (Verdict::Retry, _) => Event::Retry { who },
            (Verdict::Done, Some(Taken::Machine(_))) => Event::GoOnWith { who },
            (Verdict::Done, _) => Event::TakeAsDone { who },
            (Verdict::Failed, _) => Event::Close {
                who,
                state: Final::Failed,
            },
        };
        self.note(|| format!("a person decides {number}: {event:?}"));
        self.outside.ledger.judged.insert(number);
        let mut staged = self.handle(number, event)?;
        match taken {
            Some(Taken::Step) => self.take_in(&mut staged, &operation, &Outcome::default())?,
            Some(Taken::Machine(id)) => staged.promises.push(Promise::GoesOnWith(number, id)),
            None => {}
        }
        // What it looks like now has to be looked at.
        self.memory()?.observed.remove(&number);
        self.commit(staged, Vec::new())?;
        Ok(true)
    }

    /// A creation is more than its request, and ends with the machine being looked at: so it is gone on
    /// with. None: it is not known with which machine.
    fn as_done(&self, operation: &Operation) -> Option<Taken> {
        if !creates(operation) {
            return Some(Taken::Step);
        }
        let (_, id) = self.machine_of(operation)?;
        Some(Taken::Machine(id))
    }
}
