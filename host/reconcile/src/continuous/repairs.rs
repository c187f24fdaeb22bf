//! What was repaired, and what is given up.
//!
//! Somebody else may want a field otherwise, and repair it as faithfully as we do. A field that was
//! repaired [`TIMES`] times within [`WINDOW_MS`], and is otherwise again, is left to people: until one
//! of them orders something of the machine that brings it to a definition, or it was deployed with
//! another value.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::continuous::Drifted;

/// Repairs of a field that did not last, before it is left.
pub const TIMES: usize = 3;
/// Milliseconds after which a repair is no longer counted: a week.
pub const WINDOW_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What was repaired of a machine without a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repairs {
    /// When each field was.
    times: BTreeMap<String, Vec<Timestamp>>,
    left: BTreeMap<String, Left>,
}

/// A field that is not repaired any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    since: Timestamp,
    /// What it was deployed with.
    deployed: String,
}

impl Repairs {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.left.is_empty()
    }

    /// These fields were repaired.
    pub fn repaired<'f>(&mut self, fields: impl IntoIterator<Item = &'f str>, at: Timestamp) {
        for field in fields {
            let times = self.times.entry(field.to_owned()).or_default();
            times.push(at);
            let beyond = times.len().saturating_sub(TIMES);
            times.drain(..beyond);
        }
    }

    /// Takes in what has drifted now.
    pub fn judge(&mut self, drift: &[Drifted], now: Timestamp) {
        for times in self.times.values_mut() {
            times.retain(|at| now.since(*at) < WINDOW_MS);
        }
        self.times.retain(|_, times| !times.is_empty());
        self.left.retain(|field, left| {
            let found = drift.iter().find(|drifted| drifted.field == *field);
            found.is_none_or(|drifted| drifted.deployed == left.deployed)
        });
        for drifted in drift {
            let times = self.times.get(&drifted.field);
            if times.is_some_and(|times| times.len() >= TIMES) {
                // Counted from the beginning, should it ever be taken up again.
                self.times.remove(&drifted.field);
                let left = Left {
                    since: now,
                    deployed: drifted.deployed.clone(),
                };
                self.left.insert(drifted.field.clone(), left);
            }
        }
    }

    /// Since when a field is left, if so.
    #[must_use]
    pub fn left(&self, field: &str) -> Option<Timestamp> {
        self.left.get(field).map(|left| left.since)
    }

    /// The fields that are left.
    #[must_use]
    pub fn all_left(&self) -> BTreeSet<String> {
        self.left.keys().cloned().collect()
    }

    /// A person has brought the machine to its definition: all is tried again.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drifted(field: &str, deployed: &str) -> Drifted {
        Drifted {
            field: field.to_owned(),
            deployed: deployed.to_owned(),
            observed: "x".to_owned(),
            since: Timestamp(0),
        }
    }

    #[test]
    fn a_field_that_was_repaired_three_times_is_left_and_others_are_not() {
        let mut repairs = Repairs::default();
        let drift = [drifted("vcpu", "2"), drifted("memory", "1 GiB")];
        for at in [10, 20, 30] {
            repairs.judge(&drift, Timestamp(at));
            assert_eq!(repairs.left("vcpu"), None, "at {at}");
            repairs.repaired(["vcpu"], Timestamp(at));
        }
        // Repaired, and it stays so for a while.
        repairs.judge(&[], Timestamp(35));
        assert_eq!(repairs.left("vcpu"), None);
        repairs.judge(&drift, Timestamp(40));
        assert_eq!(repairs.left("vcpu"), Some(Timestamp(40)));
        assert_eq!(repairs.left("memory"), None);
        // It is left, also when somebody else sets it right for once.
        repairs.judge(&[], Timestamp(50));
        repairs.judge(&drift, Timestamp(60));
        assert_eq!(repairs.left("vcpu"), Some(Timestamp(40)));
    }

    #[test]
    fn another_deployed_value_or_a_person_takes_it_up_again() {
        let mut repairs = Repairs::default();
        for at in 0..3 {
            repairs.repaired(["vcpu"], Timestamp(at));
        }
        repairs.judge(&[drifted("vcpu", "2")], Timestamp(5));
        let kept = repairs.clone();
        assert!(repairs.left("vcpu").is_some());
        repairs.judge(&[drifted("vcpu", "4")], Timestamp(6));
        assert_eq!(repairs.left("vcpu"), None);
        let mut repairs = kept;
        repairs.forget();
        assert!(repairs.is_empty());
    }

    #[test]
    fn what_is_repaired_now_and_then_is_never_left() {
        let mut repairs = Repairs::default();
        for time in 0..20 {
            let at = Timestamp(time * (WINDOW_MS / 2));
            repairs.judge(&[drifted("vcpu", "2")], at);
            assert_eq!(repairs.left("vcpu"), None);
            repairs.repaired(["vcpu"], at);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_repaired_more_often_than_three_times_in_a_window(gaps in prop::collection::vec(0..WINDOW_MS / 3, 1..40)) {
            let mut repairs = Repairs::default();
            let mut now = Timestamp(0);
            let mut done: Vec<Timestamp> = Vec::new();
            for gap in gaps {
                now = now.plus_ms(gap);
                repairs.judge(&[drifted("vcpu", "2")], now);
                if repairs.left("vcpu").is_none() {
                    repairs.repaired(["vcpu"], now);
                    done.push(now);
                }
            }
            for (at, first) in done.iter().enumerate() {
                let within = done[at..].iter().filter(|time| time.since(*first) < WINDOW_MS);
                prop_assert!(within.count() <= TIMES);
            }
        }
    }
}
