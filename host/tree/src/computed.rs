//! What results from inheritance, for one node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use enginehouse_model::documents::{Config, Disk, Nic, Placement};
use enginehouse_model::{FullName, HypervisorUid, NodeUid};

use crate::destruction::DestructionLimit;
use crate::hypervisor::HypervisorEntry;
use crate::leaf::{Filled, NicAddresses, Size, Texts};
use crate::origin::{Origin, Traced};
use crate::rules::{Approvals, OnFailure, Policy, RuleComputed};
use crate::values::{DiskComputed, MachineComputed, MachineValues, NicComputed, PlacementComputed};
use crate::written::Leaf;

/// The computed definition of a node. What its parent gives and it does not change is shared.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The node itself.
    pub(crate) here: Origin,
    pub(crate) machine: Arc<MachineComputed>,
    pub(crate) rules: Arc<RuleComputed>,
    pub(crate) hypervisors: Arc<BTreeMap<String, Arc<ResolvedHypervisor>>>,
    pub(crate) prototypes: Arc<BTreeMap<String, Arc<DefinedPrototype>>>,
    pub(crate) hypervisor: Option<Arc<ResolvedHypervisor>>,
    pub(crate) prototype: Option<Traced<Filled>>,
    pub(crate) filter: Option<Arc<Filter>>,
    /// The root's first.
    pub(crate) destruction: Option<Arc<Vec<Traced<DestructionLimit>>>>,
}

/// A hypervisor entry under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedHypervisor {
    pub uid: HypervisorUid,
    pub name: String,
    pub entry: Arc<HypervisorEntry>,
    /// Where it is defined (`/`) or, when it is the one that a node uses, where it was named and
    /// through what (`/web via h (/)`).
    pub origin: Origin,
}

/// A prototype under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinedPrototype {
    pub name: String,
    pub values: MachineValues,
    /// Where it is defined.
    pub origin: Origin,
}

/// The hypervisors that may be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// What all levels together allow, in the order of the nearest.
    pub allowed: Vec<String>,
    /// What each level allows, the root's first.
    pub levels: Vec<Traced<Texts>>,
}

/// One computed value as people see it: sizes with a unit, secrets hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `memory`, `disks.root.size`
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, from {}", self.key, self.value, self.origin)
    }
}

impl Computed {
    #[must_use]
    pub fn node(&self) -> NodeUid {
        self.here.node()
    }

    #[must_use]
    pub fn full_name(&self) -> &FullName {
        self.here.full_name()
    }

    /// The machine with the origin of each value.
    #[must_use]
    pub fn machine(&self) -> &MachineComputed {
        &self.machine
    }

    /// The treatment of the machine with the origin of each value.
    #[must_use]
    pub fn rules(&self) -> &RuleComputed {
        &self.rules
    }

    /// The hypervisor that is used, if one is.
    #[must_use]
    pub fn hypervisor(&self) -> Option<&ResolvedHypervisor> {
        self.hypervisor.as_deref()
    }

    /// All hypervisors that are defined here or above, by name.
    #[must_use]
    pub fn hypervisors(&self) -> &BTreeMap<String, Arc<ResolvedHypervisor>> {
        &self.hypervisors
    }

    /// All prototypes that are defined here or above, by name.
    #[must_use]
    pub fn prototypes(&self) -> &BTreeMap<String, Arc<DefinedPrototype>> {
        &self.prototypes
    }

    /// Absent: every hypervisor is allowed.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_deref()
    }

    /// Full names of descriptors that must be deployed before.
    #[must_use]
    pub fn depends_on(&self) -> &[FullName] {
        self.rules
            .depends_on
            .as_ref()
            .map_or(&[], |traced| &traced.value.0)
    }

    #[must_use]
    pub fn protect(&self) -> bool {
        self.rules
            .protect
            .as_ref()
            .is_some_and(|traced| traced.value)
    }

    /// The node that protects this one: itself, or a folder above it.
    #[must_use]
    pub fn protected_by(&self) -> Option<&FullName> {
        let traced = self.rules.protect.as_ref()?;
        traced.value.then(|| traced.origin.full_name())
    }

    /// Benign where nothing is said.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.rules
            .policy
            .as_ref()
            .map_or_else(Policy::default, |traced| traced.value)
    }

    #[must_use]
    pub fn follow(&self) -> bool {
        self.rules
            .follow
            .as_ref()
            .is_some_and(|traced| traced.value)
    }

    /// The node that says that this one follows its definition: itself, or a folder above it.
    #[must_use]
    pub fn followed_by(&self) -> Option<&FullName> {
        let traced = self.rules.follow.as_ref()?;
        traced.value.then(|| traced.origin.full_name())
    }

    #[must_use]
    pub fn approvals(&self) -> Option<&Approvals> {
        self.rules.approvals.as_ref().map(|traced| &traced.value)
    }

    /// The node that asks for approvals: itself, or a folder above it.
    #[must_use]
    pub fn approvals_by(&self) -> Option<&FullName> {
        let traced = self.rules.approvals.as_ref()?;
        Some(traced.origin.full_name())
    }

    /// `keep` where nothing is said.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.rules
            .on_failure
            .as_ref()
            .map_or_else(OnFailure::default, |traced| traced.value)
    }

    /// The configuration that the machine is to have; its name is the node's. Secrets inside
    /// `guest` are not in it; `settings` are as written.
    #[must_use]
    pub fn config(&self) -> Config {
        let machine = &*self.machine;
        let name = self.full_name().name();
        Config {
            name: (!name.is_empty()).then(|| name.to_owned()),
            base_image: text(machine.base_image.as_ref()),
            vcpu: machine.vcpu.as_ref().map(|vcpu| vcpu.value),
            memory: bytes(machine.memory.as_ref()),
            description: machine
                .description
                .as_ref()
                .map(|text| text.value.0.to_string()),
            labels: machine
                .labels
                .iter()
                .flat_map(|labels| labels.iter())
                .map(|(name, value)| (name.to_owned(), value.value.0.to_string()))
                .collect(),
            power: machine.power.as_ref().map(|power| power.value),
            placement: machine
                .placement
                .as_ref()
                .map(placement)
                .unwrap_or_default(),
            disks: machine
                .disks
                .iter()
                .flat_map(|disks| disks.iter())
                .map(|(name, value)| (name.to_owned(), disk(value)))
                .collect(),
            nics: machine
                .nics
                .iter()
                .flat_map(|nics| nics.iter())
                .map(|(name, value)| (name.to_owned(), nic(value)))
                .collect(),
            guest: machine
                .guest
                .as_ref()
                .map(crate::guest::GuestComputed::document)
                .unwrap_or_default(),
            settings: machine
                .settings
                .iter()
                .flat_map(|settings| settings.iter())
                .map(|(name, value)| (name.to_owned(), value.value.0.as_ref().clone()))
                .collect(),
        }
    }

    /// Every computed value with where it came from: first the hypervisor, then the machine in the
    /// order of the definition's keys, then its rules.
    #[must_use]
    pub fn origins(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(hypervisor) = &self.hypervisor {
            hypervisor_lines(hypervisor, &mut lines);
        }
        if let Some(Traced { value, origin }) =
            self.filter.as_ref().and_then(|filter| filter.levels.last())
        {
            let allowed = self.filter.as_ref().map(|filter| filter.allowed.join(", "));
            lines.push(Line {
                key: "filter_hypervisors_allow".to_owned(),
                value: format!("[{}]", allowed.unwrap_or_else(|| value.0.join(", "))),
                origin: origin.clone(),
            });
        }
        if let Some((nearest, above)) = self.destruction_limits().split_last() {
            let above = above
                .iter()
                .rev()
                .map(|limit| format!("; {} of {}", limit.value.shown(), limit.origin.full_name()));
            lines.push(Line {
                key: "destruction_limit".to_owned(),
                value: nearest.value.shown() + &above.collect::<String>(),
                origin: nearest.origin.clone(),
            });
        }
        if let Some(prototype) = &self.prototype {
            lines.push(Line {
                key: "use_prototype".to_owned(),
                value: prototype.value.0.to_string(),
                origin: prototype.origin.clone(),
            });
        }
        self.machine.add_lines("", &mut lines);
        self.rules.add_lines("", &mut lines);
        lines
    }
}

fn hypervisor_lines(hypervisor: &ResolvedHypervisor, lines: &mut Vec<Line>) {
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(Line {
                key: key.to_owned(),
                value,
                origin: hypervisor.origin.clone(),
            });
        }
    };
    let entry = &hypervisor.entry;
    add("use_hypervisor", Some(hypervisor.name.clone()));
    add("hypervisor_type", entry.kind.as_ref().map(Leaf::shown));
    add("host", entry.host.as_ref().map(Leaf::shown));
    add("user", entry.user.as_ref().map(Leaf::shown));
    add("password", entry.password.as_ref().map(Leaf::shown));
}

fn text(traced: Option<&Traced<Filled>>) -> Option<String> {
    traced.map(|traced| traced.value.0.to_string())
}

fn bytes(traced: Option<&Traced<Size>>) -> Option<u64> {
    traced.map(|traced| traced.value.0.0)
}

fn placement(computed: &PlacementComputed) -> Placement {
    Placement {
        host: text(computed.host.as_ref()),
        cluster: text(computed.cluster.as_ref()),
        pool: text(computed.pool.as_ref()),
        folder: text(computed.folder.as_ref()),
    }
}

fn disk(computed: &DiskComputed) -> Disk {
    Disk {
        size: bytes(computed.size.as_ref()),
        storage: text(computed.storage.as_ref()),
        storage_class: text(computed.storage_class.as_ref()),
        bus: text(computed.bus.as_ref()),
        keep: computed.keep.as_ref().map(|keep| keep.value),
    }
}

fn nic(computed: &NicComputed) -> Nic {
    let addresses = computed.addresses.as_ref();
    Nic {
        network: text(computed.network.as_ref()),
        vlan: computed.vlan.as_ref().map(|vlan| vlan.value.0),
        mac: computed.mac.as_ref().map(|mac| mac.value.0.to_string()),
        adapter: text(computed.adapter.as_ref()),
        addresses: addresses
            .map(
                |Traced {
                     value: NicAddresses(list),
                     ..
                 }| list.to_vec(),
            )
            .unwrap_or_default(),
        gateway: computed
            .gateway
            .as_ref()
            .map(|gateway| gateway.value.0.to_string()),
    }
}
