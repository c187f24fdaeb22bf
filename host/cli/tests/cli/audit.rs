//! audit list, show, head, verify.

use std::collections::BTreeMap;

use enginehouse_api::{AuditHead, AuditLine};
use enginehouse_audit::{Action, Chain, Entry, Head};
use enginehouse_model::{InstallationId, OperationId, Timestamp};
use serde_json::{Value, json};

use crate::documents::NOON;
use crate::scripted::Scripted;

fn installation() -> InstallationId {
    "0199a0b0c0d070008000000000000007".parse().unwrap()
}

fn entry(number: u64) -> Entry {
    let detail = match number {
        2 => vec![
            ("lowers", "protect".to_owned()),
            ("protect", "true -> false".to_owned()),
        ],
        3 => vec![("backup_ends_with", "2:0".to_owned())],
        _ => vec![("kind", "edit".to_owned())],
    };
    Entry {
        number,
        epoch: if number < 3 { 1 } else { 2 },
        at: Timestamp(NOON + number * 1000),
        who: "ann".to_owned(),
        action: match number {
            2 => Action::Protection,
            3 => Action::Restore,
            _ => Action::Order,
        }
        .to_string(),
        node: None,
        path: (number != 3).then(|| "/web\u{1b}[31m".to_owned()),
        operation: (number != 3).then_some(OperationId(40 + number)),
        detail: detail
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn log() -> (Vec<AuditLine>, Head) {
    let mut chain = Chain::of(installation());
    let lines = (1..=4).map(|number| {
        let entry = entry(number);
        let hash = chain.next(&entry);
        chain.take(&entry, hash).unwrap();
        AuditLine { entry, hash }
    });
    let lines = lines.collect();
    (lines, chain.head())
}

/// A host with that log, in pages of two.
fn serving(lines: &[AuditLine], head: Head) -> Scripted {
    let page = |lines: &[AuditLine], next: Value| {
        let mut page = json!({ "entries": lines });
        if !next.is_null() {
            page["next"] = next;
        }
        page
    };
    let shown = AuditHead {
        installation: installation(),
        head,
    };
    Scripted::new()
        .on("GET /v1/audit/head", 200, json!(shown))
        .on(
            "GET /v1/audit?after=0&limit=1000",
            200,
            page(&lines[..2], json!(2)),
        )
        .on(
            "GET /v1/audit?after=2&limit=1000",
            200,
            page(&lines[2..], Value::Null),
        )
        .on(
            "GET /v1/audit?after=4&limit=1000",
            200,
            page(&[], Value::Null),
        )
        .on(
            "GET /v1/audit?after=3&limit=1000",
            200,
            page(&[], Value::Null),
        )
}

#[test]
fn entries_are_listed_and_shown_whole() {
    let (mut lines, _) = log();
    let server = Scripted::new()
        .on(
            "GET /v1/audit?after=1&limit=1",
            200,
            json!({"entries": [lines[1]]}),
        )
        .on("GET /v1/audit?after=8&limit=1", 200, json!({"entries": []}));
    let shown = server.run(&["audit", "show", "2"]).all();
    let missing = server.run(&["audit", "show", "9"]).all();
    lines.reverse();
    let server = Scripted::new().on(
        "GET /v1/audit?path=%2Fweb&action=order&limit=20",
        200,
        json!({"entries": lines, "next": 1}),
    );
    let listed = server.run(&["audit", "list", "--path", "/web", "--action", "order"]);
    insta::assert_snapshot!([listed.all(), shown, missing].join("\n"));
}

#[test]
fn a_log_that_holds_is_said_with_its_head() {
    let (lines, head) = log();
    let server = serving(&lines, head);
    let kept = Head {
        number: 2,
        hash: lines[1].hash,
    };
    let compared = server.run(&["audit", "verify", "--head", &kept.to_string()]);
    let printed = server.run(&["audit", "head"]);
    assert_eq!(printed.out.trim(), head.to_string());
    let json = server.run(&["audit", "verify", "-o", "json"]);
    assert_eq!((json.code, json.json()["entries"].as_u64()), (0, Some(4)));
    insta::assert_snapshot!(compared.all());
}

#[test]
fn a_log_that_does_not_hold_is_an_error_that_says_where() {
    let (lines, head) = log();
    let mut changed = lines.clone();
    changed[2].entry.who = "bob".to_owned();
    let changed = serving(&changed, head).run(&["audit", "verify"]);
    assert_eq!(changed.code, 1);
    // The host says that there is a fourth entry, and does not show it.
    let cut = serving(&lines[..3], head).run(&["audit", "verify"]);
    assert_eq!(cut.code, 1);
    insta::assert_snapshot!([changed.all(), cut.all()].join("\n"));
}

#[test]
fn a_log_that_is_not_what_it_was_is_found_by_the_head_that_was_kept() {
    let (lines, head) = log();
    let server = serving(&lines, head);
    let other = Head {
        number: 4,
        hash: lines[0].hash,
    };
    let restored = server.run(&["audit", "verify", "--head", &other.to_string()]);
    let other = Head { number: 2, ..other };
    let differs = server.run(&["audit", "verify", "--head", &other.to_string()]);
    let no_head = server.run(&["audit", "verify", "--head", "4"]);
    assert_eq!((restored.code, differs.code, no_head.code), (1, 1, 2));
    insta::assert_snapshot!([restored.all(), differs.all(), no_head.all()].join("\n"));
}
