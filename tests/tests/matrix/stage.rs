//! A host on one of the providers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationRequest, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_tests::{Host, HostOptions, defined};
use serde_json::json;

use crate::provider::Provider;

const PATIENCE: Duration = Duration::from_secs(180);

pub struct Stage {
    pub provider: Provider,
    pub host: Host,
}

impl Stage {
    /// The root knows the provider, and what every machine is made from.
    pub async fn start(provider: Provider) -> Result<Self> {
        let host = Host::start(HostOptions::default()).await?;
        let stage = Self { provider, host };
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
        let request = OperationRequest {
            kind,
            path: path.parse()?,
            params,
        };
        let operation = self.host.client().order(&request, None, None).await?;
        Ok(operation.number)
    }

    /// The operation once it has ended, or needs a person.
    pub async fn ended(&self, number: OperationId) -> Result<Operation> {
        let began = Instant::now();
        loop {
            let client = self.host.client();
            let operation = client.wait(number, Duration::from_secs(20)).await?;
            if operation.state.has_ended() || operation.state.needs_person() {
                return Ok(operation);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "it does not end: {operation:#?}"
            );
        }
    }

    /// Orders what has to succeed.
    pub async fn order(&self, kind: OperationKind, path: &str, params: Params) -> Result<()> {
        let number = self.begin(kind, path, params).await?;
        let operation = self.ended(number).await?;
        ensure!(
            operation.state == OperationState::Succeeded,
            "{kind} of {path}: {operation:#?}"
        );
        Ok(())
    }
}
