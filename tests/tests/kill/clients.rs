//! What clients do, without minding that the host dies.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use enginehouse_api::{Change, Operation, OperationKind, OperationRequest, Params};
use enginehouse_model::OperationId;
use enginehouse_simulation::random::Random;
use enginehouse_tests::{confirmed, defined};
use serde_json::json;
use tokio::sync::watch;

use crate::door::{self, Door, Said};
use crate::ledger::{Acknowledged, Ledger};

/// Descriptors that have machines now and then.
pub const MACHINES: [&str; 6] = ["/web/a", "/web/b", "/web/c", "/db/a", "/db/b", "/solo"];
const FOLDERS: [&str; 2] = ["/web", "/db"];
/// Operations of one client that may be open before it waits.
const OPEN: usize = 5;

/// What a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    Machines,
    Tree,
    Cancels,
}

struct Client {
    name: String,
    doors: watch::Receiver<Option<Door>>,
    ledger: Arc<Ledger>,
    random: Random,
    sent: u64,
    open: Vec<OperationId>,
}

/// Orders until it is to stop.
pub async fn work(
    at: usize,
    kinds: Kinds,
    random: Random,
    doors: watch::Receiver<Option<Door>>,
    stopping: watch::Receiver<bool>,
    ledger: Arc<Ledger>,
) -> Result<()> {
    let mut client = Client {
        name: format!("client-{at}"),
        doors,
        ledger,
        random,
        sent: 0,
        open: Vec::new(),
    };
    while !*stopping.borrow() {
        match kinds {
            Kinds::Machines => client.machine().await?,
            Kinds::Tree => client.tree().await?,
            Kinds::Cancels => client.cancel().await?,
        }
        let pause = client.random.below(40);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Ok(())
}

impl Client {
    /// The operation, or `None` where it was refused.
    async fn order(
        &mut self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Option<Operation>> {
        self.sent += 1;
        let key = format!("{}-{}", self.name, self.sent);
        let request = OperationRequest {
            kind,
            path: path.parse()?,
            params,
        };
        match door::order(&mut self.doors, &request, &key).await? {
            Said::Yes(operation) => {
                let order = Acknowledged {
                    kind,
                    path: path.to_owned(),
                    key,
                };
                self.ledger.acknowledge(operation.number, order)?;
                Ok(Some(operation))
            }
            Said::No(_) => {
                self.ledger.refuse();
                Ok(None)
            }
        }
    }

    /// As [`Client::order`], of what nobody has a reason to refuse.
    async fn surely(&mut self, kind: OperationKind, path: &str, params: Params) -> Result<()> {
        match self.order(kind, path, params).await? {
            Some(operation) if operation.state.has_ended() => Ok(()),
            Some(operation) => bail!("{kind} of {path} has not ended: {operation:?}"),
            None => bail!("{kind} of {path} was refused: was it done before?"),
        }
    }

    /// Waits until it has not too much under way.
    async fn settle(&mut self) -> Result<()> {
        while self.open.len() >= OPEN {
            let mut open = Vec::new();
            for number in std::mem::take(&mut self.open) {
                match door::operation(&mut self.doors, number).await? {
                    Said::Yes(operation) if operation.state.has_ended() => {}
                    Said::Yes(_) => open.push(number),
                    Said::No(problem) => {
                        bail!("operation {number} was acknowledged and is lost: {problem:?}")
                    }
                }
            }
            self.open = open;
            if self.open.len() >= OPEN {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn machine(&mut self) -> Result<()> {
        self.settle().await?;
        if self.open.len() >= OPEN {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        let one = self.random.pick(&MACHINES).copied().unwrap_or("/solo");
        let folder = self.random.pick(&FOLDERS).copied().unwrap_or("/web");
        let (kind, path, params) = match self.random.below(20) {
            0..=6 => (OperationKind::Deploy, one, Params::default()),
            7 => (OperationKind::Deploy, folder, Params::default()),
            8..=10 => (OperationKind::Undeploy, one, confirmed()),
            11 => (OperationKind::Undeploy, folder, confirmed()),
            12 | 13 => {
                let vcpu = 1 + self.random.below(4);
                let params = Params {
                    changes: vec![Change::Set {
                        key: vec!["vcpu".to_owned()],
                        value: json!(vcpu),
                    }],
                    ..Params::default()
                };
                (OperationKind::Reconfigure, one, params)
            }
            14 => (OperationKind::Reconfigure, folder, Params::default()),
            15 => (OperationKind::Stop, one, forced()),
            16 => (OperationKind::Start, one, Params::default()),
            17 => (OperationKind::Stop, folder, forced()),
            18 => (OperationKind::Start, folder, Params::default()),
            _ => (OperationKind::Restart, one, forced()),
        };
        if let Some(operation) = self.order(kind, path, params).await? {
            self.open.push(operation.number);
        }
        Ok(())
    }

    /// Everything here has a name of its own: were an order done twice, the second would be refused.
    async fn tree(&mut self) -> Result<()> {
        let number = self.sent + 1;
        match self.random.below(4) {
            0 => {
                let path = format!("/notes/f{number}");
                let kind = OperationKind::CreateFolder;
                self.surely(kind, &path, defined(json!({}))).await?;
                self.ledger.has_node(&path);
            }
            1 => {
                let path = format!("/notes/d{number}");
                let kind = OperationKind::Provision;
                self.surely(kind, &path, defined(json!({}))).await?;
                self.ledger.has_node(&path);
            }
            2 => {
                let definition = json!({"labels": {"count": number.to_string()}});
                let kind = OperationKind::Edit;
                self.surely(kind, "/notes", defined(definition)).await?;
                self.ledger.has_count(number);
            }
            _ => {
                let nodes: Vec<String> = self.ledger.nodes().into_iter().collect();
                let Some(from) = self.random.pick(&nodes).cloned() else {
                    return Ok(());
                };
                let to = format!("/notes/m{number}");
                let params = Params {
                    to: Some(to.parse()?),
                    ..Params::default()
                };
                self.surely(OperationKind::Move, &from, params).await?;
                self.ledger.has_moved(&from, &to);
            }
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<()> {
        let newest = self.ledger.newest(12);
        if let Some(number) = self.random.pick(&newest).copied() {
            // One that has ended is refused, which is as good.
            door::cancel(&mut self.doors, number).await?;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        Ok(())
    }
}

fn forced() -> Params {
    Params {
        force: true,
        ..Params::default()
    }
}
