//! The newest entry of a log, as a person writes it down: `42:6f1e…`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::Hash;

/// Number and hash of an entry. Number 0: the log is empty, and the hash is where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub number: u64,
    pub hash: Hash,
}

/// A text is no head of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a head is written NUMBER:HASH, with 64 hexadecimal digits")]
pub struct HeadError;

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (number, hash) = text.trim().split_once(':').ok_or(HeadError)?;
        Ok(Self {
            number: number.parse().map_err(|_| HeadError)?,
            hash: hash.parse().map_err(|_| HeadError)?,
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}
