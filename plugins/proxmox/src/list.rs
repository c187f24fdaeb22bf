//! All guests of the cluster, in one request.

use enginehouse_sdk::prelude::*;

use crate::api::{self, Resource};

/// `cluster/resources` without a type has the nodes too, so a node that is away is known to be a gap,
/// and its guests are not taken for gone. It shows neither configurations nor marks, and may be
/// behind by the interval of the status daemon (10 seconds).
pub fn list(cx: &Cx) -> Result<Page> {
    Ok(page(api::resources(cx)?))
}

fn page(resources: Vec<Resource>) -> Page {
    let mut page = Page::default();
    let mut nodes = 0;
    for item in resources {
        match &*item.kind {
            "node" => {
                nodes += 1;
                if item.status.as_deref() != Some("online") {
                    let reason = match item.status {
                        Some(status) => format!("the node is {status}"),
                        None => "the state of the node is not shown".to_owned(),
                    };
                    let node = item.node.unwrap_or_default();
                    page.coverage.gaps.push(Gap::host(node, reason));
                }
            }
            "qemu" | "lxc" => page.machines.extend(machine(item)),
            _ => {}
        }
    }
    if nodes == 0 {
        page.coverage.gaps.push(Gap {
            scope: "all".to_owned(),
            name: String::new(),
            reason: "the answer names no node: the user or API token lacks Sys.Audit on /nodes"
                .to_owned(),
        });
    }
    page.machines
        .sort_by_key(|machine| machine.id.parse::<u64>().unwrap_or(u64::MAX));
    page
}

fn machine(item: Resource) -> Option<Machine> {
    Some(Machine {
        id: item.vmid?.to_string(),
        kind: Some(item.kind),
        name: item.name,
        template: item.template,
        power: api::power(item.status.as_deref().unwrap_or_default(), None),
        lock: item.lock.filter(|lock| !lock.is_empty()),
        host: item.node,
        ..Machine::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(resources: serde_json::Value) -> Page {
        page(serde_json::from_value(resources).unwrap())
    }

    #[test]
    fn guests_of_both_kinds_are_listed_by_number() {
        let page = read(json!([
            {"type": "node", "node": "pve1", "status": "online"},
            {"type": "storage", "storage": "local", "node": "pve1", "status": "available"},
            {"type": "qemu", "vmid": 1000, "node": "pve1", "name": "b", "status": "running"},
            {"type": "lxc", "vmid": "200", "node": "pve1", "status": "stopped", "lock": "backup"},
            {"type": "qemu", "vmid": 9000, "node": "pve1", "template": 1, "status": "stopped"},
        ]));
        let ids: Vec<_> = page.machines.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["200", "1000", "9000"]);
        assert_eq!(page.machines[0].kind.as_deref(), Some("lxc"));
        assert_eq!(page.machines[0].lock.as_deref(), Some("backup"));
        assert_eq!(page.machines[1].power, PowerState::Running);
        assert!(page.machines[2].template);
        // What the list does not show is unknown, not empty.
        assert_eq!(page.machines[1].mark, None);
        assert_eq!(page.machines[1].config, None);
        assert_eq!(page.coverage, Coverage::default());
    }

    #[test]
    fn a_node_that_is_away_is_a_gap() {
        let page = read(json!([
            {"type": "node", "node": "pve1", "status": "online"},
            {"type": "node", "node": "pve2", "status": "offline"},
            {"type": "qemu", "vmid": 105, "node": "pve2", "status": "unknown"},
        ]));
        assert_eq!(page.machines[0].power, PowerState::Unknown);
        assert_eq!(page.coverage.gaps.len(), 1);
        assert_eq!(page.coverage.gaps[0].name, "pve2");
        assert_eq!(page.coverage.gaps[0].reason, "the node is offline");
    }

    #[test]
    fn without_nodes_nothing_is_known_to_be_covered() {
        let page =
            read(json!([{"type": "qemu", "vmid": 105, "node": "pve2", "status": "running"}]));
        assert_eq!(page.coverage.gaps[0].scope, "all");
    }
}
