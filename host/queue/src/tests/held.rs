//! What a limit holds keeps its place, is in nobody's way elsewhere, and tries again in time.

use enginehouse_model::documents::Code;
use enginehouse_model::{OperationId, Timestamp};
use serde_json::json;

use super::fixture::{Bench, ONE, at, cancel, done, finish, prepared, problem, spec, step};
use crate::{Command, Entry, Event, Limits, Operation, Phase, Queue};

const TWO: OperationId = OperationId(2);

fn prepare(operation: OperationId) -> Command {
    Command::Prepare { operation }
}

fn held(until: Timestamp) -> Event {
    Event::Held {
        until,
        problem: problem(Code::Busy),
    }
}

fn tick(bench: &mut Bench, now: Timestamp) -> Vec<Command> {
    bench.now = now;
    let output = bench.queue.tick(now);
    bench.take(output)
}

#[test]
fn it_keeps_its_lane_and_gives_its_slot_to_others() {
    let mut bench = Bench::with_limits(Limits {
        operations: 1,
        ..Limits::default()
    });
    // 2 is on the same machine as 1, 3 is on another one of that hypervisor.
    bench.submit(vec![spec(1, 1), spec(2, 1), spec(3, 2)]);
    assert_eq!(bench.tell(held(at(1000))), [prepare(OperationId(3))]);
    assert_eq!(bench.one().state_name(), "pending");
    assert!(!bench.one().holds_slot());
    assert_eq!(bench.one().obstacle.as_ref().unwrap().code, Code::Busy);
    let lane: Vec<OperationId> = bench
        .queue
        .lane(bench.one().spec.target)
        .map(Operation::number)
        .collect();
    assert_eq!(lane, [ONE, TWO]);
}

#[test]
fn it_is_planned_again_when_its_time_has_come_and_not_before() {
    let mut bench = Bench::new();
    assert_eq!(bench.tell(held(at(1000))), []);
    assert_eq!(bench.queue.next_wake(), Some(at(1000)));
    assert_eq!(tick(&mut bench, at(999)), []);
    assert_eq!(tick(&mut bench, at(1000)), [prepare(ONE)]);
    assert_eq!(bench.one().obstacle, None);
    bench.tell(prepared(vec![step("destroy")]));
    bench.tell(Event::Filled(json!({})));
    assert_eq!(bench.tell(done()), finish());
    assert!(bench.queue.is_clean());
}

#[test]
fn who_changes_what_holds_it_lets_all_try_again() {
    let mut bench = Bench::new();
    bench.submit(vec![spec(2, 2)]);
    bench.tell(held(at(1000)));
    bench.tell_to(2, held(at(2000)));
    let numbers: Vec<OperationId> = bench.queue.held().map(Operation::number).collect();
    assert_eq!(numbers, [ONE, TWO]);
    let output = bench.queue.release_all(bench.now);
    assert_eq!(bench.take(output), [prepare(ONE), prepare(TWO)]);
    assert_eq!(bench.queue.held().count(), 0);
    assert_eq!(bench.queue.next_wake(), None, "no time is left over");
}

#[test]
fn a_step_that_has_sent_nothing_is_held_and_its_plan_is_made_anew() {
    let mut bench = Bench::new();
    bench.tell(prepared(vec![step("stop"), step("destroy")]));
    bench.tell(Event::Filled(json!({})));
    bench.tell(done());
    assert_eq!(bench.one().step, 1);
    assert_eq!(bench.tell(held(at(1000))), []);
    assert_eq!((bench.one().step, bench.one().steps.len()), (0, 0));
    assert_eq!(tick(&mut bench, at(1000)), [prepare(ONE)]);
}

#[test]
fn a_request_that_may_have_left_is_not_held() {
    let mut bench = Bench::new();
    bench.tell(prepared(vec![step("destroy")]));
    bench.tell(Event::Filled(json!({})));
    bench.tell(super::fixture::sending());
    let before = bench.one().clone();
    let now = bench.now;
    assert!(bench.queue.handle(ONE, held(at(1000)), now).is_err());
    assert_eq!(*bench.one(), before);
}

#[test]
fn cancelled_it_ends_at_once() {
    let mut bench = Bench::new();
    bench.tell(held(at(1000)));
    assert_eq!(bench.tell(cancel()), finish());
    assert_eq!(bench.end(), ("cancelled", None));
    assert!(bench.queue.is_clean());
}

#[test]
fn after_a_restart_it_is_held_as_before_and_no_longer_than_an_hour_by_a_clock_that_was_ahead() {
    let mut bench = Bench::new();
    let hour = 60 * 60 * 1000;
    let far = bench.now.plus_ms(5 * hour);
    bench.tell(held(far));
    let journal = bench.journal.iter().map(|(_, entry)| {
        let text = serde_json::to_string(entry).unwrap();
        serde_json::from_str::<Entry>(&text).unwrap()
    });
    let journal = vec![(ONE, journal.collect())];
    let (mut queue, _) = Queue::load(Limits::default(), journal, [], bench.now).unwrap();
    assert_eq!(queue.get(ONE).unwrap().phase, Phase::Pending);
    assert_eq!(queue.tick(bench.now).commands, []);
    assert_eq!(queue.next_wake(), Some(bench.now.plus_ms(hour)));
    let output = queue.tick(bench.now.plus_ms(hour));
    assert_eq!(output.commands, [prepare(ONE)]);
}
