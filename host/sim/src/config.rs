//! How a simulated hypervisor is started.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Disk, Firmware, Image, Knobs};

/// Everything that is decided before the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The world is read from this file at the start, and written to it whole after every change.
    /// Absent: the world is in memory only.
    pub state: Option<PathBuf>,
    /// What `Authorization: Bearer` must carry. Absent: anybody may call.
    pub token: Option<String>,
    /// What `/v1/info` gives as identity. Absent: made once for each world.
    pub identity: Option<String>,
    /// Hosts that new machines are put on in turn. Never empty: an empty list is read as `sim-a`.
    pub hosts: Vec<String>,
    /// What machines can be made from.
    pub images: Vec<Image>,
    /// The knobs of a new world. A world from a file brings its own.
    pub knobs: Knobs,
}

impl Default for SimConfig {
    fn default() -> Self {
        let image = |name: &str, gib: u64| Image {
            name: name.to_owned(),
            description: String::new(),
            firmware: Firmware::Bios,
            disks: vec![Disk {
                label: "root".to_owned(),
                size: gib << 30,
                storage: "local".to_owned(),
                bus: "virtio".to_owned(),
            }],
        };
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            state: None,
            token: None,
            identity: None,
            hosts: vec!["sim-a".to_owned()],
            images: vec![image("d12", 10), image("d13", 10), image("docker", 20)],
            knobs: Knobs::default(),
        }
    }
}

/// Why a simulated hypervisor cannot run.
#[derive(Debug, Error)]
pub enum SimError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the world in {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no world of this version: move it away to begin a new one")]
    Format {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot write the world to {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the simulation was stopped")]
    Stopped,
}
