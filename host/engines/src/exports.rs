//! Calls of an engine's exports, raw: what goes in and comes out in the contract's own types.

use wasmtime::component::Resource;
use wasmtime::{Result, Store};

use crate::bindings::engine::Engine as Instance;
use crate::bindings::engine::enginehouse::engine::types::Problem;
use crate::bindings::engine::exports::enginehouse::engine::machines;
use crate::host::{Call, Hypervisor};
use crate::sandbox::Sandbox;

/// One export that is about a hypervisor.
pub(crate) trait Export: Send {
    type Answer: Send;
    /// As in the contract.
    const NAME: &'static str;

    fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> impl Future<Output = Result<std::result::Result<Self::Answer, Problem>>> + Send;
}

#[derive(Clone)]
pub(crate) struct Check;
#[derive(Clone)]
pub(crate) struct List(pub Option<String>);
#[derive(Clone)]
pub(crate) struct Read(pub Vec<String>);
#[derive(Clone)]
pub(crate) struct Run {
    pub action: String,
    pub token: Option<Vec<u8>>,
}
#[derive(Clone)]
pub(crate) struct Settle {
    pub action: String,
    pub token: Option<Vec<u8>>,
}
#[derive(Clone)]
pub(crate) struct Poll(pub Vec<(String, String)>);

impl Export for Check {
    type Answer = String;
    const NAME: &str = "check";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<String, Problem>> {
        let meta = instance.enginehouse_engine_meta();
        meta.call_check(store, call, hypervisor).await
    }
}

impl Export for List {
    type Answer = String;
    const NAME: &str = "list";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<String, Problem>> {
        let machines = instance.enginehouse_engine_machines();
        machines
            .call_list(store, call, hypervisor, self.0.as_deref())
            .await
    }
}

impl Export for Read {
    type Answer = Vec<std::result::Result<String, Problem>>;
    const NAME: &str = "read";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<Self::Answer, Problem>> {
        let machines = instance.enginehouse_engine_machines();
        machines.call_read(store, call, hypervisor, &self.0).await
    }
}

impl Export for Run {
    type Answer = machines::Step;
    const NAME: &str = "run";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<machines::Step, Problem>> {
        let machines = instance.enginehouse_engine_machines();
        machines
            .call_run(store, call, hypervisor, &self.action, self.token.as_deref())
            .await
    }
}

impl Export for Settle {
    type Answer = machines::Settled;
    const NAME: &str = "settle";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<machines::Settled, Problem>> {
        let machines = instance.enginehouse_engine_machines();
        machines
            .call_settle(store, call, hypervisor, &self.action, self.token.as_deref())
            .await
    }
}

impl Export for Poll {
    type Answer = Vec<machines::TaskState>;
    const NAME: &str = "poll";

    async fn call(
        self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
        call: Resource<Call>,
        hypervisor: Resource<Hypervisor>,
    ) -> Result<std::result::Result<Self::Answer, Problem>> {
        let queries: Vec<_> = (self.0.into_iter())
            .map(|(task, cursor)| machines::TaskQuery { task, cursor })
            .collect();
        let machines = instance.enginehouse_engine_machines();
        machines.call_poll(store, call, hypervisor, &queries).await
    }
}
