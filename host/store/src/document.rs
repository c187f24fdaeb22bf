//! A JSON document with the version of its shape.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What a row holds: JSON text, and the version of its shape, which the owner of the document counts
/// up when a reader of the old shape could no longer read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    pub version: u16,
    /// JSON.
    pub body: String,
}

/// Without the body: definitions hold passwords, and what is shown for debugging ends in logs.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("version", &self.version)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A document could not be written or read.
#[derive(Debug, Error)]
pub enum DocumentError {
    #[error("cannot be written as JSON")]
    Write(#[source] serde_json::Error),
    #[error("a document of version {version} does not have the expected shape")]
    Read {
        version: u16,
        #[source]
        source: serde_json::Error,
    },
}

impl Document {
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are no text.
    pub fn of<T: Serialize>(version: u16, value: &T) -> Result<Self, DocumentError> {
        let body = serde_json::to_string(value).map_err(DocumentError::Write)?;
        Ok(Self { version, body })
    }

    /// # Errors
    /// When the body is not a `T`. Look at `version` first where there is more than one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        serde_json::from_str(&self.body).map_err(|source| DocumentError::Read {
            version: self.version,
            source,
        })
    }
}
