//! One secret, encrypted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use enginehouse_model::SecretName;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::{KeyId, SecretKey};

/// Bytes of a nonce: so many that random ones do not meet.
const NONCE: usize = 24;

/// A secret that only the key opens that it names, and only under the name it was sealed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub key: KeyId,
    /// Nonce, ciphertext and tag, in base64.
    body: String,
}

/// The system gave no random numbers.
#[derive(Clone, Debug, Error)]
#[error("the system gives no random numbers: {0}")]
pub struct RandomError(pub(crate) String);

/// What is stored is not what was sealed under this name with this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is damaged, or was made for another name")]
pub struct BrokenError;

impl Sealed {
    /// Encrypts `text` for `name`.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(key: &SecretKey, name: &SecretName, text: &str) -> Result<Self, RandomError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| RandomError(error.to_string()))?;
        let aad = associated(name);
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &aad,
        };
        let sealed = cipher(key)
            .encrypt(&XNonce::from(nonce), payload)
            // Fails for texts of 256 GiB.
            .map_err(|error| RandomError(error.to_string()))?;
        let mut body = nonce.to_vec();
        body.extend(sealed);
        Ok(Self {
            key: key.id(),
            body: STANDARD.encode(body),
        })
    }

    /// # Errors
    /// When it is not what [`Sealed::new`] made with this key for this name.
    pub fn open(
        &self,
        key: &SecretKey,
        name: &SecretName,
    ) -> Result<Zeroizing<String>, BrokenError> {
        let body = STANDARD.decode(&self.body).map_err(|_| BrokenError)?;
        let (nonce, sealed) = body.split_first_chunk::<NONCE>().ok_or(BrokenError)?;
        let aad = associated(name);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let text = cipher(key)
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| BrokenError)?;
        match String::from_utf8(text) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(BrokenError)
            }
        }
    }
}

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.bytes()))
}

/// What the tag covers beside the text: a row that is copied under another name does not open.
fn associated(name: &SecretName) -> Vec<u8> {
    let mut bytes = b"enginehouse secret v1\0".to_vec();
    bytes.extend(name.as_str().as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_opens_with_its_key_under_its_name_and_not_otherwise() {
        let key = SecretKey::random().unwrap();
        let other = SecretKey::random().unwrap();
        for text in ["p", "päss wörd\n\u{1f511}\0", &"x".repeat(1 << 20)] {
            let sealed = Sealed::new(&key, &name("web/h.password"), text).unwrap();
            assert_eq!(sealed.key, key.id());
            let open = |key, of: &str| sealed.open(key, &name(of)).map(|text| text.to_string());
            assert_eq!(open(&key, "web/h.password").unwrap(), text);
            assert_eq!(open(&other, "web/h.password"), Err(BrokenError));
            assert_eq!(open(&key, "web/i.password"), Err(BrokenError));
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_alike_and_its_document_reads_back() {
        let key = SecretKey::random().unwrap();
        let one = Sealed::new(&key, &name("a"), "hunter2").unwrap();
        let two = Sealed::new(&key, &name("a"), "hunter2").unwrap();
        assert_ne!(one, two);
        let json = serde_json::to_string(&one).unwrap();
        assert!(!json.contains("hunter2"));
        let read: Sealed = serde_json::from_str(&json).unwrap();
        assert_eq!(read.open(&key, &name("a")).unwrap().as_str(), "hunter2");
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let key = SecretKey::random().unwrap();
        let sealed = Sealed::new(&key, &name("a"), "hunter2").unwrap();
        let bytes = STANDARD.decode(&sealed.body).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let damaged = Sealed {
                key: sealed.key.clone(),
                body: STANDARD.encode(&bytes),
            };
            assert!(damaged.open(&key, &name("a")).is_err(), "byte {at}");
            let short = Sealed {
                key: sealed.key.clone(),
                body: STANDARD.encode(&bytes[..at]),
            };
            assert!(short.open(&key, &name("a")).is_err(), "{at} bytes");
        }
        let no_base64 = Sealed {
            key: sealed.key,
            body: "!".to_owned(),
        };
        assert!(no_base64.open(&key, &name("a")).is_err());
    }
}
