//! A host, its hypervisor, and the wire between them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{Operation, OperationKind, OperationState, Params};
use enginehouse_model::{Mark, OperationId};
use enginehouse_tests::{
    Exchange, FakePve, FakePveOptions, HidingProxy, Host, HostOptions, PveMachine, defined,
    engines_dir, skip_or_fail,
};
use serde_json::{Value, json};

use crate::journal::Remains;
use crate::moment::{Before, Moment, Release};

/// How long a test waits for what has to come; nothing takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(240);

/// Seconds that a clone takes, and a start, and a disk that grows.
const TASK: f64 = 0.7;

/// Seconds until the host gives up a request. Short: a request is believed not to have arrived only
/// when it cannot arrive any more.
const REQUEST_TIMEOUT: u32 = 2;

pub struct Scene {
    pub pve: FakePve,
    pub proxy: HidingProxy,
    pub host: Host,
    /// Every number that a client was told.
    acknowledged: Vec<OperationId>,
}

/// What a killed host left.
pub struct Killed {
    /// The last entries of the operation's journal.
    pub story: String,
    /// The provider's task that it waited for.
    pub task: Option<String>,
    /// Requests until then.
    pub requests: usize,
    /// How far those that the moment is about had got before the order.
    before: Before,
}

impl Scene {
    /// `None` where something is missing that is prepared by `xtask`, and that is no error.
    pub async fn start() -> Result<Option<Self>> {
        let slow = FakePveOptions {
            slow_clones: TASK,
            ..FakePveOptions::default()
        };
        let Some(pve) = FakePve::start_or_skip(slow).await? else {
            return Ok(None);
        };
        if let Err(error) = engines_dir() {
            skip_or_fail(&error.to_string());
            return Ok(None);
        }
        let proxy = HidingProxy::start(&pve).await?;
        let host = Host::start(HostOptions::default()).await?;
        let mut scene = Self {
            pve,
            proxy,
            host,
            acknowledged: Vec::new(),
        };
        let root = json!({
            "hypervisors": { "pve": {
                "type": "proxmox",
                "host": scene.proxy.url(),
                "user": scene.pve.token(),
                "password": scene.pve.secret(),
                "limits": { "request_timeout_s": REQUEST_TIMEOUT, "shutdown_timeout_s": 2 },
                "settings": { "node": "pve1" },
            } },
            "use_hypervisor": "pve",
            "base_image": "template",
            "vcpu": 2,
            "memory": "2GiB",
            // What the template has: nothing to grow, and something that can.
            "disks": { "root": { "size": "8GiB" } },
        });
        scene.define(OperationKind::Edit, "/", root).await?;
        Ok(Some(scene))
    }

    /// An order that is done when it is answered.
    pub async fn define(
        &mut self,
        kind: OperationKind,
        path: &str,
        definition: Value,
    ) -> Result<()> {
        let number = self.order(kind, path, defined(definition)).await?;
        self.succeeds(number).await?;
        Ok(())
    }

    pub async fn order(
        &mut self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<OperationId> {
        let operation = self.host.begin(kind, path, params).await?;
        self.acknowledged.push(operation.number);
        Ok(operation.number)
    }

    /// Waits until the operation has ended or needs a person.
    pub async fn end(&self, number: OperationId) -> Result<Operation> {
        let ended = self.host.stopped(number).await;
        ended.with_context(|| format!("{:#?}", self.proxy.exchanges()))
    }

    pub async fn succeeds(&self, number: OperationId) -> Result<Operation> {
        let operation = self.end(number).await?;
        if operation.state != OperationState::Succeeded {
            let log = self.host.client().log(number, 0).await?;
            bail!(
                "operation {number} is {}: {:?}\n{:#?}\n{:#?}",
                operation.state,
                operation.error,
                log.lines,
                self.proxy.exchanges()
            );
        }
        Ok(operation)
    }

    /// Orders, and kills the host at that moment.
    pub async fn kill_during(
        &mut self,
        kind: OperationKind,
        path: &str,
        params: Params,
        moment: &Moment,
    ) -> Result<(OperationId, Killed)> {
        let before = moment.arm(&self.proxy);
        let number = self.order(kind, path, params).await?;
        // On a slow machine a task may be over before it was polled so often: then it is the end.
        tokio::select! {
            biased;
            come = moment.comes(&self.proxy, before) => come?,
            ended = self.end(number) => {
                let ended = ended?;
                ensure!(moment.may_not_come(), "it ended before {moment:?}: {ended:#?}");
            }
        }
        let killed = self.kill(number).await?;
        Ok((number, Killed { before, ..killed }))
    }

    /// Kills the host. Whatever number a client was told is on disk.
    pub async fn kill(&mut self, number: OperationId) -> Result<Killed> {
        self.host.kill().await?;
        self.proxy.clear_rules();
        let remains = Remains::of(self.host.data_dir())?;
        for number in &self.acknowledged {
            ensure!(
                remains.has(*number).await?,
                "operation {number} was acknowledged and is lost"
            );
        }
        Ok(Killed {
            story: remains.story(number).await?,
            task: remains.task(number).await?,
            requests: self.proxy.exchanges().len(),
            before: Before::default(),
        })
    }

    /// Starts the host again. What the proxy holds goes on as the moment says.
    pub async fn recover(&mut self, moment: &Moment, killed: &Killed) -> Result<()> {
        match moment.release {
            Release::WhileDown => {
                self.proxy.release();
                moment.is_done(&self.proxy, killed.before).await?;
            }
            Release::Never => self.proxy.discard(),
            Release::AfterLook => {}
        }
        self.host.restart().await?;
        if moment.release == Release::AfterLook {
            self.looked(killed).await?;
            self.proxy.release();
        }
        Ok(())
    }

    /// The new host has asked for something that a lost request may have changed.
    async fn looked(&self, killed: &Killed) -> Result<()> {
        let began = tokio::time::Instant::now();
        loop {
            let exchanges = self.proxy.exchanges();
            let looked = exchanges.iter().skip(killed.requests).any(|exchange| {
                let template = exchange.template();
                exchange.status.is_some()
                    && exchange.method == "GET"
                    && (template.contains("{vmid}") || template.ends_with("/tasks"))
            });
            if looked {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "the host does not look: {exchanges:#?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The operations that were acknowledged are all known to the host.
    pub async fn knows_all(&self) -> Result<()> {
        for number in &self.acknowledged {
            let operation = self.host.client().operation(*number).await;
            operation.with_context(|| format!("operation {number} was acknowledged"))?;
        }
        Ok(())
    }

    /// The one machine of this name, made by that operation.
    pub async fn only(&self, name: &str, number: OperationId) -> Result<PveMachine> {
        let machines = self.pve.created().await?;
        let mut named: Vec<PveMachine> = machines
            .into_iter()
            .filter(|machine| machine.name == name)
            .collect();
        ensure!(
            named.len() == 1,
            "{name} is there {} times: {named:#?}",
            named.len()
        );
        let machine = named.remove(0);
        let mark = mark_of(&machine)?;
        ensure!(
            mark.operation == number,
            "{name} was made by operation {}, not {number}",
            mark.operation
        );
        Ok(machine)
    }

    /// Requests that fakepve has carried out, and not refused.
    pub async fn effects(&self, template: &str, holds: &str) -> Result<usize> {
        let exchanges = self.pve.exchanges().await?;
        let fits = |exchange: &&Exchange| {
            exchange.template() == template
                && exchange.status == Some(200)
                && (exchange.path.contains(holds) || exchange.body.contains(holds))
        };
        Ok(exchanges.iter().filter(fits).count())
    }
}

/// The mark that Enginehouse wrote into a machine's description.
fn mark_of(machine: &PveMachine) -> Result<Mark> {
    let description = machine.value("description").unwrap_or_default();
    let found = description
        .split_whitespace()
        .find_map(|word| word.parse().ok());
    found.with_context(|| format!("no mark in {description:?}"))
}
