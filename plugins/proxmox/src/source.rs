//! Where a new machine comes from, and where it goes.

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place, Resource};
use crate::settings::Connection;

/// How a definition may name a template.
#[derive(Debug, PartialEq, Eq)]
enum Template<'a> {
    /// `pve1/9000`
    Whole(&'a str, u64),
    /// `9000`
    Vmid(u64),
    /// `debian-12`
    Name(&'a str),
}

impl<'a> Template<'a> {
    fn parse(text: &'a str) -> Self {
        if let Ok(vmid) = text.parse() {
            return Self::Vmid(vmid);
        }
        match text.split_once('/') {
            Some((node, vmid)) if !node.is_empty() => match vmid.parse() {
                Ok(vmid) => Self::Whole(node, vmid),
                Err(_) => Self::Name(text),
            },
            _ => Self::Name(text),
        }
    }
}

/// The template and the new machine's node. Asks the cluster only for what the definition and the
/// hypervisor's settings do not say.
///
/// # Errors
/// `not-found` or `invalid`, for `base_image` or `placement.host`.
pub fn find(cx: &Cx, desired: &Config, connection: &Connection) -> Result<(Option<Place>, String)> {
    let host = desired.placement.host.as_deref();
    let Some(image) = desired.base_image.as_deref() else {
        let node = match host.or(connection.node.as_deref()) {
            Some(node) => node.to_owned(),
            None => only_node(&api::resources(cx)?)?,
        };
        return Ok((None, node));
    };
    // Templates are where the settings say; without a word, where the new machine is to be.
    let near = connection.node.as_deref().or(host);
    let source = match (Template::parse(image), near) {
        (Template::Whole(node, vmid), _) => Place::new(node, vmid),
        (Template::Vmid(vmid), Some(node)) => Place::new(node, vmid),
        (Template::Vmid(vmid), None) => {
            api::locate(cx, vmid).map_err(|error| error.field("base_image"))?
        }
        (Template::Name(name), near) => by_name(&api::resources(cx)?, name, near)?,
    };
    // A clone stays on its template's node unless it is told to go elsewhere.
    let node = host.unwrap_or(&source.node).to_owned();
    Ok((Some(source), node))
}

fn only_node(resources: &[Resource]) -> Result<String> {
    let mut nodes = resources
        .iter()
        .filter(|item| item.kind == "node" && item.status.as_deref() == Some("online"))
        .filter_map(|item| item.node.as_deref());
    match (nodes.next(), nodes.next()) {
        (Some(node), None) => Ok(node.to_owned()),
        (None, _) => Err(Error::unreachable("no node of the cluster is online")),
        (Some(one), Some(other)) => Err(Error::invalid(format_args!(
            "the cluster has several nodes ({one}, {other}, …), and none is named for the new machine"
        ))
        .field("placement.host")
        .hint("set `placement.host`, or `node` in the hypervisor's settings")),
    }
}

fn by_name(resources: &[Resource], name: &str, near: Option<&str>) -> Result<Place> {
    let guests = || resources.iter().filter(|item| item.kind == "qemu");
    let mut found: Vec<_> = guests()
        .filter(|item| item.name.as_deref() == Some(name))
        .collect();
    if found.iter().any(|item| item.template) {
        found.retain(|item| item.template);
    }
    if found.len() > 1 && found.iter().any(|item| item.node.as_deref() == near) {
        found.retain(|item| item.node.as_deref() == near);
    }
    match found.as_slice() {
        [] => {
            let templates: Vec<_> = guests()
                .filter(|item| item.template)
                .filter_map(|item| item.name.as_deref())
                .collect();
            let hint = if templates.is_empty() {
                "no template can be seen here: does the user or API token have VM.Audit on it?"
                    .to_owned()
            } else {
                format!("templates here: {}", templates.join(", "))
            };
            Err(Error::not_found(format_args!("no guest is named {name:?}"))
                .field("base_image")
                .hint(hint))
        }
        [
            Resource {
                vmid: Some(vmid),
                node: Some(node),
                ..
            },
        ] => Ok(Place::new(node, *vmid)),
        several => {
            let ids: Vec<_> = several
                .iter()
                .filter_map(|item| Some(format!("{}/{}", item.node.as_deref()?, item.vmid?)))
                .collect();
            Err(Error::invalid(format_args!(
                "several guests are named {name:?}: {}",
                ids.join(", ")
            ))
            .field("base_image")
            .hint("name one by its node and VMID"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resources(items: serde_json::Value) -> Vec<Resource> {
        serde_json::from_value(items).unwrap()
    }

    fn guest(name: &str, vmid: u64, node: &str, template: u8) -> serde_json::Value {
        json!({"type": "qemu", "name": name, "vmid": vmid, "node": node, "template": template})
    }

    #[test]
    fn a_template_is_named_in_three_ways() {
        assert_eq!(Template::parse("9000"), Template::Vmid(9000));
        assert_eq!(Template::parse("pve1/9000"), Template::Whole("pve1", 9000));
        assert_eq!(Template::parse("debian/12x"), Template::Name("debian/12x"));
        assert_eq!(Template::parse("debian-12"), Template::Name("debian-12"));
    }

    #[test]
    fn of_guests_with_one_name_the_near_template_is_taken() {
        let all = resources(json!([
            guest("d12", 9000, "pve1", 1),
            guest("d12", 9001, "pve2", 1),
            guest("d12", 100, "pve1", 0),
            guest("d13", 9002, "pve1", 1),
        ]));
        assert_eq!(
            by_name(&all, "d12", Some("pve2")),
            Ok(Place::new("pve2", 9001))
        );
        assert_eq!(by_name(&all, "d13", None), Ok(Place::new("pve1", 9002)));
        let error = by_name(&all, "d12", None).unwrap_err();
        assert_eq!(
            error.message(),
            "several guests are named \"d12\": pve1/9000, pve2/9001"
        );
        let error = by_name(&all, "d14", None).unwrap_err();
        assert!(error.is(Code::NotFound));
        assert_eq!(
            error.detail().hint.as_deref(),
            Some("templates here: d12, d12, d13")
        );
    }

    #[test]
    fn the_node_must_be_named_unless_there_is_only_one() {
        let node =
            |name: &str, status: &str| json!({"type": "node", "node": name, "status": status});
        let one = resources(json!([node("pve1", "online"), node("pve2", "offline")]));
        assert_eq!(only_node(&one).unwrap(), "pve1");
        let two = resources(json!([node("pve1", "online"), node("pve2", "online")]));
        let error = only_node(&two).unwrap_err();
        assert_eq!(error.detail().field.as_deref(), Some("placement.host"));
    }
}
