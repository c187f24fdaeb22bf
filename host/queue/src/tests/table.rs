//! Which entry may follow which state. The table is a text to read and to argue about.

use std::fmt::Write as _;

use enginehouse_model::OperationId;
use enginehouse_model::documents::{Code, Note, Outcome, TaskEnd};
use serde_json::json;

use super::fixture::{T0, at, problem, sent, spec, step};
use crate::transition::entry_name;
use crate::{After, Entry, Final, Operation, Phase, Resolution, StepPlan, Token};

fn entries() -> Vec<Entry> {
    vec![
        Entry::Queued { spec: spec(1, 1) },
        Entry::Started,
        Entry::Asked {
            request: json!({}),
            until: at(9),
        },
        Entry::Signed {
            signature: json!({}),
        },
        Entry::Approved { rank: 7 },
        Entry::Held {
            until: at(9),
            problem: problem(Code::Busy),
        },
        Entry::Released,
        Entry::Planned(StepPlan {
            steps: vec![step("stop"), step("destroy")],
            warnings: vec!["the machine was not there any more".into()],
            shortfall: None,
        }),
        Entry::Skipped { reason: "".into() },
        Entry::Called { attempt: 1 },
        Entry::Filled { request: json!({}) },
        Entry::Sending {
            sent: sent(at(1)),
            digest: "d".into(),
        },
        Entry::Answered {
            response: json!({}),
        },
        Entry::NotSent { reason: "".into() },
        Entry::Settling { reason: "".into() },
        Entry::Broke {
            problem: problem(Code::Provider),
        },
        Entry::Moved {
            token: Token(vec![1]),
            created: vec![],
            note: Note::default(),
        },
        Entry::Waiting {
            task: "t".into(),
            token: Token(vec![1]),
            created: vec![],
            note: Note::default(),
            first_poll: T0,
        },
        Entry::TaskEnded {
            end: TaskEnd::default(),
        },
        Entry::Escalated { reason: "".into() },
        Entry::Postponed {
            until: T0,
            since: T0,
            problem: problem(Code::Busy),
        },
        Entry::Done {
            created: vec![],
            outcome: Box::new(Outcome::default()),
        },
        Entry::Freed { by: OperationId(3) },
        Entry::Ranked {
            rank: 5,
            who: "x".into(),
        },
        Entry::RollingBack {
            parts: vec![OperationId(4)],
        },
        Entry::BegunAnew { who: "x".into() },
        Entry::CancelRequested { who: "x".into() },
        Entry::Doubted { reason: "".into() },
        Entry::Resolved {
            who: "x".into(),
            how: Resolution::Retry,
        },
        Entry::Ended {
            state: Final::Failed,
            problem: None,
        },
        Entry::Ended {
            state: Final::Superseded,
            problem: None,
        },
        Entry::Ended {
            state: Final::Superseded,
            problem: Some(problem(Code::Conflict)),
        },
    ]
}

/// The states that matter, each by the entries that lead to it.
fn states() -> Vec<(&'static str, Vec<&'static str>)> {
    let calling = ["started", "planned", "called"];
    let with = |more: &[&'static str]| [&calling, more].concat();
    vec![
        ("pending", vec![]),
        ("starting", vec!["started"]),
        ("waiting for approval", vec!["started", "asked"]),
        (
            "waiting for approval, signed",
            vec!["started", "asked", "signed"],
        ),
        (
            "pending, approved",
            vec!["started", "asked", "signed", "approved"],
        ),
        (
            "starting, approved",
            vec!["started", "asked", "signed", "approved", "started"],
        ),
        ("pending, held", vec!["started", "held"]),
        ("pending, released", vec!["started", "held", "released"]),
        ("between", vec!["started", "planned"]),
        ("calling", with(&[])),
        ("calling, filled", with(&["filled"])),
        ("calling, request sent", with(&["filled", "sending"])),
        (
            "calling, request answered",
            with(&["filled", "sending", "answered"]),
        ),
        ("calling, escalated", with(&["filled", "escalated"])),
        ("settling", with(&["filled", "sending", "settling"])),
        ("waiting", with(&["filled", "waiting"])),
        (
            "waiting for the task of a request",
            with(&["filled", "sending", "answered", "waiting"]),
        ),
        (
            "settling a forgotten task",
            with(&["filled", "sending", "answered", "waiting", "settling"]),
        ),
        ("postponed, to prepare", vec!["started", "postponed"]),
        ("postponed, to call", with(&["filled", "postponed"])),
        (
            "postponed, to settle",
            with(&["filled", "sending", "settling", "postponed"]),
        ),
        (
            "in doubt",
            with(&["filled", "sending", "settling", "doubted"]),
        ),
        ("pending, after another", vec!["after 3"]),
        ("pending, the other has ended", vec!["after 3", "freed"]),
        ("pending, with parts", vec!["parts"]),
        (
            "pending, with parts that take back",
            vec!["parts", "rolling-back"],
        ),
        (
            "waiting, may be left",
            vec!["started", "planned left", "called", "waiting"],
        ),
        ("ended", vec!["ended"]),
    ]
}

fn reach(path: &[&str]) -> Operation {
    let mut spec = spec(1, 1);
    match path.first() {
        Some(&"after 3") => {
            spec.after = vec![After {
                number: OperationId(3),
                however_it_ends: false,
            }]
        }
        Some(&"parts") => spec.children = vec![OperationId(2)],
        _ => {}
    }
    let mut operation = Operation::queued(spec);
    for name in path {
        let name = match *name {
            "after 3" | "parts" => continue,
            "planned left" => {
                let plan = StepPlan::from(vec![step("shutdown")]);
                operation.apply(&Entry::Planned(plan)).unwrap();
                continue;
            }
            name => name,
        };
        let entry = entries().into_iter().find(|e| entry_name(e) == name);
        operation.apply(&entry.unwrap()).unwrap();
    }
    operation
}

#[test]
fn every_state_takes_these_entries_and_no_others() {
    let mut table = String::new();
    for (name, path) in states() {
        let before = reach(&path);
        let mut legal = Vec::new();
        for entry in entries() {
            let mut operation = before.clone();
            match operation.apply(&entry) {
                Ok(()) => {
                    let name = match &operation.phase {
                        Phase::Ended {
                            state: Final::Superseded,
                            problem,
                        } if problem.is_some() => "outdated".to_owned(),
                        Phase::Ended {
                            state: Final::Superseded,
                            ..
                        } => "superseded".to_owned(),
                        _ => entry_name(&entry),
                    };
                    legal.push(name);
                }
                Err(illegal) => {
                    assert_eq!(operation, before, "{illegal}: something changed");
                    assert_eq!(illegal.entry, entry_name(&entry));
                }
            }
        }
        if legal.is_empty() {
            legal.push("nothing".to_owned());
        }
        writeln!(table, "{name}\n    {}", legal.join(" ")).unwrap();
    }
    assert_eq!(table, include_str!("table.txt"), "\n{table}");
}

#[test]
fn every_entry_reads_back_from_its_journal_form() {
    for entry in entries() {
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}
