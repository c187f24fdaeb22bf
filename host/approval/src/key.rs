//! Public keys, as a line of `authorized_keys` has them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use thiserror::Error;

use crate::wire::{Reader, padded};

/// Longest line, bytes: an RSA key of 8192 bits has 1,500.
const LINE_MAX: usize = 8192;
/// Bit of the flags of a security key: somebody touched it.
const TOUCHED: u8 = 1;

/// A text that is no public key that can sign here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("it is not a public key: expected `ssh-ed25519 AAAA… NAME`")]
    Malformed,
    #[error("it has options before the key; write the key alone")]
    Options,
    #[error(
        "keys of the type `{0}` cannot sign here: use ssh-ed25519, ecdsa-sha2-nistp256 or -nistp384, ssh-rsa, or the sk- kinds of the first two"
    )]
    Unsupported(String),
}

/// A public key and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    blob: Vec<u8>,
    kind: Kind,
    comment: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Ed25519 {
        key: Vec<u8>,
    },
    Ecdsa {
        curve: Curve,
        point: Vec<u8>,
    },
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    SkEd25519 {
        key: Vec<u8>,
        application: Vec<u8>,
    },
    SkEcdsa {
        point: Vec<u8>,
        application: Vec<u8>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    fn of(name: &str) -> Option<Self> {
        match name {
            "nistp256" => Some(Self::P256),
            "nistp384" => Some(Self::P384),
            _ => None,
        }
    }

    /// Bytes of a coordinate.
    fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

impl PublicKey {
    /// Reads `TYPE BASE64 COMMENT`.
    ///
    /// # Errors
    /// When it is none, has options before it, or is of a type that cannot sign here.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        if line.len() > LINE_MAX || line.contains(['\n', '\r']) {
            return Err(KeyError::Malformed);
        }
        let mut words = line.splitn(3, char::is_whitespace);
        let (Some(kind), Some(encoded)) = (words.next(), words.next()) else {
            return Err(KeyError::Malformed);
        };
        let Ok(blob) = STANDARD.decode(encoded) else {
            let has_options = line
                .split_whitespace()
                .skip(1)
                .any(|word| word.starts_with("ssh-") || word.starts_with("ecdsa-"));
            return Err(match has_options {
                true => KeyError::Options,
                false => KeyError::Malformed,
            });
        };
        let comment = words.next().unwrap_or_default().trim().to_owned();
        let key = Self::from_blob(blob)?;
        // What stands before the key and what is in it have to agree.
        match Reader::new(&key.blob).text() == Some(kind) {
            true => Ok(Self { comment, ..key }),
            false => Err(KeyError::Malformed),
        }
    }

    /// A key without a comment, from its bytes as in SSH (RFC 4253, section 6.6).
    pub(crate) fn from_blob(blob: Vec<u8>) -> Result<Self, KeyError> {
        let kind = kind_of(&blob)?;
        Ok(Self {
            blob,
            kind,
            comment: String::new(),
        })
    }

    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:…`, as `ssh-keygen -l` says it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, &self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// Whose it is: what its comment says, or its fingerprint where it has none.
    #[must_use]
    pub fn owner(&self) -> String {
        match self.comment.is_empty() {
            true => self.fingerprint(),
            false => self.comment.clone(),
        }
    }

    /// Whether `signature`, of the algorithm that it says, is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], algorithm: &str, rest: Reader<'_>) -> bool {
        self.verify(message, algorithm, rest).is_some()
    }

    fn verify(&self, message: &[u8], algorithm: &str, mut rest: Reader<'_>) -> Option<()> {
        let signature = rest.string()?;
        match &self.kind {
            Kind::Ed25519 { key } if algorithm == "ssh-ed25519" => {
                rest.is_empty().then_some(())?;
                check(&ED25519, key, message, signature)
            }
            Kind::Ecdsa { curve, point } if algorithm == self.type_name()? => {
                rest.is_empty().then_some(())?;
                let signature = fixed(signature, *curve)?;
                check(curve.algorithm(), point, message, &signature)
            }
            Kind::Rsa { n, e } => {
                rest.is_empty().then_some(())?;
                let parameters = match algorithm {
                    "rsa-sha2-512" => &RSA_PKCS1_2048_8192_SHA512,
                    "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                    // `ssh-rsa` is SHA-1.
                    _ => return None,
                };
                let signature = padded(signature, n.len())?;
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, &signature)
                    .ok()
            }
            Kind::SkEd25519 { key, application } if algorithm == self.type_name()? => {
                let message = touched(message, application, rest)?;
                check(&ED25519, key, &message, signature)
            }
            Kind::SkEcdsa { point, application } if algorithm == self.type_name()? => {
                let message = touched(message, application, rest)?;
                let signature = fixed(signature, Curve::P256)?;
                check(&ECDSA_P256_SHA256_FIXED, point, &message, &signature)
            }
            Kind::Ed25519 { .. }
            | Kind::Ecdsa { .. }
            | Kind::SkEd25519 { .. }
            | Kind::SkEcdsa { .. } => None,
        }
    }

    fn type_name(&self) -> Option<&str> {
        Reader::new(&self.blob).text()
    }
}

/// A fingerprint says which it is.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.fingerprint(), self.comment)
    }
}

fn kind_of(blob: &[u8]) -> Result<Kind, KeyError> {
    let mut reader = Reader::new(blob);
    let name = reader.text().ok_or(KeyError::Malformed)?;
    let kind = match name {
        "ssh-ed25519" => ed25519(&mut reader).map(|key| Kind::Ed25519 { key }),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => {
            ecdsa(&mut reader, name).map(|(curve, point)| Kind::Ecdsa { curve, point })
        }
        "ssh-rsa" => rsa(&mut reader),
        "sk-ssh-ed25519@openssh.com" => ed25519(&mut reader).and_then(|key| {
            let application = reader.string()?.to_vec();
            Some(Kind::SkEd25519 { key, application })
        }),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            ecdsa(&mut reader, "ecdsa-sha2-nistp256").and_then(|(_, point)| {
                let application = reader.string()?.to_vec();
                Some(Kind::SkEcdsa { point, application })
            })
        }
        other => {
            return Err(KeyError::Unsupported(other.chars().take(40).collect()));
        }
    };
    kind.filter(|_| reader.is_empty())
        .ok_or(KeyError::Malformed)
}

fn ed25519(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let key = reader.string()?;
    (key.len() == 32).then(|| key.to_vec())
}

fn ecdsa(reader: &mut Reader<'_>, name: &str) -> Option<(Curve, Vec<u8>)> {
    let curve = reader.text()?;
    let agrees = name.strip_prefix("ecdsa-sha2-") == Some(curve);
    let curve = Curve::of(curve).filter(|_| agrees)?;
    let point = reader.string()?;
    // Uncompressed: RFC 5656, section 3.1.
    let fits = point.len() == 1 + 2 * curve.length() && point.first() == Some(&4);
    fits.then(|| (curve, point.to_vec()))
}

fn rsa(reader: &mut Reader<'_>) -> Option<Kind> {
    let e = reader.number()?.to_vec();
    let n = reader.number()?.to_vec();
    (!e.is_empty() && !n.is_empty()).then_some(Kind::Rsa { n, e })
}

/// The two numbers of an ECDSA signature, one behind the other.
fn fixed(signature: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let mut numbers = Reader::new(signature);
    let (r, s) = (numbers.number()?, numbers.number()?);
    numbers.is_empty().then_some(())?;
    let mut fixed = padded(r, curve.length())?;
    fixed.extend(padded(s, curve.length())?);
    Some(fixed)
}

/// What a security key signs (`PROTOCOL.u2f` of OpenSSH); none where nobody touched it.
fn touched(message: &[u8], application: &[u8], mut rest: Reader<'_>) -> Option<Vec<u8>> {
    let flags = rest.byte()?;
    let counter = rest.bytes(4)?;
    (rest.is_empty() && flags & TOUCHED != 0).then_some(())?;
    let mut signed = digest(&SHA256, application).as_ref().to_vec();
    signed.push(flags);
    signed.extend_from_slice(counter);
    signed.extend_from_slice(digest(&SHA256, message).as_ref());
    Some(signed)
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    UnparsedPublicKey::new(algorithm, key)
        .verify(message, signature)
        .ok()
}
