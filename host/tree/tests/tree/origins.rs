//! What `show --origins` says of a node five levels down, and of each level above it.

use serde_json::json;

use crate::common::Estate;

fn estate() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({
            "hypervisors": {
                "pve": {"type": "proxmox", "host": "https://pve1:8006", "user": "root@pam", "password": {"env": "PVE"}},
                "spare": {"type": "proxmox", "host": "https://spare:8006"},
            },
            "prototypes": {
                "small": {"base_image": "debian-12", "vcpu": 1, "memory": "2GiB",
                          "disks": {"root": {"size": "16GiB", "storage": "local"}},
                          "nics": {"lan": {"network": "vmbr0"}}},
            },
            "use_hypervisor": "pve",
            "labels": {"owner": "operations"},
            "protect": true,
        }),
    );
    estate.folder(
        "/web",
        json!({"filter_hypervisors_allow": ["pve"], "use_prototype": "small", "labels": {"team": "web"},
               "guest": {"dns": {"servers": ["192.0.2.53"]}, "domain": {"domain": "example.com", "account": "join", "password": {"env": "JOIN"}}}}),
    );
    estate.folder(
        "/web/shop",
        json!({
            "prototypes": {"small": {"base_image": "debian-13", "memory": "4GiB"}},
            "memory": "8GiB", "labels": {"owner": "shop"}, "nics": {"lan": {"vlan": 12}},
        }),
    );
    estate.folder(
        "/web/shop/front",
        json!({"use_prototype": "small", "protect": null, "placement": {"pool": "front"},
               "disks": {"root": {"storage": "ceph"}, "cache": {"size": "8GiB"}}}),
    );
    estate.provision(
        "/web/shop/front/vm1",
        json!({"vcpu": 4, "disks": {"cache": null, "root": {"keep": true}},
               "nics": {"lan": {"mac": "02:00:00:00:00:01"}}, "guest": {"domain": {"domain": "shop.example.com"}}}),
    );
    estate
}

fn table(estate: &Estate, name: &str) -> String {
    let lines = estate.computed(name).origins();
    let rows = lines
        .iter()
        .map(|line| format!("{:<26}{:<34}{}", line.key, line.value, line.origin));
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_value_of_five_levels_says_where_it_came_from() {
    let estate = estate();
    assert_eq!(
        table(&estate, "/web/shop/front/vm1"),
        "\
use_hypervisor            pve                               / via pve (/)
hypervisor_type           proxmox                           / via pve (/)
host                      https://pve1:8006                 / via pve (/)
user                      root@pam                          / via pve (/)
password                  {\"env\":\"PVE\"}                     / via pve (/)
filter_hypervisors_allow  [pve]                             /web
use_prototype             small                             /web/shop/front via small (/web/shop)
base_image                debian-13                         /web/shop/front via small (/web/shop)
vcpu                      4                                 /web/shop/front/vm1
memory                    4 GiB                             /web/shop/front via small (/web/shop)
labels.owner              shop                              /web/shop
labels.team               web                               /web
placement.pool            front                             /web/shop/front
disks.root.size           16 GiB                            /web via small (/)
disks.root.storage        ceph                              /web/shop/front
disks.root.keep           true                              /web/shop/front/vm1
nics.lan.network          vmbr0                             /web via small (/)
nics.lan.vlan             12                                /web/shop
nics.lan.mac              02:00:00:00:00:01                 /web/shop/front/vm1
guest.dns                 {\"servers\":[\"192.0.2.53\"]}        /web
guest.domain              {\"domain\":\"shop.example.com\"}     /web/shop/front/vm1"
    );
    assert_eq!(
        table(&estate, "/web/shop"),
        "\
use_hypervisor            pve                               / via pve (/)
hypervisor_type           proxmox                           / via pve (/)
host                      https://pve1:8006                 / via pve (/)
user                      root@pam                          / via pve (/)
password                  {\"env\":\"PVE\"}                     / via pve (/)
filter_hypervisors_allow  [pve]                             /web
use_prototype             small                             /web via small (/)
base_image                debian-12                         /web via small (/)
vcpu                      1                                 /web via small (/)
memory                    8 GiB                             /web/shop
labels.owner              shop                              /web/shop
labels.team               web                               /web
disks.root.size           16 GiB                            /web via small (/)
disks.root.storage        local                             /web via small (/)
nics.lan.network          vmbr0                             /web via small (/)
nics.lan.vlan             12                                /web/shop
guest.dns                 {\"servers\":[\"192.0.2.53\"]}        /web
guest.domain              {\"domain\":\"example.com\",\"account\":\"join\",\"password\":{\"env\":\"JOIN\"}}/web
protect                   true                              /"
    );
}
