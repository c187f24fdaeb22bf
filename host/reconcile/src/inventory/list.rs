//! All machines of a hypervisor at a time.

use enginehouse_model::Timestamp;
use enginehouse_model::documents::Coverage;

use crate::inventory::Shown;

/// A machine, and which list showed it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub shown: Shown,
    /// When the list that showed it began.
    pub at: Timestamp,
}

/// The newest list, and beside it what former lists showed of where it could not look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub began_at: Timestamp,
    pub coverage: Coverage,
    /// By id, in the order of its bytes.
    entries: Vec<Entry>,
}

/// Whether a list looked where a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    Yes,
    /// The host that it was on is named as a gap.
    HostAway,
    /// It may be where the list did not look.
    Unknown,
}

/// Whether a list of that coverage would have shown a machine that was last seen on `host`.
#[must_use]
pub fn covers(coverage: &Coverage, host: Option<&str>) -> Covered {
    let mut covered = Covered::Yes;
    for gap in &coverage.gaps {
        if gap.scope == "host" && Some(gap.name.as_str()) == host {
            return Covered::HostAway;
        }
        // It may have moved since it was seen, there too.
        covered = Covered::Unknown;
    }
    covered
}

impl List {
    /// A machine that is named twice, as when pages shift, is what it was the last time. What `before`
    /// had and this list could not see stays as it was, with its own time.
    #[must_use]
    pub fn of(
        began_at: Timestamp,
        shown: Vec<Shown>,
        coverage: Coverage,
        before: Option<&Self>,
    ) -> Self {
        let mut entries: Vec<Entry> = shown
            .into_iter()
            .map(|shown| Entry {
                shown,
                at: began_at,
            })
            .collect();
        if !coverage.gaps.is_empty()
            && let Some(before) = before
        {
            entries.extend(before.entries.iter().cloned());
        }
        // Stable: of equal ids, in lists that began at one time, the last one is to win.
        entries.reverse();
        entries.sort_by(|a, b| (&a.shown.id, b.at).cmp(&(&b.shown.id, a.at)));
        entries.dedup_by(|second, first| second.shown.id == first.shown.id);
        entries.shrink_to_fit();
        Self {
            began_at,
            coverage,
            entries,
        }
    }

    /// Whether it looked everywhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.coverage.gaps.is_empty()
    }

    /// All that is known to be there: by id, in the order of its bytes.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What this very list showed.
    pub fn shown(&self) -> impl Iterator<Item = &Shown> {
        let this = self.entries.iter().filter(|entry| self.is_shown(entry));
        this.map(|entry| &entry.shown)
    }

    /// Whether this very list showed it, and not one before.
    #[must_use]
    pub fn is_shown(&self, entry: &Entry) -> bool {
        entry.at == self.began_at
    }

    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| (*entry.shown.id).cmp(id));
        self.entries.get(at.ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_model::documents::{Gap, Machine};
    use proptest::prelude::*;

    fn shown(id: &str, name: &str) -> Shown {
        Shown::of(&Machine {
            id: id.to_owned(),
            name: Some(name.to_owned()),
            ..Machine::default()
        })
    }

    fn away(host: &str) -> Coverage {
        Coverage {
            gaps: vec![Gap::host(host, "the node is offline")],
        }
    }

    fn names(list: &List) -> Vec<(&str, &str, u64)> {
        let entry = |entry: &'_ Entry| entry.at.0;
        let shown = list.entries().iter();
        shown
            .map(|one| {
                let name = one.shown.name.as_deref().unwrap_or_default();
                (&*one.shown.id, name, entry(one))
            })
            .collect()
    }

    #[test]
    fn what_a_list_could_not_see_stays_as_it_was_with_its_own_time() {
        let first = vec![shown("1", "a"), shown("2", "b")];
        let first = List::of(Timestamp(10), first, Coverage::default(), None);
        let second = vec![shown("1", "c")];
        let partial = List::of(Timestamp(20), second.clone(), away("pve2"), Some(&first));
        assert_eq!(names(&partial), [("1", "c", 20), ("2", "b", 10)]);
        assert_eq!(partial.shown().count(), 1);
        assert!(!partial.is_complete());
        let whole = List::of(Timestamp(30), second, Coverage::default(), Some(&partial));
        assert_eq!(names(&whole), [("1", "c", 30)]);
    }

    #[test]
    fn of_a_machine_that_is_named_twice_the_last_counts() {
        let shown = vec![shown("1", "a"), shown("2", "b"), shown("1", "c")];
        let list = List::of(Timestamp(10), shown, Coverage::default(), None);
        assert_eq!(names(&list), [("1", "c", 10), ("2", "b", 10)]);
    }

    #[test]
    fn a_gap_anywhere_leaves_it_open_where_a_machine_is() {
        assert_eq!(covers(&Coverage::default(), None), Covered::Yes);
        assert_eq!(covers(&away("pve2"), Some("pve2")), Covered::HostAway);
        // It may have moved to pve2 before that went away.
        assert_eq!(covers(&away("pve2"), Some("pve1")), Covered::Unknown);
        assert_eq!(covers(&away("pve2"), None), Covered::Unknown);
        let all = Gap {
            scope: "all".to_owned(),
            ..Gap::default()
        };
        let all = Coverage { gaps: vec![all] };
        assert_eq!(covers(&all, Some("pve1")), Covered::Unknown);
    }

    proptest! {
        #[test]
        fn every_machine_is_found_and_only_once(ids in prop::collection::vec("[0-9a-c]{1,3}", 0..40)) {
            let all = ids.iter().map(|id| shown(id, id)).collect();
            let list = List::of(Timestamp(1), all, Coverage::default(), None);
            for id in &ids {
                prop_assert_eq!(&*list.find(id).unwrap().shown.id, id.as_str());
            }
            let unique: std::collections::BTreeSet<_> = ids.iter().collect();
            prop_assert_eq!(list.entries().len(), unique.len());
            prop_assert!(list.find("nothing").is_none());
        }
    }
}
