//! An engine that traps, runs out of time or breaks the contract.

use enginehouse_model::documents::{Code, Note, TaskEnd};
use serde_json::json;

use super::fixture::{Bench, CALL, SETTLE, fails, finish, moved, problem, sending, settled, traps};
use crate::{Event, Limits, Once, PollEnd, SettleEnd, Token};

/// The engine broke twice over a request, and the task that this began still runs.
fn outlived(steps: &[&str]) -> Bench {
    let mut bench = Bench::calling(steps);
    bench.tell(sending());
    bench.tell(Event::Answered(json!({"data": "t1"})));
    bench.tell(traps());
    bench.tell(traps());
    bench.tell(settled(SettleEnd::Pending {
        task: "t1".to_owned(),
        token: Token(vec![3]),
        created: vec!["machine 105".to_owned()],
        note: Note::default(),
    }));
    bench
}

#[test]
fn a_first_trap_is_handed_the_answer_and_a_second_settles_records_and_fails() {
    let mut bench = Bench::calling(&["create"]);
    bench.tell(sending());
    bench.tell(Event::Answered(json!({"data": "t1"})));
    assert_eq!(bench.tell(traps()), [CALL]);
    assert!(matches!(bench.one().state.once, Once::Answered { .. }));
    assert_eq!(bench.tell(traps()), [SETTLE]);
    assert_eq!(bench.tell(settled(moved(3)))[..], finish());
    let (state, words) = bench.end();
    assert_eq!(state, "failed");
    assert_eq!(words.unwrap(), "provider: the provider says provider");
    assert_eq!(bench.ended[0].created, ["machine 105"]);
}

#[test]
fn a_task_that_outlives_its_broken_engine_is_waited_for_before_the_step_fails() {
    let broken = |end: TaskEnd| {
        let mut bench = outlived(&["create", "start"]);
        assert_eq!(bench.one().state_name(), "running");
        assert_eq!(bench.tell(Event::Polled(PollEnd::Ended(end)))[..], finish());
        assert_eq!(bench.ended[0].created, ["machine 105"]);
        bench.end().1.unwrap()
    };
    assert_eq!(
        broken(TaskEnd::default()),
        "provider: the provider says provider; the provider's task of its last request ended well"
    );
    let failed = TaskEnd {
        problem: Some(problem(Code::Provider)),
        ..TaskEnd::default()
    };
    assert_eq!(
        broken(failed),
        "provider: the provider says provider; the provider's task of its last request failed: \
         provider: the provider says provider"
    );
}

#[test]
fn a_task_of_a_broken_engine_that_is_forgotten_is_settled_and_the_step_fails() {
    let mut bench = outlived(&["create"]);
    assert_eq!(bench.tell(Event::Polled(PollEnd::Lost)), [SETTLE]);
    assert_eq!(bench.tell(settled(moved(4)))[..], finish());
    assert_eq!(bench.end().0, "failed");
}

#[test]
fn a_second_trap_without_a_request_fails() {
    let mut bench = Bench::calling(&["create"]);
    assert_eq!(bench.tell(traps()), [CALL]);
    assert_eq!(bench.tell(traps()), finish());
    assert_eq!(bench.end().0, "failed");
}

#[test]
fn a_settlement_that_breaks_is_tried_again_before_a_person_is_asked() {
    let mut bench = Bench::settling(&["create"]);
    for _ in 0..2 {
        bench.tell(settled(SettleEnd::Broken(problem(Code::Unreachable))));
        assert_eq!(bench.wake(), [SETTLE]);
    }
    bench.tell(settled(SettleEnd::Broken(problem(Code::Unreachable))));
    assert_eq!(bench.one().state_name(), "in_doubt");
}

#[test]
fn a_retry_out_of_doubt_begins_with_a_clean_slate() {
    let mut bench = Bench::calling(&["create"]);
    bench.tell(fails(Code::Busy));
    bench.wake();
    bench.tell(sending());
    bench.tell(Event::Answered(json!({})));
    bench.tell(traps());
    bench.tell(traps());
    bench.tell(settled(SettleEnd::Unknown("no trace".to_owned())));
    bench.now = bench.now.plus_ms(Limits::default().busy_ms * 2);
    let who = "tester".to_owned();
    assert_eq!(bench.tell(Event::Retry { who }), [CALL]);
    bench.tell(fails(Code::Busy));
    assert_eq!(
        bench.one().state_name(),
        "running",
        "busy for the first time"
    );
    bench.wake();
    bench.tell(sending());
    bench.tell(fails(Code::Unreachable));
    assert_eq!(
        bench.tell(settled(moved(1))),
        [CALL],
        "no traps are left over"
    );
}
