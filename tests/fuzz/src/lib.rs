//! What must hold whatever the bytes are. The fuzzer calls these, and so does a plain test with all
//! that is in the corpus (`host/text/tests/corpus.rs`).

use std::collections::BTreeMap;

use enginehouse_model::FullName;
use enginehouse_text::{Exported, Reading, Source, read_files, read_value, write_yaml};
use enginehouse_tree::Definition;
use serde_json::Value;

/// Files of an import: each begins with a line `== PATH`.
///
/// Reading them never panics, says what is wrong in a bounded number of short lines, and what was
/// read is written to files that are read as the same and written as the same bytes.
pub fn import(bytes: &[u8]) {
    let files = split(bytes);
    let files = files.iter().map(|(path, bytes)| (path.as_str(), *bytes));
    let reading = read_files(&FullName::root(), files);
    assert!(reading.problems.len() <= 1_000);
    for problem in &reading.problems {
        let said = problem.to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.chars().count() < 2_000, "{said}");
        assert!(
            problem
                .place
                .is_none_or(|place| place.line > 0 && place.column > 0)
        );
    }
    for (at, wanted) in reading.wanted.iter().enumerate() {
        assert!(wanted.node.to_string().parse::<FullName>().is_ok());
        let parent = wanted.node.parent();
        let is_folder = parent.is_none_or(|parent| {
            let above = reading.wanted.iter().take(at);
            let mut above = above.filter(|wanted| wanted.node == parent);
            above.next().is_some_and(|wanted| wanted.is_folder)
        });
        assert!(is_folder, "{} lies in no folder", wanted.node);
    }
    if !reading.problems.is_empty() {
        return;
    }
    let Some(nodes) = nodes(reading) else { return };
    let written = Exported::files(&FullName::root(), &nodes);
    let again = read_files(
        &FullName::root(),
        written
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_bytes())),
    );
    assert_eq!(again.problems, []);
    let Some(back) = self::nodes(again) else {
        return;
    };
    assert_eq!(back.len(), nodes.len());
    for (back, node) in back.iter().zip(&nodes) {
        assert_eq!((&back.node, back.is_folder), (&node.node, node.is_folder));
        assert!(
            back.definition == node.definition || node.definition.has_literals(),
            "{} is another definition now",
            node.node
        );
    }
    if !nodes.iter().any(|node| node.definition.has_literals()) {
        assert_eq!(Exported::files(&FullName::root(), &back), written);
    }
}

/// A document, YAML or JSON, that may be a definition.
///
/// Reading it never panics. What it is as a definition reads back the same from JSON and from YAML.
pub fn definition(bytes: &[u8]) {
    let value = match read_value(bytes) {
        Ok(value) => value,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.chars().any(char::is_control), "{said:?}");
            assert!(said.chars().count() < 600, "{said}");
            return;
        }
    };
    if let Value::Object(members) = &value {
        let yaml = write_yaml(members);
        let back = read_value(yaml.as_bytes());
        if members.is_empty() {
            assert_eq!(back, Ok(Value::Null));
        } else {
            assert_eq!(back.as_ref(), Ok(&value), "{yaml}");
        }
    }
    let definition = match Definition::from_json(&value) {
        Ok(definition) => definition,
        Err(problems) => {
            assert!((1..=100).contains(&problems.len()));
            return;
        }
    };
    let json = definition.to_json();
    assert!(Definition::from_json(&json).as_ref() == Ok(&definition));
    let Value::Object(members) = json else {
        panic!("a definition is an object");
    };
    let yaml = write_yaml(&members);
    let back = match read_value(yaml.as_bytes()) {
        Ok(Value::Null) => Value::Object(serde_json::Map::new()),
        Ok(back) => back,
        Err(error) => panic!("{error}\n{yaml}"),
    };
    assert!(
        Definition::from_json(&back).as_ref() == Ok(&definition),
        "{yaml}"
    );
    assert_eq!(enginehouse_text::differences(&definition, &definition), []);
}

/// Path -> content.
fn split(bytes: &[u8]) -> BTreeMap<String, &[u8]> {
    let mut files = BTreeMap::new();
    let mut rest = bytes;
    while let Some(begin) = find(rest, b"== ") {
        let after = rest.get(begin + 3..).unwrap_or_default();
        let line_end = find(after, b"\n").unwrap_or(after.len());
        let (path, after) = after.split_at(line_end);
        let content = after.get(1..).unwrap_or_default();
        let end = find(content, b"\n== ").map_or(content.len(), |at| at + 1);
        let (content, next) = content.split_at(end);
        files.insert(String::from_utf8_lossy(path).into_owned(), content);
        rest = next;
    }
    files
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// None where some secrets are hidden, so that there is no whole definition.
fn nodes(reading: Reading) -> Option<Vec<Exported>> {
    reading
        .wanted
        .into_iter()
        .map(|wanted| {
            let definition = match wanted.says {
                Source::Nothing => Definition::default(),
                Source::Definition(definition) => *definition,
                Source::Hidden(_) => return None,
            };
            Some(Exported {
                node: wanted.node,
                is_folder: wanted.is_folder,
                definition,
            })
        })
        .collect()
}
