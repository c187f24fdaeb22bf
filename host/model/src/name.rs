//! Full names of nodes: `/web/front/vm1`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest part of a full name, in characters: what a DNS label holds.
const SEGMENT_MAX: usize = 63;

/// A node's place in the tree, the key for people. The root is `/`.
///
/// One text, and cheap to clone: there are as many of them as nodes, and more.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FullName(Arc<str>);

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
        Self("/".into())
    }

    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (above, name) = self.0.rsplit_once('/')?;
        match (above, name) {
            ("", "") => None,
            ("", _) => Some(Self::root()),
            (above, _) => Some(Self(above.into())),
        }
    }

    /// Its parts; none for the root.
    #[must_use]
    pub fn segments(&self) -> Vec<&str> {
        let rest = self.0.strip_prefix('/').unwrap_or(&self.0);
        if rest.is_empty() {
            return Vec::new();
        }
        rest.split('/').collect()
    }

    /// How far below the root it is; 0 for the root itself.
    #[must_use]
    pub fn levels(&self) -> usize {
        if self.is_root() {
            return 0;
        }
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    /// # Errors
    /// When `name` is no name of a node.
    pub fn child(&self, name: &str) -> Result<Self, SegmentError> {
        check_segment(name)?;
        let above = if self.is_root() { "" } else { &self.0 };
        Ok(Self(format!("{above}/{name}").into()))
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self
                .0
                .strip_prefix(&*other.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// By parts: a node comes right before what is below it.
impl Ord for FullName {
    fn cmp(&self, other: &Self) -> Ordering {
        // `/` ends a part, so it is less than all that a part may hold.
        let key = |byte: u8| if byte == b'/' { 0 } else { byte };
        let (ours, others) = (self.0.bytes().map(key), other.0.bytes().map(key));
        ours.cmp(others)
    }
}

impl PartialOrd for FullName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullName({})", self.0)
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
        f.write_str(&self.0)
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
        for segment in rest.split('/') {
            check_segment(segment).map_err(|source| NameError::Segment {
                name: shown(),
                source,
            })?;
        }
        Ok(Self(format!("/{rest}").into()))
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
    fn names_are_in_the_order_of_their_parts() {
        let mut names: Vec<FullName> = ["/b", "/a-b", "/a/z", "/", "/a.c", "/a", "/a/b/c", "/a/b-"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mut by_parts = names.clone();
        by_parts.sort_by(|a, b| a.segments().cmp(&b.segments()));
        names.sort();
        assert_eq!(names, by_parts);
        assert_eq!(names[1].parent(), Some(FullName::root()));
        assert_eq!(FullName::root().parent(), None);
        let deep: FullName = "/a/b/c".parse().unwrap();
        assert_eq!(deep.parent().unwrap().to_string(), "/a/b");
        assert_eq!((deep.name(), FullName::root().name()), ("c", ""));
        assert_eq!(deep.parent().unwrap().child("c").unwrap(), deep);
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
