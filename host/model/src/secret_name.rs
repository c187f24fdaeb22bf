//! Names of secrets in the host's own store: `pve/root`, `web/h.password`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name of a secret: parts of letters, digits, `-`, `_` and `.`, each beginning with a letter or
/// digit, with `/` between them. At most 253 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SecretName(Arc<str>);

/// Why a text is no name of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretNameError {
    #[error("the name of a secret must not be empty")]
    Empty,
    #[error("the name of a secret has at most {longest} bytes, this one has {0}", longest = SecretName::LONGEST)]
    TooLong(usize),
    #[error(
        "`{}` is no name of a secret: use letters, digits, `-`, `_` and `.`, with `/` between parts that begin with a letter or digit, as in pve/root",
        .0.escape_debug()
    )]
    Form(String),
}

impl SecretName {
    /// Bytes of the longest name.
    pub const LONGEST: usize = 253;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a secret written at `key` of the node `node` gets: readable, and the same each
    /// time. What no name can hold is replaced; of what is too long the end is kept.
    #[must_use]
    pub fn generated<'k>(
        node: &crate::FullName,
        key: impl IntoIterator<Item = &'k str>,
        number: u32,
    ) -> Self {
        let key: Vec<&str> = key.into_iter().collect();
        let mut parts: Vec<String> = node.segments().iter().map(|part| plain(part)).collect();
        parts.push(plain(&key.join(".")));
        let mut name = parts.join("/");
        let suffix = if number > 1 {
            format!("-{number}")
        } else {
            String::new()
        };
        let room = Self::LONGEST - suffix.len();
        if name.len() > room {
            // All of it is ASCII by now.
            let end = name.split_off(name.len() - room);
            name = end
                .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
                .to_owned();
        }
        Self((name + &suffix).into())
    }
}

/// One part of a generated name.
fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
            _ => '-',
        })
        .collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        plain.insert(0, 'x');
    }
    plain
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        if text.is_empty() {
            return Err(SecretNameError::Empty);
        }
        if text.len() > SecretName::LONGEST {
            return Err(SecretNameError::TooLong(text.len()));
        }
        let fits = text.split('/').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        });
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(SecretNameError::Form(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, SecretNameError> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FullName;

    #[test]
    fn names_read_back_and_what_is_none_is_refused() {
        for text in ["a", "pve/root", "web/h.password-2", "0_x.y"] {
            let name: SecretName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        let long = "a".repeat(SecretName::LONGEST + 1);
        for text in [
            "", "/", "/a", "a/", "a//b", "..", "a/..", "a/../b", ".a", "-a", "a b", "ä", "a\n",
            "a\0", &long,
        ] {
            assert!(text.parse::<SecretName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn generated_names_are_names_whatever_they_are_made_of() {
        let node: FullName = "/web/front".parse().unwrap();
        let of = |key: &[&str], number| {
            SecretName::generated(&node, key.iter().copied(), number).to_string()
        };
        assert_eq!(of(&["h", "password"], 1), "web/front/h.password");
        assert_eq!(of(&["h", "password"], 3), "web/front/h.password-3");
        assert_eq!(of(&["ü/..", ".x"], 1), "web/front/x--....x");
        assert_eq!(of(&[], 1), "web/front/x");
        let root = SecretName::generated(&FullName::root(), ["h", "password"], 1);
        assert_eq!(root.as_str(), "h.password");
        let deep: FullName = "/a23456789-".repeat(40).parse().unwrap();
        for number in [1, 2, 4_294_967_295] {
            let name = SecretName::generated(&deep, ["password"], number);
            assert!(name.as_str().parse::<SecretName>().is_ok(), "{name}");
        }
    }
}
