//! What it means that a list does not show a machine that is on record.
//!
//! A machine is *missing* when two lists that looked everywhere, both later than our last step with
//! it, did not show it, and the provider says to a question about it alone that it is not there. Many
//! that are absent at once are rather a list that is wrong: then nothing is concluded until a person
//! agrees, or they are there again.

use enginehouse_model::{MachineRecord, Timestamp};

use crate::inventory::{Covered, List, covers};

/// More absent machines than this, and more than [`BRAKE_PERCENT`], are too many at once.
const BRAKE_MACHINES: usize = 10;
/// Per cent of the machines on record of a hypervisor.
const BRAKE_PERCENT: usize = 5;
/// Lists that looked everywhere and did not show it, before the provider is asked about a machine.
const LISTS: u32 = 2;

/// What a list says of a machine on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Shown,
    /// It looked everywhere, and the machine is not there.
    Absent,
    /// The host that it was on is away.
    HostAway,
    /// Nothing: it may be where the list did not look, the list began too early, or the provider is
    /// another one than that of the record.
    Unknown,
}

/// What `list`, made by the provider `identity`, says of the machine on `record`. What it shows may be
/// behind by `lag_ms`.
#[must_use]
pub fn sight(list: &List, lag_ms: u64, identity: &str, record: &MachineRecord) -> Sight {
    let Some(known) = &record.identity else {
        return Sight::Unknown;
    };
    if record.provider_identity != identity {
        return Sight::Unknown;
    }
    let entry = list.find(&known.machine_id);
    let covered = if list.is_complete() {
        Covered::Yes
    } else {
        let seen_on = entry.and_then(|entry| entry.shown.machine_ref().host);
        covers(&list.coverage, seen_on.as_deref().or(known.host.as_deref()))
    };
    let shown = entry.is_some_and(|entry| list.is_shown(entry));
    let as_of = Timestamp(list.began_at.0.saturating_sub(lag_ms));
    match covered {
        // Some providers list what was on a host that is away.
        Covered::HostAway => Sight::HostAway,
        Covered::Yes | Covered::Unknown if shown => Sight::Shown,
        Covered::Yes if as_of >= record.last_step_ended => Sight::Absent,
        Covered::Yes | Covered::Unknown => Sight::Unknown,
    }
}

/// A machine on record, and what the newest list says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case<K> {
    pub key: K,
    pub sight: Sight,
    /// Lists that looked everywhere and did not show it since it was last shown, with the newest.
    pub absences: u32,
    /// A person has agreed that it may be gone.
    pub agreed: bool,
    /// Its descriptor is deployed, not unreachable.
    pub reachable: bool,
}

/// What follows for the machines of a hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<K> {
    /// Too many are absent: nothing is concluded of those, and nothing is begun on the hypervisor.
    pub held: bool,
    /// The connection to these is lost.
    pub lost: Vec<K>,
    /// These are there again.
    pub back: Vec<K>,
    /// The provider is to be asked about each of these: those that it says are not there are missing.
    pub ask: Vec<K>,
}

/// Whether so many of `all` machines on record, absent at once, are too many to believe it.
#[must_use]
pub fn brakes(absent: usize, all: usize) -> bool {
    absent > BRAKE_MACHINES && absent * 100 > all * BRAKE_PERCENT
}

/// Decides about all machines on record of a hypervisor.
#[must_use]
pub fn judge<K: Copy>(cases: &[Case<K>]) -> Verdict<K> {
    let unexplained = cases
        .iter()
        .filter(|case| case.absences > 0 && !case.agreed);
    let held = brakes(unexplained.count(), cases.len());
    let those = |is: &dyn Fn(&Case<K>) -> bool| -> Vec<K> {
        cases
            .iter()
            .filter(|case| is(case))
            .map(|case| case.key)
            .collect()
    };
    let is_absent = |case: &Case<K>| case.sight == Sight::Absent && !held;
    Verdict {
        held,
        lost: those(&|case| case.reachable && (case.sight == Sight::HostAway || is_absent(case))),
        back: those(&|case| !case.reachable && case.sight == Sight::Shown),
        ask: those(&|case| is_absent(case) && case.absences >= LISTS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Shown;
    use enginehouse_model::documents::{Config, Coverage, Gap, Machine};
    use enginehouse_model::{
        HypervisorUid, Identity, InstallationId, MachineUid, Mark, NodeUid, OperationId,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    fn record(id: &str, host: &str) -> MachineRecord {
        let uid = MachineUid::from_uuid(Uuid::nil());
        MachineRecord {
            uid,
            node: NodeUid::from_uuid(Uuid::nil()),
            hypervisor: HypervisorUid::from_uuid(Uuid::nil()),
            provider_identity: "cluster".to_owned(),
            mark: Mark {
                installation: InstallationId::from_uuid(Uuid::nil()),
                machine: uid,
                operation: OperationId(1),
            },
            created_by: OperationId(1),
            identity: Some(Identity {
                machine_id: id.to_owned(),
                kind: None,
                host: Some(host.to_owned()),
                incarnation: None,
            }),
            slots: std::collections::BTreeMap::new(),
            deployed: Config::default(),
            last_step_ended: Timestamp(100),
            unnoted: false,
            protected: None,
        }
    }

    fn list(at: u64, ids: &[&str], away: Option<&str>) -> List {
        let shown = ids.iter().map(|id| {
            Shown::of(&Machine {
                id: (*id).to_owned(),
                ..Machine::default()
            })
        });
        let gaps = away.map(|host| Gap::host(host, "the node is offline"));
        let coverage = Coverage {
            gaps: gaps.into_iter().collect(),
        };
        List::of(Timestamp(at), shown.collect(), coverage, None)
    }

    #[test]
    fn only_a_later_list_that_looked_everywhere_says_that_a_machine_is_absent() {
        let ours = record("1", "pve1");
        let look = |list: &List| sight(list, 10, "cluster", &ours);
        assert_eq!(look(&list(200, &["1"], None)), Sight::Shown);
        assert_eq!(look(&list(200, &["2"], None)), Sight::Absent);
        // What it shows is from before our last step ended.
        assert_eq!(look(&list(109, &["2"], None)), Sight::Unknown);
        assert_eq!(look(&list(110, &["2"], None)), Sight::Absent);
        assert_eq!(look(&list(200, &["2"], Some("pve1"))), Sight::HostAway);
        // It may have moved there before that went away.
        assert_eq!(look(&list(200, &["2"], Some("pve2"))), Sight::Unknown);
        assert_eq!(look(&list(200, &["1"], Some("pve2"))), Sight::Shown);
        assert_eq!(look(&list(200, &["1"], Some("pve1"))), Sight::HostAway);
        let other = sight(&list(200, &["2"], None), 10, "another", &ours);
        assert_eq!(other, Sight::Unknown, "another provider says nothing of it");
    }

    fn cases(all: usize, absent: usize, sight: Sight) -> Vec<Case<usize>> {
        let case = |key| Case {
            key,
            sight: if key < absent { sight } else { Sight::Shown },
            absences: u32::from(key < absent && sight == Sight::Absent),
            agreed: false,
            reachable: true,
        };
        (0..all).map(case).collect()
    }

    #[test]
    fn forty_of_five_hundred_that_vanish_change_nothing_until_a_person_agrees() {
        let mut vanished = cases(500, 40, Sight::Absent);
        let nothing = Verdict {
            held: true,
            lost: vec![],
            back: vec![],
            ask: vec![],
        };
        assert_eq!(judge(&vanished), nothing);
        for case in &mut vanished[..40] {
            case.absences = 2;
        }
        assert_eq!(judge(&vanished), nothing, "nor does a second list");
        // A list that did not look everywhere does not take the brake off.
        let mut partial = vanished.clone();
        for case in &mut partial[..40] {
            case.sight = Sight::Unknown;
        }
        assert_eq!(judge(&partial), nothing);
        for case in &mut vanished[..40] {
            case.agreed = true;
        }
        let verdict = judge(&vanished);
        assert!(!verdict.held);
        assert_eq!(verdict.lost.len(), 40);
        assert_eq!(verdict.ask.len(), 40);
    }

    #[test]
    fn what_is_on_a_host_that_is_away_is_unreachable_however_much_it_is_and_never_missing() {
        let verdict = judge(&cases(500, 40, Sight::HostAway));
        assert!(!verdict.held);
        assert_eq!(verdict.lost.len(), 40);
        assert!(verdict.ask.is_empty());
    }

    #[test]
    fn the_brake_is_at_more_than_ten_machines_and_five_per_cent() {
        assert!(!brakes(10, 10));
        assert!(brakes(11, 11));
        assert!(brakes(11, 219));
        assert!(!brakes(11, 220));
        assert!(!brakes(25, 500));
        assert!(brakes(26, 500));
    }

    #[test]
    fn the_first_absence_is_a_lost_connection_and_the_second_a_question() {
        let mut one = cases(30, 1, Sight::Absent);
        let verdict = judge(&one);
        assert_eq!((verdict.lost, verdict.ask), (vec![0], vec![]));
        one[0].absences = 2;
        one[0].reachable = false;
        let verdict = judge(&one);
        assert_eq!((verdict.lost, verdict.ask), (vec![], vec![0]));
        one[0].sight = Sight::Shown;
        one[0].absences = 0;
        assert_eq!(judge(&one).back, [0]);
    }

    proptest! {
        #[test]
        fn nobody_is_asked_about_who_was_not_absent_twice_in_a_list_that_is_believed(
            rows in prop::collection::vec((0_u32..4, 0_u8..4, any::<bool>(), any::<bool>()), 0..60)
        ) {
            let cases: Vec<Case<usize>> = rows.iter().enumerate().map(|(key, row)| Case {
                key,
                sight: [Sight::Shown, Sight::Absent, Sight::HostAway, Sight::Unknown][usize::from(row.1)],
                absences: row.0,
                agreed: row.2,
                reachable: row.3,
            }).collect();
            let verdict = judge(&cases);
            for key in &verdict.ask {
                prop_assert!(!verdict.held);
                prop_assert!(cases[*key].absences >= 2 && cases[*key].sight == Sight::Absent);
            }
            for key in &verdict.lost {
                prop_assert!(cases[*key].reachable);
                prop_assert!(!verdict.held || cases[*key].sight == Sight::HostAway);
            }
            for key in &verdict.back {
                prop_assert!(cases[*key].sight == Sight::Shown);
            }
        }
    }
}
