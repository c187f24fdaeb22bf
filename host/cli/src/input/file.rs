//! A definition in a YAML file. JSON is YAML, so that works too.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options};
use thiserror::Error;

/// Largest file that is read, in bytes. The definitions of a whole data centre's hypervisors and
/// prototypes fit well into it.
const FILE_MAX: usize = 1 << 20;

/// What is wrong with a definition's file.
#[derive(Debug, Error)]
pub enum DefinitionFileError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {} KiB", .0.display(), FILE_MAX / 1024)]
    TooLarge(PathBuf),
    #[error("{} is no valid YAML", .path.display())]
    Yaml {
        path: PathBuf,
        #[source]
        source: serde_saphyr::Error,
    },
    #[error("{} is no definition: it must be a mapping of keys to values, and is {found}", .path.display())]
    NoMapping { path: PathBuf, found: &'static str },
}

/// Reads a definition; `-` is standard input. An empty file is an empty definition.
///
/// # Errors
/// When the file cannot be read, is too large, or holds anything but one YAML mapping.
pub fn read_definition(path: &Path) -> Result<Map<String, Value>, DefinitionFileError> {
    let read = |source| DefinitionFileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let limit = FILE_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(limit).read_to_string(&mut text)
    }
    .map_err(read)?;
    if text.len() > FILE_MAX {
        return Err(DefinitionFileError::TooLarge(path.to_owned()));
    }
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Map<String, Value>, DefinitionFileError> {
    let value = serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|source| {
        DefinitionFileError::Yaml {
            path: path.to_owned(),
            source,
        }
    })?;
    let found = match value {
        Value::Object(map) => return Ok(map),
        Value::Null => return Ok(Map::new()),
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
    };
    Err(DefinitionFileError::NoMapping {
        path: path.to_owned(),
        found,
    })
}

/// YAML 1.2 without surprises: `no` is a text, a key written twice is an error, and what expands
/// stays within a few times of what a definition can be.
pub(super) fn yaml_options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 200_000,
            max_depth: 32,
            max_documents: 1,
            max_nodes: 100_000,
            max_total_scalar_bytes: 2 * FILE_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Map<String, Value>, DefinitionFileError> {
        parse(Path::new("vm.yaml"), text)
    }

    fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(error) = next {
            text = format!("{text}: {error}");
            next = error.source();
        }
        text
    }

    #[test]
    fn a_definition_keeps_its_order_and_its_texts() {
        let map = read(
            "vcpu: 2\nmemory: 4GiB\nlabels: {tier: no, code: 007, since: 2026-11-21}\n\
             nics:\n  lan:\n    network: vmbr0\n    vlan: 12\ndescription: null\n",
        )
        .unwrap();
        assert_eq!(
            Value::Object(map.clone()),
            json!({
                "vcpu": 2,
                "memory": "4GiB",
                "labels": {"tier": "no", "code": "007", "since": "2026-11-21"},
                "nics": {"lan": {"network": "vmbr0", "vlan": 12}},
                "description": null,
            })
        );
        let keys: Vec<_> = map.keys().map(String::as_str).collect();
        assert_eq!(keys, ["vcpu", "memory", "labels", "nics", "description"]);
        assert_eq!(read("").unwrap(), Map::new());
    }

    #[test]
    fn json_is_read_too() {
        assert_eq!(
            Value::Object(read("{\"memory\": \"4GiB\", \"vcpu\": 2}").unwrap()),
            json!({"memory": "4GiB", "vcpu": 2})
        );
    }

    #[test]
    fn anchors_and_merge_keys_work() {
        let map = read("a: &x {size: 8GiB}\nb: *x\nc: {<<: *x, keep: true}\n").unwrap();
        assert_eq!(
            Value::Object(map),
            json!({
                "a": {"size": "8GiB"},
                "b": {"size": "8GiB"},
                "c": {"size": "8GiB", "keep": true},
            })
        );
    }

    #[test]
    fn bad_yaml_is_refused_with_line_and_reason() {
        for (text, part) in [
            ("vcpu: 2\nvcpu: 4\n", "line 2"),
            ("a: [1, 2\n", "line"),
            ("a: 1\n---\nb: 2\n", "vm.yaml"),
            ("- a\n- b\n", "is a list"),
            ("just text", "is a text"),
            ("\u{0}\u{1}", "vm.yaml"),
        ] {
            let error = read(text).unwrap_err();
            let text_of = chain(&error);
            assert!(text_of.contains(part), "{text:?}: {text_of}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_quickly() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let before = i - 1;
            let items = vec![format!("*a{before}"); 9].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{items}]\n"));
        }
        let error = read(&text).unwrap_err();
        assert!(matches!(error, DefinitionFileError::Yaml { .. }), "{error}");
    }

    #[test]
    fn endless_nesting_is_refused() {
        let error = read(&format!("a: {}", "[".repeat(100_000))).unwrap_err();
        assert!(matches!(error, DefinitionFileError::Yaml { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_parsed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.yaml");
        std::fs::write(&path, "#".repeat(FILE_MAX + 1)).unwrap();
        let error = read_definition(&path).unwrap_err();
        assert!(matches!(error, DefinitionFileError::TooLarge(_)), "{error}");

        let error = read_definition(&dir.path().join("none.yaml")).unwrap_err();
        assert!(matches!(error, DefinitionFileError::Read { .. }), "{error}");
    }
}
