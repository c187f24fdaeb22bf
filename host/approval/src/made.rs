//! Keys and signatures for tests, made as the formats say it and not with the code that reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The application of the security keys.
const APPLICATION: &[u8] = b"ssh:";

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// An Ed25519 key, told apart by `seed`.
pub(crate) struct Made {
    pair: Ed25519KeyPair,
    comment: String,
}

impl Made {
    pub(crate) fn new(seed: u8, comment: &str) -> Self {
        Self {
            pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(),
            comment: comment.to_owned(),
        }
    }

    fn blob(&self) -> Vec<u8> {
        [
            string(b"ssh-ed25519"),
            string(self.pair.public_key().as_ref()),
        ]
        .concat()
    }

    pub(crate) fn line(&self) -> String {
        let line = format!(
            "ssh-ed25519 {} {}",
            STANDARD.encode(self.blob()),
            self.comment
        );
        line.trim_end().to_owned()
    }

    pub(crate) fn sign(&self, namespace: &str, text: &[u8]) -> String {
        let message = message(namespace, text);
        let signature = [
            string(b"ssh-ed25519"),
            string(self.pair.sign(&message).as_ref()),
        ]
        .concat();
        armour(&self.blob(), namespace, &signature)
    }

    fn sk_blob(&self) -> Vec<u8> {
        [
            string(b"sk-ssh-ed25519@openssh.com"),
            string(self.pair.public_key().as_ref()),
            string(APPLICATION),
        ]
        .concat()
    }

    pub(crate) fn sk_line(&self) -> String {
        let encoded = STANDARD.encode(self.sk_blob());
        format!("sk-ssh-ed25519@openssh.com {encoded} {}", self.comment)
    }

    /// As a security key signs, that was touched or not.
    pub(crate) fn sk_sign(&self, namespace: &str, text: &[u8], flags: u8) -> String {
        let tail = [vec![flags], 7_u32.to_be_bytes().to_vec()].concat();
        let signed = [
            digest(&SHA256, APPLICATION).as_ref(),
            &tail,
            digest(&SHA256, &message(namespace, text)).as_ref(),
        ]
        .concat();
        let signature = [
            string(b"sk-ssh-ed25519@openssh.com"),
            string(self.pair.sign(&signed).as_ref()),
            tail,
        ]
        .concat();
        armour(&self.sk_blob(), namespace, &signature)
    }
}

fn message(namespace: &str, text: &[u8]) -> Vec<u8> {
    [
        b"SSHSIG".to_vec(),
        string(namespace.as_bytes()),
        string(b""),
        string(b"sha512"),
        string(digest(&SHA512, text).as_ref()),
    ]
    .concat()
}

fn armour(key: &[u8], namespace: &str, signature: &[u8]) -> String {
    let blob = [
        b"SSHSIG".to_vec(),
        1_u32.to_be_bytes().to_vec(),
        string(key),
        string(namespace.as_bytes()),
        string(b""),
        string(b"sha512"),
        string(signature),
    ]
    .concat();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        STANDARD.encode(blob)
    )
}
