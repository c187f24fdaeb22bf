//! One behaviour each: retries, settling, tasks, steps, parents.

use enginehouse_model::OperationId;
use enginehouse_model::documents::{Code, Note};
use serde_json::json;

use super::fixture::{
    Bench, CALL, ONE, SETTLE, again, at, done, fails, finish, hypervisor, moved, not_started,
    prepared, problem, sending, settled, spec, step, task_ended, traps, wait,
};
use crate::{
    CallEnd, Command, Entry, Event, Final, Limits, Once, Phase, PollEnd, Resolution, SettleEnd,
    StepPlan, Token,
};

fn pending(task: &str) -> SettleEnd {
    SettleEnd::Pending {
        task: task.to_owned(),
        token: Token(vec![1]),
        created: Vec::new(),
        note: Note::default(),
    }
}

#[test]
fn a_graceful_stop_escalates_once() {
    let mut bench = Bench::waiting(&["stop", "destroy"]);
    assert_eq!(bench.tell(task_ended(Some(problem(Code::Busy)))), [CALL]);
    assert_eq!(bench.tell(fails(Code::Busy)), [CALL]);
    assert!(bench.one().state.escalated);
    assert_eq!(bench.one().state.token, None, "begun anew, by force");
    assert_eq!(bench.last_entries(2), ["escalated", "called"]);

    bench.tell(Event::Filled(json!({"by": "force"})));
    bench.tell(wait("t2", 1));
    assert_eq!(bench.tell(task_ended(Some(problem(Code::Busy)))), [CALL]);
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.last_entries(1), ["ended"], "not a second time");
}

#[test]
fn a_graceful_stop_of_a_locked_machine_waits_and_does_not_escalate() {
    let mut bench = Bench::calling(&["stop"]);
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.last_entries(1), ["postponed"]);
    assert!(!bench.one().state.escalated);
}

#[test]
fn an_engine_that_goes_round_in_circles_is_stopped() {
    let mut bench = Bench::calling(&["create"]);
    for _ in 0..1000 {
        assert_eq!(bench.tell(again(1)), [CALL]);
    }
    bench.tell(again(1));
    assert_eq!(bench.last_entries(2), ["moved", "ended"]);
}

#[test]
fn busy_gives_up_after_its_limit_and_not_before() {
    let limit = Limits::default().busy_ms;
    let mut bench = Bench::calling(&["configure"]);
    let first = bench.now;
    while bench.ended.is_empty() {
        let failed_for = bench.now.since(first);
        bench.tell(fails(Code::Busy));
        if bench.ended.is_empty() {
            assert!(failed_for < limit, "{failed_for}");
            assert_eq!(bench.wake(), [CALL]);
        } else {
            assert!(failed_for >= limit, "gave up after {failed_for} ms");
        }
    }
    assert_eq!(bench.end().0, "failed");
    assert!(bench.now.since(first) < limit + 30_001);
}

#[test]
fn time_unreachable_is_not_time_busy() {
    let mut bench = Bench::calling(&["configure"]);
    for _ in 0..200 {
        bench.tell(fails(Code::Unreachable));
        assert_eq!(bench.wake_found(), [CALL]);
    }
    bench.now = bench.now.plus_ms(Limits::default().busy_ms);
    assert!(bench.now.since(at(0)) > Limits::default().busy_ms);
    bench.tell(fails(Code::Busy));
    assert_eq!(
        bench.one().state_name(),
        "running",
        "busy for the first time"
    );
    bench.wake();
    bench.tell(done());
    assert_eq!(bench.end().0, "succeeded");
}

#[test]
fn an_expired_session_is_retried_at_once_and_gives_up() {
    let mut bench = Bench::calling(&["configure"]);
    let began = bench.now;
    bench.tell(fails(Code::SessionExpired));
    assert_eq!(bench.wake(), [CALL]);
    assert_eq!(bench.now, began, "at once");
    for _ in 0..2 {
        bench.tell(fails(Code::SessionExpired));
        assert_eq!(bench.wake(), [CALL]);
        assert!(bench.now > began);
    }
    bench.tell(fails(Code::SessionExpired));
    let (state, words) = bench.end();
    assert_eq!(state, "failed");
    assert!(words.unwrap().starts_with("session-expired: "));
}

#[test]
fn a_session_that_expired_while_the_provider_was_away_is_renewed() {
    let mut bench = Bench::calling(&["configure"]);
    for _ in 0..10 {
        bench.tell(fails(Code::Unreachable));
        bench.wake_found();
    }
    bench.tell(fails(Code::SessionExpired));
    assert_eq!(bench.wake(), [CALL]);
}

#[test]
fn delays_begin_anew_with_the_next_phase() {
    let mut bench = Bench::calling(&["configure"]);
    for _ in 0..10 {
        bench.tell(fails(Code::Unreachable));
        bench.wake_found();
    }
    bench.tell(again(1));
    let before = bench.now;
    bench.tell(fails(Code::Unreachable));
    bench.wake();
    assert!(bench.now.since(before) <= 500);
}

#[test]
fn busy_after_an_answer_sends_anew() {
    let mut bench = Bench::calling(&["configure"]);
    bench.tell(sending());
    bench.tell(Event::Answered(json!({"status": 423})));
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.last_entries(2), ["not-sent", "postponed"]);
    assert_eq!(bench.wake(), [CALL]);
    bench.tell(sending());
}

#[test]
fn what_an_engine_says_without_an_answer_to_its_request_does_not_count() {
    let ends: Vec<fn() -> Event> = vec![
        || fails(Code::Busy),
        || fails(Code::SessionExpired),
        || fails(Code::Unreachable),
        || fails(Code::Conflict),
        || again(1),
        || wait("t", 1),
        done,
        traps,
        || Event::Returned(CallEnd::Deferred(problem(Code::Busy))),
    ];
    for end in ends {
        let mut bench = Bench::calling(&["create"]);
        bench.tell(sending());
        assert_eq!(bench.tell(end()), [SETTLE]);
        assert!(matches!(bench.one().state.once, Once::Sending { .. }));
    }
}

#[test]
fn not_started_is_believed_only_when_the_request_can_no_longer_arrive() {
    let believable_at = at(65_000);
    let mut bench = Bench::settling(&["create"]);
    let mut asked = 0;
    loop {
        let early = bench.now < believable_at;
        let commands = bench.tell(not_started(believable_at));
        if !early {
            assert_eq!(commands, [CALL]);
            break;
        }
        assert_eq!(commands, []);
        assert_eq!(bench.wake(), [SETTLE]);
        assert!(bench.now <= believable_at, "asked at {:?}", bench.now);
        asked += 1;
    }
    assert_eq!(bench.now, believable_at, "as early as that");
    assert!((5..20).contains(&asked), "asked {asked} times");
    assert_eq!(bench.last_entries(2), ["not-sent", "called"]);
    bench.tell(sending());
}

#[test]
fn time_of_settling_is_not_time_busy() {
    let mut bench = Bench::settling(&["create"]);
    for _ in 0..60 {
        bench.tell(settled(SettleEnd::Problem(problem(Code::Busy))));
        assert_eq!(bench.wake(), [SETTLE]);
    }
    bench.tell(not_started(bench.now));
    bench.tell(fails(Code::Busy));
    assert_eq!(bench.one().state_name(), "running");
}

#[test]
fn a_lost_answer_goes_on_with_what_settling_found() {
    let mut bench = Bench::settling(&["create"]);
    assert_eq!(bench.tell(settled(moved(3))), [CALL]);
    assert_eq!(bench.one().state.token, Some(Token(vec![3])));
    assert_eq!(bench.one().created, ["machine 105"]);

    let mut bench = Bench::settling(&["create"]);
    bench.tell(settled(pending("t9")));
    let poll = Command::Poll {
        hypervisor: hypervisor(1),
        operations: vec![ONE],
    };
    assert_eq!(bench.wake(), [poll]);
}

#[test]
fn what_a_person_calls_done_goes_on_with_the_next_step() {
    let mut bench = Bench::in_doubt(&["create", "start"]);
    let who = "tester".to_owned();
    assert_eq!(bench.tell(Event::TakeAsDone { who: who.clone() }), [CALL]);
    assert_eq!(bench.one().step, 1);
    let mut bench = Bench::in_doubt(&["start"]);
    bench.tell(Event::TakeAsDone { who });
    assert_eq!(bench.end(), ("succeeded", None));
}

#[test]
fn what_a_person_calls_made_is_gone_on_with_from_the_beginning_of_its_step() {
    let mut bench = Bench::in_doubt(&["create", "start"]);
    let who = "tester".to_owned();
    assert_eq!(bench.tell(Event::GoOnWith { who }), [CALL]);
    let operation = bench.one();
    assert_eq!(operation.step, 0);
    let state = &operation.state;
    assert_eq!((&state.request, &state.token), (&None, &None));
    assert_eq!(state.once, Once::None);
    assert!(!state.is_untouched(), "something of it is at the provider");
    // Its request can be filled in again.
    bench.tell(Event::Filled(json!({"machine": "m-1"})));
}

#[test]
fn a_journal_that_does_not_say_how_a_doubt_was_resolved_says_so_by_what_follows() {
    let entry: Entry = serde_json::from_value(json!({"entry": "resolved", "who": "ann"})).unwrap();
    let retry = Entry::Resolved {
        who: "ann".to_owned(),
        how: Resolution::Retry,
    };
    assert_eq!(entry, retry);
}

#[test]
fn a_person_ends_what_is_in_doubt() {
    let close = |state| Event::Close {
        who: "tester".to_owned(),
        state,
    };
    let mut bench = Bench::in_doubt(&["create"]);
    bench.tell(close(Final::Succeeded));
    assert_eq!(bench.end(), ("succeeded", None));
    let mut bench = Bench::in_doubt(&["create"]);
    bench.tell(close(Final::Failed));
    let words = "provider: declared failed by tester; it was in doubt: no trace; \
                 POST /clone may have taken effect";
    assert_eq!(bench.end(), ("failed", Some(words.to_owned())));
    // Nothing else can be closed.
    let mut bench = Bench::calling(&["create"]);
    let now = bench.now;
    bench
        .queue
        .handle(ONE, close(Final::Succeeded), now)
        .unwrap_err();
}

#[test]
fn a_forgotten_task_is_settled_and_sent_says_so() {
    let mut bench = Bench::waiting(&["create"]);
    assert_eq!(bench.tell(Event::Polled(PollEnd::Lost)), [SETTLE]);
    let Once::Sending { sent, .. } = &bench.one().state.once else {
        panic!("{:?}", bench.one().state.once);
    };
    assert!(sent.lost);
    assert_eq!(bench.one().state.token, None, "of the phase that sent it");
    assert_eq!(bench.tell(settled(moved(2))), [CALL]);
}

#[test]
fn the_forgotten_task_itself_is_no_answer() {
    let mut bench = Bench::waiting(&["create"]);
    bench.tell(Event::Polled(PollEnd::Lost));
    bench.tell(settled(pending("t1")));
    assert_eq!(bench.one().state_name(), "in_doubt");

    let mut bench = Bench::waiting(&["create"]);
    bench.tell(Event::Polled(PollEnd::Lost));
    bench.tell(settled(pending("t2")));
    assert!(matches!(bench.one().phase, Phase::Waiting { .. }));
}

#[test]
fn a_forgotten_task_of_no_request_goes_on_with_a_warning() {
    let mut bench = Bench::calling(&["start"]);
    bench.tell(wait("t1", 1));
    assert_eq!(bench.tell(Event::Polled(PollEnd::Lost)), [CALL]);
    assert_eq!(bench.one().warnings.len(), 1);
}

#[test]
fn steps_that_are_not_needed_are_skipped_and_the_last_of_them_ends_the_operation() {
    let mut bench = Bench::new();
    bench.tell(prepared(vec![step("configure"), step("start")]));
    assert_eq!(bench.tell(Event::NotNeeded("is so".to_owned())), [CALL]);
    assert_eq!(bench.one().step, 1);
    assert_eq!(bench.tell(Event::NotNeeded("is so".to_owned())), finish());
    assert_eq!(bench.end(), ("succeeded", None));
}

#[test]
fn a_plan_without_steps_succeeds() {
    let mut bench = Bench::new();
    assert_eq!(bench.tell(prepared(Vec::new())), finish());
    assert_eq!(bench.end(), ("succeeded", None));
}

#[test]
fn objects_of_a_failed_step_are_in_the_result() {
    let mut bench = Bench::calling(&["create"]);
    let mut problem = problem(Code::Provider);
    problem.detail.created = vec!["machine 105".to_owned()];
    bench.tell(Event::Returned(CallEnd::Problem(problem)));
    assert_eq!(bench.ended[0].created, ["machine 105"]);
}

#[test]
fn a_parent_ends_after_its_parts_as_the_worst_of_them() {
    let mut bench = Bench::with_limits(Limits::default());
    let mut parent = spec(1, 100);
    parent.hypervisor = None;
    parent.children = vec![OperationId(2), OperationId(3)];
    let part = |n| crate::Spec {
        parent: Some(ONE),
        ..spec(n, u128::from(n))
    };
    bench.submit(vec![parent, part(2), part(3)]);
    bench.tell_to(2, Event::Prepared(Err(problem(Code::Conflict))));
    assert_eq!(bench.one().state_name(), "running");
    bench.tell_to(3, prepared(Vec::new()));
    let words = "conflict: 1 of 2 failed, first /vm2: the provider says conflict";
    assert_eq!(bench.end(), ("failed", Some(words.to_owned())));
    assert!(bench.queue.is_clean());
}

#[test]
fn what_is_reported_to_the_wrong_state_is_refused_and_changes_nothing() {
    let benches: Vec<fn() -> Bench> = vec![
        Bench::new,
        || Bench::calling(&["create"]),
        || Bench::waiting(&["create"]),
        || Bench::settling(&["create"]),
        || Bench::in_doubt(&["create"]),
    ];
    let events: Vec<(&str, Event)> = vec![
        ("starting", prepared(vec![])),
        ("calling", done()),
        ("calling", fails(Code::Busy)),
        ("calling", traps()),
        ("calling", Event::NotNeeded(String::new())),
        ("waiting", task_ended(None)),
        ("waiting", Event::Polled(PollEnd::Lost)),
        ("settling", settled(moved(1))),
        ("settling", not_started(at(0))),
        ("in-doubt", Event::Retry { who: String::new() }),
    ];
    let mut refused = 0;
    for new in benches {
        for (fits, event) in &events {
            let mut bench = new();
            let before = bench.one().clone();
            let phase = crate::transition::phase_name(&before.phase);
            let now = bench.now;
            let result = bench.queue.handle(ONE, event.clone(), now);
            assert_eq!(result.is_ok(), *fits == phase, "{event:?} while {phase}");
            if result.is_err() {
                refused += 1;
                assert_eq!(bench.one(), &before);
            }
        }
    }
    assert_eq!(refused, 40);
}

#[test]
fn what_the_plan_warns_of_is_in_the_result_and_in_the_journal() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Ok(StepPlan {
        steps: Vec::new(),
        warnings: vec!["the machine was not there any more".to_owned()],
        ..StepPlan::default()
    })));
    let ended = bench.ended.first().expect("nothing to do");
    assert_eq!(ended.warnings, ["the machine was not there any more"]);

    let mut again = crate::Operation::queued(spec(1, 1));
    for (_, entry) in bench.journal.iter().skip(1) {
        again.apply(entry).unwrap();
    }
    assert_eq!(again.warnings, ended.warnings);
}

#[test]
fn tries_of_a_step_are_counted_through_its_phases_and_after_its_end() {
    let mut bench = Bench::calling(&["create", "start", "stop"]);
    assert_eq!(bench.one().tries, [1, 0, 0]);
    bench.tell(again(1));
    bench.tell(wait("t1", 2));
    assert_eq!(
        bench.one().tries,
        [1, 0, 0],
        "the next phase is no repetition"
    );
    bench.tell(task_ended(None));
    bench.tell(fails(Code::Unreachable));
    bench.wake();
    bench.tell(traps());
    assert_eq!(bench.one().tries, [3, 0, 0]);
    bench.tell(done());
    bench.tell(sending());
    bench.tell(Event::Answered(json!({})));
    bench.tell(traps());
    bench.tell(traps());
    bench.tell(settled(moved(2)));
    let failed = bench.ended.first().expect("it broke twice");
    assert_eq!(failed.tries, [3, 2, 0]);
}

#[test]
fn a_request_that_is_sent_again_for_a_forgotten_task_is_another_try() {
    let mut bench = Bench::waiting(&["create"]);
    bench.tell(Event::Polled(PollEnd::Lost));
    bench.now = at(60_000);
    assert_eq!(bench.tell(not_started(at(60_000))), [CALL]);
    assert_eq!(bench.one().state.attempt, 2);
    assert_eq!(bench.one().tries, [2]);
}
