//! The plain fields of a configuration: how each is read, written and printed.
//!
//! Disks, nics and the run state have rules of their own and modules of their own.

use enginehouse_model::Bytes;
use enginehouse_model::documents::{Config, Machine};
use serde_json::Value;

use crate::Rules;

/// Longest text of a value in a plan, in characters.
const SHOWN_MAX: usize = 60;

/// What is printed for a value that is not there.
pub(crate) const UNSET: &str = "unset";

/// A field that one value describes. The order is the one of plans.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Name,
    Vcpu,
    Memory,
    Description,
    Label(String),
    Setting(String),
    BaseImage,
    PlacementHost,
    PlacementCluster,
    PlacementPool,
    PlacementFolder,
    Guest(String),
}

/// What an observation says of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// It says nothing.
    Unread,
    /// Null: it is known to be unset.
    Is(Value),
}

impl Field {
    /// All fields that at least one of the configurations has, in order.
    pub(crate) fn all(desired: &Config, deployed: &Config) -> Vec<Self> {
        let plain = [
            Self::Name,
            Self::Vcpu,
            Self::Memory,
            Self::Description,
            Self::BaseImage,
            Self::PlacementHost,
            Self::PlacementCluster,
            Self::PlacementPool,
            Self::PlacementFolder,
        ];
        let mut fields: Vec<Self> = plain.into_iter().collect();
        for config in [desired, deployed] {
            fields.extend(config.labels.keys().cloned().map(Self::Label));
            fields.extend(config.settings.keys().cloned().map(Self::Setting));
            fields.extend(config.guest.keys().cloned().map(Self::Guest));
        }
        fields.sort();
        fields.dedup();
        fields.retain(|field| field.read(desired).is_some() || field.read(deployed).is_some());
        fields
    }

    /// The definition's key.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Name => "name".to_owned(),
            Self::Vcpu => "vcpu".to_owned(),
            Self::Memory => "memory".to_owned(),
            Self::Description => "description".to_owned(),
            Self::Label(name) => format!("labels.{name}"),
            Self::Setting(name) => format!("settings.{name}"),
            Self::BaseImage => "base_image".to_owned(),
            Self::PlacementHost => "placement.host".to_owned(),
            Self::PlacementCluster => "placement.cluster".to_owned(),
            Self::PlacementPool => "placement.pool".to_owned(),
            Self::PlacementFolder => "placement.folder".to_owned(),
            Self::Guest(name) => format!("guest.{name}"),
        }
    }

    /// The field of a key; none for keys of disks, nics, the run state, and unknown ones.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let field = match key.split_once('.') {
            Some(("labels", name)) => Self::Label(name.to_owned()),
            Some(("settings", name)) => Self::Setting(name.to_owned()),
            Some(("guest", name)) => Self::Guest(name.to_owned()),
            Some(("placement", "host")) => Self::PlacementHost,
            Some(("placement", "cluster")) => Self::PlacementCluster,
            Some(("placement", "pool")) => Self::PlacementPool,
            Some(("placement", "folder")) => Self::PlacementFolder,
            Some(_) => return None,
            None => match key {
                "name" => Self::Name,
                "vcpu" => Self::Vcpu,
                "memory" => Self::Memory,
                "description" => Self::Description,
                "base_image" => Self::BaseImage,
                _ => return None,
            },
        };
        Some(field)
    }

    /// Whether the provider uses it when the machine is made, and never again.
    pub(crate) fn is_for_creation(&self) -> bool {
        match self {
            Self::Name
            | Self::Vcpu
            | Self::Memory
            | Self::Description
            | Self::Label(_)
            | Self::Setting(_) => false,
            Self::BaseImage
            | Self::PlacementHost
            | Self::PlacementCluster
            | Self::PlacementPool
            | Self::PlacementFolder
            | Self::Guest(_) => true,
        }
    }

    pub(crate) fn read(&self, config: &Config) -> Option<Value> {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        match self {
            Self::Name => text(&config.name),
            Self::Vcpu => config.vcpu.map(Value::from),
            Self::Memory => config.memory.map(Value::from),
            Self::Description => text(&config.description),
            Self::Label(name) => config.labels.get(name).cloned().map(Value::String),
            // A setting of null is one that is not set.
            Self::Setting(name) => config.settings.get(name).filter(|v| !v.is_null()).cloned(),
            Self::BaseImage => text(&config.base_image),
            Self::PlacementHost => text(&config.placement.host),
            Self::PlacementCluster => text(&config.placement.cluster),
            Self::PlacementPool => text(&config.placement.pool),
            Self::PlacementFolder => text(&config.placement.folder),
            Self::Guest(name) => config.guest.get(name).filter(|v| !v.is_null()).cloned(),
        }
    }

    /// Makes this field of `target` what it is in `source`, also when it is unset there.
    pub(crate) fn copy(&self, source: &Config, target: &mut Config) {
        match self {
            Self::Name => target.name.clone_from(&source.name),
            Self::Vcpu => target.vcpu = source.vcpu,
            Self::Memory => target.memory = source.memory,
            Self::Description => target.description.clone_from(&source.description),
            Self::Label(name) => match source.labels.get(name) {
                Some(value) => drop(target.labels.insert(name.clone(), value.clone())),
                None => drop(target.labels.remove(name)),
            },
            Self::Setting(name) => match source.settings.get(name) {
                Some(value) => drop(target.settings.insert(name.clone(), value.clone())),
                None => drop(target.settings.shift_remove(name)),
            },
            Self::BaseImage => target.base_image.clone_from(&source.base_image),
            Self::PlacementHost => target.placement.host.clone_from(&source.placement.host),
            Self::PlacementCluster => {
                target
                    .placement
                    .cluster
                    .clone_from(&source.placement.cluster);
            }
            Self::PlacementPool => target.placement.pool.clone_from(&source.placement.pool),
            Self::PlacementFolder => target.placement.folder.clone_from(&source.placement.folder),
            Self::Guest(name) => match source.guest.get(name) {
                Some(value) => drop(target.guest.insert(name.clone(), value.clone())),
                None => drop(target.guest.shift_remove(name)),
            },
        }
    }

    /// What the machine shows. A configuration that was read has all labels; any other member that
    /// it lacks is not known.
    pub(crate) fn observe(&self, machine: Option<&Machine>) -> Seen {
        let Some((machine, config)) = machine.and_then(|m| Some((m, m.config.as_ref()?))) else {
            return Seen::Unread;
        };
        let value = match self {
            Self::Name => self
                .read(config)
                .or_else(|| machine.name.clone().map(Value::String)),
            Self::PlacementHost => machine
                .host
                .clone()
                .map(Value::String)
                .or_else(|| self.read(config)),
            Self::Label(_) => Some(self.read(config).unwrap_or(Value::Null)),
            Self::Setting(name) => config.settings.get(name).cloned(),
            Self::Vcpu
            | Self::Memory
            | Self::Description
            | Self::BaseImage
            | Self::PlacementCluster
            | Self::PlacementPool
            | Self::PlacementFolder
            | Self::Guest(_) => self.read(config),
        };
        value.map_or(Seen::Unread, Seen::Is)
    }

    /// What is printed for the field.
    pub(crate) fn word(&self) -> String {
        word(&self.key())
    }

    /// A value of it, on one line, short, without secrets.
    pub(crate) fn show(&self, value: Option<&Value>, rules: &Rules) -> String {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return UNSET.to_owned();
        };
        match (self, value) {
            (Self::Guest(_), _) => "(hidden)".to_owned(),
            (Self::Setting(_), _) if rules.is_secret(&self.key()) => "(secret)".to_owned(),
            (Self::Memory, Value::Number(bytes)) => match bytes.as_u64() {
                Some(bytes) => Bytes(bytes).in_mib(),
                None => short(&bytes.to_string()),
            },
            (Self::Description | Self::Label(_) | Self::Setting(_), _) => short(&value.to_string()),
            (_, Value::String(text)) if !text.chars().any(char::is_control) => short(text),
            (_, value) => short(&value.to_string()),
        }
    }
}

/// What is printed for a key: people say cores, and that a machine runs.
pub(crate) fn word(key: &str) -> String {
    match key {
        "vcpu" => "cores".to_owned(),
        "power" => "run".to_owned(),
        _ => match key
            .strip_prefix("disks.")
            .and_then(|rest| rest.strip_suffix(".size"))
        {
            Some(disk) => format!("disk {disk}"),
            None => key.to_owned(),
        },
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_model::documents::Placement;
    use serde_json::json;

    fn full() -> Config {
        Config {
            name: Some("a".to_owned()),
            base_image: Some("d12".to_owned()),
            vcpu: Some(2),
            memory: Some(1 << 30),
            description: Some("x".to_owned()),
            labels: [("a.b".to_owned(), "c".to_owned())].into(),
            placement: Placement {
                host: Some("h".to_owned()),
                cluster: Some("c".to_owned()),
                pool: Some("p".to_owned()),
                folder: Some("f".to_owned()),
            },
            guest: [("hostname".to_owned(), json!("g"))].into_iter().collect(),
            settings: [("s.t".to_owned(), json!([1]))].into_iter().collect(),
            ..Config::default()
        }
    }

    #[test]
    fn every_field_has_a_key_that_reads_back_and_copies_both_ways() {
        let (full, empty) = (full(), Config::default());
        let fields = Field::all(&full, &empty);
        assert_eq!(fields.len(), 12);
        let mut copied = empty.clone();
        for field in &fields {
            assert_eq!(Field::parse(&field.key()).as_ref(), Some(field));
            assert_eq!(field.read(&empty), None);
            field.copy(&full, &mut copied);
            assert_eq!(field.read(&copied), field.read(&full));
        }
        assert_eq!(copied, full);
        for field in &fields {
            field.copy(&empty, &mut copied);
        }
        assert_eq!(copied, empty);
    }

    #[test]
    fn a_shown_value_is_one_short_line() {
        let rules = Rules::default();
        let long = Value::from("ä\n".repeat(1000));
        for field in Field::all(&full(), &Config::default()) {
            let shown = field.show(Some(&long), &rules);
            assert!(shown.chars().count() <= SHOWN_MAX + 1, "{shown}");
            assert!(!shown.contains('\n'), "{shown}");
        }
        assert_eq!(Field::Name.show(None, &rules), "unset");
        assert_eq!(Field::Description.show(Some(&json!("")), &rules), "\"\"");
        assert_eq!(
            Field::Guest("p".into()).show(Some(&json!("pw")), &rules),
            "(hidden)"
        );
    }
}
