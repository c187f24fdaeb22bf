//! Paths that cannot lead elsewhere, whatever an id looks like.

use std::fmt;

use crate::{Error, Result, encoding};

/// Path of a request. Strings become one as they are; [`path!`](crate::path!) fills values in,
/// percent-encoded, and refuses those that would change which path it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    /// Why it must not be sent.
    fault: Option<String>,
}

impl Path {
    /// Adds a segment, percent-encoded: `path!("/nodes/{}", node).push("qemu")`.
    #[must_use]
    pub fn push(mut self, segment: impl fmt::Display) -> Self {
        if !self.text.ends_with('/') {
            self.text.push('/');
        }
        self.add(&segment);
        self
    }

    /// What [`path!`](crate::path!) expands to. `template` has one `{}` for each value.
    #[doc(hidden)]
    #[must_use]
    pub fn fill(template: &str, values: &[&dyn fmt::Display]) -> Self {
        let mut path = Self {
            text: String::with_capacity(template.len() + 16 * values.len()),
            fault: None,
        };
        let mut values = values.iter();
        let mut pieces = template.split("{}");
        path.text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            if let Some(value) = values.next() {
                path.add(value);
            }
            path.text.push_str(piece);
        }
        path
    }

    fn add(&mut self, value: &dyn fmt::Display) {
        let value = value.to_string();
        // URL parsers resolve these, also when they are percent-encoded: there is no way to send
        // them, and `DELETE /machines/` + "" would be about something else altogether.
        if matches!(value.as_str(), "" | "." | "..") {
            self.fault
                .get_or_insert_with(|| format!("{value:?} cannot stand in a path"));
        }
        encoding::push(&mut self.text, &value);
    }

    /// # Errors
    /// `invalid` if it does not begin with `/`, is not percent-encoded, or a value cannot be sent.
    pub(crate) fn checked(self) -> Result<String> {
        let fault = if self.fault.is_some() {
            self.fault
        } else if !self.text.starts_with('/') {
            Some("it does not begin with `/`".to_owned())
        } else {
            self.text
                .chars()
                .find(|c| !c.is_ascii_graphic() || *c == '#')
                .map(|c| format!("{c:?} is not percent-encoded"))
        };
        match fault {
            None => Ok(self.text),
            Some(fault) => Err(Error::invalid(format_args!(
                "path {:?}: {fault}",
                self.text
            ))),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self { text, fault: None }
    }
}

impl From<&String> for Path {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

/// Number of `{}` in a template of [`path!`](crate::path!).
///
/// # Panics
/// At compile time, on any other brace: `{name}` would not be filled in.
#[doc(hidden)]
#[must_use]
#[expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler only, where a panic is the error message"
)]
pub const fn placeholders(template: &str) -> usize {
    let bytes = template.as_bytes();
    let mut count = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'{' {
            if at + 1 == bytes.len() || bytes[at + 1] != b'}' {
                panic!("a path has only `{{}}`, with the values after it");
            }
            count += 1;
            at += 1;
        } else if bytes[at] == b'}' {
            panic!("a path has only `{{}}`, with the values after it");
        }
        at += 1;
    }
    count
}

/// A path with percent-encoded values: `path!("/nodes/{}/qemu/{}/config", node, vmid)`.
///
/// A value may hold anything, also `/` and `?`; empty ones, `.` and `..` make the request fail with
/// `invalid` before it is sent.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// assert_eq!(path!("/pools/{}/members", "a b/c").to_string(), "/pools/a%20b%2Fc/members");
/// ```
///
/// The number of values is checked by the compiler:
///
/// ```compile_fail
/// # use enginehouse_sdk::prelude::*;
/// path!("/nodes/{}/qemu/{}", "pve1");
/// ```
#[macro_export]
macro_rules! path {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const {
            assert!(
                $crate::path::placeholders($template)
                    == <[&str]>::len(&[$(::std::stringify!($value)),*]),
                "a path needs as many values as placeholders"
            );
        }
        $crate::path::Path::fill($template, &[$(&$value as &dyn ::std::fmt::Display),*])
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_segment() {
        let path = crate::path!("/storage/{}/content/{}", "local", "local:iso/a b?.iso");
        assert_eq!(
            path.checked().unwrap(),
            "/storage/local/content/local%3Aiso%2Fa%20b%3F.iso"
        );
        let path = crate::path!("/nodes/{}", "pve1").push("qemu").push(105);
        assert_eq!(path.checked().unwrap(), "/nodes/pve1/qemu/105");
    }

    #[test]
    fn a_value_that_would_lead_elsewhere_is_refused() {
        for value in ["", ".", ".."] {
            let error = crate::path!("/machines/{}/disks", value)
                .checked()
                .unwrap_err();
            assert!(
                error.message().contains("cannot stand in a path"),
                "{error}"
            );
            assert!(crate::path!("/machines").push(value).checked().is_err());
        }
    }

    #[test]
    fn a_path_written_by_hand_must_be_encoded() {
        for path in ["machines", "/a b", "/a#b", "/ä", ""] {
            assert!(Path::from(path).checked().is_err(), "{path}");
        }
        assert!(Path::from("/a%20b?c=d").checked().is_ok());
    }
}
