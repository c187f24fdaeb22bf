//! Who may sign, and how many of them have to.

use std::collections::BTreeSet;

use crate::key::{KeyError, PublicKey};
use crate::signature::{Signature, SignatureError};
use thiserror::Error;

/// The keys of a folder, as they count for what one person ordered.
#[derive(Clone, Debug)]
pub struct Quorum {
    need: u32,
    keys: Vec<PublicKey>,
    author: String,
}

/// A signature that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// As the comment of the key says.
    pub owner: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the key {0} is none of those that may approve this")]
    Stranger(String),
    #[error(
        "the key is of {owner}, and {author} ordered it: who orders something does not approve it"
    )]
    Author { owner: String, author: String },
}

impl Quorum {
    /// `need` signatures of these keys, for what `author` ordered; and what lines are no keys that can
    /// sign, with their place from 0.
    #[must_use]
    pub fn of<L: AsRef<str>>(
        need: u32,
        lines: &[L],
        author: &str,
    ) -> (Self, Vec<(usize, KeyError)>) {
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut unusable = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            match PublicKey::parse(line.as_ref()) {
                Ok(key) => keys.push(key),
                Err(error) => unusable.push((at, error)),
            }
        }
        let quorum = Self {
            need,
            keys,
            author: author.to_owned(),
        };
        (quorum, unusable)
    }

    #[must_use]
    pub fn need(&self) -> u32 {
        self.need
    }

    /// Those who may sign, as their keys name them: each person once, without the author.
    #[must_use]
    pub fn may_sign(&self) -> Vec<String> {
        let mut people = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let theirs =
            (self.keys.iter()).filter(|key| self.owners(key).all(|owner| !self.is_author(&owner)));
        theirs
            .filter(|key| keys.insert(key.blob()))
            .map(PublicKey::owner)
            .filter(|owner| people.insert(person(owner)))
            .collect()
    }

    /// Whether there are enough people who may sign.
    #[must_use]
    pub fn can_be_met(&self) -> bool {
        usize::try_from(self.need).is_ok_and(|need| self.may_sign().len() >= need)
    }

    /// Whose signature of `text` it is.
    ///
    /// # Errors
    /// When it is not one of these keys over exactly this text, or the author's.
    pub fn sign(&self, signature: &Signature, text: &[u8]) -> Result<Signer, Refused> {
        let fingerprint = signature.fingerprint();
        let key = self
            .keys
            .iter()
            .find(|key| key.fingerprint() == fingerprint);
        let key = key.ok_or_else(|| Refused::Stranger(fingerprint.clone()))?;
        signature.verify(key, text)?;
        // One key may stand in the list under several names: it is the author's if one of them is.
        if let Some(owner) = self.owners(key).find(|owner| self.is_author(owner)) {
            return Err(Refused::Author {
                owner,
                author: self.author.clone(),
            });
        }
        Ok(Signer {
            owner: key.owner(),
            fingerprint,
        })
    }

    /// How many signatures are still missing. Those count whose keys are still among these; of one
    /// person one, of one key one.
    #[must_use]
    pub fn missing<'s>(&self, signers: impl IntoIterator<Item = &'s Signer>) -> u32 {
        let mut people = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for signer in signers {
            let Some(key) = (self.keys.iter()).find(|key| key.fingerprint() == signer.fingerprint)
            else {
                continue;
            };
            let is_authors = self.owners(key).any(|owner| self.is_author(&owner));
            if is_authors || keys.contains(&signer.fingerprint) {
                continue;
            }
            if people.insert(person(&key.owner())) {
                keys.insert(signer.fingerprint.clone());
            }
        }
        let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
        self.need.saturating_sub(have)
    }

    /// All owners that the list gives to a key.
    fn owners<'k>(&'k self, key: &'k PublicKey) -> impl Iterator<Item = String> + 'k {
        let same = self.keys.iter().filter(|other| other.blob() == key.blob());
        same.map(PublicKey::owner)
    }

    fn is_author(&self, owner: &str) -> bool {
        person(owner) == person(&self.author)
    }
}

/// Who it is, on whatever machine: `ann` of `Ann@laptop`. Fingerprints are told apart by case.
fn person(name: &str) -> String {
    if name.starts_with("SHA256:") {
        return name.to_owned();
    }
    let name = name.trim();
    let before = name.split('@').next().unwrap_or_default().trim();
    let who = if before.is_empty() { name } else { before };
    who.to_lowercase()
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
