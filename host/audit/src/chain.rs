//! Whether entries follow from each other.

use enginehouse_model::InstallationId;
use thiserror::Error;

use crate::entry::{Entry, beginning};
use crate::hash::Hash;
use crate::head::Head;

/// A log as far as it was read: entries are given one after the other, and none has to be kept.
#[derive(Clone, Debug)]
pub struct Chain {
    head: Head,
    kept: Option<(Head, Option<Hash>)>,
    epoch: u64,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Break {
    #[error("after entry {after} comes entry {found}: what was between them is missing")]
    Gap { after: u64, found: u64 },
    #[error(
        "after entry {after} comes entry {found}: entries were put there twice, or in another order"
    )]
    Order { after: u64, found: u64 },
    #[error(
        "entry {number} does not have the hash that follows from it and the entry before: it was changed, or that one was"
    )]
    Hash { number: u64 },
    #[error(
        "entry {number} is of epoch {found}, the one before it of epoch {before}: an older log was put together with a newer one"
    )]
    Epoch {
        number: u64,
        before: u64,
        found: u64,
    },
    #[error("the log ends with entry {found}, and the host says that its newest is {expected}")]
    Short { expected: u64, found: u64 },
}

/// How a log stands to a head that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The entry is there with that hash: what comes before it is what it was.
    Holds,
    /// The entry has another hash: it, or one before it, is not what it was.
    Differs { found: Hash },
    /// The log ends before it.
    Missing { newest: u64 },
}

impl Chain {
    #[must_use]
    pub fn of(installation: InstallationId) -> Self {
        let head = Head {
            number: 0,
            hash: beginning(installation),
        };
        Self {
            head,
            kept: None,
            epoch: 0,
        }
    }

    /// Watches on the way for an entry that a person has kept the hash of. Before the first entry.
    #[must_use]
    pub fn watching(mut self, kept: Head) -> Self {
        let found = (kept.number == self.head.number).then_some(self.head.hash);
        self.kept = Some((kept, found));
        self
    }

    /// The newest entry so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The hash that the next entry has.
    #[must_use]
    pub fn next(&self, entry: &Entry) -> Hash {
        entry.hash(self.head.hash)
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// When it does not follow from those before.
    pub fn take(&mut self, entry: &Entry, hash: Hash) -> Result<(), Break> {
        let after = self.head.number;
        let found = entry.number;
        if found <= after {
            return Err(Break::Order { after, found });
        }
        if found != after + 1 {
            return Err(Break::Gap { after, found });
        }
        if self.next(entry) != hash {
            return Err(Break::Hash { number: found });
        }
        if entry.epoch < self.epoch {
            return Err(Break::Epoch {
                number: found,
                before: self.epoch,
                found: entry.epoch,
            });
        }
        self.epoch = entry.epoch;
        self.head = Head {
            number: found,
            hash,
        };
        if let Some((kept, seen)) = &mut self.kept
            && kept.number == found
        {
            *seen = Some(hash);
        }
        Ok(())
    }

    /// The log is over; the host says that its newest entry is `newest`, or an older one, if there were
    /// more since.
    ///
    /// # Errors
    /// When it is not there.
    pub fn ends(&self, newest: u64) -> Result<(), Break> {
        if self.head.number >= newest {
            return Ok(());
        }
        Err(Break::Short {
            expected: newest,
            found: self.head.number,
        })
    }

    /// How the head that is watched for stands to what was read; `None`: none is.
    #[must_use]
    pub fn compared(&self) -> Option<Compared> {
        let (kept, seen) = self.kept?;
        Some(match seen {
            Some(found) if found == kept.hash => Compared::Holds,
            Some(found) => Compared::Differs { found },
            None => Compared::Missing {
                newest: self.head.number,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use enginehouse_model::{OperationId, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{Action, HeadError};

    fn installation(number: u128) -> InstallationId {
        InstallationId::from_uuid(Uuid::from_u128(number))
    }

    fn entry(number: u64) -> Entry {
        Entry {
            number,
            epoch: 1 + number / 7,
            at: Timestamp(1000 + number),
            who: "ann".to_owned(),
            action: Action::Order.to_string(),
            node: number.is_multiple_of(2).then(|| "n".to_owned()),
            path: Some(format!("/web/vm{number}")),
            operation: number.is_multiple_of(3).then_some(OperationId(number)),
            detail: BTreeMap::from([("kind".to_owned(), "deploy".to_owned())]),
        }
    }

    fn log(entries: u64) -> Vec<(Entry, Hash)> {
        let mut chain = Chain::of(installation(7));
        let mut log = Vec::new();
        for number in 1..=entries {
            let entry = entry(number);
            let hash = chain.next(&entry);
            chain.take(&entry, hash).unwrap();
            log.push((entry, hash));
        }
        log
    }

    fn verify(log: &[(Entry, Hash)]) -> Result<Chain, Break> {
        let mut chain = Chain::of(installation(7));
        for (entry, hash) in log {
            chain.take(entry, *hash)?;
        }
        Ok(chain)
    }

    #[test]
    fn the_bytes_of_an_entry_are_those_of_version_1() {
        // Whoever changes how entries are hashed makes every log that exists one that is broken.
        let log = log(3);
        let hashes: Vec<String> = log.iter().map(|(_, hash)| hash.to_string()).collect();
        assert_eq!(hashes, GOLDEN);
        let head = verify(&log).unwrap().head();
        assert_eq!(head.to_string(), format!("3:{}", hashes[2]));
        assert_eq!(head.to_string().parse(), Ok(head));
        let shown = serde_json::to_string(&log[1].0).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&shown).unwrap(), log[1].0);
    }

    const GOLDEN: [&str; 3] = [
        "8d5e46485b7b09aa3c99c602ac821ee3d3bd537d177dc368ed3270ec3cfe0f3d",
        "2959023747e4894c595ea3dca79d6123056042758f14b791ec624d6a135dc969",
        "2db752bc5c1f792dfa5d5fe87598a586374afdb619fb9dd849bc1cee53e87089",
    ];

    #[test]
    fn what_is_no_head_is_refused() {
        let hash = "0".repeat(64);
        for text in [
            "",
            ":",
            "3",
            &hash,
            "3:abc",
            &format!("-1:{hash}"),
            &format!("3:{hash}0"),
        ] {
            assert_eq!(text.parse::<Head>(), Err(HeadError), "{text}");
        }
        assert!(format!(" 3:{hash}\n").parse::<Head>().is_ok());
    }

    #[test]
    fn a_log_of_another_installation_does_not_begin_here() {
        let log = log(3);
        let mut other = Chain::of(installation(8));
        let (entry, hash) = &log[0];
        assert_eq!(other.take(entry, *hash), Err(Break::Hash { number: 1 }));
    }

    #[test]
    fn a_log_that_was_cut_off_is_known_by_the_head_that_was_kept() {
        let whole = log(9);
        let kept = verify(&whole).unwrap().head();
        let compare = |log: &[(Entry, Hash)]| {
            let mut chain = Chain::of(installation(7)).watching(kept);
            for (entry, hash) in log {
                chain.take(entry, *hash).unwrap();
            }
            chain.compared().unwrap()
        };
        assert_eq!(compare(&whole), Compared::Holds);
        assert_eq!(compare(&log(20)), Compared::Holds);
        // Nothing in what is left is wrong by itself.
        assert_eq!(compare(&whole[..8]), Compared::Missing { newest: 8 });
        let chain = verify(&whole[..8]).unwrap();
        assert_eq!(
            chain.ends(9),
            Err(Break::Short {
                expected: 9,
                found: 8
            })
        );
        assert_eq!(chain.ends(8), Ok(()));
        // All of it made anew, from an entry that was changed on.
        let mut chain = Chain::of(installation(7)).watching(kept);
        for number in 1..=9 {
            let mut entry = entry(number);
            if number == 4 {
                entry.who = "bob".to_owned();
            }
            let hash = chain.next(&entry);
            chain.take(&entry, hash).unwrap();
        }
        assert!(matches!(chain.compared(), Some(Compared::Differs { .. })));
    }

    #[test]
    fn an_entry_of_a_life_before_does_not_come_later() {
        let mut log = log(8);
        let mut chain = verify(&log).unwrap();
        let mut entry = entry(9);
        entry.epoch = 1;
        let hash = chain.next(&entry);
        assert_eq!(
            chain.take(&entry, hash),
            Err(Break::Epoch {
                number: 9,
                before: 2,
                found: 1
            })
        );
        log.push((entry, hash));
        assert!(verify(&log).is_err());
    }

    /// One thing that somebody does to a log.
    fn tamper(log: &mut Vec<(Entry, Hash)>, at: usize, how: usize) {
        let other = at + 1;
        match how {
            0 => log[at].0.who.push('x'),
            1 => log[at].0.at.0 += 1,
            2 => log[at].0.action = "other".to_owned(),
            3 => log[at].0.node = Some("other".to_owned()),
            4 => log[at].0.path = None,
            5 => log[at].0.operation = Some(OperationId(4711)),
            6 => {
                log[at].0.detail.insert("x".to_owned(), String::new());
            }
            7 => log[at].0.detail.clear(),
            8 => log[at].0.epoch += 1,
            9 => log[at].1.0[31] ^= 1,
            10 => {
                log.remove(at);
            }
            11 => log.swap(at, other),
            12 => {
                let again = log[at].clone();
                log.insert(at, again);
            }
            // Another entry with a hash of its own that follows from the one before.
            _ => {
                let before = match at {
                    0 => Chain::of(installation(7)).head().hash,
                    _ => log[at - 1].1,
                };
                log[at].0.who = "bob".to_owned();
                log[at].1 = log[at].0.hash(before);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_an_entry_is_found(at in 0_usize..19, how in 0_usize..14) {
            let mut log = log(20);
            tamper(&mut log, at, how);
            let found = verify(&log).unwrap_err();
            // It is found where it was done, or at the entry after it.
            let near = [at as u64 + 1, at as u64 + 2];
            let number = match found {
                Break::Gap { after, .. } | Break::Order { after, .. } => after + 1,
                Break::Hash { number } | Break::Epoch { number, .. } => number,
                Break::Short { .. } => 0,
            };
            prop_assert!(near.contains(&number), "{found:?}");
        }

        #[test]
        fn no_two_entries_have_the_same_bytes(
            a in proptest::collection::vec("[a:]{0,3}", 4),
            b in proptest::collection::vec("[a:]{0,3}", 4),
        ) {
            let of = |parts: &[String]| Entry {
                who: parts[0].clone(),
                action: parts[1].clone(),
                path: (!parts[2].is_empty()).then(|| parts[2].clone()),
                detail: BTreeMap::from([(parts[3].clone(), parts[0].clone())]),
                ..entry(1)
            };
            let before = Hash([0; 32]);
            let (a, b) = (of(&a), of(&b));
            prop_assert_eq!(a == b, a.hash(before) == b.hash(before));
        }
    }
}
