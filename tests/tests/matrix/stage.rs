//! A host on one of the providers.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_tests::{Host, HostOptions, defined};
use serde_json::json;

use crate::provider::Provider;

pub struct Stage {
    pub provider: Provider,
    pub host: Host,
    /// Every step that ran, by the kind of its operation.
    pub ran: HashSet<(OperationKind, String)>,
}

impl Stage {
    /// The root knows the provider, and what every machine is made from.
    pub async fn start(provider: Provider) -> Result<Self> {
        let host = Host::start(HostOptions::default()).await?;
        let ran = HashSet::new();
        let mut stage = Self {
            provider,
            host,
            ran,
        };
        let (entry, image) = stage.provider.entry();
        let root = json!({
            "hypervisors": {"h": entry}, "use_hypervisor": "h",
            "base_image": image, "vcpu": 1, "memory": "1GiB",
        });
        stage.order(OperationKind::Edit, "/", defined(root)).await?;
        Ok(stage)
    }

    pub async fn begin(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<OperationId> {
        Ok(self.host.begin(kind, path, params).await?.number)
    }

    /// The operation once it has ended, or needs a person; notes its steps and those of its parts.
    pub async fn ended(&mut self, number: OperationId) -> Result<Operation> {
        let operation = self.host.stopped(number).await?;
        let mut all = vec![operation.clone()];
        for part in &operation.children {
            all.push(self.host.client().operation(part.number).await?);
        }
        for one in &all {
            let tried = one.steps.iter().filter(|step| step.attempt > 0);
            let ran = tried.map(|step| (one.kind, step.action.clone()));
            self.ran.extend(ran);
        }
        Ok(operation)
    }

    /// Orders what has to succeed.
    pub async fn order(&mut self, kind: OperationKind, path: &str, params: Params) -> Result<()> {
        let number = self.begin(kind, path, params).await?;
        let operation = self.ended(number).await?;
        ensure!(
            operation.state == OperationState::Succeeded,
            "{kind} of {path}: {operation:#?}"
        );
        Ok(())
    }
}
