//! A hypervisor that does not answer.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Code;

use super::fixture::{
    Bench, ONE, T0, cancel, done, fails, hypervisor, prepared, problem, spec, step, wait,
};
use crate::{Command, Event, Limits, PollEnd, Spec};

const CALL: Command = Command::Call { operation: ONE };

fn probe() -> Vec<Command> {
    vec![Command::Probe {
        hypervisor: hypervisor(1),
    }]
}

/// Operation 1 has just failed for the third time, and 2 to 4 are behind it; 4 elsewhere.
fn lost() -> Bench {
    let mut bench = Bench::with_limits(Limits {
        operations: 2,
        ..Limits::default()
    });
    let elsewhere = Spec {
        hypervisor: Some(hypervisor(2)),
        ..spec(4, 4)
    };
    bench.submit(vec![spec(1, 1)]);
    bench.tell(prepared(vec![step("configure")]));
    for _ in 0..2 {
        bench.tell(fails(Code::Unreachable));
        assert_eq!(bench.wake(), [CALL]);
    }
    bench.tell(fails(Code::Unreachable));
    assert_eq!(bench.turned, [(hypervisor(1), true)]);
    let commands = bench.submit(vec![spec(2, 2), spec(3, 3), elsewhere]);
    let elsewhere = enginehouse_model::OperationId(4);
    assert_eq!(
        commands,
        [Command::Prepare {
            operation: elsewhere
        }],
        "only what is elsewhere begins"
    );
    bench
}

fn found(bench: &mut Bench) -> Vec<Command> {
    let output = bench.queue.probed(hypervisor(1), Ok(()), bench.now);
    bench.take(output)
}

#[test]
fn after_three_failures_in_a_row_nothing_is_tried_but_a_probe() {
    let mut bench = lost();
    let lost = bench.queue.lost(hypervisor(1)).unwrap();
    assert_eq!(lost.problem.code, Code::Unreachable);
    assert_eq!(bench.queue.lost(hypervisor(2)), None);
    let mut longest = 0;
    for _ in 0..50 {
        let before = bench.now;
        let mut commands = bench.wake();
        // The operation's own back-off falls due and is put aside.
        while commands.is_empty() {
            commands = bench.wake();
        }
        assert_eq!(commands, probe());
        while bench.queue.next_wake().is_some() {
            assert_eq!(bench.wake(), [], "one probe at a time");
        }
        longest = longest.max(bench.now.since(before));
        let still = Err(problem(Code::Unreachable));
        let output = bench.queue.probed(hypervisor(1), still, bench.now);
        assert_eq!(bench.take(output), []);
    }
    assert!((45_000..=60_000).contains(&longest), "{longest}");
    assert_eq!(bench.turned.len(), 1, "lost once");
}

#[test]
fn what_was_put_aside_goes_on_at_once_when_it_is_found() {
    let mut bench = lost();
    while bench.wake() != probe() {}
    let commands = found(&mut bench);
    let two = enginehouse_model::OperationId(2);
    assert_eq!(commands, [Command::Prepare { operation: two }], "in line");
    let before = bench.now;
    assert_eq!(bench.wake(), [CALL]);
    assert_eq!(bench.now, before, "without the rest of its back-off");
    assert_eq!(bench.turned.last(), Some(&(hypervisor(1), false)));
    bench.tell(done());
    assert_eq!(bench.end().0, "succeeded");
}

#[test]
fn an_answer_to_anything_says_that_it_is_back() {
    let mut bench = Bench::with_limits(Limits::default());
    bench.submit(vec![spec(1, 1), spec(2, 2)]);
    bench.tell_to(2, prepared(vec![step("create")]));
    bench.tell_to(2, wait("t", 1));
    bench.tell(prepared(vec![step("configure")]));
    for _ in 0..2 {
        bench.tell(fails(Code::Unreachable));
        while bench.wake() != [CALL] {}
    }
    bench.tell(fails(Code::Unreachable));
    assert!(bench.queue.lost(hypervisor(1)).is_some());
    let running = PollEnd::Running {
        cursor: String::new(),
    };
    bench.tell_to(2, Event::Polled(running));
    assert_eq!(bench.queue.lost(hypervisor(1)), None);
    assert_eq!(bench.turned.len(), 2);
}

#[test]
fn tasks_are_not_polled_while_it_is_lost_and_all_of_them_afterwards() {
    let mut bench = Bench::with_limits(Limits::default());
    bench.submit((1..=5).map(|n| spec(n, u128::from(n))).collect());
    for number in 1..=5 {
        bench.tell_to(number, prepared(vec![step("create")]));
        bench.tell_to(number, wait("t", 1));
    }
    for number in 1..=3 {
        let failed = PollEnd::Failed(problem(Code::Unreachable));
        bench.tell_to(number, Event::Polled(failed));
    }
    assert!(bench.queue.lost(hypervisor(1)).is_some());
    let mut commands = Vec::new();
    while commands.is_empty() {
        commands = bench.wake();
    }
    assert_eq!(commands, probe());
    found(&mut bench);
    let commands = bench.wake();
    assert!(
        matches!(commands.as_slice(), [Command::Poll { operations, .. }] if operations.len() == 5),
        "{commands:?}"
    );
}

#[test]
fn busy_and_wrong_are_answers() {
    let mut bench = Bench::calling(&["configure"]);
    for _ in 0..10 {
        bench.tell(fails(Code::Busy));
        assert_eq!(bench.wake(), [CALL]);
        bench.tell(fails(Code::Unreachable));
        assert_eq!(bench.wake(), [CALL], "not three in a row");
    }
    assert_eq!(bench.turned, []);
}

#[test]
fn what_waits_for_it_can_be_cancelled() {
    let mut bench = lost();
    bench.tell(cancel());
    assert_eq!(bench.end().0, "cancelled");
    bench.tell_to(2, cancel());
    bench.tell_to(3, cancel());
    bench.tell_to(4, cancel());
    bench.tell_to(4, prepared(vec![step("configure")]));
    while bench.wake() != probe() {}
    assert_eq!(found(&mut bench), []);
    assert!(bench.queue.is_clean());
}

#[test]
fn one_that_was_lost_before_a_restart_is_probed_at_once() {
    let mut bench = Bench::with_limits(Limits::default());
    bench
        .queue
        .suspect(hypervisor(1), &problem(Code::Unreachable), T0);
    assert_eq!(bench.submit(vec![spec(1, 1)]), []);
    assert_eq!(bench.wake(), probe());
    assert_eq!(found(&mut bench), [Command::Prepare { operation: ONE }]);
}

#[test]
fn what_belongs_to_no_operation_counts_as_well() {
    let mut bench = Bench::with_limits(Limits::default());
    let away = problem(Code::Unreachable);
    let mut contact = |contact: Result<(), &enginehouse_model::documents::Problem>| {
        let output = bench.queue.contact(hypervisor(1), contact, bench.now);
        bench.take(output);
        std::mem::take(&mut bench.turned)
    };
    assert_eq!(contact(Err(&away)), []);
    assert_eq!(contact(Err(&away)), []);
    // In a row.
    assert_eq!(contact(Ok(())), []);
    assert_eq!(contact(Err(&away)), []);
    assert_eq!(contact(Err(&away)), []);
    assert_eq!(contact(Err(&away)), [(hypervisor(1), true)]);
    assert_eq!(contact(Err(&away)), []);
    assert_eq!(contact(Ok(())), [(hypervisor(1), false)]);
}

#[test]
fn where_it_is_held_nothing_begins_and_what_has_begun_goes_on() {
    let mut bench = Bench::with_limits(Limits::default());
    assert_eq!(
        bench.submit(vec![spec(1, 1)]),
        [Command::Prepare { operation: ONE }]
    );
    let output = bench.queue.brake(hypervisor(1), true, bench.now);
    assert_eq!(bench.take(output), []);
    assert!(bench.queue.is_braked(hypervisor(1)));
    assert_eq!(bench.submit(vec![spec(2, 2)]), []);
    assert_eq!(
        bench.tell(prepared(vec![step("configure"), step("start")])),
        [CALL]
    );
    assert_eq!(bench.tell(done()), [CALL]);
    bench.tell_to(2, cancel());
    assert_eq!(bench.submit(vec![spec(3, 3)]), []);
    let output = bench.queue.brake(hypervisor(1), false, bench.now);
    let three = OperationId(3);
    assert_eq!(bench.take(output), [Command::Prepare { operation: three }]);
    assert!(!bench.queue.is_braked(hypervisor(1)));
}
