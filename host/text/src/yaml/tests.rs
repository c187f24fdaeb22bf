//! What is written is read back; what is bad is refused with its place.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{read_value, read_yaml, write_yaml};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

fn refused(text: &str) -> String {
    let error = match read_yaml(text.as_bytes()) {
        Err(error) => error,
        Ok(document) => panic!("{text:.80} says {}", document.into_value()),
    };
    match error.place {
        Some(place) => format!("{}:{}: {}", place.line, place.column, error.message),
        None => error.message,
    }
}

#[test]
fn a_document_keeps_its_order_and_its_texts() {
    let value = read_value(
        b"vcpu: 2\nmemory: 4GiB\nlabels: {tier: no, code: 007, since: 2026-11-21}\n\
          nics:\n  lan:\n    network: vmbr0\n    vlan: 12\ndescription: null\n",
    )
    .unwrap();
    assert_eq!(
        value,
        json!({
            "vcpu": 2,
            "memory": "4GiB",
            "labels": {"tier": "no", "code": "007", "since": "2026-11-21"},
            "nics": {"lan": {"network": "vmbr0", "vlan": 12}},
            "description": null,
        })
    );
    let keys: Vec<String> = object(value).keys().cloned().collect();
    assert_eq!(keys, ["vcpu", "memory", "labels", "nics", "description"]);
    assert_eq!(read_value(b"").unwrap(), Value::Null);
    assert_eq!(
        read_value("\u{feff}# only a comment\n".as_bytes()).unwrap(),
        Value::Null
    );
}

#[test]
fn a_text_that_turns_what_follows_is_written_for_reviewers_to_see() {
    let text = "no\u{202e}se\u{2066}y";
    let written = write_yaml(&object(json!({ "description": text, text: [text] })));
    assert!(written.is_ascii(), "{written}");
    let read = read_value(written.as_bytes()).unwrap();
    assert_eq!(read, json!({ "description": text, text: [text] }));
}

#[test]
fn json_is_read_too() {
    assert_eq!(
        read_value(b"{\"memory\": \"4GiB\", \"vcpu\": 2, \"x\": [1.5, true, null]}").unwrap(),
        json!({"memory": "4GiB", "vcpu": 2, "x": [1.5, true, null]})
    );
}

#[test]
fn anchors_and_merge_keys_work() {
    assert_eq!(
        read_value(b"a: &x {size: 8GiB}\nb: *x\nc: {<<: *x, keep: true}\n").unwrap(),
        json!({
            "a": {"size": "8GiB"},
            "b": {"size": "8GiB"},
            "c": {"size": "8GiB", "keep": true},
        })
    );
}

#[test]
fn each_key_and_value_has_its_place() {
    let document =
        read_yaml(b"vcpu: 2\ndisks:\n  root:\n    size: 8GX\n  data: {size: 1GiB}\nl: [a, b]\n")
            .unwrap();
    let path = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
    let value = |text: &str| {
        let place = document.place_of_value(&path(text)).unwrap();
        (place.line, place.column)
    };
    let key = |text: &str| {
        let place = document.place_of_key(&path(text)).unwrap();
        (place.line, place.column)
    };
    assert_eq!(value("vcpu"), (1, 7));
    assert_eq!(key("vcpu"), (1, 1));
    assert_eq!(value("disks.root.size"), (4, 11));
    assert_eq!(key("disks.root.size"), (4, 5));
    assert_eq!(value("disks.data.size"), (5, 16));
    assert_eq!(value("l.1"), (6, 8));
    // What is not there: the nearest above it.
    assert_eq!(value("disks.root.bus"), (4, 5));
    assert_eq!(key("disks.other"), (2, 1));
}

#[test]
fn bad_yaml_is_refused_with_its_place() {
    for (text, expected) in [
        ("vcpu: 2\nvcpu: 4\n", "2:1: "),
        ("a:\n  b: 1\n  \"b\": 2\n", "3:3: "),
        ("a: [1, 2\n", ""),
        ("a: 1\n---\nb: 2\n", ""),
        ("a: .inf\n", "1:4: "),
        ("a: *nowhere\n", "1:4: "),
        ("a: &x [*x]\n", "1:"),
        ("\u{0}\u{1}", "1:1: "),
        ("a: \"\\x\"", "1:"),
        ("a:\n\tb: 1", "2:"),
        ("a: b: c", "1:"),
        ("? [1, 2]\n: 3", "1:"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(expected), "{text:?}: {error}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused_with_their_place() {
    let error = read_yaml(b"vcpu: 2\nname: \xc3\xa9\xff\n").unwrap_err();
    let place = error.place.unwrap();
    assert_eq!((place.line, place.column), (2, 8));
    assert_eq!(error.message, "no UTF-8: byte 0xFF");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let before = i - 1;
        let items = vec![format!("*a{before}"); 9].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    refused(&text);
    // Texts instead of nodes.
    let long = "x".repeat(100_000);
    let items = vec!["*a"; 500].join(", ");
    refused(&format!("a: &a {long}\nb: [{items}]\n"));
    // Merge keys.
    let mut text = "a0: &a0 {k: v}\n".to_owned();
    for i in 1..40 {
        let before = i - 1;
        text.push_str(&format!(
            "a{i}: &a{i} {{<<: [*a{before}, *a{before}], k{i}: v}}\n"
        ));
    }
    // Either is right: refused, or no more than the keys that there are.
    if let Ok(value) = read_value(text.as_bytes()) {
        assert!(value.to_string().len() < 100 * text.len());
    }
}

#[test]
fn endless_nesting_is_refused_on_a_small_stack() {
    let shapes = [
        format!("a: {}", "[".repeat(100_000)),
        format!("a: {}", "{a: ".repeat(50_000)),
        (0..300).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        format!("a: {}x", "- ".repeat(300)),
        format!("{}1{}", "[".repeat(300), "]".repeat(300)),
    ];
    // As small as that of a thread that answers requests.
    let reader = std::thread::Builder::new().stack_size(2 << 20);
    reader
        .spawn(move || {
            for text in shapes {
                refused(&text);
            }
            let deepest = format!("{}1{}", "[".repeat(126), "]".repeat(126));
            read_yaml(deepest.as_bytes()).unwrap();
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn what_is_written_is_readable() {
    let members = object(json!({
        "base_image": "debian-12",
        "memory": "8GiB",
        "vcpu": 2,
        "description": "first line\n  second, indented\n\nlast",
        "labels": {"tier": "no", "version": "1.10", "when": "2026-11-21", "empty": "", "since": "1e3"},
        "disks": {"root": {"size": "20GiB", "keep": true}, "scratch": null},
        "nics": {"lan": {"network": "vmbr0", "mac": "52:54:00:12:34:56", "addresses": ["10.0.0.7/24", "dhcp"], "gateway": "10.0.0.1"}},
        "settings": {"list": [{"a": 1, "b": [[1, 2], []]}, {}], "url": "https://pve1:8006/api2 # not a comment"},
        "depends_on": [],
    }));
    insta::assert_snapshot!(write_yaml(&members), @r#"
    base_image: debian-12
    memory: 8GiB
    vcpu: 2
    description: |-
      first line
        second, indented

      last
    labels:
      tier: "no"
      version: "1.10"
      when: "2026-11-21"
      empty: ""
      since: "1e3"
    disks:
      root:
        size: 20GiB
        keep: true
      scratch: null
    nics:
      lan:
        network: vmbr0
        mac: "52:54:00:12:34:56"
        addresses:
          - 10.0.0.7/24
          - dhcp
        gateway: 10.0.0.1
    settings:
      list:
        - a: 1
          b:
            -
              - 1
              - 2
            - []
        - {}
      url: "https://pve1:8006/api2 # not a comment"
    depends_on: []
    "#);
}

#[test]
fn every_odd_text_survives_as_key_and_value() {
    let long = "k".repeat(2_000);
    for text in [
        "",
        " ",
        "no",
        "No",
        "yes",
        "on",
        "~",
        "null",
        "NULL",
        "true",
        "1e3",
        "0x1F",
        "0o17",
        "0b1",
        "1_000",
        "007",
        "+1",
        "-1",
        ".5",
        "1.",
        ".inf",
        "-.INF",
        ".nan",
        "NaN",
        "12:30:45",
        "2026-11-21",
        "2026-11-21T10:00:00Z",
        " leading",
        "trailing ",
        "a: b",
        "a:",
        ":a",
        "a #b",
        "#a",
        "- a",
        "-",
        "?",
        "? a",
        "!tag",
        "&a",
        "*a",
        "<<",
        "=",
        "%",
        "@a",
        "`a",
        "|",
        ">",
        "'",
        "\"",
        "''",
        "{a",
        "[a",
        "]",
        "}",
        ",",
        "a,b",
        "---",
        "...",
        "... a",
        "--- a",
        "a\nb",
        "a\nb\n",
        "a\n\nb",
        "\na",
        "a\n\n",
        "\n",
        "\t",
        "a\tb",
        "\ta",
        "a\t",
        "a\r\nb",
        "a\u{85}b",
        "a\u{2028}b",
        "\u{feff}",
        "\u{feff}a",
        "a\u{0}b",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{fffe}",
        "\u{10ffff}",
        "é",
        "日本語",
        "👍",
        "a\u{a0}b",
        "\\",
        "\\n",
        "(secret)",
        "%TAG",
        "a \nb",
        " a\nb",
        "a\n b",
        "a\n\tb",
        "a\nb ",
        "#\n#",
        "a: b\nc: d",
        "- a\n- b\n",
        "null\nnull",
        "\u{e000}",
        "x: |\n  y\n",
        "$a",
        "a;b",
        "a=b",
        "(a)",
        "0x",
        "1e",
        "1.2.3.4",
        "10",
        "00",
        "0",
        "-",
        "+",
        "12e",
        "1:2",
        &long,
    ] {
        let members = object(json!({
            text: text,
            "list": [text, {text: text}, [text]],
            "deep": {"er": {text: [text]}},
        }));
        let yaml = write_yaml(&members);
        let back = read_value(yaml.as_bytes());
        assert_eq!(back, Ok(Value::Object(members)), "{text:?}\n{yaml}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z0-9 ._:/#-]{0,12}",
        1 => "[-+]?[0-9._exob:TZ]{1,10}",
        1 => "[a-z \\n\\t]{0,20}",
        1 => any::<String>(),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_map(|f| serde_json::Number::from_f64(f).map_or(Value::Null, Value::Number)),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_json_says_is_the_same_after_yaml(
        entries in prop::collection::vec((any_text(), any_value()), 0..6)
    ) {
        let members: Map<String, Value> = entries.into_iter().collect();
        let yaml = write_yaml(&members);
        let back = match read_value(yaml.as_bytes()) {
            Ok(Value::Null) => Value::Object(Map::new()),
            Ok(value) => value,
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}\n{yaml}"))),
        };
        prop_assert_eq!(back, Value::Object(members), "{}", yaml);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_yaml(&bytes);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[-a-z0-9:&*<!|>\\[\\]{}?,'\"# \\n\\t]{0,80}") {
        if let Ok(value) = read_value(text.as_bytes()) {
            prop_assert!(value.to_string().len() <= 64 * 1024 + 16 * text.len());
        }
    }
}
