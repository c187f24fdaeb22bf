//! Short names for what every test needs.

use enginehouse_model::documents::{Code, Note, Outcome, Problem, Sent, TaskEnd};
use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    CallEnd, Command, Entry, Event, Limits, Operation, Output, PollEnd, Queue, SettleEnd, Spec,
    StepSpec, Token,
};

pub(super) const T0: Timestamp = Timestamp(1_000_000);
pub(super) const ONE: OperationId = OperationId(1);

pub(super) fn at(ms: u64) -> Timestamp {
    T0.plus_ms(ms)
}

pub(super) fn hypervisor(n: u128) -> HypervisorUid {
    HypervisorUid::from_uuid(Uuid::from_u128(0x4000 + n))
}

/// An operation on machine `target` of hypervisor 1.
pub(super) fn spec(number: u64, target: u128) -> Spec {
    let target_uid = NodeUid::from_uuid(Uuid::from_u128(target));
    let name = format!("/vm{target}").parse().unwrap();
    Spec {
        hypervisor: Some(hypervisor(1)),
        ..Spec::new(
            OperationId(number),
            "deploy",
            target_uid,
            name,
            "tester",
            T0,
        )
    }
}

pub(super) fn step(action: &str) -> StepSpec {
    StepSpec {
        action: action.to_owned(),
        reason: format!("{action} it"),
        template: None,
        may_escalate: action == "stop",
        may_be_left: action == "shutdown",
        body: Value::Null.into(),
    }
}

pub(super) fn problem(code: Code) -> Problem {
    Problem::new(code, format!("the provider says {code}"))
}

pub(super) fn sent(deadline: Timestamp) -> Sent {
    Sent {
        endpoint: "host".to_owned(),
        method: "POST".to_owned(),
        path: "/clone".to_owned(),
        at: T0.0,
        deadline: deadline.0,
        ..Sent::default()
    }
}

pub(super) const CALL: Command = Command::Call { operation: ONE };
pub(super) const SETTLE: Command = Command::Settle { operation: ONE };

pub(super) fn sending() -> Event {
    Event::Sending {
        sent: sent(at(60_000)),
        digest: "d".to_owned(),
    }
}

pub(super) fn prepared(steps: Vec<StepSpec>) -> Event {
    Event::Prepared(Ok(steps.into()))
}

pub(super) fn done() -> Event {
    Event::Returned(CallEnd::Done {
        created: Vec::new(),
        outcome: Box::new(Outcome::default()),
    })
}

pub(super) fn again(token: u8) -> Event {
    Event::Returned(CallEnd::Again {
        token: Token(vec![token]),
        created: Vec::new(),
        note: Note::default(),
    })
}

pub(super) fn wait(task: &str, token: u8) -> Event {
    Event::Returned(CallEnd::Wait {
        task: task.to_owned(),
        token: Token(vec![token]),
        created: Vec::new(),
        note: Note::default(),
    })
}

pub(super) fn fails(code: Code) -> Event {
    Event::Returned(CallEnd::Problem(problem(code)))
}

pub(super) fn traps() -> Event {
    Event::Returned(CallEnd::Broken(problem(Code::Provider)))
}

pub(super) fn moved(token: u8) -> SettleEnd {
    SettleEnd::Done {
        token: Token(vec![token]),
        created: vec!["machine 105".to_owned()],
        note: Note::default(),
    }
}

pub(super) fn settled(end: SettleEnd) -> Event {
    Event::Settled(end)
}

pub(super) fn not_started(believable_at: Timestamp) -> Event {
    Event::Settled(SettleEnd::NotStarted { believable_at })
}

pub(super) fn task_ended(problem: Option<Problem>) -> Event {
    Event::Polled(PollEnd::Ended(TaskEnd {
        warnings: Vec::new(),
        problem,
    }))
}

pub(super) fn cancel() -> Event {
    Event::Cancel {
        who: "tester".to_owned(),
    }
}

/// Operation 1 is over.
pub(super) fn finish() -> [Command; 1] {
    [Command::Finish { operation: ONE }]
}

/// A queue with operation 1 and its journal, in which every output is taken for committed.
pub(super) struct Bench {
    pub queue: Queue,
    pub now: Timestamp,
    pub journal: Vec<(OperationId, Entry)>,
    pub ended: Vec<Operation>,
    pub turned: Vec<(HypervisorUid, bool)>,
}

impl Bench {
    /// Operation 1 is queued and started.
    pub(super) fn new() -> Self {
        let mut bench = Self::with_limits(Limits::default());
        bench.submit(vec![spec(1, 1)]);
        bench
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        Self {
            queue: Queue::new(limits),
            now: T0,
            journal: Vec::new(),
            ended: Vec::new(),
            turned: Vec::new(),
        }
    }

    /// Operation 1 is in the call for its first step.
    pub(super) fn calling(actions: &[&str]) -> Self {
        let mut bench = Self::new();
        let steps = actions.iter().map(|action| step(action)).collect();
        let commands = bench.tell(prepared(steps));
        assert_eq!(commands, [Command::Call { operation: ONE }]);
        bench.tell(Event::Filled(json!({"of": "the step"})));
        bench
    }

    /// Operation 1 waits for task `t1`, which its `once` request started.
    pub(super) fn waiting(actions: &[&str]) -> Self {
        let mut bench = Self::calling(actions);
        bench.tell(sending());
        bench.tell(Event::Answered(json!({"data": "t1"})));
        bench.tell(wait("t1", 1));
        bench
    }

    /// Operation 1 is being settled: the answer to its request was lost.
    pub(super) fn settling(actions: &[&str]) -> Self {
        let mut bench = Self::calling(actions);
        bench.tell(sending());
        let commands = bench.tell(fails(Code::Unreachable));
        assert_eq!(commands, [Command::Settle { operation: ONE }]);
        bench
    }

    pub(super) fn in_doubt(actions: &[&str]) -> Self {
        let mut bench = Self::settling(actions);
        let commands = bench.tell(settled(SettleEnd::Unknown("no trace".to_owned())));
        assert_eq!(commands, []);
        bench
    }

    pub(super) fn submit(&mut self, specs: Vec<Spec>) -> Vec<Command> {
        let output = self.queue.submit(specs, self.now);
        self.take(output)
    }

    /// Tells operation 1 what happened.
    pub(super) fn tell(&mut self, event: Event) -> Vec<Command> {
        self.tell_to(1, event)
    }

    pub(super) fn tell_to(&mut self, number: u64, event: Event) -> Vec<Command> {
        let output = self
            .queue
            .handle(OperationId(number), event, self.now)
            .unwrap();
        self.take(output)
    }

    /// Goes on to the next time at which something is due, and does it.
    pub(super) fn wake(&mut self) -> Vec<Command> {
        let next = self.queue.next_wake().expect("something is due");
        self.now = self.now.max(next);
        let output = self.queue.tick(self.now);
        self.take(output)
    }

    /// As [`Bench::wake`]; a hypervisor that is lost is found again before.
    pub(super) fn wake_found(&mut self) -> Vec<Command> {
        let mut commands = self.wake();
        if let [Command::Probe { hypervisor }] = commands.as_slice() {
            let output = self.queue.probed(*hypervisor, Ok(()), self.now);
            assert_eq!(self.take(output), []);
            commands = self.wake();
        }
        commands
    }

    pub(super) fn take(&mut self, output: Output) -> Vec<Command> {
        self.journal.extend(output.entries);
        self.ended.extend(output.ended);
        self.turned.extend(output.turned);
        output.commands
    }

    pub(super) fn one(&self) -> &Operation {
        self.queue.get(ONE).expect("operation 1 lives")
    }

    /// How operation 1 ended.
    pub(super) fn end(&self) -> (&'static str, Option<String>) {
        let ended = self.ended.iter().find(|ended| ended.number() == ONE);
        let ended = ended.expect("operation 1 has ended");
        match &ended.phase {
            crate::Phase::Ended { state, problem } => {
                (state.name(), problem.as_ref().map(ToString::to_string))
            }
            phase => panic!("left the queue {phase:?}"),
        }
    }

    /// The names of operation 1's entries.
    pub(super) fn entries(&self) -> Vec<String> {
        self.journal
            .iter()
            .filter(|(number, _)| *number == ONE)
            .map(|(_, entry)| crate::transition::entry_name(entry))
            .collect()
    }

    pub(super) fn last_entries(&self, n: usize) -> Vec<String> {
        let mut all = self.entries();
        all.split_off(all.len() - n)
    }
}
