//! What is written on a node.

use std::fmt;

use enginehouse_model::FullName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::destruction::DestructionLimit;
use crate::entries::Entries;
use crate::hypervisor::HypervisorEntry;
use crate::key_path::{KeyEdit, KeyPath};
use crate::leaf::{Filled, Texts};
use crate::nesting::{too_deep, too_long};
use crate::problem::{DefinitionErrors, Problem, Reader};
use crate::rules::RuleValues;
use crate::schema::Schemas;
use crate::secret::Secrets;
use crate::values::MachineValues;
use crate::written::Written;

/// A definition: what a person wrote on one node, in one spelling.
///
/// Its JSON form reads back to an equal definition, secrets included; [`Definition::redacted`] is
/// the one to show.
#[derive(Clone, Default, PartialEq)]
pub struct Definition {
    /// Connections, by name and whole.
    pub hypervisors: Written<Entries<HypervisorEntry>>,
    /// Resolved at this level.
    pub use_hypervisor: Written<Filled>,
    /// Names of hypervisors. It only narrows what is allowed above; `null` changes nothing.
    pub filter_hypervisors_allow: Written<Texts>,
    /// Counts beside those of the levels above; `null` changes nothing.
    pub destruction_limit: Written<DestructionLimit>,
    /// Bundles of the machine's keys, by name and whole.
    pub prototypes: Written<Entries<MachineValues>>,
    /// Resolved at this level.
    pub use_prototype: Written<Filled>,
    pub machine: MachineValues,
    pub rules: RuleValues,
}

const OWN_KEYS: [&str; 6] = [
    "hypervisors",
    "use_hypervisor",
    "filter_hypervisors_allow",
    "destruction_limit",
    "prototypes",
    "use_prototype",
];

impl Definition {
    /// Reads the definition of `node`.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn parse(node: &FullName, document: &Value) -> Result<Self, DefinitionErrors> {
        Self::from_json(document).map_err(|problems| DefinitionErrors {
            node: node.clone(),
            problems,
        })
    }

    /// Like [`Definition::parse`], for no node in particular.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn from_json(document: &Value) -> Result<Self, Vec<Problem>> {
        let problems = too_deep(document);
        if problems.is_empty() {
            Self::of_any_depth(document)
        } else {
            Err(problems)
        }
    }

    /// What is stored was accepted, and stays readable whatever is accepted now.
    fn of_any_depth(document: &Value) -> Result<Self, Vec<Problem>> {
        let mut at = Reader::default();
        let definition = Self::read(document, &mut at);
        let problems = at.finish();
        match definition {
            Some(definition) if problems.is_empty() => Ok(definition),
            _ => Err(problems),
        }
    }

    fn read(document: &Value, at: &mut Reader) -> Option<Self> {
        let members = at.members(document, "an object with the keys of a definition")?;
        at.only(
            members,
            OWN_KEYS
                .iter()
                .chain(MachineValues::KEYS)
                .chain(RuleValues::KEYS)
                .copied(),
        );
        Some(Self {
            hypervisors: Written::read(members, "hypervisors", at),
            use_hypervisor: Written::read(members, "use_hypervisor", at),
            filter_hypervisors_allow: Written::read(members, "filter_hypervisors_allow", at),
            destruction_limit: Written::read(members, "destruction_limit", at),
            prototypes: Written::read(members, "prototypes", at),
            use_prototype: Written::read(members, "use_prototype", at),
            machine: MachineValues::read_members(members, at),
            rules: RuleValues::read_members(members, at),
        })
    }

    /// The schema of each key.
    pub(crate) fn schema_members(schemas: &mut Schemas) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |key: &str, schema| members.insert(key.to_owned(), schema);
        put(
            "hypervisors",
            schemas.key::<Entries<HypervisorEntry>>("Connections by name, inherited by name and whole: an entry takes nothing over from one of the same name above."),
        );
        put(
            "use_hypervisor",
            schemas
                .key::<Filled>("Name of the hypervisor that the machines are on, looked up here."),
        );
        put(
            "filter_hypervisors_allow",
            schemas.key::<Texts>("Names of the hypervisors that may be used here and below. It only narrows what is allowed above; empty: none."),
        );
        put(
            "destruction_limit",
            schemas.key::<DestructionLimit>("How much may be destroyed here and below within an hour; what is more waits. It counts beside the limits of the folders above."),
        );
        put(
            "prototypes",
            schemas.key::<Entries<MachineValues>>(
                "Bundles of the machine's keys by name, inherited by name and whole.",
            ),
        );
        put(
            "use_prototype",
            schemas.key::<Filled>("Name of the prototype whose keys count here, looked up here. What is written here beside it wins over it."),
        );
        members.extend(MachineValues::schema_members(schemas));
        members.extend(RuleValues::schema_members(schemas));
        members
    }

    /// The document. Passwords that were not sealed are in it: for the store alone until
    /// [`Definition::seal`].
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.json(Secrets::Shown)
    }

    /// The document with `"(secret)"` in place of secrets.
    #[must_use]
    pub fn redacted(&self) -> Value {
        self.json(Secrets::Hidden)
    }

    fn json(&self, secrets: Secrets) -> Value {
        let mut members = Map::new();
        let to = &mut members;
        self.hypervisors.write("hypervisors", to, secrets);
        self.use_hypervisor.write("use_hypervisor", to, secrets);
        self.filter_hypervisors_allow
            .write("filter_hypervisors_allow", to, secrets);
        self.destruction_limit
            .write("destruction_limit", to, secrets);
        self.prototypes.write("prototypes", to, secrets);
        self.use_prototype.write("use_prototype", to, secrets);
        self.machine.write_members(to, secrets);
        self.rules.write_members(to, secrets);
        Value::Object(members)
    }

    /// This definition of `node` with single keys changed, in order.
    ///
    /// # Errors
    /// When a key cannot be changed, or what results is no definition.
    pub fn edited(
        &self,
        node: &FullName,
        edits: &[(KeyPath, KeyEdit)],
    ) -> Result<Self, DefinitionErrors> {
        let mut document = self.to_json();
        for (path, edit) in edits {
            edit_key(&mut document, path, edit).map_err(|problem| DefinitionErrors {
                node: node.clone(),
                problems: vec![problem],
            })?;
        }
        Self::parse(node, &document)
    }

    /// Names of the hypervisor entries that are written here, without those set to `null`.
    pub(crate) fn hypervisor_names(&self) -> impl Iterator<Item = &str> {
        self.hypervisors
            .set()
            .into_iter()
            .flat_map(|entries| &entries.0)
            .filter_map(|(name, entry)| entry.as_ref().map(|_| &**name))
    }
}

/// In place: an order may have thousands of edits.
fn edit_key(document: &mut Value, path: &KeyPath, edit: &KeyEdit) -> Result<(), Problem> {
    if let Some(problem) = too_long(path) {
        return Err(problem);
    }
    match edit {
        KeyEdit::Remove => path.edit(document, None),
        // A removal that cannot be leaves the document as it was.
        KeyEdit::Forget => path.edit(document, None).or(Ok(())),
        KeyEdit::Set(value) => path.edit(document, Some(value.clone())),
        KeyEdit::Type(text) => {
            let as_text = Value::String(text.clone());
            let value = match serde_json::from_str::<Value>(text) {
                Err(_) | Ok(Value::String(_)) => as_text,
                Ok(value) => {
                    let with = |value: &Value| {
                        let mut document = document.clone();
                        let edited = path.edit(&mut document, Some(value.clone()));
                        edited.map(|()| document)
                    };
                    // Where neither fits, the error is about what was meant to be JSON.
                    if !fits(&with(&value)?, path) && fits(&with(&as_text)?, path) {
                        as_text
                    } else {
                        value
                    }
                }
            };
            path.edit(document, Some(value))
        }
    }
}

/// Whether nothing is wrong at or below a key.
fn fits(document: &Value, path: &KeyPath) -> bool {
    match Definition::from_json(document) {
        Ok(_) => true,
        Err(problems) => !problems
            .iter()
            .any(|problem| problem.key.keys().starts_with(&path.normalised_keys())),
    }
}

/// Without secrets.
impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({})", self.redacted())
    }
}

/// With secrets: see [`Definition::to_json`].
impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        Self::of_any_depth(&document).map_err(|problems| {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(text.join("; "))
        })
    }
}
