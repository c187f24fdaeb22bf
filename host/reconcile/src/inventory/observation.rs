//! One machine, put together from lists and full reads.

use enginehouse_model::Timestamp;
use enginehouse_model::documents::{Machine, PowerState};

use crate::inventory::{Entry, Shown};

/// A machine as it was read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub shown: Shown,
    /// When the reading began.
    pub at: Timestamp,
}

/// A machine as it is known, with the ages of what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub machine: Machine,
    /// When the list began that showed it; absent where all is from a later full read.
    pub listed_at: Option<Timestamp>,
    /// When the reading began that its other values are from; absent where the list shows all.
    pub read_at: Option<Timestamp>,
}

impl Observation {
    /// When the oldest of its values was read.
    #[must_use]
    pub fn oldest(&self) -> Timestamp {
        let times = [self.listed_at, self.read_at].into_iter().flatten();
        times.min().unwrap_or_default()
    }

    /// Whether it shows all that a plan needs: configuration and mark.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        is_whole(&self.machine)
    }
}

fn is_whole(machine: &Machine) -> bool {
    machine.config.is_some() && machine.mark.is_some()
}

/// What is known of a machine from what began at `since` or later. The newer of list and full read
/// counts for each value that it shows; `None`: nothing is known.
///
/// Whoever takes in a list forgets what was read of a machine that [differs](super::differs) in it.
#[must_use]
pub fn observe(
    listed: Option<&Entry>,
    read: Option<&Read>,
    since: Timestamp,
) -> Option<Observation> {
    let listed = listed.filter(|entry| entry.at >= since);
    let read = read.filter(|read| read.at >= since);
    match (listed, read) {
        (None, None) => None,
        (Some(entry), None) => Some(Observation {
            machine: entry.shown.machine(),
            listed_at: Some(entry.at),
            read_at: None,
        }),
        (entry, Some(read)) if entry.is_none_or(|entry| entry.at <= read.at) => Some(Observation {
            machine: read.shown.machine(),
            listed_at: None,
            read_at: Some(read.at),
        }),
        (None, Some(_)) => None,
        (Some(entry), Some(read)) => {
            let list = entry.shown.machine();
            let read_at = (!is_whole(&list)).then_some(read.at);
            Some(Observation {
                machine: over(list, read.shown.machine()),
                listed_at: Some(entry.at),
                read_at,
            })
        }
    }
}

/// The values of `newer`, and of `older` what it does not show.
fn over(newer: Machine, older: Machine) -> Machine {
    let power = match newer.power {
        PowerState::Unknown => older.power,
        known @ (PowerState::Running | PowerState::Stopped | PowerState::Paused) => known,
    };
    Machine {
        id: newer.id,
        kind: newer.kind.or(older.kind),
        name: newer.name.or(older.name),
        incarnation: newer.incarnation.or(older.incarnation),
        mark: newer.mark.or(older.mark),
        template: newer.template,
        power,
        lock: newer.lock,
        host: newer.host.or(older.host),
        config: newer.config.or(older.config),
        version: newer.version.or(older.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_model::documents::Config;

    fn machine(power: PowerState, vcpu: Option<u32>) -> Machine {
        Machine {
            id: "100".to_owned(),
            power,
            mark: vcpu.map(|_| String::new()),
            config: vcpu.map(|vcpu| Config {
                vcpu: Some(vcpu),
                ..Config::default()
            }),
            ..Machine::default()
        }
    }

    fn entry(at: u64, power: PowerState, vcpu: Option<u32>) -> Entry {
        Entry {
            shown: Shown::of(&machine(power, vcpu)),
            at: Timestamp(at),
        }
    }

    fn read(at: u64, power: PowerState, vcpu: u32) -> Read {
        Read {
            shown: Shown::of(&machine(power, Some(vcpu))),
            at: Timestamp(at),
        }
    }

    fn vcpu(observation: &Observation) -> Option<u32> {
        observation.machine.config.as_ref()?.vcpu
    }

    #[test]
    fn each_value_is_of_the_newest_that_shows_it_and_the_age_is_that_of_the_oldest() {
        let listed = entry(20, PowerState::Running, None);
        let before = read(10, PowerState::Stopped, 2);
        let seen = observe(Some(&listed), Some(&before), Timestamp(0)).unwrap();
        assert_eq!(seen.machine.power, PowerState::Running);
        assert_eq!(vcpu(&seen), Some(2));
        assert!(seen.is_whole());
        assert_eq!(
            (seen.listed_at, seen.read_at),
            (Some(Timestamp(20)), Some(Timestamp(10)))
        );
        assert_eq!(seen.oldest(), Timestamp(10));

        let after = read(30, PowerState::Stopped, 2);
        let seen = observe(Some(&listed), Some(&after), Timestamp(0)).unwrap();
        assert_eq!(seen.machine.power, PowerState::Stopped);
        assert_eq!(seen.oldest(), Timestamp(30));
    }

    #[test]
    fn a_list_that_shows_all_needs_no_full_read() {
        let listed = entry(20, PowerState::Running, Some(4));
        let before = read(10, PowerState::Stopped, 2);
        let seen = observe(Some(&listed), Some(&before), Timestamp(0)).unwrap();
        assert_eq!((vcpu(&seen), seen.read_at), (Some(4), None));
        assert_eq!(seen.oldest(), Timestamp(20));
    }

    #[test]
    fn what_began_before_the_last_step_ended_does_not_count() {
        let listed = entry(20, PowerState::Running, None);
        let before = read(10, PowerState::Stopped, 2);
        let seen = observe(Some(&listed), Some(&before), Timestamp(15)).unwrap();
        assert!(!seen.is_whole());
        assert_eq!(observe(Some(&listed), Some(&before), Timestamp(21)), None);
        let after = read(30, PowerState::Stopped, 2);
        let seen = observe(Some(&listed), Some(&after), Timestamp(21)).unwrap();
        assert_eq!(vcpu(&seen), Some(2));
    }

    #[test]
    fn a_run_state_that_the_list_does_not_know_is_that_of_the_full_read() {
        let listed = entry(20, PowerState::Unknown, None);
        let before = read(10, PowerState::Running, 2);
        let seen = observe(Some(&listed), Some(&before), Timestamp(0)).unwrap();
        assert_eq!(seen.machine.power, PowerState::Running);
    }
}
