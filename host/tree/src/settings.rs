//! Settings of machines and hypervisors, against what their engines take.
//!
//! The tree does not know the engines: it asks ([`EngineSettings`]). Every edit is checked before
//! anything changes, for the entries that it writes and for all nodes whose computed settings or
//! whose engine it changes. Nodes that share their values are asked about once.
//!
//! **What an edit is refused for** is a setting that is wrong *and was not so before*: where an
//! engine was loaded anew and takes less, the tree still loads, and what else stands on a node can
//! still be edited. A deploy is refused for all that is wrong ([`Tree::settings_problems`]).
//!
//! A change of many nodes, such as an import, is made [`together`](Tree::together).
//!
//! **What may be missing**: folders and prototypes hold parts, so a setting that a machine must have
//! is asked for when the machine is made, not when something is written. An entry of a hypervisor is
//! defined whole: there it is asked for at once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use enginehouse_model::{FullName, NodeUid};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::by_name::ByName;
use crate::computed::{Computed, ResolvedHypervisor};
use crate::definition::Definition;
use crate::edit::Change;
use crate::error::{EditError, FirstFew, LookupError};
use crate::hypervisor::HypervisorEntry;
use crate::key_path::KeyPath;
use crate::leaf::Json;
use crate::node::Node;
use crate::origin::{Origin, Traced};
use crate::tree::{ComputedBelow, Tree};

/// More than this many problems of one edit are not collected.
const KEPT: usize = 100;

/// Knows which settings the engines take.
pub trait EngineSettings: fmt::Debug + Send + Sync {
    /// All that is wrong with the settings of a machine on a hypervisor of this type, what is missing
    /// among it. Of a type that is not known: nothing.
    fn of_machine(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault>;

    /// The same of the settings of a hypervisor of this type.
    fn of_hypervisor(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault>;
}

/// One thing that is wrong in settings. Values of secrets are never repeated in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// Below `settings`; items of a list by their index. Empty: the settings as a whole.
    pub path: Vec<String>,
    pub kind: SettingFaultKind,
    /// What the engine says of the setting.
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingFaultKind {
    /// The engine takes none of that name there.
    Unknown {
        nearest: Option<String>,
        known: Vec<String>,
    },
    Expected {
        expected: String,
        found: String,
        /// What may help to write it right.
        hint: Option<String>,
    },
    /// It has to be there and is not.
    Missing { expected: String },
}

/// One thing that is wrong in settings, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where the value is written; of one that is missing, where it would take effect.
    pub node: FullName,
    /// The whole key there: `settings.cpu`, `prototypes.small.settings.cpu`,
    /// `hypervisors.pve.settings.node`.
    pub key: KeyPath,
    /// Whose settings they are: the node, or one that inherits them.
    pub of: FullName,
    /// How many more nodes have the same there.
    pub others: usize,
    /// Type of the hypervisor.
    pub engine: String,
    pub fault: SettingFault,
}

/// Settings that an engine does not take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("settings of `{node}` are refused: {}", FirstFew(.problems))]
pub struct SettingErrors {
    /// The node that was edited, or is to be deployed.
    pub node: FullName,
    /// At least one, at most 100.
    pub problems: Vec<SettingProblem>,
}

impl SettingFault {
    /// Whether a part is wrong that is there: what is written nearer to the machine does not mend it.
    fn is_of_a_part(&self) -> bool {
        match (&self.kind, self.path.len()) {
            (_, 0) | (SettingFaultKind::Missing { .. }, 1) => false,
            (
                SettingFaultKind::Unknown { .. }
                | SettingFaultKind::Expected { .. }
                | SettingFaultKind::Missing { .. },
                _,
            ) => true,
        }
    }
}

impl SettingProblem {
    /// A machine could not be made without it.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.fault.kind, SettingFaultKind::Missing { .. })
    }

    /// Whose settings they are, where it is not the node that they are written on.
    #[must_use]
    pub fn effect(&self) -> Option<String> {
        let others = match self.others {
            0 => String::new(),
            1 => " and one more".to_owned(),
            others => format!(" and {others} more"),
        };
        (self.of != self.node || self.others > 0)
            .then(|| format!("in effect at {}{others}", self.of))
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: `{}`: ", self.node, self.key)?;
        match &self.fault.kind {
            SettingFaultKind::Unknown { nearest, known } => {
                write!(f, "{} has no such setting", self.engine)?;
                match nearest {
                    Some(nearest) => write!(f, ", did you mean `{nearest}`?")?,
                    None if known.is_empty() => {}
                    None => write!(f, ", it has: {}", known.join(", "))?,
                }
            }
            SettingFaultKind::Expected {
                expected,
                found,
                hint,
            } => {
                write!(f, "expected {expected}, found {found}")?;
                if let Some(hint) = hint {
                    write!(f, ", {hint}")?;
                }
            }
            SettingFaultKind::Missing { expected } => {
                write!(f, "missing, expected {expected}")?;
            }
        }
        if let Some(effect) = self.effect() {
            write!(f, " ({effect})")?;
        }
        match &self.fault.description {
            Some(description) => write!(f, " [{}: {description}]", self.engine),
            None => Ok(()),
        }
    }
}

type MachineSettings = Arc<ByName<Traced<Json>>>;

impl Tree {
    /// From now on edits are checked against what these take. What is there already is not.
    pub fn set_engine_settings(&mut self, engines: Arc<dyn EngineSettings>) {
        self.engine_settings = Some(engines);
    }

    /// All that is wrong with the settings of nodes and of the hypervisors that they use: what their
    /// machines could not be made with. At most 100; nothing where the engine is not known.
    ///
    /// # Errors
    /// When a node is not in the tree.
    pub fn settings_problems(&self, nodes: &[NodeUid]) -> Result<Vec<SettingProblem>, LookupError> {
        let Some(engines) = &self.engine_settings else {
            return Ok(Vec::new());
        };
        let mut problems = Problems::default();
        let mut asked = Asked::new(&**engines);
        let mut entries = HashSet::new();
        for uid in nodes {
            let computed = &self.entry(*uid)?.computed;
            let Some(used) = computed.hypervisor() else {
                continue;
            };
            let Some(kind) = kind_of(&used.entry) else {
                continue;
            };
            if entries.insert(used.uid) {
                for fault in engines.of_hypervisor(kind, &said(&used.entry.settings)) {
                    problems.note(of_entry(definer(used), &used.name, kind, fault));
                }
            }
            let settings = computed.machine().settings.as_ref();
            for fault in asked.faults(kind, settings).iter() {
                problems.note(of_machine(computed, kind, settings, fault.clone()));
            }
        }
        Ok(problems.found)
    }

    /// Several edits as one: settings are checked when all of them are made, so that what is wrong only
    /// between two of them is not refused. When it fails, nothing has changed.
    ///
    /// `edit` answers with all its edits as one ([`Change::and`]), and takes back what it did itself
    /// when it fails.
    ///
    /// # Errors
    /// Those of `edit`, and [`EditError::Settings`].
    pub fn together<E: From<EditError>>(
        &mut self,
        edit: impl FnOnce(&mut Self) -> Result<Change, E>,
    ) -> Result<Change, E> {
        let engines = self.engine_settings.take();
        let result = edit(self);
        self.engine_settings = engines;
        let change = result?;
        match self.check_change(&change) {
            Ok(()) => Ok(change),
            Err(refused) => {
                self.revert(change)?;
                Err(refused.into())
            }
        }
    }

    /// Refuses edits that were made and left settings wrong.
    fn check_change(&self, change: &Change) -> Result<(), EditError> {
        let Some(engines) = &self.engine_settings else {
            return Ok(());
        };
        // Of what several edits touched, the first one knows how it was.
        let mut nodes: HashMap<NodeUid, Option<&Node>> = HashMap::new();
        let mut computed: HashMap<NodeUid, Option<&Computed>> = HashMap::new();
        for step in &change.steps {
            nodes.entry(step.uid).or_insert(step.node.as_deref());
            for (uid, before) in &step.computed {
                computed.entry(*uid).or_insert(before.as_deref());
            }
        }
        let mut touched: Vec<_> = computed
            .into_iter()
            .filter_map(|(uid, before)| Some((uid, before, self.entries.get(&uid)?)))
            .collect();
        touched.sort_by(|(_, _, a), (_, _, b)| a.computed.full_name().cmp(b.computed.full_name()));
        let mut problems = Problems::default();
        let mut asked = Asked::new(&**engines);
        for (uid, before, after) in &touched {
            if let Some(was) = nodes.get(uid) {
                let was = was.map(|node| &node.local);
                check_entries(&**engines, was, &after.node, &after.computed, &mut problems);
            }
            asked.check(*before, &after.computed, &mut problems);
        }
        let top = touched
            .first()
            .map(|(_, _, entry)| entry.computed.full_name());
        problems.refuse(top)
    }

    /// Refuses an edit that makes settings wrong: `node` is to be in the tree as it is here, and
    /// `computed` is what follows from it.
    pub(crate) fn check_settings(
        &self,
        node: &Node,
        computed: &ComputedBelow,
    ) -> Result<(), EditError> {
        let Some(engines) = &self.engine_settings else {
            return Ok(());
        };
        let Some((_, top)) = computed.first() else {
            return Ok(());
        };
        let mut problems = Problems::default();
        let before = self.entries.get(&node.uid).map(|entry| &entry.node.local);
        check_entries(&**engines, before, node, top, &mut problems);
        let mut asked = Asked::new(&**engines);
        for (uid, computed) in computed {
            if problems.is_full() {
                break;
            }
            let before = self.entries.get(uid).map(|entry| &*entry.computed);
            asked.check(before, computed, &mut problems);
        }
        problems.refuse(Some(top.full_name()))
    }
}

/// The hypervisors that a node defines, where it defined them otherwise before.
fn check_entries(
    engines: &dyn EngineSettings,
    before: Option<&Definition>,
    node: &Node,
    computed: &Computed,
    problems: &mut Problems,
) {
    for (name, entry) in defined(&node.local) {
        let Some(kind) = kind_of(entry) else { continue };
        let before = before.and_then(|before| {
            let (_, entry) = defined(before).find(|(other, _)| *other == name)?;
            Some((kind_of(entry)?, &entry.settings))
        });
        if before == Some((kind, &entry.settings)) {
            continue;
        }
        let mut faults = engines.of_hypervisor(kind, &said(&entry.settings));
        if !faults.is_empty()
            && let Some((kind, settings)) = before
        {
            let known = engines.of_hypervisor(kind, &said(settings));
            faults.retain(|fault| !known.contains(fault));
        }
        for fault in faults {
            problems.note(of_entry(computed.full_name(), name, kind, fault));
        }
    }
}

/// What was asked of the engines in one edit.
struct Asked<'e> {
    engines: &'e dyn EngineSettings,
    /// By the type and the values' addresses: what is inherited is shared.
    answers: HashMap<(String, Vec<usize>), Rc<[SettingFault]>>,
}

impl<'e> Asked<'e> {
    fn new(engines: &'e dyn EngineSettings) -> Self {
        Self {
            engines,
            answers: HashMap::new(),
        }
    }

    fn check(&mut self, before: Option<&Computed>, after: &Computed, problems: &mut Problems) {
        let Some((kind, settings)) = used(after) else {
            return;
        };
        let before = before.and_then(used);
        if before.is_some_and(|before| before.0 == kind && same(before.1, settings)) {
            return;
        }
        let faults = self.faults(kind, Some(settings));
        if faults.is_empty() {
            return;
        }
        let known = before.map(|(kind, settings)| self.faults(kind, Some(settings)));
        for fault in faults.iter().filter(|fault| fault.is_of_a_part()) {
            let was_so = known.as_ref().is_some_and(|known| known.contains(fault));
            if !was_so {
                problems.note(of_machine(after, kind, Some(settings), fault.clone()));
            }
        }
    }

    fn faults(&mut self, kind: &str, settings: Option<&MachineSettings>) -> Rc<[SettingFault]> {
        let addresses = settings
            .into_iter()
            .flat_map(|settings| settings.iter())
            .map(|(_, value)| Arc::as_ptr(&value.value.0) as usize)
            .collect();
        let engines = self.engines;
        let answer = self
            .answers
            .entry((kind.to_owned(), addresses))
            .or_insert_with(|| engines.of_machine(kind, &document(settings)).into());
        Rc::clone(answer)
    }
}

/// Problems by the place where they are written, in the order in which they were found.
#[derive(Default)]
struct Problems {
    found: Vec<SettingProblem>,
    places: HashMap<(FullName, String, String), usize>,
    effects: HashSet<(usize, FullName)>,
}

impl Problems {
    fn is_full(&self) -> bool {
        self.found.len() >= KEPT
    }

    fn refuse(self, node: Option<&FullName>) -> Result<(), EditError> {
        match node {
            Some(node) if !self.found.is_empty() => Err(EditError::Settings(SettingErrors {
                node: node.clone(),
                problems: self.found,
            })),
            Some(_) | None => Ok(()),
        }
    }

    fn note(&mut self, problem: SettingProblem) {
        let place = (
            problem.node.clone(),
            problem.key.to_string(),
            problem.engine.clone(),
        );
        match self.places.get(&place) {
            Some(at) => {
                if self.effects.insert((*at, problem.of.clone()))
                    && let Some(known) = self.found.get_mut(*at)
                {
                    known.others += 1;
                }
            }
            None if self.is_full() => {}
            None => {
                let at = self.found.len();
                self.effects.insert((at, problem.of.clone()));
                self.places.insert(place, at);
                self.found.push(problem);
            }
        }
    }
}

fn kind_of(entry: &HypervisorEntry) -> Option<&str> {
    entry.kind.as_ref().map(|kind| &*kind.0)
}

/// Type of the hypervisor in use, and the settings of the machine, where there are both.
fn used(computed: &Computed) -> Option<(&str, &MachineSettings)> {
    let kind = kind_of(&computed.hypervisor()?.entry)?;
    Some((kind, computed.machine().settings.as_ref()?))
}

/// Where an entry in use is defined.
fn definer(used: &ResolvedHypervisor) -> &FullName {
    used.origin
        .via()
        .map_or(used.origin.full_name(), |via| &via.full_name)
}

fn defined(local: &Definition) -> impl Iterator<Item = (&str, &HypervisorEntry)> {
    local
        .hypervisors
        .set()
        .into_iter()
        .flat_map(|entries| &entries.0)
        .filter_map(|(name, entry)| Some((&**name, entry.as_ref()?)))
}

/// Equal values, wherever they came from.
fn same(a: &MachineSettings, b: &MachineSettings) -> bool {
    let alike = |a: &Traced<Json>, b: &Traced<Json>| {
        Arc::ptr_eq(&a.value.0, &b.value.0) || a.value == b.value
    };
    Arc::ptr_eq(a, b)
        || a.len() == b.len()
            && a.iter()
                .zip(b.iter())
                .all(|((name, a), (other, b))| name == other && alike(a, b))
}

fn document(settings: Option<&MachineSettings>) -> Map<String, Value> {
    settings
        .into_iter()
        .flat_map(|settings| settings.iter())
        .map(|(name, value)| (name.to_owned(), Value::clone(&value.value.0)))
        .collect()
}

/// An entry inherits nothing that `null` could unset: it says nothing.
fn said(settings: &Map<String, Value>) -> Map<String, Value> {
    settings
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn key(way: &[&str], path: &[String]) -> KeyPath {
    let way = way.iter().map(|&key| key.to_owned());
    KeyPath::from_keys(way.chain(path.iter().cloned()).collect())
}

fn of_entry(node: &FullName, name: &str, kind: &str, fault: SettingFault) -> SettingProblem {
    SettingProblem {
        node: node.clone(),
        key: key(&["hypervisors", name, "settings"], &fault.path),
        of: node.clone(),
        others: 0,
        engine: kind.to_owned(),
        fault,
    }
}

fn of_machine(
    computed: &Computed,
    kind: &str,
    settings: Option<&MachineSettings>,
    fault: SettingFault,
) -> SettingProblem {
    let of = computed.full_name();
    let origin: Option<&Origin> = fault
        .path
        .first()
        .and_then(|name| settings?.get(name))
        .map(|value| &value.origin);
    let (node, key) = match origin.map(|origin| (origin, origin.via())) {
        Some((_, Some(via))) => {
            let way = ["prototypes", via.name.as_str(), "settings"];
            (&via.full_name, key(&way, &fault.path))
        }
        Some((origin, None)) => (origin.full_name(), key(&["settings"], &fault.path)),
        None => (of, key(&["settings"], &fault.path)),
    };
    SettingProblem {
        node: node.clone(),
        key,
        of: of.clone(),
        others: 0,
        engine: kind.to_owned(),
        fault,
    }
}
