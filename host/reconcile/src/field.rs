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
/// What a field becomes that the definition has no more: it stays as it is on the machine.
pub(crate) const UNMANAGED: &str = "not managed";

/// A field that one value describes. The order is the one of plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field<'n> {
    Name,
    Vcpu,
    Memory,
    Description,
    Label(&'n str),
    Setting(&'n str),
    BaseImage,
    PlacementHost,
    PlacementCluster,
    PlacementPool,
    PlacementFolder,
    Guest(&'n str),
}

/// What an observation says of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// It says nothing.
    Unread,
    /// Null: it is known to be unset.
    Is(Value),
}

/// A value where it lies: what is equal needs no copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Unset,
    Text(&'a str),
    Number(u64),
    Json(&'a Value),
}

impl Raw<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Unset => Value::Null,
            Self::Text(text) => Value::from(text),
            Self::Number(number) => Value::from(number),
            Self::Json(value) => value.clone(),
        }
    }
}

impl<'n> Field<'n> {
    /// All fields that at least one of the configurations has, in order.
    pub(crate) fn all(desired: &'n Config, deployed: &'n Config) -> Vec<Self> {
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
            fields.extend(config.labels.keys().map(|name| Self::Label(name)));
            fields.extend(config.settings.keys().map(|name| Self::Setting(name)));
            fields.extend(config.guest.keys().map(|name| Self::Guest(name)));
        }
        fields.sort_unstable();
        fields.dedup();
        fields.retain(|field| field.peek(desired).is_some() || field.peek(deployed).is_some());
        fields
    }

    /// The definition's key.
    pub(crate) fn key(self) -> String {
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
    pub(crate) fn parse(key: &'n str) -> Option<Self> {
        let field = match key.split_once('.') {
            Some(("labels", name)) => Self::Label(name),
            Some(("settings", name)) => Self::Setting(name),
            Some(("guest", name)) => Self::Guest(name),
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
    pub(crate) fn is_for_creation(self) -> bool {
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

    pub(crate) fn read(self, config: &Config) -> Option<Value> {
        self.peek(config).map(Raw::to_value)
    }

    pub(crate) fn peek(self, config: &Config) -> Option<Raw<'_>> {
        fn text(text: &Option<String>) -> Option<Raw<'_>> {
            text.as_deref().map(Raw::Text)
        }
        // A setting of null is one that is not set.
        fn json(value: Option<&Value>) -> Option<Raw<'_>> {
            value.filter(|value| !value.is_null()).map(Raw::Json)
        }
        match self {
            Self::Name => text(&config.name),
            Self::Vcpu => config.vcpu.map(|cores| Raw::Number(cores.into())),
            Self::Memory => config.memory.map(Raw::Number),
            Self::Description => text(&config.description),
            Self::Label(name) => config.labels.get(name).map(|value| Raw::Text(value)),
            Self::Setting(name) => json(config.settings.get(name)),
            Self::BaseImage => text(&config.base_image),
            Self::PlacementHost => text(&config.placement.host),
            Self::PlacementCluster => text(&config.placement.cluster),
            Self::PlacementPool => text(&config.placement.pool),
            Self::PlacementFolder => text(&config.placement.folder),
            Self::Guest(name) => json(config.guest.get(name)),
        }
    }

    /// Makes this field of `target` what it is in `source`, also when it is unset there.
    pub(crate) fn copy(self, source: &Config, target: &mut Config) {
        match self {
            Self::Name => target.name.clone_from(&source.name),
            Self::Vcpu => target.vcpu = source.vcpu,
            Self::Memory => target.memory = source.memory,
            Self::Description => target.description.clone_from(&source.description),
            Self::Label(name) => match source.labels.get(name) {
                Some(value) => drop(target.labels.insert(name.to_owned(), value.clone())),
                None => drop(target.labels.remove(name)),
            },
            Self::Setting(name) => match source.settings.get(name) {
                Some(value) => drop(target.settings.insert(name.to_owned(), value.clone())),
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
                Some(value) => drop(target.guest.insert(name.to_owned(), value.clone())),
                None => drop(target.guest.shift_remove(name)),
            },
        }
    }

    /// What the machine shows.
    pub(crate) fn observe(self, machine: Option<&Machine>) -> Seen {
        self.glimpse(machine)
            .map_or(Seen::Unread, |raw| Seen::Is(raw.to_value()))
    }

    /// What the machine shows; none: nothing. A configuration that was read has all labels; any
    /// other member that it lacks is not known. A setting of null is known to be unset.
    pub(crate) fn glimpse(self, machine: Option<&Machine>) -> Option<Raw<'_>> {
        let machine = machine?;
        let config = machine.config.as_ref()?;
        match self {
            Self::Name => self
                .peek(config)
                .or_else(|| machine.name.as_deref().map(Raw::Text)),
            Self::PlacementHost => machine
                .host
                .as_deref()
                .map(Raw::Text)
                .or_else(|| self.peek(config)),
            Self::Label(_) => Some(self.peek(config).unwrap_or(Raw::Unset)),
            Self::Setting(name) => {
                let is_there = config.settings.contains_key(name);
                self.peek(config).or(is_there.then_some(Raw::Unset))
            }
            Self::Vcpu
            | Self::Memory
            | Self::Description
            | Self::BaseImage
            | Self::PlacementCluster
            | Self::PlacementPool
            | Self::PlacementFolder
            | Self::Guest(_) => self.peek(config),
        }
    }

    /// What is printed for the field.
    pub(crate) fn word(self) -> String {
        word(&self.key())
    }

    /// A value of it, on one line, short, without secrets.
    pub(crate) fn show(self, value: Option<&Value>, rules: &Rules) -> String {
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
        _ => {
            let disk = key.strip_prefix("disks.");
            let disk = disk.and_then(|rest| rest.strip_suffix(".size"));
            let nic = key.strip_prefix("nics.");
            match (disk, nic.and_then(|rest| rest.rsplit_once('.'))) {
                (Some(disk), _) => format!("disk {disk}"),
                (None, Some((nic, member))) => format!("nic {nic} {member}"),
                (None, None) => key.to_owned(),
            }
        }
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
            assert_eq!(Field::parse(&field.key()), Some(*field));
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
            Field::Guest("p").show(Some(&json!("pw")), &rules),
            "(hidden)"
        );
    }
}
