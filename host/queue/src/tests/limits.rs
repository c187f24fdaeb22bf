//! One behaviour each: batches of polls, slots, copies of a template.

use std::collections::BTreeSet;

use enginehouse_model::OperationId;
use enginehouse_model::documents::{Code, Note};

use super::fixture::{
    Bench, at, cancel, done, fails, hypervisor, prepared, problem, sending, settled, spec, step,
    task_ended, wait,
};
use crate::{CallEnd, Command, Event, Limits, Phase, PollEnd, Queue, SettleEnd, Token};

#[test]
fn polls_of_one_hypervisor_within_150_ms_are_made_together() {
    let mut bench = Bench::with_limits(Limits::default());
    let waiting = |bench: &mut Bench, number: u64, place: u128, poll_after_ms: u64| {
        let mut spec = spec(number, u128::from(number));
        spec.hypervisor = Some(hypervisor(place));
        bench.submit(vec![spec]);
        bench.tell_to(number, prepared(vec![step("start")]));
        let note = Note {
            poll_after_ms: Some(poll_after_ms),
            ..Note::default()
        };
        let end = CallEnd::Wait {
            task: format!("t{number}"),
            token: Token::default(),
            created: Vec::new(),
            note,
        };
        bench.tell_to(number, Event::Returned(end));
    };
    for (number, place, after) in [(1, 1, 1000), (2, 2, 1100), (3, 1, 1150), (4, 1, 1151)] {
        waiting(&mut bench, number, place, after);
    }
    let poll = |place, operations: &[u64]| Command::Poll {
        hypervisor: hypervisor(place),
        operations: operations.iter().copied().map(OperationId).collect(),
    };
    assert_eq!(bench.wake(), [poll(1, &[1, 3])]);
    assert_eq!(bench.now, at(1000));
    assert_eq!(bench.wake(), [poll(2, &[2])]);
    assert_eq!(bench.wake(), [poll(1, &[4])]);
}

/// A bench with so many operations, each of which waits for a task.
fn many_waiting(count: u64) -> Bench {
    let limits = Limits {
        operations: 10_000,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    for number in 1..=count {
        bench.submit(vec![spec(number, u128::from(number))]);
        bench.tell_to(number, prepared(vec![step("start")]));
        bench.tell_to(number, wait("t", 1));
    }
    bench
}

/// The next batches, all of which are answered at once: the tasks go on.
fn polled(bench: &mut Bench) -> Vec<usize> {
    let mut sizes = Vec::new();
    for command in bench.wake() {
        let Command::Poll { operations, .. } = command else {
            panic!("{command:?}");
        };
        sizes.push(operations.len());
        for number in operations {
            let cursor = String::new();
            bench.tell_to(number.0, Event::Polled(PollEnd::Running { cursor }));
        }
    }
    sizes
}

#[test]
fn a_batch_has_at_most_200_tasks_and_the_next_comes_half_a_second_later() {
    let mut bench = many_waiting(450);
    let began = bench.now.plus_ms(50);
    let mut batches = Vec::new();
    for _ in 0..3 {
        let commands = bench.wake();
        let [Command::Poll { operations, .. }] = commands.as_slice() else {
            panic!("{commands:?}");
        };
        batches.push((bench.now.since(began), operations.len()));
    }
    assert_eq!(batches, [(0, 200), (500, 200), (1_000, 50)]);
}

#[test]
fn tasks_that_began_at_different_times_are_soon_one_batch() {
    let limits = Limits {
        operations: 10_000,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    for number in 1..=100 {
        bench.now = bench.now.plus_ms(37);
        bench.submit(vec![spec(number, u128::from(number))]);
        bench.tell_to(number, prepared(vec![step("start")]));
        bench.tell_to(number, wait("t", 1));
    }
    let quiet = bench.now.plus_ms(15_000);
    while bench.now < quiet {
        polled(&mut bench);
    }
    let mut before = bench.now;
    for _ in 0..10 {
        assert_eq!(polled(&mut bench), [100]);
        assert_eq!(bench.now.since(before), 3_000);
        before = bench.now;
    }
}

#[test]
fn ten_thousand_tasks_are_polled_no_more_often_than_a_thousand_and_all_in_turn() {
    let batches_a_minute = |tasks: u64| {
        let mut bench = many_waiting(tasks);
        let quiet = bench.now.plus_ms(60_000);
        while bench.now < quiet {
            polled(&mut bench);
        }
        let polls_of_each = |bench: &Bench| -> Vec<u32> {
            let phases = bench.queue.iter().map(|operation| &operation.phase);
            let polls = phases.map(|phase| match phase {
                Phase::Waiting { polls, .. } => *polls,
                other => panic!("{other:?}"),
            });
            polls.collect()
        };
        let before = polls_of_each(&bench);
        let until = bench.now.plus_ms(60_000);
        let mut batches = 0;
        while bench.now < until {
            batches += polled(&mut bench).len();
        }
        let after = polls_of_each(&bench);
        let polls = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before);
        let polls: BTreeSet<u32> = polls.collect();
        let (fewest, most) = (polls.first().unwrap(), polls.last().unwrap());
        assert!(most - fewest <= 1, "{tasks}: {fewest} to {most} polls");
        batches
    };
    let (hundred, thousand) = (batches_a_minute(100), batches_a_minute(1_000));
    let ten_thousand = batches_a_minute(10_000);
    assert!((19..=21).contains(&hundred), "{hundred}");
    assert!((95..=105).contains(&thousand), "{thousand}");
    assert!((118..=122).contains(&ten_thousand), "{ten_thousand}");
}

#[test]
fn no_task_of_a_lost_hypervisor_is_polled_and_all_are_when_it_is_back() {
    let mut bench = many_waiting(3);
    bench.submit(vec![spec(4, 4)]);
    bench
        .queue
        .suspect(hypervisor(1), &problem(Code::Unreachable), bench.now);
    let probe = Command::Probe {
        hypervisor: hypervisor(1),
    };
    assert_eq!(bench.wake(), [probe]);
    assert_eq!(bench.queue.next_wake(), None, "nothing is due there");
    bench.now = bench.now.plus_ms(60_000);
    let found = bench.queue.probed(hypervisor(1), Ok(()), bench.now);
    bench.take(found);
    assert_eq!(polled(&mut bench), [3]);
}

#[test]
fn one_poll_of_a_task_is_under_way_at_a_time() {
    let mut bench = Bench::waiting(&["create"]);
    bench.wake();
    bench.tell(cancel());
    assert_eq!(bench.queue.next_wake(), None, "the answer comes first");
    bench.tell(Event::Polled(PollEnd::Running {
        cursor: "7".to_owned(),
    }));
    assert!(bench.queue.next_wake().is_some());
}

#[test]
fn polls_that_fail_are_repeated_and_shown() {
    let mut bench = Bench::waiting(&["create"]);
    for _ in 0..20 {
        bench.wake_found();
        let failed = PollEnd::Failed(problem(Code::Unreachable));
        bench.tell(Event::Polled(failed));
        assert!(bench.one().obstacle.is_some());
    }
    let before = bench.now;
    bench.wake_found();
    assert!(bench.now.since(before) <= 3_000);
    bench.tell(Event::Polled(PollEnd::Running {
        cursor: String::new(),
    }));
    assert_eq!(bench.one().obstacle, None);
}

#[test]
fn copies_of_one_template_are_limited() {
    let limits = Limits {
        copies_per_template: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    let copy = |template: &str| {
        let mut step = step("create");
        step.template = Some(template.to_owned());
        vec![step]
    };
    bench.submit((1..=5).map(|n| spec(n, u128::from(n))).collect());
    for number in 1..=4 {
        bench.tell_to(number, prepared(copy("9000")));
    }
    let calling = |bench: &Bench| -> BTreeSet<u64> {
        let copying = bench.queue.iter().filter(|op| op.copies().is_some());
        copying.map(|op| op.number().0).collect()
    };
    assert_eq!(calling(&bench), BTreeSet::from([1, 2]));
    // Another template has limits of its own.
    bench.tell_to(5, prepared(copy("9001")));
    assert_eq!(calling(&bench), BTreeSet::from([1, 2, 5]));
    // A task, a retry and a settlement still copy.
    bench.tell_to(1, wait("t", 1));
    bench.tell_to(2, fails(Code::Busy));
    assert_eq!(calling(&bench), BTreeSet::from([1, 2, 5]));
    bench.tell_to(1, task_ended(None));
    bench.tell_to(1, done());
    assert_eq!(calling(&bench), BTreeSet::from([2, 3, 5]));
}

#[test]
fn slots_are_limited_and_doubt_holds_none() {
    let limits = Limits {
        operations: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    bench.submit(vec![spec(1, 1), spec(2, 2), spec(3, 1)]);
    let states = |bench: &Bench| -> Vec<&'static str> {
        bench
            .queue
            .iter()
            .map(crate::Operation::state_name)
            .collect()
    };
    assert_eq!(states(&bench), ["running", "pending", "pending"]);
    bench.tell(prepared(vec![step("create")]));
    bench.tell(sending());
    bench.tell(fails(Code::Unreachable));
    assert_eq!(states(&bench), ["running", "pending", "pending"]);
    bench.tell(settled(SettleEnd::Unknown("no trace".to_owned())));
    // Its lane stays closed.
    assert_eq!(states(&bench), ["in_doubt", "running", "pending"]);
}

#[test]
fn limits_that_are_told_after_loading_hold_for_what_waits() {
    let mut bench = Bench::with_limits(Limits::default());
    bench.submit((1..=10).map(|n| spec(n, u128::from(n))).collect());
    let journal = (1..=10).map(|n| {
        let queued = crate::Entry::Queued {
            spec: spec(n, u128::from(n)),
        };
        (OperationId(n), vec![queued])
    });
    let (mut queue, output) = Queue::load(Limits::default(), journal, [], bench.now).unwrap();
    assert_eq!(output.commands, []);
    let limits = Limits {
        operations: 2,
        ..Limits::default()
    };
    queue.set_limits(hypervisor(1), limits);
    assert!(queue.next_wake().unwrap() <= bench.now, "due at once");
    assert_eq!(queue.tick(bench.now).commands.len(), 2);
    assert_eq!(queue.next_wake(), None);
    // More room is used without anything else happening.
    queue.set_limits(hypervisor(1), Limits::default());
    assert!(queue.next_wake().unwrap() <= bench.now);
    assert_eq!(queue.tick(bench.now).commands.len(), 8);
}
