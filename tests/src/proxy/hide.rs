//! What a node does not show of a machine that is being cloned.

use axum::body::Bytes;
use serde_json::{Map, Value};

/// The body of an answer as a node would send it; `None` where that is no other.
pub(super) fn reduced(path: &str, body: &[u8]) -> Option<Bytes> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    hide(path, &mut answer).then(|| answer.to_string().into())
}

/// Reduces an answer of Proxmox's API, `{"data": …}`, to what a node would show. Answers whether
/// anything was hidden.
fn hide(path: &str, answer: &mut Value) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let Some(data) = answer.get_mut("data") else {
        return false;
    };
    if path.ends_with("/cluster/resources") || path.ends_with("/qemu") {
        let Value::Array(items) = data else {
            return false;
        };
        let mut hidden = false;
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            hidden |= being_cloned(item) && reduce_status(item);
        }
        return hidden;
    }
    if path.ends_with("/pending") {
        return hide_pending(data);
    }
    let Value::Object(data) = data else {
        return false;
    };
    if !being_cloned(data) {
        return false;
    }
    if path.ends_with("/config") {
        data.retain(|key, _| matches!(key.as_str(), "lock" | "digest"));
        return true;
    }
    path.ends_with("/status/current") && reduce_status(data)
}

fn being_cloned(item: &Map<String, Value>) -> bool {
    item.get("lock").and_then(Value::as_str) == Some("clone")
}

/// Without a name in the configuration `vmstatus` says `VM 100`; memory and disk are its defaults
/// (qemu-server, `PVE::QemuServer::vmstatus`).
fn reduce_status(item: &mut Map<String, Value>) -> bool {
    for key in ["tags", "description", "net0", "smbios1"] {
        item.remove(key);
    }
    if let Some(vmid) = item.get("vmid") {
        let name = format!("VM {}", vmid.to_string().trim_matches('"'));
        item.insert("name".to_owned(), name.into());
    }
    for (key, default) in [
        ("maxmem", 512_u64 << 20),
        ("maxdisk", 0),
        ("maxcpu", 1),
        ("cpus", 1),
    ] {
        if let Some(value) = item.get_mut(key) {
            *value = default.into();
        }
    }
    true
}

fn hide_pending(data: &mut Value) -> bool {
    let Value::Array(items) = data else {
        return false;
    };
    let locked = items
        .iter()
        .any(|item| item["key"] == "lock" && item["value"] == "clone");
    if locked {
        items.retain(|item| matches!(item["key"].as_str(), Some("lock" | "digest")));
    }
    locked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(path: &str, mut answer: Value) -> Value {
        hide(path, &mut answer);
        answer["data"].take()
    }

    #[test]
    fn the_configuration_of_a_machine_being_cloned_is_its_lock() {
        let path = "/api2/json/nodes/pve1/qemu/100/config";
        let locked = json!({ "data": {
            "lock": "clone", "digest": "d", "name": "vm1", "description": "eh:1:2:3", "scsi0": "x"
        } });
        assert_eq!(
            seen(path, locked),
            json!({ "lock": "clone", "digest": "d" })
        );
        let backup = json!({ "data": { "lock": "backup", "name": "vm1" } });
        assert_eq!(seen(path, backup.clone()), backup["data"]);
    }

    #[test]
    fn lists_have_neither_name_nor_tags_of_it() {
        let list = json!({ "data": [
            { "vmid": 100, "name": "vm1", "tags": "eh", "lock": "clone", "maxmem": 1, "node": "pve1" },
            { "vmid": 101, "name": "vm2", "tags": "eh" }
        ] });
        assert_eq!(
            seen("/api2/json/cluster/resources?type=vm", list),
            json!([
                { "vmid": 100, "name": "VM 100", "lock": "clone", "maxmem": 536_870_912, "node": "pve1" },
                { "vmid": 101, "name": "vm2", "tags": "eh" }
            ])
        );
    }

    #[test]
    fn pending_and_status_hide_it_too() {
        let pending = json!({ "data": [
            { "key": "lock", "value": "clone" }, { "key": "name", "value": "vm1" }
        ] });
        assert_eq!(
            seen("/nodes/pve1/qemu/100/pending", pending),
            json!([{ "key": "lock", "value": "clone" }])
        );
        let status = json!({ "data": { "vmid": 100, "lock": "clone", "name": "vm1" } });
        assert_eq!(
            seen("/nodes/pve1/qemu/100/status/current", status)["name"],
            "VM 100"
        );
    }
}
