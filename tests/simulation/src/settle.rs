//! What became of a request whose answer is not known; and tasks.

use enginehouse_model::OperationId;
use enginehouse_model::documents::{Code, Problem, TaskEnd};
use enginehouse_queue::{Event, Once, Operation, Phase, PollEnd, SettleEnd};

use crate::call::{by_force, filled_of};
use crate::engine::{self, Call};
use crate::memory::Staged;
use crate::provider::TaskView;
use crate::run::{Outside, Simulation};
use crate::settings::Fault;
use crate::violation::{Rule, Violation};
use crate::work::HostWork;

impl Simulation {
    pub(crate) fn settle(&mut self, number: OperationId) -> Result<(), Violation> {
        let operation = self.operation(number)?;
        let end = match self.below(1000) {
            0..=39 if self.is_foul() => {
                SettleEnd::Problem(Problem::new(Code::Busy, "too many calls"))
            }
            40..=69 if self.is_foul() => {
                SettleEnd::Broken(Problem::new(Code::Provider, "the engine trapped"))
            }
            _ => self.ask_settle(&operation)?,
        };
        let takes = self.below(200);
        self.later(takes, HostWork::Settled(number, Box::new(end)));
        Ok(())
    }

    fn ask_settle(&mut self, operation: &Operation) -> Result<SettleEnd, Violation> {
        let (Once::Sending { sent, .. } | Once::Answered { sent, .. }) = &operation.state.once
        else {
            return Err(Violation::new(
                Rule::Protocol,
                format!("{} has nothing to settle", operation.number()),
            ));
        };
        let target = match self.target(operation.spec.target) {
            Ok(target) => target,
            Err(problem) => return Ok(SettleEnd::Problem(problem)),
        };
        let (Some(record), Some(request)) = (&target.record, filled_of(operation)) else {
            let gone = Problem::new(Code::Conflict, "its record is gone");
            return Ok(SettleEnd::Problem(gone));
        };
        let request = match operation.state.escalated {
            true => by_force(request),
            false => request,
        };
        let Outside {
            providers,
            random,
            now,
            ..
        } = &mut self.outside;
        let Some(provider) = providers.get(target.provider) else {
            return Ok(SettleEnd::Unknown("no such provider".to_owned()));
        };
        if random.chance(provider.temper.denies) {
            let denied = Problem::new(Code::Denied, "you may not look at that");
            return Ok(SettleEnd::Problem(denied));
        }
        let call = Call {
            provider,
            now: *now,
            request: &request,
            mark: record.mark,
            phase: engine::phase(operation.state.token.as_ref()),
            ended: operation.state.ended.as_deref(),
            reserved: None,
            answer: None,
        };
        let end = call.settle(sent);
        if let (SettleEnd::NotStarted { .. }, true) = (&end, self.has(Fault::IgnoresLag)) {
            return Ok(SettleEnd::NotStarted {
                believable_at: self.outside.now,
            });
        }
        Ok(end)
    }

    pub(crate) fn settled(&mut self, number: OperationId, end: SettleEnd) -> Result<(), Violation> {
        let node = self.operation(number)?.spec.target;
        let mut staged = self.handle(number, Event::Settled(end.clone()))?;
        if let SettleEnd::Done { note, .. } | SettleEnd::Pending { note, .. } = &end {
            let keeps = self.has(Fault::KeepsFirstId);
            self.memory()?.note_machine(&mut staged, node, note, keeps);
        }
        self.commit(staged, Vec::new())
    }

    pub(crate) fn probe(&mut self, provider: usize) -> Result<(), Violation> {
        let fails = self.mishap(50);
        let now = self.now();
        let Some(provider) = self.outside.providers.get(provider) else {
            return Ok(());
        };
        let hypervisor = provider.uid;
        let found = match fails || !provider.is_up(self.outside.now) {
            true => Err(engine::unreachable(provider)),
            false => Ok(()),
        };
        let output = self.memory()?.queue.probed(hypervisor, found, now);
        let staged = Staged {
            output,
            ..Staged::default()
        };
        self.commit(staged, Vec::new())
    }

    pub(crate) fn poll(
        &mut self,
        provider: usize,
        numbers: &[OperationId],
    ) -> Result<(), Violation> {
        let fails = self.mishap(50);
        for number in numbers {
            if self.was_left(*number)? {
                continue;
            }
            let operation = self.operation(*number)?;
            let Phase::Waiting { task, .. } = &operation.phase else {
                return Err(Violation::new(
                    Rule::Protocol,
                    format!("{number} has no task to poll"),
                ));
            };
            let Some(provider) = self.outside.providers.get(provider) else {
                continue;
            };
            let end = if fails || !provider.is_up(self.outside.now) {
                PollEnd::Failed(engine::unreachable(provider))
            } else {
                match provider.task(task) {
                    TaskView::Running => PollEnd::Running {
                        cursor: "1".to_owned(),
                    },
                    TaskView::Unknown => PollEnd::Lost,
                    TaskView::Ended(error) => PollEnd::Ended(TaskEnd {
                        warnings: Vec::new(),
                        problem: error.map(|text| match text.strip_prefix("busy: ") {
                            Some(text) => Problem::new(Code::Busy, text),
                            None => Problem::new(Code::Provider, text),
                        }),
                    }),
                }
            };
            let takes = self.below(100);
            self.later(takes, HostWork::Polled(*number, Box::new(end)));
        }
        Ok(())
    }

    /// A forced stop has overtaken it, and its task is left to itself.
    fn was_left(&mut self, number: OperationId) -> Result<bool, Violation> {
        let memory = self.memory()?;
        let left = memory.queue.get(number).is_none();
        if left {
            memory.asked.remove(&number);
        }
        Ok(left)
    }

    pub(crate) fn polled(&mut self, number: OperationId, end: PollEnd) -> Result<(), Violation> {
        if self.was_left(number)? {
            return Ok(());
        }
        let staged = self.handle(number, Event::Polled(end))?;
        self.commit(staged, Vec::new())
    }
}
