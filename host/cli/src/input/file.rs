//! A definition in a YAML file. JSON is YAML, so that works too.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use enginehouse_text::{FILE_MAX, YamlError, read_value};
use serde_json::{Map, Value};
use thiserror::Error;

/// What is wrong with a definition's file.
#[derive(Debug, Error)]
pub enum DefinitionFileError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {} MiB", .0.display(), FILE_MAX >> 20)]
    TooLarge(PathBuf),
    #[error("{} is no valid YAML", .path.display())]
    Yaml {
        path: PathBuf,
        #[source]
        source: YamlError,
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
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let limit = FILE_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(limit).read_to_end(&mut bytes)
    }
    .map_err(read)?;
    if bytes.len() > FILE_MAX {
        return Err(DefinitionFileError::TooLarge(path.to_owned()));
    }
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>, DefinitionFileError> {
    let value = read_value(bytes).map_err(|source| DefinitionFileError::Yaml {
        path: path.to_owned(),
        source,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Map<String, Value>, DefinitionFileError> {
        parse(Path::new("vm.yaml"), text.as_bytes())
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
