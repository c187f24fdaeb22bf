//! What clients were told, what the host knows, what is on disk and what the hypervisor has: the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{
    Client, ClientError, ExecutedFilter, Operation, OperationKind, OperationState, Status,
};
use enginehouse_model::{InstallationId, MachineRecord, Mark, OperationId};
use enginehouse_store::{Opening, Store};
use enginehouse_tests::{Exchange, Host, PveMachine, Site, confirmed};

use crate::clients::MACHINES;
use crate::ledger::Ledger;

/// How long what is open may take once nobody kills any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a run came to.
#[derive(Debug)]
pub struct Found {
    pub acknowledged: u64,
    pub refused: u64,
    pub ends: BTreeMap<&'static str, u64>,
    pub clones: usize,
    pub destroyed: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} orders acknowledged, {} refused; {} machines made, {} destroyed;",
            self.acknowledged, self.refused, self.clones, self.destroyed
        )?;
        for (state, times) in &self.ends {
            write!(f, " {times} {state}")?;
        }
        Ok(())
    }
}

pub async fn check(site: &mut Site, ledger: &Ledger) -> Result<Found> {
    let mut ends = BTreeMap::new();
    for (number, order) in ledger.acknowledged() {
        let operation = ended(site.host.client(), number).await?;
        ensure!(
            operation.kind == order.kind && operation.path.as_str() == order.path,
            "operation {number} was acknowledged as {order:?} and is {operation:?}"
        );
        ensure!(
            operation.state != OperationState::InDoubt,
            "operation {number} is in doubt, although it can be asked: {operation:#?}"
        );
        *ends.entry(operation.state.as_str()).or_default() += 1;
    }
    quiet(site.host.client()).await?;
    executed_once(site.host.client(), ledger).await?;
    tree_is_complete(site, ledger).await?;
    machines_are_true(site).await?;

    // Brought to their definitions, and taken down: nothing is left that somebody made twice.
    for path in MACHINES {
        let node = site.node(path).await?;
        if node.status == Some(Status::Deployed) {
            site.order(OperationKind::Reconfigure, path, Default::default())
                .await?;
        }
    }
    machines_are_true(site).await?;
    for path in MACHINES {
        let node = site.node(path).await?;
        if node.status == Some(Status::Deployed) || node.machine_id.is_some() {
            site.order(OperationKind::Undeploy, path, confirmed())
                .await?;
        }
    }
    let left = site.pve.created().await?;
    ensure!(left.is_empty(), "nobody knows of these: {left:#?}");
    let (clones, destroyed) = each_made_once(&site.pve.exchanges().await?)?;
    Ok(Found {
        acknowledged: ledger.acknowledged().len() as u64,
        refused: ledger.refused(),
        ends,
        clones,
        destroyed,
    })
}

async fn ended(client: &Client, number: OperationId) -> Result<Operation> {
    let began = Instant::now();
    loop {
        let operation = match client.wait(number, Duration::from_secs(20)).await {
            Ok(operation) => operation,
            Err(ClientError::Refused(problem)) => {
                bail!("operation {number} was acknowledged and is lost: {problem:?}")
            }
            Err(error) => return Err(error.into()),
        };
        if operation.state.has_ended() || operation.state.needs_person() {
            return Ok(operation);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "operation {number} does not end: {operation:#?}"
        );
    }
}

/// What nobody was told of has ended too.
async fn quiet(client: &Client) -> Result<()> {
    for state in [OperationState::Pending, OperationState::Running] {
        let filter = enginehouse_api::OperationFilter {
            state: Some(state),
            ..Default::default()
        };
        for open in client.operations(&filter).await?.operations {
            ended(client, open.number).await?;
        }
    }
    Ok(())
}

/// Every operation has one line in the executed log, and every number one operation.
async fn executed_once(client: &Client, ledger: &Ledger) -> Result<()> {
    let mut lines = BTreeSet::new();
    let mut before = None;
    loop {
        let filter = ExecutedFilter {
            before: before.take(),
            limit: Some(500),
            ..ExecutedFilter::default()
        };
        let page = client.executed(&filter).await?;
        for line in page.lines {
            ensure!(
                lines.insert(line.number),
                "operation {} ended twice",
                line.number
            );
        }
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    for number in ledger.acknowledged().keys() {
        ensure!(
            lines.contains(number),
            "operation {number} left no line in the executed log"
        );
    }
    Ok(())
}

async fn tree_is_complete(site: &Site, ledger: &Ledger) -> Result<()> {
    for path in ledger.nodes() {
        site.node(&path)
            .await
            .with_context(|| format!("{path} was acknowledged and is lost"))?;
    }
    let notes = site.node("/notes").await?;
    let count = ledger.count();
    let written = serde_json::to_value(&notes.local_definition)?;
    let written = written["labels"]["count"]
        .as_str()
        .unwrap_or("0")
        .to_owned();
    ensure!(
        written == count.to_string(),
        "{count} was acknowledged as written on /notes, it has {written}"
    );
    Ok(())
}

/// Descriptors, records and the hypervisor's machines are the same machines.
async fn machines_are_true(site: &mut Site) -> Result<()> {
    site.host.kill().await?;
    let records = records(&site.host)?;
    site.host.restart().await?;
    let machines = site.pve.created().await?;
    let mut marks = BTreeSet::new();
    for machine in &machines {
        let mark = mark_of(machine)?;
        ensure!(marks.insert(mark.machine), "made twice: {machines:#?}");
        let mut ours = records.iter().filter(|record| record.uid == mark.machine);
        let Some(record) = ours.next() else {
            bail!("no record is about this machine: {machine:#?}");
        };
        ensure!(
            record.mark == mark,
            "{record:?} has another mark than {machine:#?}"
        );
        let identity = record
            .identity
            .as_ref()
            .context("a record without identity")?;
        ensure!(
            identity.machine_id == machine.vmid.to_string(),
            "{record:?} is about another VMID than {machine:#?}"
        );
        let smbios = machine.value("smbios1").unwrap_or_default();
        let incarnation = identity.incarnation.clone().unwrap_or_default();
        ensure!(
            incarnation.is_empty() || smbios.contains(&incarnation),
            "{record:?} has another incarnation than {machine:#?}"
        );
    }
    for path in MACHINES {
        let node = site.node(path).await?;
        let made = records.iter().find(|record| record.node == node.uid);
        let there = made.is_some_and(|record| marks.contains(&record.uid));
        ensure!(
            node.status != Some(Status::Deployed) || there,
            "{path} is deployed and its machine is not there: {made:?}"
        );
    }
    Ok(())
}

/// The records on the disk of a host that is dead.
fn records(host: &Host) -> Result<Vec<MachineRecord>> {
    let opening = Opening {
        host: "a test".to_owned(),
        first_installation: InstallationId::from_uuid(uuid::Uuid::nil()),
        max_pages: None,
    };
    let (_store, loaded) = Store::open(host.data_dir(), &opening)?;
    let records = loaded.machines.iter().map(|row| Ok(row.document.read()?));
    records.collect()
}

fn mark_of(machine: &PveMachine) -> Result<Mark> {
    let description = machine.value("description").unwrap_or_default();
    let mut words = description.split_whitespace();
    let mark = words.find_map(|word| word.parse().ok());
    mark.with_context(|| format!("no mark on {machine:#?}"))
}

/// The text of the mark in a form.
fn mark_in(body: &str) -> Option<&str> {
    let (_, from) = body
        .split_once(" eh:")
        .or_else(|| body.split_once("%20eh:"))?;
    from.split(['%', ' ', '+', '&']).next()
}

/// Of every VMID, a clone took effect and then its destruction, in turns; and one clone for each mark.
fn each_made_once(exchanges: &[Exchange]) -> Result<(usize, usize)> {
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut marks: BTreeSet<String> = BTreeSet::new();
    let (mut clones, mut destroyed) = (0, 0);
    for exchange in exchanges.iter().filter(|e| e.status == Some(200)) {
        match exchange.template().as_str() {
            "POST /nodes/{node}/qemu/{vmid}/clone" => {
                let body = exchange.body.replace("%3A", ":");
                let value = |name: &str| {
                    let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
                    let found = pairs.find(|(key, _)| *key == name);
                    found.map(|(_, value)| value.to_owned())
                };
                let vmid = value("newid").with_context(|| format!("no newid in {body}"))?;
                let mark = mark_in(&body).with_context(|| format!("no mark in {body}"))?;
                ensure!(marks.insert(mark.to_owned()), "cloned twice for {mark}");
                ensure!(there.insert(vmid.clone()), "VMID {vmid} was made twice");
                clones += 1;
            }
            "DELETE /nodes/{node}/qemu/{vmid}" => {
                let path = exchange.path.split('?').next().unwrap_or_default();
                let vmid = path.rsplit('/').next().unwrap_or_default();
                ensure!(there.remove(vmid), "VMID {vmid} was destroyed twice");
                destroyed += 1;
            }
            _ => {}
        }
    }
    ensure!(there.is_empty(), "made and never destroyed: {there:?}");
    Ok((clones, destroyed))
}
