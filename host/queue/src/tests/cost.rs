//! Cost follows the change, not the number of operations.

use super::fixture::{Bench, again, prepared, spec, step, wait};
use crate::Limits;

/// Events that one operation takes while `others` wait for a slot, in seconds.
fn seconds(others: u64) -> f64 {
    let limits = Limits {
        operations: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    bench.submit((1..=others + 1).map(|n| spec(n, u128::from(n))).collect());
    bench.tell(prepared(vec![step("create")]));
    let began = std::time::Instant::now();
    for token in 0..500_u32 {
        bench.tell(again((token % 200) as u8));
    }
    began.elapsed().as_secs_f64()
}

#[test]
fn an_event_costs_the_same_with_ten_thousand_in_line() {
    let alone = seconds(0);
    let crowded = seconds(10_000);
    // A scan of all would be a hundred times dearer.
    assert!(crowded < alone * 10.0 + 0.05, "{crowded} against {alone}");
}

#[test]
fn ten_thousand_tasks_wait_and_end() {
    let limits = Limits {
        operations: 10_000,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    bench.submit((1..=10_000).map(|n| spec(n, u128::from(n))).collect());
    for number in 1..=10_000 {
        bench.tell_to(number, prepared(vec![step("start")]));
        bench.tell_to(number, wait("t", 1));
    }
    for _ in 0..50 {
        assert_eq!(bench.wake().len(), 1, "200 tasks in each");
    }
    for number in 1..=10_000 {
        bench.tell_to(number, super::fixture::task_ended(None));
        bench.tell_to(number, super::fixture::done());
    }
    assert!(bench.queue.is_clean());
}
