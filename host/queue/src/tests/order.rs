//! Who comes before whom.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Code;

use super::fixture::{
    Bench, ONE, cancel, done, fails, prepared, problem, spec, step, task_ended, wait,
};
use crate::{After, Command, Entry, Event, Limits, Phase, Place, PlaceError, Queue, Spec, Urgency};

fn number(n: u64) -> OperationId {
    OperationId(n)
}

fn prepare(n: u64) -> Command {
    Command::Prepare {
        operation: number(n),
    }
}

fn after(n: u64, target: u128, before: &[u64]) -> Spec {
    let after = before.iter().map(|n| After {
        number: number(*n),
        however_it_ends: false,
    });
    Spec {
        after: after.collect(),
        ..spec(n, target)
    }
}

fn bench(operations: usize) -> Bench {
    Bench::with_limits(Limits {
        operations,
        ..Limits::default()
    })
}

/// Lane of machine 1.
fn lane(bench: &Bench) -> Vec<u64> {
    let lane = bench.queue.lane(spec(1, 1).target);
    lane.map(|operation| operation.number().0).collect()
}

#[test]
fn what_depends_on_another_waits_for_it_without_a_slot() {
    let mut bench = bench(1);
    let specs = vec![spec(1, 1), after(2, 2, &[1]), spec(3, 3)];
    assert_eq!(bench.submit(specs), [prepare(1)]);
    bench.tell(prepared(vec![step("create")]));
    let then = bench.tell(done());
    assert!(then.contains(&prepare(2)) && !then.contains(&prepare(3)));
    bench.tell_to(2, Event::Prepared(Err(problem(Code::Conflict))));
    assert_eq!(bench.queue.get(number(3)).unwrap().phase, Phase::Starting);
}

#[test]
fn a_slot_is_not_kept_for_one_that_waits_for_another() {
    let mut bench = bench(2);
    let specs = vec![spec(1, 1), after(2, 2, &[1]), spec(3, 3)];
    assert_eq!(bench.submit(specs), [prepare(1), prepare(3)]);
}

#[test]
fn what_depends_on_a_failure_is_not_begun_nor_is_what_depends_on_that() {
    let mut bench = bench(9);
    bench.submit(vec![spec(1, 1), after(2, 2, &[1]), after(3, 3, &[2])]);
    bench.tell(Event::Prepared(Err(problem(Code::Conflict))));
    let ends: Vec<String> = bench
        .ended
        .iter()
        .map(|one| one.state_name().into())
        .collect();
    assert_eq!(ends, ["failed", "failed", "failed"]);
    let Phase::Ended { problem, .. } = &bench.ended[2].phase else {
        panic!("not ended");
    };
    assert_eq!(
        problem.as_ref().unwrap().message,
        "not begun: operation 2 on /vm2 has to come before it, and it failed",
    );
    assert!(bench.queue.is_clean());
}

#[test]
fn what_only_comes_after_does_not_mind_a_failure() {
    let mut bench = bench(9);
    let mut later = after(2, 2, &[1]);
    later.after[0].however_it_ends = true;
    bench.submit(vec![spec(1, 1), later]);
    let then = bench.tell(Event::Prepared(Err(problem(Code::Conflict))));
    assert!(then.contains(&prepare(2)));
}

#[test]
fn a_chain_of_ten_thousand_falls_at_once() {
    let mut bench = bench(9);
    let chain = (2..=10_000).map(|n| after(n, u128::from(n), &[n - 1]));
    bench.submit(std::iter::once(spec(1, 1)).chain(chain).collect());
    bench.tell(Event::Prepared(Err(problem(Code::Conflict))));
    assert_eq!(bench.ended.len(), 10_000);
    assert!(bench.queue.is_clean());
}

#[test]
fn what_depends_on_something_that_is_over_does_not_wait() {
    let mut bench = bench(9);
    bench.submit(vec![spec(1, 1)]);
    bench.tell(cancel());
    bench.tell(Event::Prepared(Err(problem(Code::Conflict))));
    assert_eq!(bench.submit(vec![after(2, 2, &[1])]), [prepare(2)]);
}

#[test]
fn people_come_before_what_the_host_wants_itself() {
    let mut bench = bench(1);
    let automatic = |n: u64| Spec {
        urgency: Urgency::Automatic,
        ..spec(n, u128::from(n))
    };
    bench.submit(vec![spec(1, 1), automatic(2), automatic(3), spec(4, 4)]);
    let then = bench.tell(Event::Prepared(Err(problem(Code::Conflict))));
    assert!(then.contains(&prepare(4)), "{then:?}");
    let then = bench.tell_to(4, Event::Prepared(Err(problem(Code::Conflict))));
    assert!(then.contains(&prepare(2)), "{then:?}");
}

#[test]
fn what_waits_can_have_another_place() {
    let mut bench = bench(9);
    bench.submit((1..=5).map(|n| spec(n, 1)).collect());
    let mut go = |n: u64, place: Place| {
        let output = bench
            .queue
            .reposition(number(n), place, "tester", bench.now);
        output.map(|output| {
            bench.take(output);
            lane(&bench)
        })
    };
    assert_eq!(go(5, Place::First).unwrap(), [1, 5, 2, 3, 4]);
    assert_eq!(go(2, Place::Last).unwrap(), [1, 5, 3, 4, 2]);
    assert_eq!(go(4, Place::Before(number(3))).unwrap(), [1, 5, 4, 3, 2]);
    assert_eq!(go(5, Place::After(number(3))).unwrap(), [1, 4, 3, 5, 2]);
    assert_eq!(
        go(1, Place::Last).unwrap_err(),
        PlaceError::HasBegun(number(1))
    );
    assert_eq!(
        go(2, Place::Before(number(1))).unwrap_err(),
        PlaceError::HasBegun(number(1))
    );
    assert_eq!(
        go(9, Place::First).unwrap_err(),
        PlaceError::Unknown(number(9))
    );
    bench.submit(vec![spec(6, 1), spec(7, 2)]);
    assert_eq!(lane(&bench), [1, 4, 3, 5, 2, 6], "what comes later is last");
    let other = bench
        .queue
        .order_with(number(6), Place::Before(number(7)))
        .unwrap_err();
    assert_eq!(other, PlaceError::HasBegun(number(7)));
}

#[test]
fn places_survive_a_restart_and_there_is_always_room() {
    let mut bench = bench(9);
    bench.submit((1..=4).map(|n| spec(n, 1)).collect());
    for turn in 0..200 {
        let moved = number(2 + turn % 3);
        let output = bench
            .queue
            .reposition(moved, Place::First, "tester", bench.now)
            .unwrap();
        bench.take(output);
        assert_eq!(lane(&bench)[1], moved.0);
    }
    let before = lane(&bench);
    let mut journal = std::collections::BTreeMap::<OperationId, Vec<Entry>>::new();
    for (number, entry) in &bench.journal {
        journal.entry(*number).or_default().push(entry.clone());
    }
    let loaded = Queue::load(Limits::default(), journal, Vec::new(), bench.now);
    bench.queue = loaded.unwrap().0;
    assert_eq!(lane(&bench), before);
}

#[test]
fn a_place_in_which_they_would_wait_for_each_other_is_refused() {
    let mut bench = bench(9);
    // 2 and 3 on machine 1; 4 on machine 2 waits for 2, and 3 for 4.
    bench.submit(vec![
        spec(1, 1),
        spec(2, 1),
        after(4, 2, &[2]),
        after(5, 1, &[4]),
    ]);
    let refused = bench.queue.order_with(number(5), Place::First).unwrap_err();
    let PlaceError::Cycle(chain) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(chain.first(), chain.last());
    assert!(refused.to_string().contains("2 -> 5"), "{refused}");
    assert_eq!(lane(&bench), [1, 2, 5]);
}

#[test]
fn a_forced_stop_goes_before_all_that_has_not_begun() {
    let mut bench = bench(9);
    bench.submit(vec![spec(1, 1), spec(2, 1), spec(3, 1)]);
    let forced = Spec {
        overtakes: true,
        ..spec(4, 1)
    };
    bench.submit(vec![forced]);
    assert_eq!(lane(&bench), [1, 4, 2, 3]);
}

#[test]
fn a_forced_stop_does_not_wait_for_a_guest_that_is_asked_to_shut_down() {
    let forced = |n: u64| Spec {
        overtakes: true,
        ..spec(n, 1)
    };
    let mut bench = Bench::waiting(&["shutdown"]);
    assert_eq!(
        bench.submit(vec![forced(2)]).last(),
        Some(&prepare(2)),
        "at once"
    );
    assert_eq!(bench.end().0, "superseded");

    // In a call it waits for its end; then the task is left to itself.
    let mut bench = Bench::calling(&["shutdown"]);
    assert_eq!(bench.submit(vec![forced(2)]), []);
    let then = bench.tell(wait("t", 1));
    assert!(then.contains(&prepare(2)), "{then:?}");
    assert_eq!(bench.end().0, "superseded");

    let mut bench = Bench::calling(&["shutdown"]);
    bench.submit(vec![forced(2)]);
    let then = bench.tell(fails(Code::Busy));
    assert!(then.contains(&prepare(2)), "{then:?}");
}

#[test]
fn a_forced_stop_that_has_to_wait_for_another_leaves_nobody_to_itself_before_that() {
    let submit = |bench: &mut Bench| {
        let forced = Spec {
            overtakes: true,
            ..after(3, 1, &[2])
        };
        bench.submit(vec![spec(2, 2), forced])
    };
    let mut bench = Bench::waiting(&["shutdown"]);
    assert_eq!(submit(&mut bench), [prepare(2)]);
    assert!(bench.queue.get(OperationId(1)).is_some());
    let then = bench.tell_to(2, prepared(Vec::new()));
    assert!(then.contains(&prepare(3)), "{then:?}");
    assert_eq!(bench.end().0, "superseded");

    // It may never begin: then the guest is still waited for.
    let mut bench = Bench::waiting(&["shutdown"]);
    submit(&mut bench);
    bench.tell_to(2, Event::Prepared(Err(problem(Code::Denied))));
    assert!(bench.queue.get(OperationId(3)).is_none());
    bench.tell(task_ended(None));
    bench.tell(done());
    assert_eq!(bench.end().0, "succeeded");
}

#[test]
fn anything_else_that_is_under_way_is_not_left_to_itself() {
    let mut bench = Bench::waiting(&["create"]);
    let forced = Spec {
        overtakes: true,
        ..spec(2, 1)
    };
    assert_eq!(bench.submit(vec![forced]), []);
    bench.tell(task_ended(None));
    let then = bench.tell(done());
    assert!(then.contains(&prepare(2)));
    assert_eq!(bench.end().0, "succeeded");
}

#[test]
fn a_newer_one_takes_the_place_of_what_has_not_begun() {
    let mut bench = bench(9);
    bench.submit(vec![spec(1, 1), spec(2, 1), spec(3, 1)]);
    let newer = Spec {
        supersedes: vec![number(1), number(2), number(9)],
        ..spec(4, 1)
    };
    bench.submit(vec![newer]);
    assert_eq!(lane(&bench), [1, 3, 4], "1 has begun");
    assert_eq!(bench.ended.len(), 1);
    assert_eq!(bench.ended[0].state_name(), "superseded");
    assert_eq!(bench.one().number(), ONE);
}
