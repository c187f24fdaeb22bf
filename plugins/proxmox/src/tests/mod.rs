//! The engine against a scripted Proxmox VE: the requests of each action, in their order, and what
//! becomes of each kind of answer. What fakepve, a Proxmox VE of others, makes of these requests is for
//! the tests of the workspace.

mod cards;
mod changes;
mod creation;
mod errands;
mod errors;
mod observing;
mod removal;
mod settling;
mod tasks;

use enginehouse_sdk::prelude::*;
use enginehouse_sdk::testing::{Answer, Hypervisor};
use serde_json::{Value, json};

/// What the harness gives as a mark, and how it stands in a description.
const MARKED: &str = "<!-- enginehouse: eh:0123abcd:4567ef:7 -->";
const GIB: u64 = 1_073_741_824;

const CLONE_UPID: &str = "UPID:pve1:000003E8:00001B58:6B018AFB:qmclone:9000:root@pam!eh:";
const START_UPID: &str = "UPID:pve1:000003E9:00001B59:6B018AFC:qmstart:105:root@pam!eh:";

/// On node `pve1`, with VMIDs from 105 on.
fn scripted() -> Hypervisor {
    Hypervisor::scripted().settings(json!({"node": "pve1", "lowest_vmid": 105}))
}

fn api(path: &str) -> String {
    format!("/api2/json{path}")
}

fn data(value: Value) -> Answer {
    Answer::json(json!({ "data": value }))
}

/// An error as nodes give it since pve-http-server 5.2.0.
fn says(status: u16, text: &str) -> Answer {
    Answer::json(json!({"data": null, "message": format!("{text}\n")}))
        .status(status)
        .reason(text)
}

/// The same as it was before: in the reason phrase alone.
fn said(status: u16, text: &str) -> Answer {
    Answer::json(json!({ "data": null }))
        .status(status)
        .reason(text)
}

/// Action on machine 105.
fn on_105(action: Value) -> ActionRequest {
    let mut action = action;
    action["machine"] = json!({"id": "105", "kind": "qemu", "host": "pve1"});
    request(action)
}

fn request(action: Value) -> ActionRequest {
    serde_json::from_value(action).unwrap()
}

/// Path of a task's state or log, as it is sent.
fn task_of(upid: &str, what: &str) -> String {
    let upid = upid
        .replace(':', "%3A")
        .replace('@', "%40")
        .replace('!', "%21");
    api(&format!("/nodes/pve1/tasks/{upid}/{what}"))
}

fn ended_well() -> Answer {
    data(json!({"status": "stopped", "exitstatus": "OK"}))
}

fn missing(vmid: u64) -> Answer {
    says(
        500,
        &format!("Configuration file 'nodes/pve1/qemu-server/{vmid}.conf' does not exist"),
    )
}

/// The configuration of a finished clone of ours.
fn cloned() -> Value {
    json!({
        "name": "web1", "cores": 1, "memory": "1024", "digest": "d1", "boot": "order=scsi0",
        "description": format!("{MARKED}\n"),
        "smbios1": "uuid=11111111-2222-3333-4444-555555555555",
        "scsi0": "local-lvm:vm-105-disk-0,size=8G",
        "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    })
}

fn create(desired: Value) -> ActionRequest {
    request(json!({"action": "create", "desired": desired}))
}

fn ref_to(id: &str, host: Option<&str>) -> MachineRef {
    MachineRef {
        id: id.to_owned(),
        kind: None,
        host: host.map(str::to_owned),
    }
}
