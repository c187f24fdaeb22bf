//! Parts that take back what others of their operation did.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Code;

use super::fixture::{Bench, cancel, done, prepared, problem, spec, step, wait};
use crate::{After, Command, Event, Limits, OnFailure, Operation, Phase, Spec};

const PARENT: OperationId = OperationId(1);

/// Operation 1 with parts 2, 3 and 4: a, b and c.
fn deployment(on_failure: OnFailure) -> Bench {
    let mut bench = Bench::with_limits(Limits::default());
    let part = |n: u64| Spec {
        parent: Some(PARENT),
        ..spec(n, u128::from(n))
    };
    let parent = Spec {
        children: vec![OperationId(2), OperationId(3), OperationId(4)],
        hypervisor: None,
        on_failure,
        ..spec(1, 100)
    };
    bench.submit(vec![parent, part(2), part(3), part(4)]);
    bench
}

fn succeed(bench: &mut Bench, number: u64) -> Vec<Command> {
    bench.tell_to(number, prepared(vec![step("create")]));
    bench.tell_to(number, done())
}

fn fail(bench: &mut Bench, number: u64) -> Vec<Command> {
    bench.tell_to(number, Event::Prepared(Err(problem(Code::Conflict))))
}

/// Parts 5, 6 and 7 take back c, b and a, one after the other.
fn undo() -> Vec<Spec> {
    let of = |n: u64, target: u64| Spec {
        kind: "undo".to_owned(),
        parent: Some(PARENT),
        after: (n > 5)
            .then_some(After {
                number: OperationId(n - 1),
                however_it_ends: true,
            })
            .into_iter()
            .collect(),
        ..spec(n, u128::from(target))
    };
    vec![of(5, 4), of(6, 3), of(7, 2)]
}

const ROLL_BACK: Command = Command::RollBack { operation: PARENT };

fn end(bench: &Bench) -> (&'static str, String) {
    let parent = bench.ended.last().unwrap();
    assert_eq!(parent.number(), PARENT);
    match &parent.phase {
        Phase::Ended { problem, .. } => (
            parent.state_name(),
            problem
                .as_ref()
                .map(|problem| problem.message.clone())
                .unwrap_or_default(),
        ),
        phase => panic!("{phase:?}"),
    }
}

#[test]
fn case_12_b_cannot_be_taken_back_and_c_and_a_are() {
    let mut bench = deployment(OnFailure::Rollback);
    succeed(&mut bench, 2);
    succeed(&mut bench, 3);
    let then = fail(&mut bench, 4);
    assert_eq!(then.last(), Some(&ROLL_BACK));
    let output = bench.queue.roll_back(PARENT, undo(), bench.now);
    let prepare = |n| Command::Prepare {
        operation: OperationId(n),
    };
    assert_eq!(bench.take(output), [prepare(5)], "one after the other");
    assert!(succeed(&mut bench, 5).contains(&prepare(6)));
    assert!(fail(&mut bench, 6).contains(&prepare(7)), "it goes on");
    succeed(&mut bench, 7);
    let (state, words) = end(&bench);
    assert_eq!(state, "failed");
    assert_eq!(
        words,
        "1 of 3 failed, first /vm4: the provider says conflict; taken back: /vm4, /vm2; \
         not taken back: /vm3: the provider says conflict"
    );
    assert!(bench.queue.is_clean());
}

#[test]
fn a_failure_cancels_what_has_not_ended_before_anything_is_taken_back() {
    let mut bench = deployment(OnFailure::Rollback);
    bench.tell_to(2, prepared(vec![step("create")]));
    bench.tell_to(2, wait("t", 1));
    let then = fail(&mut bench, 3);
    assert!(!then.contains(&ROLL_BACK), "{then:?}");
    let get = |n| bench.queue.get(OperationId(n));
    assert_eq!(get(2).unwrap().cancel.as_deref(), Some("rollback"));
    assert_eq!(get(4).unwrap().cancel.as_deref(), Some("rollback"));
    bench.tell_to(4, prepared(vec![step("create")]));
    bench.tell_to(2, super::fixture::task_ended(None));
    assert!(bench.tell_to(2, done()).contains(&ROLL_BACK));
}

#[test]
fn without_the_wish_everything_stays() {
    let mut bench = deployment(OnFailure::Keep);
    fail(&mut bench, 2);
    succeed(&mut bench, 3);
    let then = succeed(&mut bench, 4);
    assert!(!then.contains(&ROLL_BACK));
    let (state, words) = end(&bench);
    assert_eq!(state, "failed");
    assert_eq!(
        words,
        "1 of 3 failed, first /vm2: the provider says conflict"
    );
}

#[test]
fn nothing_to_take_back_ends_it() {
    let mut bench = deployment(OnFailure::Rollback);
    for number in [2, 3, 4] {
        fail(&mut bench, number);
    }
    let output = bench.queue.roll_back(PARENT, Vec::new(), bench.now);
    bench.take(output);
    let (_, words) = end(&bench);
    assert!(words.ends_with("there was nothing to take back"), "{words}");
    assert!(bench.queue.is_clean());
}

#[test]
fn a_restart_asks_for_the_rollback_again() {
    let mut bench = deployment(OnFailure::Rollback);
    for number in [2, 3, 4] {
        fail(&mut bench, number);
    }
    let journal = bench.journal.iter().filter(|(number, _)| *number == PARENT);
    let entries = journal.map(|(_, entry)| entry.clone()).collect();
    let parts: Vec<_> = bench.ended.iter().filter_map(Operation::as_part).collect();
    let (queue, output) =
        crate::Queue::load(Limits::default(), vec![(PARENT, entries)], parts, bench.now).unwrap();
    assert_eq!(output.commands, [ROLL_BACK]);
    bench.queue = queue;
    let output = bench.queue.roll_back(PARENT, undo(), bench.now);
    bench.take(output);
    bench.tell_to(6, cancel());
    succeed(&mut bench, 5);
    assert!(bench.queue.get(OperationId(7)).is_some());
    succeed(&mut bench, 7);
    assert!(end(&bench).1.contains("not taken back: /vm3: cancelled"));
}

#[test]
fn parts_that_end_together_ask_for_it_once() {
    let mut bench = Bench::with_limits(Limits {
        operations: 1,
        ..Limits::default()
    });
    let part = |n: u64| Spec {
        parent: Some(PARENT),
        ..spec(n, u128::from(n))
    };
    let parent = Spec {
        children: vec![OperationId(2), OperationId(3), OperationId(4)],
        hypervisor: None,
        on_failure: OnFailure::Rollback,
        ..spec(1, 100)
    };
    bench.submit(vec![parent, part(2), part(3), part(4)]);
    // 3 and 4 have not begun, and are cancelled with it.
    let then = fail(&mut bench, 2);
    let asked = then.iter().filter(|command| **command == ROLL_BACK).count();
    assert_eq!(asked, 1, "{then:?}");
}
