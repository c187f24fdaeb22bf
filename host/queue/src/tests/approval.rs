//! What waits for people's approval is in nobody's way, and goes on once enough of them gave it.

use enginehouse_model::documents::Code;
use enginehouse_model::{OperationId, Timestamp};
use serde_json::json;

use super::fixture::{Bench, ONE, at, cancel, done, finish, prepared, problem, spec, step};
use crate::{After, Command, Entry, Event, Final, Limits, Operation, Phase, Queue, Spec};

const TWO: OperationId = OperationId(2);

fn prepare(operation: OperationId) -> Command {
    Command::Prepare { operation }
}

fn asks(until: Timestamp) -> Event {
    Event::Asks {
        request: json!({"what": "goes"}),
        until,
    }
}

/// Operation 1 waits for approval until a second has passed.
fn waiting() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.tell(asks(at(1000))), []);
    bench
}

fn sign(bench: &mut Bench, enough: bool) -> Vec<Command> {
    let signature = json!({"by": "bob"});
    let output = bench.queue.sign(ONE, signature, enough, bench.now).unwrap();
    bench.take(output)
}

/// The queue of the same journal, loaded anew.
fn again(bench: &Bench) -> Queue {
    let journal: Vec<(OperationId, Vec<Entry>)> = bench
        .queue
        .iter()
        .map(|operation| {
            let number = operation.number();
            let entries = bench.journal.iter().filter(|(of, _)| *of == number);
            let entries = entries.map(|(_, entry)| {
                let text = serde_json::to_string(entry).unwrap();
                serde_json::from_str(&text).unwrap()
            });
            (number, entries.collect())
        })
        .collect();
    let (queue, _) = Queue::load(Limits::default(), journal, [], bench.now).unwrap();
    queue
}

#[test]
fn it_holds_neither_its_lane_nor_a_slot() {
    let mut bench = Bench::with_limits(Limits {
        operations: 1,
        ..Limits::default()
    });
    bench.submit(vec![spec(1, 1), spec(2, 1)]);
    assert_eq!(bench.tell(asks(at(1000))), [prepare(TWO)]);
    assert_eq!(bench.one().state_name(), "waiting_approval");
    assert!(!bench.one().holds_slot());
    let lane: Vec<OperationId> = bench
        .queue
        .lane(bench.one().spec.target)
        .map(Operation::number)
        .collect();
    assert_eq!(lane, [TWO]);
    let waiting: Vec<OperationId> = bench
        .queue
        .waiting_approval()
        .map(Operation::number)
        .collect();
    assert_eq!(waiting, [ONE]);
}

#[test]
fn with_the_last_signature_it_joins_its_lane_at_the_end_and_is_planned_again() {
    let mut bench = waiting();
    assert_eq!(bench.submit(vec![spec(2, 1)]), [prepare(TWO)]);
    bench.submit(vec![spec(3, 1)]);
    assert_eq!(sign(&mut bench, false), []);
    assert_eq!(bench.one().phase, Phase::WaitingApproval);
    assert_eq!(sign(&mut bench, true), []);
    let lane: Vec<u64> = bench
        .queue
        .lane(bench.one().spec.target)
        .map(|one| one.number().0)
        .collect();
    assert_eq!(lane, [2, 3, 1]);
    let approval = bench.one().approval.as_ref().unwrap();
    assert!(approval.granted);
    assert_eq!(approval.signatures.len(), 2);
    assert_eq!(
        bench.queue.next_wake(),
        None,
        "it cannot expire in its lane"
    );
    bench.tell_to(2, prepared(vec![]));
    assert_eq!(
        bench.tell_to(3, prepared(vec![])).last(),
        Some(&prepare(ONE))
    );
    bench.tell(prepared(vec![step("destroy")]));
    bench.tell(Event::Filled(json!({})));
    assert_eq!(bench.tell(done()), finish());
    assert_eq!(bench.end(), ("succeeded", None));
    assert!(bench.queue.is_clean());
}

#[test]
fn it_joins_its_lane_before_what_waits_for_something_that_waits_for_it() {
    let mut bench = waiting();
    // On another resource, after what waits for people; and on the same one, before and after that.
    let after = |mut spec: Spec, number: u64| {
        spec.after.push(After {
            number: OperationId(number),
            however_it_ends: true,
        });
        spec
    };
    bench.submit(vec![after(spec(2, 2), 1)]);
    assert_eq!(bench.submit(vec![spec(3, 1)]), [prepare(OperationId(3))]);
    bench.submit(vec![after(spec(4, 1), 2), spec(5, 1)]);
    assert_eq!(sign(&mut bench, true), []);
    let lane: Vec<u64> = bench
        .queue
        .lane(bench.one().spec.target)
        .map(|one| one.number().0)
        .collect();
    assert_eq!(lane, [3, 1, 4, 5]);
    assert_eq!(again(&bench).lane(bench.one().spec.target).count(), 4);
    bench.tell_to(3, prepared(vec![]));
    bench.tell(prepared(vec![]));
    bench.tell_to(2, prepared(vec![]));
    bench.tell_to(4, prepared(vec![]));
    bench.tell_to(5, prepared(vec![]));
    assert!(bench.queue.is_clean());
}

#[test]
fn nobody_signs_what_does_not_wait_for_it() {
    let mut bench = Bench::new();
    assert!(bench.queue.sign(ONE, json!({}), true, bench.now).is_err());
    assert!(
        bench
            .queue
            .sign(OperationId(9), json!({}), true, bench.now)
            .is_err()
    );
    bench.tell(asks(at(1000)));
    sign(&mut bench, true);
    let starting = bench.one().clone();
    assert!(bench.queue.sign(ONE, json!({}), true, bench.now).is_err());
    assert_eq!(*bench.one(), starting);
}

#[test]
fn it_ends_when_its_time_is_over_and_not_before() {
    let mut bench = waiting();
    assert_eq!(bench.queue.next_wake(), Some(at(1000)));
    bench.now = at(999);
    let output = bench.queue.tick(bench.now);
    assert_eq!(bench.take(output), []);
    assert_eq!(bench.one().phase, Phase::WaitingApproval);
    bench.now = at(1000);
    let output = bench.queue.tick(bench.now);
    assert_eq!(bench.take(output), finish());
    let (state, said) = bench.end();
    assert_eq!(state, "failed");
    assert!(said.unwrap().contains("not approved in time"));
    assert!(bench.queue.is_clean());
}

#[test]
fn refused_or_cancelled_it_ends_with_nothing_done() {
    let mut bench = waiting();
    assert_eq!(bench.tell(Event::Refused(problem(Code::Denied))), finish());
    assert_eq!(bench.end().0, "failed");
    assert!(bench.queue.is_clean());
    let mut bench = waiting();
    assert_eq!(bench.tell(cancel()), finish());
    assert_eq!(bench.end(), ("cancelled", None));
    assert!(bench.queue.is_clean());
    // Cancelled while it was planned: nobody is asked.
    let mut bench = Bench::new();
    bench.tell(cancel());
    assert_eq!(bench.tell(asks(at(1000))), finish());
    assert_eq!(bench.end(), ("cancelled", None));
}

#[test]
fn a_restart_forgets_neither_the_question_nor_the_signatures() {
    let mut bench = waiting();
    sign(&mut bench, false);
    let mut loaded = again(&bench);
    assert_eq!(loaded.get(ONE), Some(bench.one()));
    assert_eq!(loaded.tick(bench.now).commands, []);
    assert_eq!(loaded.next_wake(), Some(at(1000)));
    sign(&mut bench, true);
    let loaded = again(&bench);
    assert_eq!(loaded.get(ONE), Some(bench.one()));
    bench.tell(prepared(vec![step("stop"), step("destroy")]));
    let mut loaded = again(&bench);
    let approval = loaded.get(ONE).unwrap().approval.as_ref().unwrap();
    assert!(approval.granted, "it covers going on after a kill");
    let anew = loaded.begin_anew("ann", at(5));
    assert_eq!(anew.commands, [prepare(ONE)]);
    // After a restore of the database it asks again, for what it finds then.
    let output = loaded.handle(ONE, asks(at(2000)), at(5)).unwrap();
    assert_eq!(output.commands, []);
    let approval = loaded.get(ONE).unwrap().approval.as_ref().unwrap();
    assert!(!approval.granted && approval.signatures.is_empty());
}

#[test]
fn what_is_outdated_was_not_done_for_anybody() {
    let part = |number, before: Option<u64>| Spec {
        parent: Some(ONE),
        after: before
            .map(|number| After {
                number: OperationId(number),
                however_it_ends: false,
            })
            .into_iter()
            .collect(),
        ..spec(number, number.into())
    };
    let parent = Spec {
        children: vec![OperationId(2), OperationId(3)],
        hypervisor: None,
        ..spec(1, 1)
    };
    let mut bench = Bench::with_limits(Limits::default());
    bench.submit(vec![parent, part(2, None), part(3, Some(2))]);
    bench.tell_to(2, Event::Outdated(problem(Code::Conflict)));
    let ended = |number: u64| {
        let ended = bench.ended.iter().find(|one| one.number().0 == number);
        match &ended.unwrap().phase {
            Phase::Ended { state, problem } => {
                (*state, problem.as_ref().map(|it| it.message.clone()))
            }
            phase => panic!("left the queue {phase:?}"),
        }
    };
    assert_eq!(ended(2).0, Final::Superseded);
    let (state, said) = ended(3);
    assert_eq!(state, Final::Failed);
    assert!(said.unwrap().contains("it was given up"));
    let (state, said) = bench.end();
    assert_eq!(state, "failed");
    assert!(said.unwrap().contains("2 of 2 failed"));
}

#[test]
fn a_step_that_is_outdated_is_not_begun_and_one_that_is_under_way_goes_on() {
    let mut bench = Bench::calling(&["destroy"]);
    assert_eq!(
        bench.tell(Event::Outdated(problem(Code::Conflict))),
        finish()
    );
    assert_eq!(bench.end().0, "superseded");
    let mut bench = Bench::calling(&["destroy"]);
    bench.tell(super::fixture::sending());
    let outdated = Event::Outdated(problem(Code::Conflict));
    assert!(bench.queue.handle(ONE, outdated, bench.now).is_err());
}
