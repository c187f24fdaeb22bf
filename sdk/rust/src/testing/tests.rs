//! The harness keeps engines to the contract; here with one that does what its test says.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;

use super::{Answer, Hypervisor};
use crate::prelude::*;

/// Its phases are the instructions; an action's instructions are in `base_image`.
struct Obedient;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    Once(String),
    Twice,
    Reserve,
    ReserveAndUse,
    Big,
    Wait(String),
    OnceAndWait(String, String),
    Fail(Code),
    /// Sends, then ends with the error it got, or fails so.
    OnceThenFail(String, Code),
    Done,
    DoneWithMachine,
}

use Order::{
    Big, Done, DoneWithMachine, Fail, Once, OnceAndWait, OnceThenFail, Reserve, ReserveAndUse,
    Twice, Wait,
};

type Orders = Vec<Order>;

impl Engine for Obedient {
    type Phase = Orders;

    fn describe() -> Description {
        Description {
            visibility_lag_ms: 5000,
            ..Description::default()
        }
    }

    fn check(cx: &Cx) -> Result<Health> {
        cx.post("/change").once().send()?;
        Ok(Health::default())
    }

    fn list(cx: &Cx, cursor: Option<&str>) -> Result<Page> {
        let page = cx.get("/list").param("from", cursor.unwrap_or("0"));
        page.send()?.json()
    }

    fn read(_: &Cx, _: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
        Ok(Vec::new())
    }

    fn run(cx: &Cx, request: &ActionRequest, phase: Option<Orders>) -> Result<Step<Orders>> {
        let mut orders = phase.unwrap_or_else(|| match &request.action {
            Action::Create { desired } => {
                serde_json::from_str(desired.base_image.as_deref().unwrap()).unwrap()
            }
            _ => vec![Order::Done],
        });
        cx.task_succeeded()?;
        match orders.remove(0) {
            Order::Once(path) => {
                cx.post(path).once().send()?.success()?;
            }
            Order::Twice => {
                cx.post("/a").once().send()?;
                cx.post("/b").once().send()?;
            }
            Reserve => {
                let id = cx.reserve("id", 1..=3, &[1])?;
                info!(cx, "reserved {id}");
            }
            Order::ReserveAndUse => {
                let id = cx.reserve("id", 1..=3, &[])?;
                cx.post(path!("/{}", id)).once().send()?;
            }
            Order::Big => orders.push(Order::Once("x".repeat(70_000))),
            Order::Wait(task) => return Ok(Step::wait(task, orders)),
            Order::OnceAndWait(path, task) => {
                cx.post(path).once().send()?.success()?;
                return Ok(Step::wait(task, orders));
            }
            Order::Fail(code) => {
                if cx.attempt() < 3 {
                    return Err(Error::new(code, "not yet"));
                }
            }
            Order::OnceThenFail(path, code) => {
                cx.post(path).once().send()?;
                if cx.attempt() < 2 {
                    return Err(Error::new(code, "after sending"));
                }
            }
            Order::Done => return Ok(Step::done(Outcome::default())),
            Order::DoneWithMachine => {
                let machine = Machine {
                    id: "1".to_owned(),
                    incarnation: Some("u".to_owned()),
                    mark: Some(cx.mark()),
                    ..Machine::default()
                };
                return Ok(Step::done(Outcome {
                    machine: Some(machine),
                    ..Outcome::default()
                }));
            }
        }
        Ok(Step::again(orders).created(Object::disk("d")))
    }

    fn settle(
        cx: &Cx,
        _: &ActionRequest,
        phase: Option<Orders>,
        sent: Sent,
    ) -> Result<Settled<Orders>> {
        assert_eq!(cx.sent().as_ref(), Some(&sent));
        assert!(
            sent.lost || cx.now() >= sent.deadline + 5000,
            "asked too early"
        );
        let fate: String = cx
            .get("/fate")
            .param("of", &sent.path)
            .param("lost", sent.lost)
            .send()?
            .json()?;
        let rest = phase.unwrap_or_else(|| vec![Order::Done, Order::DoneWithMachine]);
        let rest = rest.get(1..).unwrap_or_default().to_vec();
        Ok(match fate.as_str() {
            "done" => Settled::done(rest),
            "not-started" => Settled::not_started(),
            "unknown" => Settled::unknown("the log of /fate"),
            task => Settled::pending(task, rest),
        })
    }

    fn poll(cx: &Cx, tasks: &[TaskQuery]) -> Result<Vec<TaskState>> {
        let ask = |query: &TaskQuery| -> Result<TaskState> {
            let reply = cx
                .get(path!("/tasks/{}", query.task))
                .param("from", &query.cursor)
                .send()?;
            Ok(match reply.json::<String>()?.as_str() {
                "running" => TaskState::running().lines(["…"]).cursor("1"),
                "lost" => TaskState::lost(),
                "ok" => TaskState::ended(TaskEnd::default()),
                why => TaskState::ended(TaskEnd {
                    problem: Some(Problem::new(Code::Provider, why)),
                    ..TaskEnd::default()
                }),
            })
        };
        tasks.iter().map(ask).collect()
    }
}

fn create(orders: &[Order]) -> ActionRequest {
    ActionRequest {
        machine: None,
        action: Action::Create {
            desired: Box::new(Config {
                base_image: Some(serde_json::to_string(orders).unwrap()),
                ..Config::default()
            }),
        },
    }
}

/// A world that answers `{}` to everything but what is listed; each entry once, in order.
fn world(answers: &[(&'static str, Answer)]) -> Hypervisor {
    let answers = Rc::new(RefCell::new(answers.to_vec()));
    Hypervisor::world(move |request| {
        let mut answers = answers.borrow_mut();
        let line = format!("{} {}", request.method, request.path);
        match answers.iter().position(|(known, _)| *known == line) {
            Some(at) => answers.remove(at).1,
            None => Answer::json(json!({})),
        }
    })
}

#[test]
fn an_action_goes_through_phases_and_tasks() {
    let hypervisor = world(&[
        ("GET /tasks/t", Answer::json("running")),
        ("GET /tasks/t", Answer::json("ok")),
    ]);
    let orders = [
        Once("/a".into()),
        Wait("t".into()),
        Reserve,
        DoneWithMachine,
    ];
    let ended = hypervisor.run::<Obedient>(&create(&orders)).unwrap();
    assert_eq!(
        hypervisor.transcript(),
        [
            "POST /a (once)",
            "GET /tasks/t?from=",
            "GET /tasks/t?from=1"
        ]
    );
    assert_eq!((ended.calls, ended.settles), (4, 0));
    assert_eq!(ended.created, [Object::disk("d"), Object::disk("d")]);
    assert_eq!(
        (ended.tasks, ended.lines),
        (vec!["t".to_owned()], vec!["…".to_owned()])
    );
    assert_eq!(hypervisor.log(), [(Level::Info, "reserved 2".to_owned())]);
}

#[test]
fn a_failed_task_reaches_the_engine() {
    let hypervisor = world(&[("GET /tasks/t", Answer::json("storage is full"))]);
    let orders = [Wait("t".into()), DoneWithMachine];
    let error = hypervisor.run::<Obedient>(&create(&orders)).unwrap_err();
    assert_eq!(error.message(), "storage is full");
}

#[test]
fn a_lost_answer_is_settled() {
    for (fate, posts) in [("done", 1), ("t9", 1), ("not-started", 2)] {
        let hypervisor = world(&[
            ("POST /a", Answer::lost()),
            ("GET /fate", Answer::json(fate)),
            ("GET /tasks/t9", Answer::json("ok")),
        ]);
        let orders = [Reserve, Once("/a".into()), DoneWithMachine];
        let ended = hypervisor.run::<Obedient>(&create(&orders)).unwrap();
        assert_eq!(ended.settles, 1);
        let requests = hypervisor.requests();
        let sent = requests.iter().filter(|r| r.path == "/a").count();
        assert_eq!(sent, posts, "{fate}");
    }
}

#[test]
fn what_settle_does_not_know_is_in_doubt() {
    let hypervisor = world(&[
        ("POST /a", Answer::lost()),
        ("GET /fate", Answer::json("unknown")),
    ]);
    let orders = [Once("/a".into()), DoneWithMachine];
    let error = hypervisor.run::<Obedient>(&create(&orders)).unwrap_err();
    assert_eq!(error.message(), "in doubt: the log of /fate");
}

#[test]
fn transient_errors_are_tried_again() {
    for code in [Code::Busy, Code::SessionExpired, Code::Unreachable] {
        let orders = [Fail(code), DoneWithMachine];
        let patient = world(&[]).attempts(3);
        assert_eq!(patient.run::<Obedient>(&create(&orders)).unwrap().calls, 4);
        let error = world(&[]).run::<Obedient>(&create(&orders)).unwrap_err();
        assert!(error.is(code));
    }
    let orders = [Fail(Code::Conflict), DoneWithMachine];
    let patient = world(&[]).attempts(3);
    assert!(patient.run::<Obedient>(&create(&orders)).is_err());
    assert_eq!(patient.requests().len(), 0);
}

#[test]
fn after_busy_a_once_request_may_be_sent_again() {
    let hypervisor = world(&[]).attempts(2);
    let orders = [OnceThenFail("/a".into(), Code::Busy), DoneWithMachine];
    assert!(hypervisor.run::<Obedient>(&create(&orders)).is_ok());
    assert_eq!(hypervisor.requests().len(), 2);
}

#[test]
fn after_unreachable_a_once_request_is_settled_and_not_sent_again() {
    let hypervisor = world(&[("GET /fate", Answer::json("done"))]).attempts(2);
    let orders = [
        Reserve,
        OnceThenFail("/a".into(), Code::Unreachable),
        DoneWithMachine,
    ];
    let ended = hypervisor.run::<Obedient>(&create(&orders)).unwrap();
    assert_eq!(ended.settles, 1);
    let requests = hypervisor.requests();
    assert_eq!(requests.iter().filter(|r| r.path == "/a").count(), 1);
}

#[test]
fn pages_are_put_together() {
    let hypervisor = Hypervisor::scripted();
    let first = json!({"machines": [{"id": "1"}], "next": "1"});
    hypervisor
        .expect("GET", "/list?from=0")
        .answer(Answer::json(first));
    let second = json!({"machines": [{"id": "2"}]});
    hypervisor
        .expect("GET", "/list")
        .query(&[("from", "1")])
        .answer(Answer::json(second));
    let page = hypervisor.list::<Obedient>().unwrap();
    let ids: Vec<_> = page.machines.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
}

fn run(orders: &[Order]) {
    let _ = world(&[]).run::<Obedient>(&create(orders));
}

#[test]
#[should_panic(expected = "a second `once` request in one call of run")]
fn two_once_requests_in_a_call_fail_the_test() {
    run(&[Twice]);
}

#[test]
#[should_panic(expected = "return Step::again before it")]
fn a_number_used_in_the_call_that_reserved_it_fails_the_test() {
    run(&[ReserveAndUse]);
}

#[test]
#[should_panic(expected = "more than 64 KiB")]
fn a_token_too_large_fails_the_test() {
    run(&[Big]);
}

#[test]
#[should_panic(expected = "create ended without outcome.machine")]
fn a_create_that_does_not_say_what_it_made_fails_the_test() {
    run(&[Done]);
}

#[test]
#[should_panic(expected = "may send `read` requests only")]
fn a_change_outside_of_run_fails_the_test() {
    let _ = world(&[]).check::<Obedient>();
}

#[test]
#[should_panic(expected = "`read` was asked for 1 and answered 0")]
fn a_missing_answer_fails_the_test() {
    let _ = world(&[]).read::<Obedient>(&[MachineRef::default()]);
}

#[test]
#[should_panic(expected = "unexpected request, the script is at its end: GET /list?from=0")]
fn a_request_beyond_the_script_fails_the_test() {
    let _ = Hypervisor::scripted().list::<Obedient>();
}

#[test]
#[should_panic(expected = "expected GET /other, but it is GET /list; its query is")]
fn another_request_than_expected_fails_the_test() {
    let hypervisor = Hypervisor::scripted();
    hypervisor.expect("GET", "/other").answer(Answer::empty());
    let _ = hypervisor.list::<Obedient>();
}

#[test]
#[should_panic(expected = "expected requests did not come: GET /never")]
fn a_request_that_never_came_fails_the_test() {
    let hypervisor = Hypervisor::scripted();
    hypervisor.expect("GET", "/never").answer(Answer::empty());
}

#[test]
fn a_lost_task_is_settled_by_the_request_that_began_it() {
    let orders = [OnceAndWait("/a".into(), "t".into()), DoneWithMachine];
    let hypervisor = world(&[
        ("GET /tasks/t", Answer::json("lost")),
        ("GET /fate", Answer::json("done")),
    ]);
    let ended = hypervisor.run::<Obedient>(&create(&orders)).unwrap();
    assert_eq!(ended.settles, 1);
    let asked = hypervisor.requests();
    let asked = asked.iter().find(|r| r.path == "/fate").unwrap();
    assert_eq!(asked.param("lost").as_deref(), Some("true"));
    assert_eq!(asked.param("of").as_deref(), Some("/a"));
}

#[test]
#[should_panic(expected = "task t is lost, and `settle` answers that it is pending")]
fn a_lost_task_that_settle_calls_pending_fails_the_test() {
    let orders = [OnceAndWait("/a".into(), "t".into()), DoneWithMachine];
    let hypervisor = world(&[
        ("GET /tasks/t", Answer::json("lost")),
        ("GET /fate", Answer::json("t")),
    ]);
    let _ = hypervisor.run::<Obedient>(&create(&orders));
}
