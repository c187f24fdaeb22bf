use proptest::prelude::*;

use super::*;
use crate::made::Made;

/// What `ssh-keygen` of OpenSSH 9.2 made: `tests/vectors`.
const TEXT: &[u8] = include_bytes!("../tests/vectors/text");

macro_rules! vector {
    ($name:literal) => {
        (
            include_str!(concat!("../tests/vectors/", $name, ".pub")),
            include_str!(concat!("../tests/vectors/", $name, ".sig")),
        )
    };
}

const GOOD: [(&str, &str); 4] = [
    vector!("ed25519"),
    vector!("ecdsa-256"),
    vector!("ecdsa-384"),
    vector!("rsa-2048"),
];

fn wrong(key: &PublicKey) -> Result<(), SignatureError> {
    Err(SignatureError::Wrong(key.owner()))
}

#[test]
fn what_ssh_keygen_signs_is_verified_for_every_type_of_key() {
    for (line, signature) in GOOD {
        let key = PublicKey::parse(line).unwrap();
        let signature = Signature::parse(signature).unwrap();
        assert_eq!(key.owner(), "ann@laptop");
        assert_eq!(signature.fingerprint(), key.fingerprint());
        assert_eq!(signature.verify(&key, TEXT), Ok(()), "{line}");
    }
    let (line, _) = GOOD[0];
    let key = PublicKey::parse(line).unwrap();
    // As `ssh-keygen -l` says it.
    assert_eq!(
        key.fingerprint(),
        "SHA256:xZgcXCI222o4uAawess6OCcGU0BIYX8rH715gZbg3+8"
    );
}

#[test]
fn another_text_or_another_key_is_not_what_was_signed() {
    for (line, signature) in GOOD {
        let key = PublicKey::parse(line).unwrap();
        let signature = Signature::parse(signature).unwrap();
        let mut other = TEXT.to_vec();
        other.push(b'\n');
        assert_eq!(signature.verify(&key, &other), wrong(&key));
        for (line, _) in GOOD.into_iter().filter(|(other, _)| *other != line) {
            let other = PublicKey::parse(line).unwrap();
            assert_eq!(signature.verify(&other, TEXT), wrong(&other));
        }
    }
}

#[test]
fn a_type_that_cannot_be_verified_is_named() {
    let (line, signature) = vector!("ecdsa-521");
    let unsupported = KeyError::Unsupported("ecdsa-sha2-nistp521".to_owned());
    assert_eq!(PublicKey::parse(line), Err(unsupported.clone()));
    assert_eq!(Signature::parse(signature), Err(unsupported.into()));
}

#[test]
fn a_signature_for_something_else_says_nothing_here() {
    let key = Made::new(1, "ann");
    let signature = key.sign("git", TEXT);
    assert_eq!(
        Signature::parse(&signature),
        Err(SignatureError::Namespace("git".to_owned()))
    );
    let signature = Signature::parse(&key.sign(NAMESPACE, TEXT)).unwrap();
    let key = PublicKey::parse(&key.line()).unwrap();
    assert_eq!(signature.verify(&key, TEXT), Ok(()));
}

#[test]
fn a_security_key_has_to_be_touched() {
    let made = Made::new(2, "ann");
    let key = PublicKey::parse(&made.sk_line()).unwrap();
    let verify = |flags| {
        let signature = made.sk_sign(NAMESPACE, TEXT, flags);
        Signature::parse(&signature).unwrap().verify(&key, TEXT)
    };
    assert_eq!(verify(1), Ok(()));
    assert_eq!(verify(5), Ok(()));
    assert_eq!(verify(0), wrong(&key));
    assert_eq!(verify(4), wrong(&key));
}

#[test]
fn lines_that_are_no_keys_say_what_is_wrong() {
    let line = Made::new(3, "ann smith").line();
    assert_eq!(PublicKey::parse(&line).unwrap().owner(), "ann smith");
    let bare = Made::new(3, "").line();
    let key = PublicKey::parse(&format!("  {bare}\n")).unwrap();
    assert_eq!(key.owner(), key.fingerprint());
    let options = format!("restrict,pty {line}");
    assert_eq!(PublicKey::parse(&options), Err(KeyError::Options));
    let renamed = line.replace("ssh-ed25519 ", "ssh-rsa ");
    for line in ["", "ssh-ed25519", "ssh-ed25519 A", "a b c", &renamed] {
        assert_eq!(PublicKey::parse(line), Err(KeyError::Malformed), "{line}");
    }
}

#[test]
fn a_signature_with_something_more_in_it_is_none() {
    let key = Made::new(4, "ann");
    let armoured = key.sign(NAMESPACE, TEXT);
    let encoded: String = armoured
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let mut bytes = STANDARD.decode(encoded).unwrap();
    bytes.push(0);
    let longer = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(bytes));
    assert_eq!(Signature::parse(&longer), Err(SignatureError::Malformed));
    for text in [
        "",
        BEGIN,
        "-----BEGIN SSH SIGNATURE----------END SSH SIGNATURE-----",
    ] {
        assert_eq!(Signature::parse(text), Err(SignatureError::Malformed));
    }
}

proptest! {
    #[test]
    fn one_byte_that_is_another_is_found(at in 0_usize..200, by in 1_u8..=255) {
        let (line, armoured) = GOOD[0];
        let key = PublicKey::parse(line).unwrap();
        let encoded: String = armoured.lines().filter(|line| !line.starts_with('-')).collect();
        let mut bytes = STANDARD.decode(encoded).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= by;
        let changed = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(bytes));
        let good = Signature::parse(&changed).is_ok_and(|it| it.verify(&key, TEXT).is_ok());
        prop_assert!(!good);
    }

    #[test]
    fn whatever_bytes_there_are_nothing_breaks(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut blob = MAGIC.to_vec();
        blob.extend(VERSION.to_be_bytes());
        blob.extend(&bytes);
        let armoured = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(&blob));
        prop_assert!(Signature::parse(&armoured).is_err());
        let line = format!("ssh-ed25519 {}", STANDARD.encode(&bytes));
        prop_assert!(PublicKey::parse(&line).is_err());
        let _ = Signature::parse(&String::from_utf8_lossy(&bytes));
    }
}
