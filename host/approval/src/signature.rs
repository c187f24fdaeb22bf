//! A detached signature, as `ssh-keygen -Y sign` writes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use thiserror::Error;

use crate::key::{KeyError, PublicKey};
use crate::wire::{Reader, put};

/// What signatures of approvals are made for: `ssh-keygen -Y sign -n enginehouse`.
pub const NAMESPACE: &str = "enginehouse";

/// Longest file, bytes: one with an RSA key of 8192 bits has 3,000.
const ARMOUR_MAX: usize = 16 * 1024;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// Why a text is no signature, or not this one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    #[error(
        "it is not an SSH signature: expected the file that `ssh-keygen -Y sign -n {NAMESPACE}` writes"
    )]
    Malformed,
    #[error("it was made for `{0}`, not for `{NAMESPACE}`")]
    Namespace(String),
    #[error("its hash `{0}` is not known: sha256 and sha512 are")]
    Hash(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Of another text, or of another key.
    #[error("it is not a signature of this text by {0}")]
    Wrong(String),
}

/// A signature that was read. Whether it is good says [`Signature::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    hash: Hash,
    /// `rsa-sha2-512` and the like.
    algorithm: String,
    /// What follows the algorithm.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Signature {
    /// Reads the armoured text; white space around it does not matter.
    ///
    /// # Errors
    /// When it is no signature, or one for something else.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let bytes = unarmour(text).ok_or(SignatureError::Malformed)?;
        let mut reader = Reader::new(&bytes);
        let read = Parts::read(&mut reader).ok_or(SignatureError::Malformed)?;
        if read.namespace != NAMESPACE {
            let shown = read.namespace.chars().take(40).collect();
            return Err(SignatureError::Namespace(shown));
        }
        let hash = match read.hash {
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            other => return Err(SignatureError::Hash(other.chars().take(40).collect())),
        };
        Ok(Self {
            key: PublicKey::from_blob(read.key.to_vec())?,
            hash,
            algorithm: read.algorithm.to_owned(),
            rest: read.rest.to_vec(),
        })
    }

    /// Of the key that it says it was made with, `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    /// # Errors
    /// When `key` did not make it over exactly these bytes, for [`NAMESPACE`].
    pub fn verify(&self, key: &PublicKey, text: &[u8]) -> Result<(), SignatureError> {
        let is_its_key = self.key.blob() == key.blob();
        let rest = Reader::new(&self.rest);
        match is_its_key && key.verifies(&self.signed(text), &self.algorithm, rest) {
            true => Ok(()),
            false => Err(SignatureError::Wrong(key.owner())),
        }
    }

    /// What the key signs: the text's digest, with what it was signed for.
    fn signed(&self, text: &[u8]) -> Vec<u8> {
        let digest = match self.hash {
            Hash::Sha256 => digest(&SHA256, text),
            Hash::Sha512 => digest(&SHA512, text),
        };
        let mut signed = MAGIC.to_vec();
        put(&mut signed, NAMESPACE.as_bytes());
        put(&mut signed, b"");
        put(&mut signed, self.hash.name().as_bytes());
        put(&mut signed, digest.as_ref());
        signed
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.fingerprint())
    }
}

/// The fields of the blob, `PROTOCOL.sshsig`.
struct Parts<'b> {
    key: &'b [u8],
    namespace: &'b str,
    hash: &'b str,
    algorithm: &'b str,
    rest: &'b [u8],
}

impl<'b> Parts<'b> {
    fn read(reader: &mut Reader<'b>) -> Option<Self> {
        (reader.bytes(MAGIC.len())? == MAGIC && reader.u32()? == VERSION).then_some(())?;
        let key = reader.string()?;
        let namespace = reader.text()?;
        let _reserved = reader.string()?;
        let hash = reader.text()?;
        let signature = reader.string()?;
        reader.is_empty().then_some(())?;
        let mut inner = Reader::new(signature);
        let algorithm = inner.text()?;
        let rest = signature.get(4 + algorithm.len()..)?;
        Some(Self {
            key,
            namespace,
            hash,
            algorithm,
            rest,
        })
    }
}

fn unarmour(text: &str) -> Option<Vec<u8>> {
    if text.len() > ARMOUR_MAX {
        return None;
    }
    let inside = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let encoded: String = inside
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
