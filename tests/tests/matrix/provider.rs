//! Two providers, each with the same three troubles.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use enginehouse_sim::{Call, Fault, FaultEffect, Knobs, Power, Sim, SimConfig, SimHandle};
use enginehouse_tests::{
    FakePve, FakePveOptions, HidingProxy, Moment, Rule, Trouble, engines_dir, skip_or_fail,
};
use serde_json::{Value, json};

use crate::rows::Step;

const PATIENCE: Duration = Duration::from_secs(60);
/// Milliseconds in which a test says what comes after a request. Shorter than the host waits for it.
const SLOWLY: u64 = 1_000;

/// How a machine is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The provider's.
    pub id: String,
    /// Another one for another machine.
    pub incarnation: String,
    /// Whether any installation has marked it.
    pub marked: bool,
    pub running: bool,
    pub gib: u64,
    pub disks: usize,
    /// Of its nics, sorted.
    pub vlans: Vec<u16>,
    pub noted: bool,
}

pub enum Provider {
    Sim(SimHandle),
    Pve { pve: FakePve, proxy: HidingProxy },
}

/// Method and path of the request of a step.
fn request(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Create => ("POST", "/clone"),
        Step::Configure
        | Step::DiskAdd
        | Step::DiskRemove
        | Step::NicAdd
        | Step::NicChange
        | Step::NicRemove
        | Step::Adopt => ("PUT", "/config"),
        Step::Grow => ("PUT", "/resize"),
        Step::Start => ("POST", "/status/start"),
        Step::Stop => ("POST", "/status/shutdown"),
        Step::Restart => ("POST", "/status/reboot"),
        Step::Destroy => ("DELETE", "/qemu/"),
    }
}

fn call(step: Step) -> Call {
    match step {
        Step::Create => Call::MachineCreate,
        Step::Configure | Step::Adopt => Call::MachineUpdate,
        Step::DiskAdd => Call::DiskAdd,
        Step::Grow => Call::DiskGrow,
        Step::DiskRemove => Call::DiskRemove,
        Step::NicAdd => Call::NicAdd,
        Step::NicChange => Call::NicChange,
        Step::NicRemove => Call::NicRemove,
        Step::Start => Call::MachineStart,
        Step::Stop => Call::MachineShutdown,
        Step::Restart => Call::MachineRestart,
        Step::Destroy => Call::MachineDestroy,
    }
}

impl Provider {
    pub async fn sim() -> Result<Option<Self>> {
        if let Err(error) = engines_dir() {
            skip_or_fail(&error.to_string());
            return Ok(None);
        }
        let knobs = Knobs {
            task_ms: 20,
            ..Knobs::default()
        };
        let config = SimConfig {
            knobs,
            ..SimConfig::default()
        };
        Ok(Some(Self::Sim(Sim::start(config).await?)))
    }

    pub async fn pve() -> Result<Option<Self>> {
        if let Err(error) = engines_dir() {
            skip_or_fail(&error.to_string());
            return Ok(None);
        }
        let Some(pve) = FakePve::start_or_skip(FakePveOptions::default()).await? else {
            return Ok(None);
        };
        let disk = json!({"scsi0": "local-lvm:base-9001-disk-0,size=8G"});
        pve.add_template(9001, "other", disk).await?;
        let proxy = HidingProxy::start(&pve).await?;
        Ok(Some(Self::Pve { pve, proxy }))
    }

    /// Its entry, and the image that machines are made from.
    pub fn entry(&self) -> (Value, &'static str) {
        let limits = json!({"request_timeout_s": 2, "shutdown_timeout_s": 5});
        match self {
            Self::Sim(sim) => (
                json!({"type": "fake", "host": sim.url(), "limits": limits}),
                "d12",
            ),
            Self::Pve { pve, proxy } => (
                json!({
                    "type": "proxmox", "host": proxy.url(), "limits": limits,
                    "user": pve.token(), "password": pve.secret(),
                    "settings": {"node": "pve1", "storage": "local-lvm", "bridge": "vmbr0"},
                }),
                "template",
            ),
        }
    }

    /// Another image than that of [`Provider::entry`].
    pub fn another_image(&self) -> &'static str {
        match self {
            Self::Sim(_) => "d13",
            Self::Pve { .. } => "other",
        }
    }

    /// A stopped machine of 20 GiB that somebody else has made.
    pub async fn stranger(&self, name: &str) -> Result<()> {
        match self {
            Self::Sim(sim) => {
                let body = json!({"name": name, "disks": {"root": {"size": 20_u64 << 30}}});
                let before = sim.world().machines.len();
                let url = format!("{}/v1/machines", sim.url());
                let client = reqwest::Client::new();
                client
                    .post(url)
                    .json(&body)
                    .send()
                    .await?
                    .error_for_status()?;
                let began = Instant::now();
                while sim.world().machines.len() == before
                    || sim.world().machines.values().any(|vm| vm.lock.is_some())
                {
                    ensure!(began.elapsed() < PATIENCE, "{name} is not made");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(())
            }
            Self::Pve { pve, .. } => {
                let vmid = 500 + pve.machines().await?.len();
                let disk = format!("local-lvm:vm-{vmid}-disk-0,size=20G");
                let config = json!({ "scsi0": disk });
                pve.add_machine(u64::try_from(vmid)?, name, config).await
            }
        }
    }

    /// The next request of the step takes effect, and its answer gets lost.
    pub fn lose_answer(&self, step: Step) -> Result<()> {
        match self {
            Self::Sim(sim) => {
                let fault = Fault::once(call(step), FaultEffect::LoseAnswer);
                sim.tune(|knobs| knobs.faults.push(fault))?;
            }
            Self::Pve { proxy, .. } => {
                let (method, path) = request(step);
                proxy.on(Rule::once(method, path, Trouble::LoseAnswer));
            }
        }
        Ok(())
    }

    /// The next request of the step is refused, as by a provider that has a reason.
    pub async fn refuse(&self, step: Step) -> Result<()> {
        let message = "not that";
        match self {
            Self::Sim(sim) => {
                let answer = FaultEffect::Answer {
                    status: 500,
                    code: "internal".to_owned(),
                    message: message.to_owned(),
                };
                let fault = Fault::once(call(step), answer);
                sim.tune(|knobs| knobs.faults.push(fault))?;
            }
            Self::Pve { pve, .. } => {
                let (method, path) = request(step);
                let path = match step {
                    Step::Destroy => "/nodes/{node}/qemu/{vmid}",
                    _ => path,
                };
                pve.fail_with(method, path, 500, message, Some(1)).await?;
            }
        }
        Ok(())
    }

    /// The next request of the step is refused, and not before [`Provider::go_on`]: what comes after
    /// it can be given its trouble when it [`Provider::came`].
    pub async fn refuse_slowly(&self, step: Step) -> Result<Held> {
        let held = match self {
            Self::Sim(sim) => {
                let slow = FaultEffect::Delay { ms: SLOWLY };
                let fault = Fault::once(call(step), slow);
                let before = sim.requests().count(call(step));
                sim.tune(|knobs| knobs.faults.push(fault))?;
                before
            }
            Self::Pve { proxy, .. } => {
                let (method, path) = request(step);
                let before = proxy.count_at(method, path, Moment::Arrived);
                proxy.on(Rule::once(method, path, Trouble::HoldRequest));
                before as u64
            }
        };
        self.refuse(step).await?;
        Ok(Held {
            before: held,
            picture: String::new(),
        })
    }

    /// Returns when the request that is to be refused is there.
    pub async fn came(&self, step: Step, held: &Held) -> Result<()> {
        match self {
            Self::Sim(sim) => {
                let began = Instant::now();
                while sim.requests().count(call(step)) == held.before {
                    ensure!(began.elapsed() < PATIENCE, "{step:?} does not come");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Self::Pve { proxy, .. } => {
                let (method, path) = request(step);
                let times = usize::try_from(held.before)? + 1;
                proxy.reached(method, path, Moment::Arrived, times).await?;
            }
        }
        Ok(())
    }

    /// It is refused now.
    pub fn go_on(&self) {
        match self {
            // After the delay that it has.
            Self::Sim(_) => {}
            Self::Pve { proxy, .. } => proxy.release(),
        }
    }

    /// The next request of the step takes effect, and its answer is held back. Answers what
    /// [`Provider::worked`] is to be asked with.
    pub fn hold_answer(&self, step: Step) -> Result<Held> {
        match self {
            Self::Sim(sim) => {
                let late = FaultEffect::AnswerLate { ms: 600_000 };
                let fault = Fault::once(call(step), late);
                sim.tune(|knobs| knobs.faults.push(fault))?;
                Ok(Held {
                    before: sim.requests().count(call(step)),
                    picture: picture(sim)?,
                })
            }
            Self::Pve { proxy, .. } => {
                let (method, path) = request(step);
                let before = proxy.count_at(method, path, Moment::Done);
                proxy.on(Rule::once(method, path, Trouble::HoldAnswer));
                Ok(Held {
                    before: before as u64,
                    picture: String::new(),
                })
            }
        }
    }

    /// Returns when the request has taken effect.
    pub async fn worked(&self, step: Step, held: &Held) -> Result<()> {
        match self {
            Self::Sim(sim) => {
                let began = Instant::now();
                while sim.requests().count(call(step)) == held.before
                    || picture(sim)? == held.picture
                {
                    ensure!(began.elapsed() < PATIENCE, "{step:?} does not come");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Self::Pve { proxy, .. } => {
                let (method, path) = request(step);
                let times = usize::try_from(held.before)? + 1;
                proxy.reached(method, path, Moment::Done, times).await?;
            }
        }
        Ok(())
    }

    /// No trouble from here on; what was held is thrown away.
    pub async fn calm(&self) -> Result<()> {
        match self {
            Self::Sim(sim) => sim.tune(|knobs| knobs.faults.clear())?,
            Self::Pve { pve, proxy } => {
                proxy.clear_rules();
                proxy.discard();
                pve.stop_failing().await?;
            }
        }
        Ok(())
    }

    /// Every machine of this name.
    pub async fn machines(&self, name: &str) -> Result<Vec<Seen>> {
        match self {
            Self::Sim(sim) => {
                let world = sim.world();
                let named = world.machines.iter().filter(|(_, vm)| vm.name == name);
                let seen = named.map(|(number, vm)| Seen {
                    id: format!("m-{number}"),
                    incarnation: number.to_string(),
                    marked: !vm.mark.is_empty(),
                    vlans: vlans(vm.nics.values().filter_map(|nic| nic.vlan)),
                    running: vm.power == Power::Running,
                    gib: vm.disks.get("disk0").map_or(0, |disk| disk.size >> 30),
                    disks: vm.disks.len(),
                    noted: vm.description.as_deref() == Some("noted"),
                });
                Ok(seen.collect())
            }
            Self::Pve { pve, .. } => {
                let mut seen = Vec::new();
                for vm in pve.created().await? {
                    if vm.name != name {
                        continue;
                    }
                    let keys = vm.config.keys().chain(vm.pending.keys());
                    let disks: BTreeSet<&String> = keys.filter(|key| is_disk(key)).collect();
                    let text = vm.value("scsi0").unwrap_or_default();
                    let size = text.split(',').find_map(|part| part.strip_prefix("size="));
                    let gib = size.and_then(|size| size.strip_suffix('G')?.parse().ok());
                    let Some(gib) = gib else {
                        bail!("what size is this disk? {vm:?}");
                    };
                    let value = |key: &str| vm.value(key).unwrap_or_default();
                    let tags = vm.config.keys().filter_map(|key| {
                        let slot = key.strip_prefix("net")?;
                        slot.parse::<u8>().ok()?;
                        let card = value(key);
                        let tag = card.split(',').find_map(|part| part.strip_prefix("tag="));
                        tag?.parse().ok()
                    });
                    seen.push(Seen {
                        id: vm.vmid.to_string(),
                        incarnation: value("smbios1"),
                        marked: value("description").contains("<!-- enginehouse: "),
                        vlans: vlans(tags),
                        running: vm.status == "running",
                        gib,
                        disks: disks.len(),
                        noted: vm
                            .value("description")
                            .is_some_and(|text| text.contains("noted")),
                    });
                }
                Ok(seen)
            }
        }
    }

    /// How often the machines were restarted so far.
    pub async fn restarts(&self) -> Result<usize> {
        match self {
            Self::Sim(sim) => {
                let world = sim.world();
                let restarts = world.tasks.values().filter(|task| task.kind == "restart");
                Ok(restarts.count())
            }
            Self::Pve { pve, .. } => {
                let exchanges = pve.exchanges().await?;
                let restarts = exchanges.iter().filter(|exchange| {
                    exchange.status == Some(200) && exchange.path.ends_with("/status/reboot")
                });
                Ok(restarts.count())
            }
        }
    }
}

fn vlans(of: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut vlans: Vec<u16> = of.collect();
    vlans.sort_unstable();
    vlans
}

/// `scsi0`, `virtio1`
fn is_disk(key: &str) -> bool {
    let buses = ["scsi", "virtio", "sata", "ide"];
    let mut slots = buses.iter().filter_map(|bus| key.strip_prefix(bus));
    slots.any(|slot| slot.parse::<u8>().is_ok())
}

/// What the provider was like when an answer began to be held.
pub struct Held {
    before: u64,
    picture: String,
}

/// Machines and tasks, without the clock.
fn picture(sim: &SimHandle) -> Result<String> {
    let world = sim.world();
    Ok(serde_json::to_string(&(&world.machines, world.tasks_made))?)
}
