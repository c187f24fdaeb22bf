//! `key=value` on the command line.
//!
//! A key is a dotted path, parts with dots in quotes: `disks.root.size`, `labels."example.org/team"`.
//!
//! A value is text, unless it looks like something else: `null`, `true`, `false`, a JSON number, or
//! YAML in brackets, braces or quotes. So sizes (`8GiB`) and passwords (`@x: #1`) need no quoting
//! beyond the shell's, `"5"` is the text, and nothing is a boolean by surprise (`no`, `on`).

use enginehouse_api::Change;
use enginehouse_text::{YamlError, read_value};
use serde_json::{Number, Value};
use thiserror::Error;

/// What is wrong with a `key=value`.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("`{0}` is no change: there is no `=` in it")]
    NoEquals(String),
    #[error("`{0}` is no key: a part of it is empty")]
    EmptyPart(String),
    #[error("`{0}` is no key: a quote is not closed, or something follows it")]
    Quote(String),
    #[error("the value of `{key}` is no YAML")]
    Value {
        key: String,
        #[source]
        source: YamlError,
    },
}

/// `key=value` as a change.
///
/// # Errors
/// When there is no `=`, or key or value cannot be read.
pub fn parse_set(text: &str) -> Result<Change, ChangeError> {
    let (key, rest) = split_key(text)?;
    let Some(value) = rest.strip_prefix('=') else {
        return Err(ChangeError::NoEquals(text.to_owned()));
    };
    let value = parse_value(value).map_err(|source| ChangeError::Value {
        key: key.join("."),
        source,
    })?;
    Ok(Change::Set { key, value })
}

/// A key alone.
///
/// # Errors
/// When it cannot be read.
pub fn parse_key(text: &str) -> Result<Vec<String>, ChangeError> {
    let (key, rest) = split_key(text)?;
    if rest.is_empty() {
        Ok(key)
    } else {
        Err(ChangeError::Quote(text.to_owned()))
    }
}

/// The key's parts, and the rest of the text from the first `=` outside quotes.
fn split_key(text: &str) -> Result<(Vec<String>, &str), ChangeError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted
                .split_once('"')
                .ok_or_else(|| ChangeError::Quote(text.to_owned()))?;
            part = inside;
            rest = after;
        } else {
            let end = rest.find(['.', '=', '"']).unwrap_or(rest.len());
            (part, rest) = rest.split_at(end);
        }
        if part.is_empty() {
            return Err(ChangeError::EmptyPart(text.to_owned()));
        }
        parts.push(part.to_owned());
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None if rest.is_empty() || rest.starts_with('=') => return Ok((parts, rest)),
            None => return Err(ChangeError::Quote(text.to_owned())),
        }
    }
}

fn parse_value(text: &str) -> Result<Value, YamlError> {
    Ok(match text {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if text.starts_with(['[', '{', '"', '\'']) => {
            return read_value(text.as_bytes());
        }
        _ => match serde_json::from_str::<Number>(text) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text.to_owned()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(text: &str) -> (Vec<String>, Value) {
        match parse_set(text).unwrap() {
            Change::Set { key, value } => (key, value),
            Change::Unset { key } => panic!("unset {key:?}"),
        }
    }

    #[test]
    fn values_are_text_unless_they_look_like_something_else() {
        for (text, value) in [
            ("4", json!(4)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("8GiB", json!("8GiB")),
            ("8192MiB", json!("8192MiB")),
            ("no", json!("no")),
            ("on", json!("on")),
            ("007", json!("007")),
            ("1e999", json!("1e999")),
            ("", json!("")),
            ("a=b", json!("a=b")),
            ("@x: #1", json!("@x: #1")),
            ("*star", json!("*star")),
            ("\"5\"", json!("5")),
            ("'true'", json!("true")),
            ("[192.0.2.1/24, dhcp]", json!(["192.0.2.1/24", "dhcp"])),
            (
                "{size: 8GiB, keep: true}",
                json!({"size": "8GiB", "keep": true}),
            ),
        ] {
            let (key, found) = set(&format!("k={text}"));
            assert_eq!(key, ["k"]);
            assert_eq!(found, value, "{text}");
        }
    }

    #[test]
    fn keys_are_dotted_paths_with_quoted_parts() {
        assert_eq!(set("disks.root.size=8GiB").0, ["disks", "root", "size"]);
        assert_eq!(
            set("labels.\"example.org/a=b\"=x").0,
            ["labels", "example.org/a=b"]
        );
        assert_eq!(
            parse_key("labels.\"a.b\".c").unwrap(),
            ["labels", "a.b", "c"]
        );
    }

    #[test]
    fn what_is_no_change_is_refused_with_the_reason() {
        for (text, reason) in [
            ("memory", "there is no `=`"),
            ("=x", "a part of it is empty"),
            ("a..b=x", "a part of it is empty"),
            ("a.=x", "a part of it is empty"),
            ("labels.\"a=x", "a quote is not closed"),
            ("labels.\"a\"b=x", "a quote is not closed"),
            ("a=[1,", "the value of `a` is no YAML"),
        ] {
            let error = parse_set(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = parse_key("a=b").unwrap_err();
        assert!(matches!(error, ChangeError::Quote(_)), "{error}");
    }
}
