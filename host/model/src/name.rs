//! Full names of nodes: `/web/front/vm1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest part of a full name, in characters: what a DNS label holds.
const SEGMENT_MAX: usize = 63;

/// A node's place in the tree, the key for people. The root is `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FullName(Vec<String>);

/// Why a text is no full name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("`{0}` is no full name: it must begin with `/`, as in /web/vm1")]
    NoSlash(String),
    #[error("`{name}` is no full name: {source}")]
    Segment {
        name: String,
        #[source]
        source: SegmentError,
    },
}

/// Why a text is no name of a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name has at most {SEGMENT_MAX} characters, this one has {0}")]
    TooLong(usize),
    #[error(
        "`{}` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        .0.escape_debug()
    )]
    Character(char),
}

impl FullName {
    #[must_use]
    pub fn root() -> Self {
        Self(Vec::new())
    }

    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// # Errors
    /// When `name` is no name of a node.
    pub fn child(&self, name: &str) -> Result<Self, SegmentError> {
        check_segment(name)?;
        let mut segments = self.0.clone();
        segments.push(name.to_owned());
        Ok(Self(segments))
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

fn check_segment(name: &str) -> Result<(), SegmentError> {
    let length = name.chars().count();
    if length == 0 {
        return Err(SegmentError::Empty);
    }
    if length > SEGMENT_MAX {
        return Err(SegmentError::TooLong(length));
    }
    let first_bad = name
        .chars()
        .enumerate()
        .find(|(at, c)| !(c.is_ascii_alphanumeric() || (*at > 0 && matches!(c, '-' | '_' | '.'))));
    match first_bad {
        Some((_, c)) => Err(SegmentError::Character(c)),
        None => Ok(()),
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.0 {
            write!(f, "/{segment}")?;
        }
        Ok(())
    }
}

impl FromStr for FullName {
    type Err = NameError;

    /// A trailing slash is allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(200).collect::<String>();
        let Some(rest) = text.strip_prefix('/') else {
            return Err(NameError::NoSlash(shown()));
        };
        if rest.is_empty() {
            return Ok(Self::root());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            check_segment(segment).map_err(|source| NameError::Segment {
                name: shown(),
                source,
            })?;
            segments.push(segment.to_owned());
        }
        Ok(Self(segments))
    }
}

impl From<FullName> for String {
    fn from(name: FullName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for FullName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for text in ["/", "/web", "/web/front/vm-1.a_b"] {
            assert_eq!(text.parse::<FullName>().unwrap().to_string(), text);
        }
        assert_eq!("/web/".parse::<FullName>().unwrap().to_string(), "/web");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        for (text, reason) in [
            ("web", "must begin with"),
            ("//", "must not be empty"),
            ("/a//b", "must not be empty"),
            ("/a/..", "`.` is not allowed"),
            ("/a b", "` ` is not allowed"),
            ("/a\u{7}", "not allowed"),
            ("/-a", "`-` is not allowed"),
        ] {
            let error = text.parse::<FullName>().unwrap_err();
            let text = match &error {
                NameError::Segment { source, .. } => source.to_string(),
                NameError::NoSlash(_) => error.to_string(),
            };
            assert!(text.contains(reason), "{text} / {reason}");
        }
        let long = format!("/{}", "x".repeat(10_000));
        let error = long.parse::<FullName>().unwrap_err().to_string();
        assert!(error.len() < 400, "{}", error.len());
    }

    #[test]
    fn within_goes_by_whole_parts() {
        let name = |text: &str| text.parse::<FullName>().unwrap();
        assert!(name("/web/vm").is_within(&name("/web")));
        assert!(name("/web").is_within(&name("/web")));
        assert!(!name("/website").is_within(&name("/web")));
        assert!(name("/web").is_within(&FullName::root()));
    }
}
