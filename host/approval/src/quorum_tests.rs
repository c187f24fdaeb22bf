use super::*;
use crate::made::Made;
use crate::signature::NAMESPACE;

const TEXT: &[u8] = b"what is to go";

fn signature(key: &Made) -> Signature {
    Signature::parse(&key.sign(NAMESPACE, TEXT)).unwrap()
}

fn quorum(need: u32, keys: &[&Made], author: &str) -> Quorum {
    let lines: Vec<String> = keys.iter().map(|key| key.line()).collect();
    let (quorum, unusable) = Quorum::of(need, &lines, author);
    assert_eq!(unusable, []);
    quorum
}

#[test]
fn so_many_different_people_have_to_sign() {
    let (ann, bob) = (Made::new(1, "ann@desk"), Made::new(2, "bob"));
    let second = Made::new(3, "Ann@laptop");
    let quorum = quorum(2, &[&ann, &bob, &second], "cleo");
    assert_eq!(quorum.may_sign(), ["ann@desk", "bob"]);
    let signer = |key: &Made| quorum.sign(&signature(key), TEXT).unwrap();
    let (by_ann, by_bob, again) = (signer(&ann), signer(&bob), signer(&second));
    assert_eq!(quorum.missing([]), 2);
    assert_eq!(quorum.missing([&by_ann]), 1);
    assert_eq!(quorum.missing([&by_ann, &by_ann]), 1);
    // The same person with another key.
    assert_eq!(quorum.missing([&by_ann, &again]), 1);
    assert_eq!(quorum.missing([&by_ann, &again, &by_bob]), 0);
}

#[test]
fn who_ordered_it_does_not_approve_it() {
    let (ann, bob) = (Made::new(1, "ann@desk"), Made::new(2, "bob"));
    let quorum = quorum(1, &[&ann, &bob], "ann");
    assert_eq!(quorum.may_sign(), ["bob"]);
    let refused = quorum.sign(&signature(&ann), TEXT).unwrap_err();
    let author = Refused::Author {
        owner: "ann@desk".to_owned(),
        author: "ann".to_owned(),
    };
    assert_eq!(refused, author);
    let by_bob = quorum.sign(&signature(&bob), TEXT).unwrap();
    assert_eq!(by_bob.owner, "bob");
    let by_ann = Signer {
        owner: "bob".to_owned(),
        fingerprint: PublicKey::parse(&ann.line()).unwrap().fingerprint(),
    };
    // Also not by a signature that is on record under another name.
    assert_eq!(quorum.missing([&by_ann]), 1);
    assert_eq!(quorum.missing([&by_bob]), 0);
}

#[test]
fn a_key_that_also_stands_there_as_the_authors_is_the_authors() {
    let (one, same) = (Made::new(1, "robot"), Made::new(1, "ann"));
    let quorum = quorum(1, &[&one, &same], "ann");
    assert_eq!(quorum.may_sign(), [""; 0]);
    assert!(!quorum.can_be_met());
    assert!(quorum.sign(&signature(&one), TEXT).is_err());
}

#[test]
fn one_key_under_two_names_is_one_signature() {
    let (one, same) = (Made::new(1, "bob"), Made::new(1, "robert"));
    let quorum = quorum(2, &[&one, &same], "ann");
    assert!(!quorum.can_be_met());
    let by_bob = quorum.sign(&signature(&one), TEXT).unwrap();
    let by_robert = Signer {
        owner: "robert".to_owned(),
        ..by_bob.clone()
    };
    assert_eq!(quorum.missing([&by_bob, &by_robert]), 1);
}

#[test]
fn a_strangers_key_and_one_that_was_taken_away_do_not_count() {
    let (ann, bob) = (Made::new(1, "ann"), Made::new(2, "bob"));
    let both = quorum(1, &[&ann, &bob], "cleo");
    let by_bob = both.sign(&signature(&bob), TEXT).unwrap();
    let only_ann = quorum(1, &[&ann], "cleo");
    let refused = only_ann.sign(&signature(&bob), TEXT).unwrap_err();
    assert_eq!(refused, Refused::Stranger(by_bob.fingerprint.clone()));
    assert_eq!(both.missing([&by_bob]), 0);
    assert_eq!(only_ann.missing([&by_bob]), 1);
    let refused = both.sign(&signature(&bob), b"something else").unwrap_err();
    assert!(matches!(
        refused,
        Refused::Signature(SignatureError::Wrong(_))
    ));
}

#[test]
fn lines_that_cannot_sign_are_told_by_their_place() {
    let bob = Made::new(2, "bob").line();
    let lines = ["ssh-ed25519 A", &bob];
    let (quorum, unusable) = Quorum::of(2, &lines, "ann");
    assert_eq!(unusable, [(0, KeyError::Malformed)]);
    assert!(!quorum.can_be_met());
    assert_eq!(quorum.missing([]), 2);
}
