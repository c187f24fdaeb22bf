//! Paths to single keys of a definition: `memory`, `disks.root.size`, `labels."app.name"`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::problem::{Problem, ProblemKind};

/// A path to a key. A part with a dot or a quote in it is written in quotes; below `labels`, whose
/// keys may hold dots, the rest of the path is one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<String>);

/// Why a text is no path to a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyPathError {
    #[error("`{0}` is no key: a part of it is empty")]
    Empty(String),
    #[error("`{0}` is no key: a quote is not closed, or in the middle of a part")]
    Quote(String),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyEdit {
    /// Say this there; `null` unsets what is inherited.
    Set(Value),
    /// Say what a person typed: a number, `true`, `null` or JSON where the key takes that, else the
    /// text itself.
    Type(String),
    /// Say nothing there: inherited again.
    Remove,
    /// As `Remove`, where something is written there; otherwise it is as it should be.
    Forget,
}

impl KeyPath {
    /// The path with these parts, as they are.
    #[must_use]
    pub fn from_keys(keys: Vec<String>) -> Self {
        Self(keys)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// The path in the spelling that a normalised definition has.
    fn normalised(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.0.iter().map(String::as_str).collect();
        if let ["hypervisors", _, key] = keys[..] {
            match key {
                "hypervisor_type" => keys[2] = "type",
                "username" => keys[2] = "user",
                "verify_ssl" => {
                    keys[2] = "tls";
                    keys.push("verify");
                }
                _ => {}
            }
        }
        keys
    }

    pub(crate) fn normalised_keys(&self) -> Vec<String> {
        self.normalised().into_iter().map(str::to_owned).collect()
    }

    /// Changes the key in a definition's document; says why where that is not possible.
    pub(crate) fn edit(&self, document: &mut Value, edit: Option<Value>) -> Result<(), Problem> {
        let keys = self.normalised();
        let refused = |reason: String| Problem {
            key: self.clone(),
            kind: ProblemKind::Edit(reason),
        };
        let Some((last, way)) = keys.split_last() else {
            return Err(refused("name a key, as in memory=8GiB".to_owned()));
        };
        let mut here = document;
        for (at, key) in way.iter().enumerate() {
            let so_far =
                || Self::from_keys(keys[..=at].iter().map(|&key| key.to_owned()).collect());
            let members = match here {
                Value::Object(members) => members,
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => {
                    return Err(refused("only an object has keys".to_owned()));
                }
            };
            if edit.is_none() && !members.contains_key(*key) {
                return Err(refused("nothing is written there".to_owned()));
            }
            here = members
                .entry(*key)
                .or_insert_with(|| Value::Object(Map::new()));
            if here.is_null() {
                return Err(refused(format!(
                    "`{}` is null here, which unsets all that is inherited; remove or replace that first",
                    so_far()
                )));
            }
        }
        let Value::Object(members) = here else {
            return Err(refused("only an object has keys".to_owned()));
        };
        match edit {
            Some(value) => {
                members.insert((*last).to_owned(), value);
            }
            None => {
                if members.shift_remove(*last).is_none() {
                    return Err(refused("nothing is written there".to_owned()));
                }
            }
        }
        Ok(())
    }
}

impl FromStr for KeyPath {
    type Err = KeyPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(80).collect::<String>();
        let mut keys: Vec<String> = Vec::new();
        let mut rest = text;
        loop {
            let is_label = match keys.as_slice() {
                [labels] => labels == "labels",
                [prototypes, _, labels] => prototypes == "prototypes" && labels == "labels",
                _ => false,
            };
            if let Some(quoted) = rest.strip_prefix('"') {
                let (key, after) = unquote(quoted).ok_or_else(|| KeyPathError::Quote(shown()))?;
                keys.push(key);
                match after.strip_prefix('.') {
                    Some(more) => rest = more,
                    None if after.is_empty() => break,
                    None => return Err(KeyPathError::Quote(shown())),
                }
            } else if is_label {
                keys.push(rest.to_owned());
                break;
            } else {
                let (key, more) = match rest.split_once('.') {
                    Some((key, more)) => (key, Some(more)),
                    None => (rest, None),
                };
                if key.contains('"') {
                    return Err(KeyPathError::Quote(shown()));
                }
                keys.push(key.to_owned());
                match more {
                    Some(more) => rest = more,
                    None => break,
                }
            }
        }
        if keys.iter().any(String::is_empty) {
            return Err(KeyPathError::Empty(shown()));
        }
        Ok(Self(keys))
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return text.get(at + 1..).map(|after| (key, after)),
            '\\' => key.push(chars.next()?.1),
            other => key.push(other),
        }
    }
    None
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write_key(f, key)?;
        }
        Ok(())
    }
}

fn write_key(f: &mut impl fmt::Write, key: &str) -> fmt::Result {
    if !key.is_empty() && !key.contains(['.', '"', '\\']) {
        return f.write_str(key);
    }
    f.write_char('"')?;
    for c in key.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

/// `path` with one more key, as text.
pub(crate) fn below(path: &str, key: &str) -> String {
    let mut text = path.to_owned();
    if !text.is_empty() {
        text.push('.');
    }
    // Writing into a String does not fail.
    let _ = write_key(&mut text, key);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for (text, keys) in [
            ("memory", vec!["memory"]),
            ("disks.root.size", vec!["disks", "root", "size"]),
            (r#"settings."a.b""#, vec!["settings", "a.b"]),
            (r#"settings."a\"b\\".c"#, vec!["settings", "a\"b\\", "c"]),
        ] {
            let path: KeyPath = text.parse().unwrap();
            assert_eq!(path.keys(), keys);
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn a_label_may_hold_dots_without_quotes() {
        let path: KeyPath = "labels.app.kubernetes.io/name".parse().unwrap();
        assert_eq!(path.keys(), ["labels", "app.kubernetes.io/name"]);
        let path: KeyPath = "prototypes.p.labels.a.b".parse().unwrap();
        assert_eq!(path.keys(), ["prototypes", "p", "labels", "a.b"]);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b", "labels."] {
            assert!(
                matches!(text.parse::<KeyPath>(), Err(KeyPathError::Empty(_))),
                "{text}"
            );
        }
        for text in ["\"a", "a.\"b", "a\"b", "\"a\"b", "\"a\\"] {
            assert!(
                matches!(text.parse::<KeyPath>(), Err(KeyPathError::Quote(_))),
                "{text}"
            );
        }
    }
}
