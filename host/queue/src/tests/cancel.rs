//! A cancelled operation ends where nothing is half done, and says truly how it ended.

use enginehouse_model::documents::{Code, Note, Outcome};
use serde_json::json;

use super::fixture::{
    Bench, ONE, again, at, cancel, done, fails, not_started, prepared, problem, sending, settled,
    spec, step, task_ended, traps, wait,
};
use crate::{CallEnd, Command, Event, Final, Limits, SettleEnd, Token};

const CALL: Command = Command::Call { operation: ONE };

fn cancelled() -> (&'static str, Option<String>) {
    ("cancelled", None)
}

#[test]
fn pending_ends_at_once_and_lets_the_next_of_its_lane_go() {
    let mut bench = Bench::new();
    bench.submit(vec![spec(2, 1), spec(3, 1)]);
    bench.tell_to(2, cancel());
    assert_eq!(bench.ended[0].number().0, 2);
    let commands = bench.tell(prepared(Vec::new()));
    let operation = enginehouse_model::OperationId(3);
    assert_eq!(commands[1], Command::Prepare { operation });
}

#[test]
fn starting_ends_when_its_plan_is_made() {
    let mut bench = Bench::new();
    assert_eq!(bench.tell(cancel()), []);
    bench.tell(prepared(vec![step("create")]));
    assert_eq!(bench.end(), cancelled());

    let mut bench = Bench::new();
    bench.tell(cancel());
    bench.tell(Event::Prepared(Err(problem(Code::Unreachable))));
    assert_eq!(bench.end(), cancelled());
}

#[test]
fn a_change_of_the_tree_that_is_done_when_planned_was_not_cancelled() {
    let mut bench = Bench::new();
    bench.tell(cancel());
    bench.tell(prepared(Vec::new()));
    assert_eq!(bench.end(), ("succeeded", None));
}

#[test]
fn postponed_before_anything_happened_ends_at_once() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Err(problem(Code::Unreachable))));
    bench.tell(cancel());
    assert_eq!(bench.end(), cancelled());

    let mut bench = Bench::calling(&["create"]);
    // An id was chosen: nothing that anybody could see.
    bench.tell(again(1));
    bench.tell(fails(Code::Busy));
    bench.tell(cancel());
    assert_eq!(bench.end(), cancelled());
    assert!(bench.queue.is_clean());
}

#[test]
fn between_two_steps_ends_at_once() {
    let limits = Limits {
        copies_per_template: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    bench.submit(vec![spec(2, 2), spec(1, 1)]);
    let mut copy = step("create");
    copy.template = Some("9000".to_owned());
    bench.tell_to(2, prepared(vec![copy.clone()]));
    assert_eq!(bench.tell(prepared(vec![copy])), []);
    bench.tell(cancel());
    assert_eq!(bench.end(), cancelled());
}

#[test]
fn a_call_ends_its_step_and_no_other_begins() {
    let mut bench = Bench::calling(&["create", "start"]);
    bench.tell(cancel());
    bench.tell(sending());
    bench.tell(Event::Answered(json!({})));
    bench.tell(done());
    assert_eq!(bench.end(), cancelled());
    assert_eq!(bench.ended[0].step, 1);
}

#[test]
fn the_last_step_that_is_done_was_not_cancelled() {
    let mut bench = Bench::calling(&["create"]);
    bench.tell(cancel());
    bench.tell(done());
    assert_eq!(bench.end(), ("succeeded", None));
    let mut bench = Bench::new();
    bench.tell(prepared(vec![step("start")]));
    bench.tell(cancel());
    bench.tell(Event::NotNeeded("it runs".to_owned()));
    assert_eq!(bench.end(), ("succeeded", None));
}

#[test]
fn a_phase_that_changed_nothing_is_the_last_one() {
    let mut bench = Bench::calling(&["create"]);
    bench.tell(cancel());
    bench.tell(again(1));
    assert_eq!(bench.end(), cancelled());
    assert_eq!(bench.last_entries(2), ["moved", "ended"]);
}

#[test]
fn busy_without_effect_ends_it() {
    let mut bench = Bench::calling(&["create"]);
    bench.tell(cancel());
    bench.tell(sending());
    bench.tell(Event::Answered(json!({"status": 423})));
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.end(), cancelled());
    assert_eq!(bench.last_entries(2), ["not-sent", "ended"]);
}

#[test]
fn a_trap_or_no_room_before_anything_happened_ends_it() {
    for end in [
        traps(),
        Event::Returned(CallEnd::Deferred(problem(Code::Busy))),
    ] {
        let mut bench = Bench::calling(&["create"]);
        bench.tell(cancel());
        bench.tell(end);
        assert_eq!(bench.end(), cancelled());
    }
}

#[test]
fn a_guest_that_is_to_be_left_alone_is_not_switched_off() {
    let mut bench = Bench::waiting(&["stop", "destroy"]);
    bench.tell(cancel());
    bench.tell(task_ended(Some(problem(Code::Busy))));
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.last_entries(1), ["ended"], "and not escalated");
}

#[test]
fn what_is_half_done_goes_on_to_the_end_of_its_step() {
    let mut bench = Bench::waiting(&["create", "start"]);
    assert_eq!(bench.tell(cancel()), []);
    assert_eq!(bench.tell(task_ended(None)), [CALL]);
    assert_eq!(bench.tell(again(2)), [CALL]);
    bench.tell(fails(Code::Unreachable));
    assert_eq!(bench.one().state_name(), "running");
    assert_eq!(bench.wake(), [CALL]);
    bench.tell(done());
    assert_eq!(bench.end(), cancelled());
}

#[test]
fn what_fails_half_done_has_failed() {
    let mut bench = Bench::waiting(&["create", "start"]);
    bench.tell(cancel());
    bench.tell(task_ended(None));
    bench.tell(fails(Code::Provider));
    let words = "provider: the provider says provider".to_owned();
    assert_eq!(bench.end(), ("failed", Some(words)));
}

#[test]
fn settling_finds_out_first() {
    let mut bench = Bench::settling(&["create", "start"]);
    assert_eq!(bench.tell(cancel()), []);
    bench.tell(not_started(at(5_000)));
    assert_eq!(bench.one().state_name(), "running", "too early to say");
    bench.tell(cancel());
    bench.wake();
    bench.now = at(5_000);
    bench.tell(not_started(at(5_000)));
    assert_eq!(bench.end(), cancelled(), "and is not sent again");

    let mut bench = Bench::settling(&["create", "start"]);
    bench.tell(cancel());
    let end = SettleEnd::Done {
        token: Token(vec![1]),
        created: Vec::new(),
        note: Note::default(),
    };
    assert_eq!(bench.tell(settled(end)), [CALL]);
    bench.tell(done());
    assert_eq!(bench.end(), cancelled());
}

#[test]
fn a_request_that_had_no_effect_after_all_leaves_nothing_to_finish() {
    let mut bench = Bench::waiting(&["create", "start"]);
    bench.tell(cancel());
    bench.tell(Event::Polled(crate::PollEnd::Lost));
    bench.tell(not_started(bench.now));
    assert_eq!(bench.end(), cancelled());
}

#[test]
fn in_doubt_stays_in_doubt_until_a_person_says_what_happened() {
    let mut bench = Bench::in_doubt(&["create", "start"]);
    assert_eq!(bench.tell(cancel()), []);
    assert_eq!(bench.one().state_name(), "in_doubt");
    let who = "tester".to_owned();
    let state = Final::Cancelled;
    bench.tell(Event::Close { who, state });
    assert_eq!(bench.end().0, "cancelled");
}

#[test]
fn a_step_that_made_something_without_a_once_request_is_finished() {
    let mut bench = Bench::calling(&["create", "start"]);
    bench.tell(Event::Returned(CallEnd::Again {
        token: Token(vec![1]),
        created: vec!["machine 105".to_owned()],
        note: Note::default(),
    }));
    bench.tell(fails(Code::Busy));
    bench.tell(cancel());
    assert_eq!(bench.wake(), [CALL]);
    bench.tell(Event::Returned(CallEnd::Done {
        created: vec!["machine 105".to_owned()],
        outcome: Box::new(Outcome::default()),
    }));
    assert_eq!(bench.end(), cancelled());
    assert_eq!(bench.ended[0].created, ["machine 105"], "named once");
}

#[test]
fn a_restart_does_not_forget_the_wish() {
    let mut bench = Bench::waiting(&["create", "start"]);
    bench.tell(cancel());
    bench.tell(task_ended(None));
    let entries = bench.journal.iter().map(|(_, entry)| entry.clone());
    let journal = vec![(ONE, entries.collect())];
    let (queue, output) = crate::Queue::load(Limits::default(), journal, [], bench.now).unwrap();
    bench.queue = queue;
    assert_eq!(bench.take(output), [CALL]);
    assert_eq!(bench.one().state.attempt, 2);
    bench.tell(wait("t2", 2));
    bench.tell(task_ended(None));
    bench.tell(done());
    assert_eq!(bench.end(), cancelled());
}
