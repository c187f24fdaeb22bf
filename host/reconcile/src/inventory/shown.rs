//! A machine as a provider showed it once, kept small.

use enginehouse_model::documents::{Machine, MachineRef, PowerState};

/// What is looked for among many is at hand; the rest is JSON, about a tenth of what its tree takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: Box<str>,
    pub name: Option<Box<str>>,
    /// See [`Machine::mark`]: empty where it has none, absent where it was not shown.
    pub mark: Option<Box<str>>,
    pub template: bool,
    pub power: PowerState,
    shows_all: bool,
    document: Box<str>,
}

impl Shown {
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        Self {
            id: machine.id.as_str().into(),
            name: machine.name.as_deref().map(Into::into),
            mark: machine.mark.as_deref().map(Into::into),
            template: machine.template,
            power: machine.power,
            shows_all: machine.config.is_some() && machine.mark.is_some(),
            // All its maps have texts for keys, so it has a JSON form; if not, `machine` says less.
            document: serde_json::to_string(machine).unwrap_or_default().into(),
        }
    }

    /// The whole machine. Of a document that cannot be read only what is at hand is left: the
    /// configuration then counts as not seen.
    #[must_use]
    pub fn machine(&self) -> Machine {
        serde_json::from_str(&self.document).unwrap_or_else(|_| Machine {
            id: self.id.to_string(),
            name: self.name.as_deref().map(str::to_owned),
            mark: self.mark.as_deref().map(str::to_owned),
            template: self.template,
            power: self.power,
            ..Machine::default()
        })
    }

    /// Whether it shows all that a plan needs: configuration and mark.
    #[must_use]
    pub fn shows_all(&self) -> bool {
        self.shows_all
    }

    #[must_use]
    pub fn machine_ref(&self) -> MachineRef {
        let machine = self.machine();
        MachineRef {
            id: machine.id,
            kind: machine.kind,
            host: machine.host,
        }
    }
}

/// Whether a machine is another than it was in the list before, so that what was read of it in full
/// says nothing any more. A lock is no change: a backup sets and takes one every night.
#[must_use]
pub fn differs(before: &Shown, now: &Shown) -> bool {
    if before.document == now.document {
        return false;
    }
    let unlocked = |shown: &Shown| Machine {
        lock: None,
        ..shown.machine()
    };
    unlocked(before) != unlocked(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_model::documents::Config;

    fn machine() -> Machine {
        Machine {
            id: "100".to_owned(),
            name: Some("web".to_owned()),
            power: PowerState::Running,
            host: Some("pve1".to_owned()),
            config: Some(Config {
                vcpu: Some(4),
                ..Config::default()
            }),
            ..Machine::default()
        }
    }

    #[test]
    fn what_is_kept_is_what_was_shown() {
        assert_eq!(Shown::of(&machine()).machine(), machine());
        let machine_ref = Shown::of(&machine()).machine_ref();
        assert_eq!(machine_ref.host.as_deref(), Some("pve1"));
    }

    #[test]
    fn every_value_but_a_lock_makes_another_machine_of_it() {
        let before = Shown::of(&machine());
        assert!(!differs(&before, &Shown::of(&machine())));
        let change = |change: fn(&mut Machine)| {
            let mut other = machine();
            change(&mut other);
            differs(&before, &Shown::of(&other))
        };
        assert!(!change(|machine| machine.lock = Some("backup".to_owned())));
        assert!(change(|machine| machine.power = PowerState::Stopped));
        assert!(change(|machine| machine.name = Some("db".to_owned())));
        assert!(change(|machine| machine.host = Some("pve2".to_owned())));
        assert!(change(|machine| machine.version = Some("2".to_owned())));
        assert!(change(|machine| machine.incarnation = Some("2".to_owned())));
        assert!(change(|machine| machine.template = true));
        assert!(change(|machine| {
            let config = machine.config.get_or_insert_default();
            config.memory = Some(1);
        }));
    }
}
