//! The key to seal with, and those that still open.

use enginehouse_model::SecretName;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::{KeyId, SecretKey};
use crate::sealed::{BrokenError, RandomError, Sealed};

/// Keys of a host.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SecretKey,
    others: Vec<SecretKey>,
}

/// A secret cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    #[error("it was encrypted with the key {needed}, and the host has {current}")]
    OtherKey { needed: KeyId, current: KeyId },
    #[error(transparent)]
    Broken(#[from] BrokenError),
}

impl Keyring {
    #[must_use]
    pub fn new(current: SecretKey, others: Vec<SecretKey>) -> Self {
        Self { current, others }
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.current.id()
    }

    /// The same keys and one more, which seals from now on.
    #[must_use]
    pub fn with_current(&self, current: SecretKey) -> Self {
        let mut others = self.others.clone();
        others.push(self.current.clone());
        others.retain(|other| other.id() != current.id());
        Self { current, others }
    }

    /// Whether one of the keys is this one.
    #[must_use]
    pub fn has(&self, key: &KeyId) -> bool {
        self.find(key).is_some()
    }

    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self, name: &SecretName, text: &str) -> Result<Sealed, RandomError> {
        Sealed::new(&self.current, name, text)
    }

    /// # Errors
    /// When none of the keys is the one that sealed it, or it is damaged.
    pub fn open(&self, name: &SecretName, sealed: &Sealed) -> Result<Zeroizing<String>, OpenError> {
        let key = self.find(&sealed.key).ok_or_else(|| OpenError::OtherKey {
            needed: sealed.key.clone(),
            current: self.current(),
        })?;
        Ok(sealed.open(key, name)?)
    }

    fn find(&self, id: &KeyId) -> Option<&SecretKey> {
        std::iter::once(&self.current)
            .chain(&self.others)
            .find(|key| key.id() == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_keys_still_open_and_the_newest_seals() {
        let name: SecretName = "a".parse().unwrap();
        let first = SecretKey::random().unwrap();
        let second = SecretKey::random().unwrap();
        let old = Keyring::new(first.clone(), Vec::new());
        let sealed = old.seal(&name, "p").unwrap();
        let ring = old.with_current(second.clone());
        assert_eq!(ring.current(), second.id());
        assert_eq!(ring.open(&name, &sealed).unwrap().as_str(), "p");
        assert_eq!(ring.seal(&name, "p").unwrap().key, second.id());
        let without = Keyring::new(second, Vec::new());
        let error = without.open(&name, &sealed).unwrap_err();
        assert!(
            error.to_string().contains(&first.id().to_string()),
            "{error}"
        );
        assert!(!without.has(&first.id()) && ring.has(&first.id()));
    }
}
