//! One call of the engine for the current step, and the way of its request.

use enginehouse_model::documents::{
    Action, ActionRequest, Code, Machine, Note, Outcome, PowerState, Problem, Sent,
};
use enginehouse_model::{Identity, MachineRecord, NodeUid, OperationId};
use enginehouse_queue::{CallEnd, Event, Once, Operation};
use enginehouse_reconcile::{Needed, PlannedAction, Rules, apply, skipped, still_needed};
use enginehouse_store::Table;

use crate::engine::{self, Call, Move, description};
use crate::memory::{Memory, Staged};
use crate::prepare::Target;
use crate::provider::{Answer, Flight, REQUEST_TIMEOUT};
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::{Rule, Violation, holds};
use crate::work::{HostWork, WorldWork};

fn broken(text: &str) -> CallEnd {
    CallEnd::Broken(Problem::new(Code::Provider, text))
}

fn failed(problem: Problem) -> HostEnd {
    Box::new(CallEnd::Problem(problem))
}

type HostEnd = Box<CallEnd>;

pub(crate) fn planned_of(operation: &Operation) -> Option<PlannedAction> {
    operation.current_step()?.body.read().ok()
}

pub(crate) fn filled_of(operation: &Operation) -> Option<ActionRequest> {
    operation.state.request.as_ref()?.read().ok()
}

/// The one effect that a request of an operation is to have.
pub(crate) fn digest(operation: &Operation, effect: &str) -> String {
    let force = if operation.state.escalated { "!" } else { "" };
    format!("{}/{}/{effect}{force}", operation.number(), operation.step)
}

pub(crate) fn by_force(mut request: ActionRequest) -> ActionRequest {
    if let Action::Stop { graceful, .. } = &mut request.action {
        *graceful = false;
    }
    request
}

enum Filled {
    Send(Box<ActionRequest>),
    NotNeeded(String),
    /// It is not what was approved any more.
    Outdated(Problem),
}

impl Simulation {
    pub(crate) fn operation(&mut self, number: OperationId) -> Result<Operation, Violation> {
        let found = self.memory()?.queue.get(number).cloned();
        found.ok_or_else(|| Violation::new(Rule::Protocol, format!("{number} is gone")))
    }

    pub(crate) fn call(&mut self, number: OperationId) -> Result<(), Violation> {
        let operation = self.operation(number)?;
        let unsettled = matches!(operation.state.once, Once::Sending { .. });
        holds(!unsettled, Rule::Once, || {
            format!("{number} is called although a request may be under way")
        })?;
        if operation.state.is_untouched() {
            let now = self.now();
            let step = (number, operation.step);
            self.outside.ledger.called.insert(step, now);
        }
        if operation.state.request.is_some() {
            return match self.guard_again(&operation) {
                Ok(None) => self.run_engine(number, None, None),
                Ok(Some(problem)) => self.outdated(number, problem),
                Err(problem) => {
                    self.later(20, HostWork::Returned(number, failed(problem)));
                    Ok(())
                }
            };
        }
        match self.fill(&operation) {
            Ok(Filled::Send(request)) => {
                let request = serde_json::to_value(&request).unwrap_or_default();
                let staged = self.handle(number, Event::Filled(request))?;
                self.commit(staged, vec![HostWork::Run(number, None)])
            }
            Ok(Filled::NotNeeded(reason)) => self.not_needed(&operation, reason),
            Ok(Filled::Outdated(problem)) => self.outdated(number, problem),
            Err(problem) => {
                self.later(20, HostWork::Returned(number, failed(problem)));
                Ok(())
            }
        }
    }

    fn outdated(&mut self, number: OperationId, problem: Problem) -> Result<(), Violation> {
        self.check_outdated(number, &problem)?;
        let staged = self.handle(number, Event::Outdated(problem))?;
        self.commit(staged, Vec::new())
    }

    fn not_needed(&mut self, operation: &Operation, reason: String) -> Result<(), Violation> {
        let number = operation.number();
        let mut staged = self.handle(number, Event::NotNeeded(reason))?;
        let memory = self.memory()?;
        let observed = memory.observed.get(&number).cloned().flatten();
        if let Some(planned) = planned_of(operation) {
            memory.with_record(&mut staged, operation.spec.target, |record| {
                skipped(record, &planned, observed.as_ref());
            });
        }
        self.commit(staged, Vec::new())
    }

    /// Looks at the step again, right before it is begun.
    fn fill(&mut self, operation: &Operation) -> Result<Filled, Problem> {
        let number = operation.number();
        let planned = planned_of(operation)
            .ok_or_else(|| Problem::new(Code::Invalid, "the step cannot be read"))?;
        let target = self.target(operation.spec.target)?;
        let Some(record) = &target.record else {
            return Err(Problem::new(Code::Conflict, "its record is gone"));
        };
        let mut observed = self
            .memory
            .as_ref()
            .and_then(|memory| memory.observed.get(&number).cloned().flatten());
        let guarded = planned.is_gated() || operation.state.escalated;
        if !self.has(Fault::LooksOnceForProtection) {
            must_not_be_gated(&planned, &target)?;
        }
        let skips = self.has(Fault::SkipsGuards);
        if let Some(identity) = &record.identity
            && ((guarded && !skips) || observed.is_none())
        {
            observed = self.observe(target.provider, &identity.machine_id)?;
            if let Some(memory) = &mut self.memory {
                memory.observed.insert(number, observed.clone());
            }
        }
        let creates = matches!(planned.request.action, Action::Create { .. });
        // Nothing of a step that begins is at the provider, unless a person said so.
        let gone_on = creates && operation.state.touched;
        if gone_on && !self.has(Fault::TakesTheirWord) {
            must_be_there(record, observed.as_ref())?;
        }
        if gone_on && self.has(Fault::MakesAnother) {
            return Ok(Filled::Send(Box::new(planned.request)));
        }
        let rules = Rules::new(&description());
        match still_needed(&planned, record, observed.as_ref(), &rules) {
            Needed::Yes(request) => {
                let seen = observed.as_ref();
                match self.check_approved(operation, &planned, &target, seen) {
                    Ok(()) => Ok(Filled::Send(Box::new(request))),
                    Err(problem) => Ok(Filled::Outdated(problem)),
                }
            }
            Needed::No(reason) => Ok(Filled::NotNeeded(reason)),
            Needed::Refused(reason) => Err(Problem::new(Code::Conflict, reason)),
        }
    }

    /// What is tried again is looked at again, as long as nothing of it is at the provider: it may have been
    /// put off for long. What it gives is why it is not what was approved any more.
    fn guard_again(&mut self, operation: &Operation) -> Result<Option<Problem>, Problem> {
        let Some(planned) = planned_of(operation) else {
            return Ok(None);
        };
        let guarded = planned.is_gated() || operation.state.escalated;
        if !guarded || !operation.state.is_untouched() || self.has(Fault::TriesAgainUnguarded) {
            return Ok(None);
        }
        let target = self.target(operation.spec.target)?;
        must_not_be_gated(&planned, &target)?;
        let Some(record) = &target.record else {
            return Ok(None);
        };
        let identity = record.identity.as_ref();
        let observed = match identity.map(|identity| &identity.machine_id) {
            Some(id) => self.observe(target.provider, id)?,
            None => None,
        };
        match still_needed(
            &planned,
            record,
            observed.as_ref(),
            &Rules::new(&description()),
        ) {
            Needed::Yes(_) => {
                let covered = self.check_covered(operation, &planned, &target, observed.as_ref());
                Ok(covered.err())
            }
            Needed::No(_) => Ok(None),
            Needed::Refused(reason) => Err(Problem::new(Code::Conflict, reason)),
        }
    }

    /// Calls the engine: from the beginning of its phase, or on from the answer to its request.
    pub(crate) fn run_engine(
        &mut self,
        number: OperationId,
        reserved: Option<u64>,
        answer: Option<Answer>,
    ) -> Result<(), Violation> {
        let operation = self.operation(number)?;
        let end = |simulation: &mut Self, end: CallEnd| {
            let takes = simulation.below(100);
            simulation.later(takes, HostWork::Returned(number, Box::new(end)));
            Ok(())
        };
        if self.mishap(25) {
            return end(self, broken("the engine trapped"));
        }
        if self.mishap(15) && answer.is_none() {
            let busy = Problem::new(Code::Busy, "no instance is free");
            return end(self, CallEnd::Deferred(busy));
        }
        let replayed = match &operation.state.once {
            Once::Answered { response, .. } => response.read().ok(),
            Once::None | Once::Sending { .. } => None,
        };
        let answer = answer.or(replayed);
        let target = match self.target(operation.spec.target) {
            Ok(target) => target,
            Err(problem) => return end(self, CallEnd::Problem(problem)),
        };
        let (Some(record), Some(request)) = (&target.record, filled_of(&operation)) else {
            let gone = Problem::new(Code::Conflict, "its record is gone");
            return end(self, CallEnd::Problem(gone));
        };
        let request = match operation.state.escalated {
            true => by_force(request),
            false => request,
        };
        let Some(provider) = self.outside.providers.get(target.provider) else {
            return Ok(());
        };
        let call = Call {
            provider,
            now: self.outside.now,
            request: &request,
            mark: record.mark,
            phase: engine::phase(operation.state.token.as_ref()),
            ended: operation.state.ended.as_deref(),
            reserved,
            answer: answer.as_ref(),
        };
        match call.run() {
            Move::End(ended) => end(self, ended),
            Move::Reserve { refused } => self.reserve(&operation, target.provider, &refused),
            Move::Send {
                id,
                request,
                effect,
                once,
            } => {
                let flight = Box::new(Flight {
                    id,
                    request,
                    digest: digest(&operation, &effect),
                    operation: number,
                    step: operation.step,
                    machine: record.uid,
                    node: target.name.clone(),
                    once,
                });
                if !once {
                    self.later(0, HostWork::Send(number, flight));
                    return Ok(());
                }
                let now = self.now();
                let sending = Event::Sending {
                    sent: Sent {
                        at: now.0,
                        deadline: now.plus_ms(REQUEST_TIMEOUT).0,
                        after: operation.state.ended.as_deref().cloned(),
                        path: effect,
                        ..Sent::default()
                    },
                    digest: flight.digest.clone(),
                };
                let staged = self.handle(number, sending)?;
                self.commit(staged, vec![HostWork::Send(number, flight)])
            }
        }
    }

    /// An id for a new machine, which nobody else gets.
    fn reserve(
        &mut self,
        operation: &Operation,
        provider: usize,
        refused: &[u64],
    ) -> Result<(), Violation> {
        let number = operation.number();
        let Some(provider) = self.outside.providers.get(provider) else {
            return Ok(());
        };
        let hypervisor = provider.uid;
        let listed: Vec<u64> = provider
            .list(self.outside.now)
            .iter()
            .filter_map(|machine| machine.id.parse().ok())
            .collect();
        let memory = self.memory()?;
        let recorded: Vec<u64> = memory
            .records
            .values()
            .filter(|record| record.hypervisor == hypervisor)
            .filter_map(|record| record.identity.as_ref()?.machine_id.parse().ok())
            .collect();
        let ours = memory.reservations.iter().find(|((of, id), holder)| {
            *of == hypervisor && **holder == number && !refused.contains(id)
        });
        let ours = ours.map(|((_, id), _)| *id);
        let free = |id: &u64| {
            !listed.contains(id)
                && !recorded.contains(id)
                && !refused.contains(id)
                && !memory.reservations.contains_key(&(hypervisor, *id))
        };
        let id = ours.or_else(|| (100..100_000).find(free));
        let Some(id) = id else {
            return Ok(());
        };
        memory.reservations.insert((hypervisor, id), number);
        let mut staged = Staged::default();
        staged.put(Table::Reservation, format!("{hypervisor}/{id}"), &number);
        self.commit(staged, vec![HostWork::Run(number, Some(id))])
    }

    /// The request leaves, and something becomes of it.
    pub(crate) fn send(&mut self, number: OperationId, flight: Flight) -> Result<(), Violation> {
        let once = flight.once;
        let node = self.operation(number)?.spec.target;
        let Ok(target) = self.target(node) else {
            self.later(0, HostWork::Lost(number));
            return Ok(());
        };
        let now = self.now();
        let provider = target.provider;
        // The deadline that is journalled counts from before it was written.
        let left = match self.operation(number)?.state.once {
            Once::Sending { sent, .. } => sent.deadline.saturating_sub(now.0),
            Once::None | Once::Answered { .. } => REQUEST_TIMEOUT,
        };
        let up = self
            .outside
            .providers
            .get(provider)
            .is_some_and(|provider| provider.is_up(now));
        if !up || left == 0 || self.mishap(40) {
            return self.not_sent(number, once);
        }
        let lives = self.outside.lives;
        let arrive = |reply_to| WorldWork::Arrive {
            provider,
            flight: Box::new(flight),
            reply_to,
        };
        if self.mishap(80) {
            // It arrives as late as it can, and its answer gets lost.
            let after = self.below(left);
            self.later_outside(after, arrive(None));
            let gives_up = self.below(left);
            self.later(gives_up, HostWork::Lost(number));
        } else if self.mishap(40) {
            self.later(left, HostWork::Lost(number));
        } else {
            let after = self.below(60.min(left));
            self.later_outside(after, arrive(Some(lives)));
        }
        Ok(())
    }

    fn not_sent(&mut self, number: OperationId, once: bool) -> Result<(), Violation> {
        let then = vec![HostWork::Returned(
            number,
            failed(Problem::new(Code::Unreachable, "no connection")),
        )];
        if !once {
            for work in then {
                self.later(5, work);
            }
            return Ok(());
        }
        let reason = "no connection".to_owned();
        let staged = self.handle(number, Event::NotSent(reason))?;
        self.commit(staged, then)
    }

    /// The call ends without the answer: whatever the engine says now, it cannot know.
    pub(crate) fn lost(&mut self, number: OperationId) -> Result<(), Violation> {
        let end = match self.below(4) {
            0 => broken("the call's time is over"),
            1 => CallEnd::Done {
                created: Vec::new(),
                outcome: Box::new(Outcome::default()),
            },
            _ => CallEnd::Problem(Problem::new(Code::Unreachable, "no answer")),
        };
        // What may be sent again says so itself.
        let sending = matches!(self.operation(number)?.state.once, Once::Sending { .. });
        let end = match sending {
            true => end,
            false => CallEnd::Problem(Problem::new(Code::Unreachable, "no answer")),
        };
        self.later(0, HostWork::Returned(number, Box::new(end)));
        Ok(())
    }

    pub(crate) fn answered(
        &mut self,
        number: OperationId,
        once: bool,
        answer: Answer,
    ) -> Result<(), Violation> {
        if !once {
            self.later(0, HostWork::Read(number, answer));
            return Ok(());
        }
        let response = serde_json::to_value(&answer).unwrap_or_default();
        let staged = self.handle(number, Event::Answered(response))?;
        self.commit(staged, vec![HostWork::Read(number, answer)])
    }

    pub(crate) fn returned(&mut self, number: OperationId, end: CallEnd) -> Result<(), Violation> {
        let operation = self.operation(number)?;
        // What the engine says of a request whose answer is not known is not believed.
        let knows = !matches!(operation.state.once, Once::Sending { .. });
        let mut staged = self.handle(number, Event::Returned(end.clone()))?;
        let node = operation.spec.target;
        match end {
            CallEnd::Done { outcome, .. } if knows && !self.has(Fault::ForgetsOutcomes) => {
                self.take_in(&mut staged, &operation, &outcome)?;
            }
            CallEnd::Again { note, .. } | CallEnd::Wait { note, .. } if knows => {
                let keeps = self.has(Fault::KeepsFirstId);
                self.memory()?.note_machine(&mut staged, node, &note, keeps);
            }
            _ => {}
        }
        self.commit(staged, Vec::new())
    }

    /// Writes what a finished step achieved.
    pub(crate) fn take_in(
        &mut self,
        staged: &mut Staged,
        operation: &Operation,
        outcome: &Outcome,
    ) -> Result<(), Violation> {
        let Some(mut planned) = planned_of(operation) else {
            return Ok(());
        };
        if let Some(sent) = filled_of(operation) {
            planned.request = sent;
        }
        let now = self.now();
        let number = operation.number();
        let gone_on = self.outside.ledger.gone_on.contains_key(&number);
        let creates = matches!(planned.request.action, Action::Create { .. });
        if gone_on && creates && self.has(Fault::LeavesOffRecord) {
            return Ok(());
        }
        let memory = self.memory()?;
        let seen = memory.observed.remove(&number).flatten();
        let after = match (&outcome.machine, seen) {
            (Some(machine), _) => Some(machine.clone()),
            (None, Some(before)) => Some(afterwards(before, &planned.request.action)),
            (None, None) => None,
        };
        memory.observed.insert(number, after);
        let node = operation.spec.target;
        memory.with_record(staged, operation.spec.target, |record| {
            apply(record, &planned, outcome);
            record.last_step_ended = now;
        });
        self.outside.ledger.stepped.insert(node, now);
        Ok(())
    }
}

/// Somebody may have protected the machine after the plan was made.
fn must_not_be_gated(planned: &PlannedAction, target: &Target) -> Result<(), Problem> {
    match &target.protected_by {
        Some(by) if planned.is_gated() => {
            let text = format!("{by} protects it by now");
            Err(Problem::new(Code::Conflict, text))
        }
        Some(_) | None => Ok(()),
    }
}

/// A person said that the creation took effect. Nothing is made, and nobody else's machine is touched.
fn must_be_there(record: &MachineRecord, observed: Option<&Machine>) -> Result<(), Problem> {
    let ours = record.mark.to_string();
    let (code, text) = match observed.map(|machine| machine.mark.as_deref()) {
        Some(Some(mark)) if mark == ours => return Ok(()),
        Some(Some(_)) => (Code::Conflict, "does not carry our mark"),
        Some(None) => (Code::Busy, "does not show its mark yet"),
        None => (Code::NotFound, "is not there"),
    };
    let text = format!("the machine that was said to be there {text}");
    Err(Problem::new(code, text))
}

impl Memory {
    /// The provider's id, as soon as it is known.
    pub(crate) fn note_machine(
        &mut self,
        staged: &mut Staged,
        node: NodeUid,
        note: &Note,
        keeps_first: bool,
    ) {
        let Some(id) = &note.machine_id else {
            return;
        };
        self.with_record(staged, node, |record| {
            let known = record.identity.as_ref().map(|found| &found.machine_id);
            // What was made before it had no end, is gone, and was asked for again.
            if known.is_none() || known != Some(id) && !keeps_first {
                record.identity = Some(Identity {
                    machine_id: id.clone(),
                    kind: None,
                    host: None,
                    incarnation: None,
                });
            }
        });
    }
}

/// What is known of a machine after an action whose outcome does not show it.
fn afterwards(mut machine: Machine, action: &Action) -> Machine {
    machine.version = None;
    match action {
        Action::Start | Action::Restart { .. } => machine.power = PowerState::Running,
        Action::Stop { .. } => machine.power = PowerState::Stopped,
        Action::DiskGrow { slot, size } => {
            if let Some(config) = &mut machine.config
                && let Some(disk) = config.disks.get_mut(slot)
            {
                disk.size = Some(*size);
            }
        }
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::DiskAdd { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => {
            machine.config = None;
        }
        Action::Adopt | Action::Destroy { .. } => {}
    }
    machine
}
