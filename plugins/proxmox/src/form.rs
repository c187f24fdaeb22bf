//! What is written to a guest's configuration: parameters to set, and those to remove.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_sdk::prelude::*;

use crate::drive::{self, Properties, Slot};
use crate::guest_config::GuestConfig;
use crate::settings::split_tags;
use crate::trailer::Text;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    set: BTreeMap<String, String>,
    delete: BTreeSet<String>,
}

impl Form {
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.set.insert(key.to_owned(), value.to_string());
    }

    pub fn delete(&mut self, key: &str) {
        self.delete.insert(key.to_owned());
    }

    pub fn value(&self, key: &str) -> Option<&str> {
        self.set.get(key).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty()
    }

    /// Fields of the request. With the digest the write fails if somebody else wrote meanwhile.
    pub fn fields(&self, digest: Option<&str>) -> Vec<(String, String)> {
        let mut fields: Vec<_> = self.set.clone().into_iter().collect();
        if !self.delete.is_empty() {
            let keys: Vec<_> = self.delete.iter().map(String::as_str).collect();
            fields.push(("delete".to_owned(), keys.join(",")));
        }
        if let Some(digest) = digest {
            fields.push(("digest".to_owned(), digest.to_owned()));
        }
        fields
    }

    /// Whether the configuration is as this form leaves it.
    pub fn is_in(&self, config: &GuestConfig) -> bool {
        self.delete.iter().all(|key| config.get(key).is_none())
            && self
                .set
                .iter()
                .all(|(key, value)| config.get(key).is_some_and(|have| same(key, value, have)))
    }

    /// The configuration as this form leaves it, as far as that is known without asking.
    pub fn apply(&self, config: &mut GuestConfig) {
        for key in &self.delete {
            config.remove(key);
        }
        for (key, value) in &self.set {
            match (key.parse::<Slot>(), drive::new_disk_size(value)) {
                (Ok(_), Some((storage, size))) => {
                    let value = format!("{storage}:?,size={}", drive::show_size(size));
                    config.set(key, &value);
                }
                _ => config.set(key, value),
            }
        }
    }
}

/// Whether a parameter has the value that was written, in whatever way it is shown now.
pub fn same(key: &str, wanted: &str, have: &str) -> bool {
    if key == "description" {
        let (mut wanted, mut have) = (Text::parse(wanted), Text::parse(have));
        for text in [&mut wanted, &mut have] {
            if text.description.ends_with('\n') {
                text.description.pop();
            }
        }
        return wanted == have;
    }
    if key == "tags" {
        return split_tags(wanted) == split_tags(have);
    }
    if key == "memory" {
        return wanted == have.strip_prefix("current=").unwrap_or(have);
    }
    if let Ok(slot) = key.parse::<Slot>()
        && let Some((storage, size)) = drive::new_disk_size(wanted)
    {
        return drive::disk(slot, have).is_some_and(|disk| {
            disk.storage.as_deref() == Some(storage) && disk.size == Some(size)
        });
    }
    if drive::nic_slot(key).is_some() {
        let (wanted_nic, mut have_nic) = (drive::nic(wanted), drive::nic(have));
        if wanted_nic.mac.is_none() {
            have_nic.mac = None;
        }
        return wanted_nic == have_nic;
    }
    let (wanted, have) = (Properties::parse(wanted), Properties::parse(have));
    wanted == have
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config_of(value: serde_json::Value) -> GuestConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_was_written_is_recognised_however_it_is_shown() {
        let mut form = Form::default();
        form.set("memory", 4096);
        form.set("tags", "a;b");
        form.set("scsi1", "s:8");
        form.set("net0", "virtio,bridge=vmbr0");
        form.delete("cpu");
        let mut shown = config_of(json!({
            "memory": "current=4096", "tags": "b,a", "scsi1": "s:vm-1-disk-1,size=8G",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        }));
        assert!(form.is_in(&shown));
        shown.set("cpu", "host");
        assert!(!form.is_in(&shown));
        let mut applied = GuestConfig::default();
        applied.set("cpu", "host");
        form.apply(&mut applied);
        assert!(form.is_in(&applied));
    }
}
