//! Parts that go in waves.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Code;

use super::fixture::{Bench, cancel, done, prepared, problem, spec, step};
use crate::{After, Command, Entry, Event, Limits, OnFailure, Operation, Phase, Queue, Spec};

const PARENT: OperationId = OperationId(1);

/// Operation 1 with a part for each of `waves`, from 2 on.
fn specs(waves: &[u32], stop_after: u32) -> Vec<Spec> {
    let numbers = 2..2 + waves.len() as u64;
    let parent = Spec {
        children: numbers.clone().map(OperationId).collect(),
        hypervisor: None,
        stop_after: Some(stop_after),
        ..spec(1, 100)
    };
    let parts = numbers.zip(waves).map(|(number, wave)| Spec {
        parent: Some(PARENT),
        wave: *wave,
        after: (*wave > 0)
            .then_some(After {
                number: PARENT,
                however_it_ends: true,
            })
            .into_iter()
            .collect(),
        ..spec(number, u128::from(number))
    });
    [parent].into_iter().chain(parts).collect()
}

fn rollout(waves: &[u32], stop_after: u32) -> (Bench, Vec<Command>) {
    let mut bench = Bench::with_limits(Limits::default());
    let begun = bench.submit(specs(waves, stop_after));
    (bench, begun)
}

fn prepare(numbers: impl IntoIterator<Item = u64>) -> Vec<Command> {
    let numbers = numbers.into_iter().map(OperationId);
    numbers
        .map(|operation| Command::Prepare { operation })
        .collect()
}

/// Commands that begin something.
fn begun(commands: Vec<Command>) -> Vec<Command> {
    let mut commands = commands;
    commands.retain(|command| matches!(command, Command::Prepare { .. }));
    commands
}

fn succeed(bench: &mut Bench, number: u64) -> Vec<Command> {
    bench.tell_to(number, prepared(vec![step("configure")]));
    begun(bench.tell_to(number, done()))
}

fn fail(bench: &mut Bench, number: u64) -> Vec<Command> {
    begun(bench.tell_to(number, Event::Prepared(Err(problem(Code::Conflict)))))
}

fn words(operation: &Operation) -> (&'static str, String) {
    let Phase::Ended { problem, .. } = &operation.phase else {
        panic!("{:?}", operation.phase);
    };
    let message = problem.as_ref().map(|problem| problem.message.clone());
    (operation.state_name(), message.unwrap_or_default())
}

fn ended(bench: &Bench, number: u64) -> (&'static str, String) {
    let operation = bench.ended.iter().find(|ended| ended.number().0 == number);
    words(operation.unwrap())
}

#[test]
fn a_wave_begins_when_all_of_the_one_before_are_over() {
    let (mut bench, first) = rollout(&[0, 1, 1, 2], 1);
    assert_eq!(first, prepare([2]));
    assert_eq!(succeed(&mut bench, 2), prepare([3, 4]));
    assert_eq!(succeed(&mut bench, 4), []);
    assert_eq!(succeed(&mut bench, 3), prepare([5]));
    succeed(&mut bench, 5);
    assert_eq!(ended(&bench, 1).0, "succeeded");
    assert!(bench.queue.is_clean());
}

#[test]
fn a_failure_stops_it_and_says_how_many_were_not_begun() {
    let (mut bench, _) = rollout(&[0, 1, 1, 2, 2], 1);
    succeed(&mut bench, 2);
    assert_eq!(fail(&mut bench, 3), []);
    // What runs is not torn off.
    assert!(bench.queue.get(OperationId(4)).is_some());
    assert_eq!(succeed(&mut bench, 4), []);
    let not_begun = "not begun: 1 of operation 1 had failed";
    for number in [5, 6] {
        assert_eq!(ended(&bench, number), ("cancelled", not_begun.to_owned()));
    }
    assert_eq!(
        ended(&bench, 1),
        (
            "failed",
            "1 of 5 failed, first /vm3: the provider says conflict; 2 were not begun".to_owned()
        )
    );
    assert!(bench.queue.is_clean());
}

#[test]
fn what_has_not_begun_in_the_same_wave_is_stopped_too() {
    let mut bench = Bench::with_limits(Limits {
        operations: 1,
        ..Limits::default()
    });
    let first = bench.submit(specs(&[0, 0, 0], 1));
    assert_eq!(first, prepare([2]));
    assert_eq!(fail(&mut bench, 2), []);
    assert_eq!(ended(&bench, 4).0, "cancelled");
    assert_eq!(ended(&bench, 1).0, "failed");
}

#[test]
fn failures_below_the_bound_do_not_hold_it_up() {
    let (mut bench, _) = rollout(&[0, 1, 1, 2], 2);
    assert_eq!(fail(&mut bench, 2), prepare([3, 4]));
    assert_eq!(succeed(&mut bench, 3), []);
    assert_eq!(succeed(&mut bench, 4), prepare([5]));
    fail(&mut bench, 5);
    assert_eq!(
        ended(&bench, 1).1,
        "2 of 4 failed, first /vm2: the provider says conflict"
    );
}

#[test]
fn one_that_is_cancelled_is_over_and_no_failure() {
    let (mut bench, _) = rollout(&[0, 1], 1);
    bench.tell_to(2, prepared(vec![step("configure")]));
    bench.tell_to(2, cancel());
    assert_eq!(begun(bench.tell_to(2, done())), prepare([3]));
}

#[test]
fn cancelling_the_whole_begins_no_wave() {
    let (mut bench, _) = rollout(&[0, 1, 2], 1);
    for number in [2, 3, 4, 1] {
        bench.tell_to(number, cancel());
    }
    let commands = bench.tell_to(2, prepared(vec![step("configure")]));
    assert_eq!(begun(commands), []);
    assert_eq!(ended(&bench, 1).0, "cancelled");
    assert!(bench.queue.is_clean());
}

#[test]
fn what_takes_it_back_is_in_no_wave_and_no_failure_stops_it() {
    let mut all = specs(&[0, 1, 2], 1);
    all[0].on_failure = OnFailure::Rollback;
    let mut bench = Bench::with_limits(Limits::default());
    bench.submit(all);
    succeed(&mut bench, 2);
    let then = bench.tell_to(3, Event::Prepared(Err(problem(Code::Conflict))));
    assert_eq!(then.last(), Some(&Command::RollBack { operation: PARENT }));
    let undo = |number: u64, target: u64, after: &[u64]| Spec {
        kind: "undo".to_owned(),
        parent: Some(PARENT),
        after: after
            .iter()
            .map(|before| After {
                number: OperationId(*before),
                however_it_ends: true,
            })
            .collect(),
        ..spec(number, u128::from(target))
    };
    let undoes = vec![undo(5, 3, &[]), undo(6, 2, &[5])];
    let output = bench.queue.roll_back(PARENT, undoes, bench.now);
    assert_eq!(begun(bench.take(output)), prepare([5]));
    assert_eq!(fail(&mut bench, 5), prepare([6]), "it goes on");
    succeed(&mut bench, 6);
    assert_eq!(ended(&bench, 6).0, "succeeded");
    assert_eq!(ended(&bench, 1).0, "failed");
    assert!(bench.queue.is_clean());
}

/// The journal of all that happened up to an entry; what had ended by then as parts.
fn reopened(bench: &Bench, entries: usize) -> (Queue, Vec<Command>) {
    let mut journal: Vec<(OperationId, Vec<Entry>)> = Vec::new();
    for (number, entry) in bench.journal.iter().take(entries) {
        match journal.iter_mut().find(|(of, _)| of == number) {
            Some((_, entries)) => entries.push(entry.clone()),
            None => journal.push((*number, vec![entry.clone()])),
        }
    }
    let (mut queue, mut output) =
        Queue::load(Limits::default(), journal, Vec::new(), bench.now).unwrap();
    output.append(queue.tick(bench.now));
    (queue, output.commands)
}

#[test]
fn cut_anywhere_it_goes_on_or_is_over() {
    for failing in [None, Some(3)] {
        let (mut bench, _) = rollout(&[0, 1, 1, 2], 1);
        for number in [2, 3, 4, 5] {
            if bench.queue.get(OperationId(number)).is_none() {
                continue;
            }
            if failing == Some(number) {
                fail(&mut bench, number);
            } else {
                succeed(&mut bench, number);
            }
        }
        // All five are on record.
        for entries in 5..=bench.journal.len() {
            let (queue, commands) = reopened(&bench, entries);
            let open = queue.iter().count();
            assert!(
                open == 0 || !commands.is_empty(),
                "{open} wait for nothing after {entries} entries: {:?}",
                bench.journal.get(entries.saturating_sub(1))
            );
        }
    }
}
