//! One HTTP request and what became of it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A request as a peer or the proxy saw it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Exchange {
    /// Milliseconds since the peer or proxy began.
    pub at_ms: u64,
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names of the headers with credentials that it had; their values are not kept.
    pub credentials: Vec<String>,
    pub body: String,
    /// Status of the answer; absent while there is none, and when there never was one.
    pub status: Option<u16>,
}

impl Exchange {
    /// Method and path with the parts that differ from machine to machine named:
    /// `GET /nodes/{node}/qemu/{vmid}/config`.
    #[must_use]
    pub fn template(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/api2/json").unwrap_or(path);
        let mut template = self.method.clone();
        template.push(' ');
        let mut before = "";
        for part in path.split('/').skip(1) {
            template.push('/');
            template.push_str(match before {
                "nodes" => "{node}",
                "qemu" | "lxc" => "{vmid}",
                "tasks" => "{upid}",
                "storage" => "{storage}",
                _ => part,
            });
            before = part;
        }
        template
    }
}

/// How many of each [`Exchange::template`].
#[must_use]
pub fn counts(exchanges: &[Exchange]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(exchange.template()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_nodes_and_tasks_are_named_in_the_template() {
        let template = |path: &str| {
            Exchange {
                at_ms: 0,
                method: "GET".to_owned(),
                path: path.to_owned(),
                credentials: Vec::new(),
                body: String::new(),
                status: None,
            }
            .template()
        };
        assert_eq!(
            template("/api2/json/nodes/pve1/qemu/100/config?current=1"),
            "GET /nodes/{node}/qemu/{vmid}/config"
        );
        assert_eq!(
            template("/api2/json/nodes/pve1/tasks/UPID:pve1:1:2:3:qmclone:9:root@pam:/status"),
            "GET /nodes/{node}/tasks/{upid}/status"
        );
        assert_eq!(
            template("/api2/json/cluster/resources?type=vm"),
            "GET /cluster/resources"
        );
        assert_eq!(
            template("/api2/json/nodes/pve1/qemu"),
            "GET /nodes/{node}/qemu"
        );
    }
}
