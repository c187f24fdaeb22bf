//! Which machines are read in full next.
//!
//! What is new or has changed in the list is read at once. Everything else has its turn once in a
//! while, the one that was read longest ago first, and evenly: in each moment as many as it takes
//! to come round in that while. So a restart, which forgets what was read, costs no more than any
//! other moment.

use enginehouse_model::Timestamp;

/// How many machines may be read because it is their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub machines: usize,
    /// What is left of the time, for the next question.
    pub carry: u64,
}

/// How many of `machines` have their turn in `elapsed_ms`, when each has one in `full_ms`. `carry` is
/// that of the answer before.
#[must_use]
pub fn allowance(machines: usize, elapsed_ms: u64, full_ms: u64, carry: u64) -> Allowance {
    let full = u128::from(full_ms.max(1));
    let time = machines as u128 * u128::from(elapsed_ms) + u128::from(carry);
    let due = usize::try_from(time / full).unwrap_or(usize::MAX);
    Allowance {
        machines: due.min(machines),
        carry: u64::try_from(time % full).unwrap_or_default(),
    }
}

/// The `allowance` machines that were read longest ago, first those that never were. Of those read at
/// one time the order is that of the machines.
#[must_use]
pub fn turns<'a>(
    machines: impl Iterator<Item = (&'a str, Option<Timestamp>)>,
    allowance: usize,
) -> Vec<&'a str> {
    if allowance == 0 {
        return Vec::new();
    }
    let mut all: Vec<(Option<Timestamp>, usize, &str)> = machines
        .enumerate()
        .map(|(place, (id, read_at))| (read_at, place, id))
        .collect();
    if allowance < all.len() {
        all.select_nth_unstable(allowance);
        all.truncate(allowance);
    }
    all.sort_unstable();
    all.into_iter().map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn five_hundred_machines_in_a_day_are_five_hundred_reads() {
        let mut carry = 0;
        let mut read = 0;
        let mut most = 0;
        for _ in 0..24 * 60 {
            let due = allowance(500, 60_000, DAY_MS, carry);
            carry = due.carry;
            read += due.machines;
            most = most.max(due.machines);
        }
        assert_eq!((read, most), (500, 1));
    }

    #[test]
    fn who_was_never_read_comes_first_and_then_who_was_read_longest_ago() {
        let machines = [
            ("a", Some(Timestamp(3))),
            ("b", None),
            ("c", Some(Timestamp(1))),
            ("d", None),
        ];
        assert_eq!(turns(machines.into_iter(), 3), ["b", "d", "c"]);
        assert_eq!(turns(machines.into_iter(), 9), ["b", "d", "c", "a"]);
        assert!(turns(machines.into_iter(), 0).is_empty());
    }

    proptest! {
        #[test]
        fn everybody_has_a_turn_in_time_and_the_load_is_even(
            machines in 1_usize..200,
            interval_ms in 1_u64..600_000,
            rounds in 1_u64..200,
        ) {
            let full_ms = interval_ms * rounds;
            let mut read: BTreeMap<String, Option<Timestamp>> =
                (0..machines).map(|id| (id.to_string(), None)).collect();
            let mut carry = 0;
            let mut now = 0;
            for _ in 0..rounds * 3 {
                now += interval_ms;
                let due = allowance(machines, interval_ms, full_ms, carry);
                carry = due.carry;
                prop_assert!(due.machines <= machines.div_ceil(usize::try_from(rounds).unwrap()));
                let ids = read.iter().map(|(id, at)| (id.as_str(), *at));
                let next: Vec<String> =
                    turns(ids, due.machines).into_iter().map(str::to_owned).collect();
                for id in next {
                    read.insert(id, Some(Timestamp(now)));
                }
                for at in read.values() {
                    let age = now - at.map_or(0, |at| at.0);
                    prop_assert!(age <= full_ms, "{age} of {full_ms}");
                }
            }
        }
    }
}
