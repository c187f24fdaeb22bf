//! What is wrong with a file, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::layout::shown_path;

/// Longest text of a message or key, in characters.
const SHOWN: usize = 400;

/// A text on one line that is not too long. What is escaped could steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN));
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A place in a file. Both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

/// One thing that is wrong with a file. Its text is what compilers write:
/// `web/vm1.yaml:7:11: disks.root.size: expected …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// Relative path of the file.
    pub file: String,
    /// Absent where it is about the file as a whole.
    pub place: Option<Place>,
    /// Path of the key it is about, as people write it; may be empty.
    pub key: String,
    /// On one line. Values of secret keys are never repeated in it.
    pub message: String,
    /// The way out, where the message does not say it.
    pub hint: Option<String>,
}

impl FileProblem {
    /// About a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            key: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_path(&self.file))?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
