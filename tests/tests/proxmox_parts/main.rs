//! Disks and network cards of a machine on a Proxmox API: what comes, changes and goes with a
//! `reconfigure`, looked up on the other side.

#[cfg(test)]
mod cards;
#[cfg(test)]
mod disks;

use anyhow::{Context, Result};
use enginehouse_api::{Change, OperationKind, Params};
use enginehouse_tests::{FakePveOptions, PveMachine, Site};
use serde_json::{Value, json};

/// `/vm1` is running, with disks root and data and cards lan (the template's) and wan; and its VMID.
async fn wired() -> Result<Option<(Site, u64)>> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(None);
    };
    let definition = json!({
        "disks": {"root": {"size": "8GiB"}, "data": {"size": "4GiB"}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 10}, "wan": {"network": "vmbr9"}},
    });
    site.provision("/vm1", definition).await?;
    site.order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let vmid = site.vmid("/vm1").await?;
    Ok(Some((site, vmid)))
}

async fn there(site: &Site, vmid: u64) -> Result<PveMachine> {
    let machine = site.pve.machine(vmid).await?;
    machine.with_context(|| format!("there is no machine {vmid}"))
}

fn set(key: &[&str], value: Value) -> Change {
    Change::Set {
        key: key.iter().map(|part| (*part).to_owned()).collect(),
        value,
    }
}

fn unset(key: &[&str]) -> Change {
    Change::Unset {
        key: key.iter().map(|part| (*part).to_owned()).collect(),
    }
}

/// A reconfigure with a yes to what it destroys.
fn changing(changes: Vec<Change>) -> Params {
    Params {
        changes,
        confirm_destructive: true,
        ..Params::default()
    }
}
