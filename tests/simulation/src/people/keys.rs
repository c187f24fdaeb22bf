//! The keys of those who approve, and what they sign with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enginehouse_approval::NAMESPACE;
use ring::digest::{SHA512, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Who orders everything.
pub(crate) const AUTHOR: &str = "client";
/// Those who may approve where a folder asks for it, with the author among them.
pub(crate) const PEOPLE: [&str; 4] = ["ann", "bob", "cleo", AUTHOR];
/// Somebody whose key is on no list.
pub(crate) const STRANGER: &str = "eve";

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn pair(person: &str) -> Option<Ed25519KeyPair> {
    let seed = digest(&SHA512, person.as_bytes());
    Ed25519KeyPair::from_seed_unchecked(seed.as_ref().get(..32)?).ok()
}

fn blob(pair: &Ed25519KeyPair) -> Vec<u8> {
    let key = pair.public_key().as_ref();
    [string(b"ssh-ed25519"), string(key)].concat()
}

/// Somebody's public key, as in `authorized_keys`.
#[must_use]
pub fn line(person: &str) -> String {
    let blob = pair(person).map(|pair| blob(&pair)).unwrap_or_default();
    format!("ssh-ed25519 {} {person}@desk", STANDARD.encode(blob))
}

/// What `ssh-keygen -Y sign` writes of a text (`PROTOCOL.sshsig` of OpenSSH).
pub(crate) fn signature(person: &str, text: &str) -> String {
    let Some(pair) = pair(person) else {
        return String::new();
    };
    let namespace = string(NAMESPACE.as_bytes());
    let hashed = string(digest(&SHA512, text.as_bytes()).as_ref());
    let hash = string(b"sha512");
    let signed = [b"SSHSIG", &*namespace, &string(b""), &hash, &hashed].concat();
    let made = [string(b"ssh-ed25519"), string(pair.sign(&signed).as_ref())];
    let whole = [
        b"SSHSIG",
        &1_u32.to_be_bytes()[..],
        &string(&blob(&pair)),
        &namespace,
        &string(b""),
        &hash,
        &string(&made.concat()),
    ];
    let encoded = STANDARD.encode(whole.concat());
    format!("-----BEGIN SSH SIGNATURE-----\n{encoded}\n-----END SSH SIGNATURE-----\n")
}
