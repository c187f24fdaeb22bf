//! A key, its text form, and the id by which documents name it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::sealed::RandomError;

/// What the text form begins with: no other file begins so, and a later form can be told from it.
const PREFIX: &str = "enginehouse-key-v1:";

/// 256 bits from the system's random generator. Wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

/// Tells keys apart and says nothing of them: the beginning of a hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// A text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("it is empty")]
    Empty,
    #[error("it does not begin with `{PREFIX}`")]
    Prefix,
    #[error("what follows `{PREFIX}` is not 32 bytes in base64")]
    Form,
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| RandomError(error.to_string()))?;
        Ok(Self(bytes))
    }

    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = Zeroizing::new(blake3::derive_key(
            "enginehouse secret key v1 id",
            self.0.as_slice(),
        ));
        KeyId(hash[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The text form, without a line's end: for the key's file alone.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(self.0.as_slice())))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    /// The text form; white space around it is nothing.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| KeyError::Form)?;
        let decoded = Zeroizing::new(decoded);
        let bytes = decoded.as_slice().try_into().map_err(|_| KeyError::Form)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// Without the key.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_never_shown() {
        let key = SecretKey::random().unwrap();
        let text = key.text();
        let read: SecretKey = format!("  {}\n", text.as_str()).parse().unwrap();
        assert_eq!(read.bytes(), key.bytes());
        assert_eq!(read.id(), key.id());
        let shown = format!("{key:?} {}", key.id());
        assert!(!shown.contains(&text[PREFIX.len()..]), "{shown}");
        assert_ne!(SecretKey::random().unwrap().id(), key.id());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (text, error) in [
            ("", KeyError::Empty),
            ("\n", KeyError::Empty),
            ("hunter2", KeyError::Prefix),
            ("enginehouse-key-v2:AAAA", KeyError::Prefix),
            ("enginehouse-key-v1:", KeyError::Form),
            ("enginehouse-key-v1:AAAA", KeyError::Form),
            ("enginehouse-key-v1:!!!!", KeyError::Form),
        ] {
            assert_eq!(text.parse::<SecretKey>().unwrap_err(), error, "{text}");
        }
    }
}
