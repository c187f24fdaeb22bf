//! Drift that is remembered.

use enginehouse_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FieldChange;

/// A field that was found otherwise than it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// See [`FieldChange::field`].
    pub field: String,
    pub deployed: String,
    pub observed: String,
    /// When the oldest observation was made that showed it so or otherwise, and never as deployed.
    pub since: Timestamp,
}

/// What is new of a machine's drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Nothing,
    Appeared,
    Changed,
    Gone,
}

/// What `found`, seen at `at`, makes of what was remembered.
#[must_use]
pub fn remember(before: &[Drifted], found: &[FieldChange], at: Timestamp) -> (Vec<Drifted>, News) {
    let now: Vec<Drifted> = found
        .iter()
        .map(|change| {
            let known = before.iter().find(|known| known.field == change.field);
            Drifted {
                field: change.field.clone(),
                deployed: change.from.clone(),
                observed: change.to.clone(),
                since: known.map_or(at, |known| known.since),
            }
        })
        .collect();
    let news = match (before.is_empty(), now.is_empty()) {
        _ if before == now => News::Nothing,
        (true, _) => News::Appeared,
        (false, true) => News::Gone,
        (false, false) => News::Changed,
    };
    (now, news)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(field: &str, from: &str, to: &str) -> FieldChange {
        FieldChange {
            field: field.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn a_field_that_stays_otherwise_keeps_its_age() {
        let found = [change("vcpu", "2", "4")];
        let (one, news) = remember(&[], &found, Timestamp(10));
        assert_eq!(news, News::Appeared);
        assert_eq!(remember(&one, &found, Timestamp(20)).1, News::Nothing);
        let found = [change("vcpu", "2", "8"), change("memory", "1 GiB", "2 GiB")];
        let (two, news) = remember(&one, &found, Timestamp(20));
        assert_eq!(news, News::Changed);
        let ages: Vec<u64> = two.iter().map(|drifted| drifted.since.0).collect();
        assert_eq!(ages, [10, 20]);
        let (none, news) = remember(&two, &[], Timestamp(30));
        assert_eq!((none.len(), news), (0, News::Gone));
        assert_eq!(remember(&[], &[], Timestamp(30)).1, News::Nothing);
    }
}
