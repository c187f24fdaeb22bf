//! Whether a computed definition says exactly what a configuration says, without making one.
//!
//! Most machines are what they were deployed as. For them nothing has to be copied: a plan of ten
//! thousand machines makes a few hundred configurations.

use std::borrow::Cow;

use enginehouse_model::documents::{Config, Disk, Nic, Placement};
use serde_json::{Map, Value};

use crate::Computed;
use crate::by_name::ByName;
use crate::guest::GuestComputed;
use crate::leaf::{Filled, Json, Size, Texts};
use crate::origin::Traced;
use crate::secret::{Secrets, is_secret_key, without_secrets};
use crate::values::{DiskComputed, MachineComputed, NicComputed, PlacementComputed};
use crate::written::Part;

impl Computed {
    /// As [`Computed::config`]: lent from `deployed` where that is the same.
    #[must_use]
    pub fn config_or<'c>(&self, deployed: &'c Config) -> Cow<'c, Config> {
        let name = self.full_name().name();
        let named = deployed.name.as_deref() == Some(name).filter(|name| !name.is_empty());
        match named && machine(&self.machine, deployed) {
            true => Cow::Borrowed(deployed),
            false => Cow::Owned(self.config()),
        }
    }
}

fn machine(computed: &MachineComputed, config: &Config) -> bool {
    // Every member is named, so that a new one is not forgotten here.
    let Config {
        name: _,
        base_image,
        vcpu,
        memory,
        description,
        labels,
        power,
        placement,
        disks,
        nics,
        guest,
        settings,
    } = config;
    computed.vcpu.as_ref().map(|vcpu| vcpu.value) == *vcpu
        && computed.power.as_ref().map(|power| power.value) == *power
        && bytes(computed.memory.as_ref(), *memory)
        && text(computed.base_image.as_ref(), base_image)
        && computed.description.as_ref().map(|text| &*text.value.0) == description.as_deref()
        && by_name(
            computed.labels.as_deref(),
            labels.len(),
            labels.iter(),
            |label, text| *label.value.0 == **text,
        )
        && place(computed.placement.as_ref(), placement)
        && by_name(computed.disks.as_deref(), disks.len(), disks.iter(), disk)
        && by_name(computed.nics.as_deref(), nics.len(), nics.iter(), nic)
        && set(computed.settings.as_deref(), settings)
        && match &computed.guest {
            None => guest.is_empty(),
            Some(computed) => inside(computed, guest),
        }
}

/// Both in the order of their names.
fn by_name<'c, V, C: 'c>(
    computed: Option<&ByName<V>>,
    count: usize,
    mut config: impl Iterator<Item = (&'c String, &'c C)>,
    is: impl Fn(&V, &C) -> bool,
) -> bool {
    computed.map_or(0, ByName::len) == count
        && computed
            .into_iter()
            .flat_map(ByName::iter)
            .all(|(name, value)| {
                config
                    .next()
                    .is_some_and(|(other, config)| name == other && is(value, config))
            })
}

fn set(computed: Option<&ByName<Traced<Json>>>, config: &Map<String, Value>) -> bool {
    let settings = || computed.into_iter().flat_map(ByName::iter);
    if computed.map_or(0, ByName::len) != config.len() {
        return false;
    }
    // In the order in which they are made; in another one they are looked up.
    let mut made = settings().zip(config);
    made.all(|((name, setting), (other, value))| name == other && *setting.value.0 == *value)
        || settings().all(|(name, setting)| config.get(name) == Some(&*setting.value.0))
}

fn text(computed: Option<&Traced<Filled>>, config: &Option<String>) -> bool {
    computed.map(|text| &*text.value.0) == config.as_deref()
}

fn bytes(computed: Option<&Traced<Size>>, config: Option<u64>) -> bool {
    computed.map(|size| size.value.0.0) == config
}

fn place(computed: Option<&PlacementComputed>, config: &Placement) -> bool {
    let Placement {
        host,
        cluster,
        pool,
        folder,
    } = config;
    match computed {
        None => config.is_empty(),
        Some(computed) => {
            text(computed.host.as_ref(), host)
                && text(computed.cluster.as_ref(), cluster)
                && text(computed.pool.as_ref(), pool)
                && text(computed.folder.as_ref(), folder)
        }
    }
}

fn disk(computed: &DiskComputed, config: &Disk) -> bool {
    let Disk {
        size,
        storage,
        storage_class,
        bus,
        keep,
    } = config;
    bytes(computed.size.as_ref(), *size)
        && text(computed.storage.as_ref(), storage)
        && text(computed.storage_class.as_ref(), storage_class)
        && text(computed.bus.as_ref(), bus)
        && computed.keep.as_ref().map(|keep| keep.value) == *keep
}

fn nic(computed: &NicComputed, config: &Nic) -> bool {
    let Nic {
        network,
        vlan,
        mac,
        adapter,
        addresses,
        gateway,
    } = config;
    text(computed.network.as_ref(), network)
        && computed.vlan.as_ref().map(|vlan| vlan.value.0) == *vlan
        && computed.mac.as_ref().map(|mac| &*mac.value.0) == mac.as_deref()
        && text(computed.adapter.as_ref(), adapter)
        && match &computed.addresses {
            None => addresses.is_empty(),
            Some(list) => *list.value.0 == **addresses,
        }
        && match (&computed.gateway, gateway) {
            (None, None) => true,
            (Some(computed), Some(config)) => computed.value.0.to_string() == *config,
            (Some(_), None) | (None, Some(_)) => false,
        }
}

/// As [`GuestComputed::document`] would be.
fn inside(computed: &GuestComputed, config: &Map<String, Value>) -> bool {
    let is_text =
        |key: &str, text: Option<&str>| config.get(key).map(Value::as_str) == text.map(Some);
    let is_json = |key: &str, value: Option<Value>| config.get(key) == value.as_ref();
    let count = usize::from(computed.hostname.is_some())
        + usize::from(computed.users.is_some())
        + usize::from(computed.ssh_keys.is_some())
        + usize::from(computed.dns.is_some())
        + usize::from(computed.domain.is_some())
        + usize::from(computed.user_data.is_some());
    count == config.len()
        && is_text(
            "hostname",
            computed.hostname.as_ref().map(|text| &*text.value.0),
        )
        && is_text(
            "user_data",
            computed.user_data.as_ref().map(|text| &*text.value.0),
        )
        && match (&computed.ssh_keys, config.get("ssh_keys")) {
            (None, None) => true,
            (Some(keys), Some(config)) => are(&keys.value, config),
            (Some(_), None) | (None, Some(_)) => false,
        }
        && is_json("users", hidden(computed.users.as_ref()))
        && match (&computed.dns, config.get("dns")) {
            (None, None) => true,
            (Some(dns), Some(config)) => shown(&dns.value.0, config),
            (Some(_), None) | (None, Some(_)) => false,
        }
        && is_json("domain", hidden(computed.domain.as_ref()))
}

fn are(texts: &Texts, config: &Value) -> bool {
    let Some(items) = config.as_array() else {
        return false;
    };
    items.len() == texts.0.len()
        && items
            .iter()
            .zip(&*texts.0)
            .all(|(item, text)| item.as_str() == Some(text))
}

/// Whether a free-form value is shown as `config`.
fn shown(value: &Value, config: &Value) -> bool {
    match names_secrets(value) {
        false => value == config,
        true => without_secrets(value) == *config,
    }
}

/// Whether it has a key that names a secret.
fn names_secrets(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| is_secret_key(key) || names_secrets(value)),
        Value::Array(items) => items.iter().any(names_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn hidden<T: Part>(computed: Option<&Traced<T>>) -> Option<Value> {
    computed.map(|traced| traced.value.json(Secrets::Hidden))
}
