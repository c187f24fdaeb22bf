//! Requests to the API, and its envelope: every answer is `{"data": …}`.

use enginehouse_sdk::prelude::*;
use serde::de::DeserializeOwned;

use crate::guest_config::GuestConfig;
use crate::problem;

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// What an answer carries.
///
/// # Errors
/// What Proxmox VE says, as [`problem::of_reply`] understands it.
pub fn data<T: DeserializeOwned>(cx: &Cx, reply: &Reply) -> Result<T> {
    if !reply.is_success() {
        return Err(problem::of_reply(cx, reply));
    }
    Ok(reply.json::<Envelope<T>>()?.data)
}

/// For requests whose answer says nothing: `null`, of any shape in some versions.
pub fn nothing(cx: &Cx, reply: &Reply) -> Result<()> {
    if reply.is_success() {
        Ok(())
    } else {
        Err(problem::of_reply(cx, reply))
    }
}

pub fn get<T: DeserializeOwned>(cx: &Cx, path: Path) -> Result<T> {
    data(cx, &cx.get(path).send()?)
}

/// Where a guest is: a node and a VMID. All requests about it go to that node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub node: String,
    pub vmid: u64,
}

impl Place {
    pub fn new(node: impl Into<String>, vmid: u64) -> Self {
        let node = node.into();
        Self { node, vmid }
    }

    /// Path of the guest itself.
    pub fn path(&self) -> Path {
        path!("/api2/json/nodes/{}/qemu/{}", self.node, self.vmid)
    }

    /// Path of something of the guest.
    pub fn of(&self, what: &[&str]) -> Path {
        what.iter().fold(self.path(), |path, part| path.push(part))
    }

    pub fn config(&self, cx: &Cx) -> Result<GuestConfig> {
        get(cx, self.of(&["config"]))
    }

    pub fn status(&self, cx: &Cx) -> Result<Status> {
        get(cx, self.of(&["status", "current"]))
    }
}

/// `status/current` of a guest, and one item of a node's list of guests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    #[serde(deserialize_with = "loose::maybe_number")]
    pub vmid: Option<u64>,
    pub name: Option<String>,
    pub status: String,
    /// Says more than `status`: a paused guest is `running` there.
    pub qmpstatus: Option<String>,
    pub lock: Option<String>,
    /// Seconds since the guest was started.
    #[serde(deserialize_with = "loose::maybe_number")]
    pub uptime: Option<f64>,
    #[serde(deserialize_with = "loose::flag")]
    pub template: bool,
}

impl Status {
    pub fn power(&self) -> PowerState {
        power(&self.status, self.qmpstatus.as_deref())
    }
}

pub fn power(status: &str, qmpstatus: Option<&str>) -> PowerState {
    match (status, qmpstatus) {
        ("running", Some("paused" | "suspended" | "prelaunch")) => PowerState::Paused,
        ("running", _) => PowerState::Running,
        ("stopped", _) => PowerState::Stopped,
        ("paused" | "suspended", _) => PowerState::Paused,
        _ => PowerState::Unknown,
    }
}

/// One item of `GET /cluster/resources`. A member is missing where the user may not see it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// `qemu`, `lxc`, `node`, `storage`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub node: Option<String>,
    pub name: Option<String>,
    #[serde(deserialize_with = "loose::maybe_number")]
    pub vmid: Option<u64>,
    pub status: Option<String>,
    #[serde(deserialize_with = "loose::flag")]
    pub template: bool,
    pub lock: Option<String>,
}

/// Everything in the cluster, in one request.
pub fn resources(cx: &Cx) -> Result<Vec<Resource>> {
    get(cx, path!("/api2/json/cluster/resources"))
}

/// The node that a guest is on now.
///
/// # Errors
/// `not-found` when the cluster has no such guest, `unsupported` when it is a container.
pub fn locate(cx: &Cx, vmid: u64) -> Result<Place> {
    let resources = resources(cx)?;
    let found = resources.iter().find(|item| item.vmid == Some(vmid));
    match found {
        Some(Resource {
            kind,
            node: Some(node),
            ..
        }) if kind == "qemu" => Ok(Place::new(node, vmid)),
        Some(item) if item.kind == "lxc" => Err(containers_come_later(vmid)),
        _ => Err(Error::not_found(format_args!(
            "no guest {vmid} is in the cluster"
        ))),
    }
}

pub fn containers_come_later(vmid: u64) -> Error {
    Error::unsupported(format_args!(
        "{vmid} is a container (LXC); this engine lists containers, but changes only QEMU guests"
    ))
}

/// The VMID of a machine.
///
/// # Errors
/// `invalid`.
pub fn vmid(machine: &MachineRef) -> Result<u64> {
    let number: Option<u64> = machine.id.parse().ok().filter(|id| *id >= 100);
    number.ok_or_else(|| Error::invalid(format_args!("{:?} is no VMID", machine.id)))
}
