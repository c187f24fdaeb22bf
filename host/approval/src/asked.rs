//! Who may sign for a node now.

use enginehouse_model::FullName;

use crate::quorum::Quorum;

/// Who may sign for a node now, the node that says so, and lines that are no keys.
#[derive(Clone, Debug)]
pub struct Asked {
    pub quorum: Quorum,
    pub by: FullName,
    pub unusable: Vec<String>,
}

impl Asked {
    /// `need` signatures of these keys, as the node `by` asks for them, for what `author` ordered.
    #[must_use]
    pub fn of<L: AsRef<str>>(need: u32, keys: &[L], by: FullName, author: &str) -> Self {
        let (quorum, unusable) = Quorum::of(need, keys, author);
        let unusable = unusable
            .into_iter()
            .map(|(at, error)| format!("key {} of {}: {error}", at + 1, keys.len()))
            .collect();
        Self {
            quorum,
            by,
            unusable,
        }
    }
}
