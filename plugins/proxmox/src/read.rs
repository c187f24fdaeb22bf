//! Machines, whole: configuration and run state.
//!
//! A configuration costs a request each. The run states of three or more guests on one node come together,
//! out of the node's own list, which is up to date, unlike the cluster's.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place, Resource, Status};
use crate::problem;
use crate::settings::Connection;

/// From how many guests of a node on its list is asked for instead of each.
const MANY: usize = 3;

/// The cluster's resources, asked for once and only when something is not where it was thought to be.
struct Cluster<'a> {
    cx: &'a Cx<'a>,
    resources: Option<Vec<Resource>>,
}

impl Cluster<'_> {
    fn find(&mut self, vmid: u64) -> Result<Option<&Resource>> {
        if self.resources.is_none() {
            self.resources = Some(api::resources(self.cx)?);
        }
        let resources = self.resources.as_deref().unwrap_or_default();
        Ok(resources.iter().find(|item| item.vmid == Some(vmid)))
    }
}

pub fn read(cx: &Cx, machines: &[MachineRef]) -> Result<Vec<Result<Machine>>> {
    let connection: Connection = cx.settings()?;
    let near = |machine: &MachineRef| machine.host.clone().or_else(|| connection.node.clone());
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    for machine in machines.iter().filter(|machine| !is_container(machine)) {
        if let Some(node) = near(machine) {
            *nodes.entry(node).or_default() += 1;
        }
    }
    let mut states: BTreeMap<(String, u64), Status> = BTreeMap::new();
    for (node, _) in nodes.into_iter().filter(|(_, count)| *count >= MANY) {
        // If the list cannot be had, each guest is asked for itself and says why.
        let listed = api::get::<Vec<Status>>(cx, path!("/api2/json/nodes/{}/qemu", node));
        for status in listed.unwrap_or_default() {
            if let Some(vmid) = status.vmid {
                states.insert((node.clone(), vmid), status);
            }
        }
    }
    let mut cluster = Cluster {
        cx,
        resources: None,
    };
    let mut answers = Vec::with_capacity(machines.len());
    for machine in machines {
        let answer = one(cx, machine, near(machine), &states, &mut cluster);
        match answer {
            // The next one would only meet the same.
            Err(error) if error.is(Code::SessionExpired) => return Err(error),
            answer => answers.push(answer),
        }
    }
    Ok(answers)
}

fn is_container(machine: &MachineRef) -> bool {
    machine.kind.as_deref() == Some("lxc")
}

fn one(
    cx: &Cx,
    machine: &MachineRef,
    node: Option<String>,
    states: &BTreeMap<(String, u64), Status>,
    cluster: &mut Cluster,
) -> Result<Machine> {
    let vmid = api::vmid(machine)?;
    if !is_container(machine)
        && let Some(node) = node
    {
        let place = Place::new(node, vmid);
        match whole(cx, &place, states) {
            Err(error) if problem::is_elsewhere(&error) => {
                let moved = cluster.find(vmid)?.is_some_and(|found| {
                    found.kind != "qemu" || found.node.as_deref() != Some(place.node.as_str())
                });
                if !moved {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
    match cluster.find(vmid)? {
        Some(found) if found.kind == "lxc" => {
            let node = found.node.clone().unwrap_or_default();
            container(cx, &Place::new(node, vmid))
        }
        Some(Resource {
            node: Some(node), ..
        }) => whole(cx, &Place::new(node, vmid), states),
        Some(_) | None => Err(Error::not_found(format_args!(
            "no guest {vmid} is in the cluster"
        ))),
    }
}

fn whole(cx: &Cx, place: &Place, states: &BTreeMap<(String, u64), Status>) -> Result<Machine> {
    let config = place.config(cx)?;
    let power = match states.get(&(place.node.clone(), place.vmid)) {
        Some(status) => status.power(),
        None => place.status(cx)?.power(),
    };
    Ok(config.to_machine(place.vmid, &place.node, power))
}

/// Containers are shown, not changed: their configuration is left unread.
fn container(cx: &Cx, place: &Place) -> Result<Machine> {
    let path = path!(
        "/api2/json/nodes/{}/lxc/{}/status/current",
        place.node,
        place.vmid
    );
    let status: Status = api::get(cx, path)?;
    Ok(Machine {
        id: place.vmid.to_string(),
        kind: Some("lxc".to_owned()),
        power: status.power(),
        lock: status.lock.filter(|lock| !lock.is_empty()),
        name: status.name,
        template: status.template,
        host: Some(place.node.clone()),
        ..Machine::default()
    })
}
