//! The growth rule: a host may have a method more on what it offers, and engines built before load.

use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::setup::wasm;

mod grown {
    wasmtime::component::bindgen!({
        path: "tests/engine/growth",
        world: "engine",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

use grown::enginehouse::engine::{host, types};

struct Later {
    table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for Later {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

type Answer<T> = Result<std::result::Result<T, types::Problem>>;

/// `describe` asks the host nothing; what is looked at are the types.
fn asked<T>() -> Result<T> {
    wasmtime::bail!("`describe` asks the host nothing")
}

impl types::Host for Later {}

impl host::HostCall for Later {
    async fn operation(&mut self, _: Resource<host::Call>) -> Result<u64> {
        asked()
    }
    async fn attempt(&mut self, _: Resource<host::Call>) -> Result<u32> {
        asked()
    }
    async fn mark(&mut self, _: Resource<host::Call>) -> Result<String> {
        asked()
    }
    async fn key(&mut self, _: Resource<host::Call>, _: u32) -> Result<String> {
        asked()
    }
    async fn now(&mut self, _: Resource<host::Call>) -> Result<u64> {
        asked()
    }
    async fn remaining(&mut self, _: Resource<host::Call>) -> Result<u64> {
        asked()
    }
    async fn cancelling(&mut self, _: Resource<host::Call>) -> Result<bool> {
        asked()
    }
    async fn ended(&mut self, _: Resource<host::Call>) -> Result<Option<String>> {
        asked()
    }
    async fn sent(&mut self, _: Resource<host::Call>) -> Result<Option<String>> {
        asked()
    }
    async fn reserve(
        &mut self,
        _: Resource<host::Call>,
        _: String,
        _: u64,
        _: u64,
        _: Vec<u64>,
    ) -> Answer<u64> {
        asked()
    }
    async fn progress(&mut self, _: Resource<host::Call>, _: Option<u8>, _: String) -> Result<()> {
        asked()
    }
    /// The method more.
    async fn grown(&mut self, _: Resource<host::Call>, question: String) -> Result<String> {
        Ok(question)
    }
    async fn log(&mut self, _: Resource<host::Call>, _: String, _: String) -> Result<()> {
        asked()
    }
    async fn drop(&mut self, _: Resource<host::Call>) -> Result<()> {
        asked()
    }
}

impl host::HostHypervisor for Later {
    async fn name(&mut self, _: Resource<host::Hypervisor>) -> Result<String> {
        asked()
    }
    async fn settings(&mut self, _: Resource<host::Hypervisor>) -> Result<String> {
        asked()
    }
    async fn locate(&mut self, _: Resource<host::Hypervisor>, _: String) -> Answer<host::Location> {
        asked()
    }
    async fn session(&mut self, _: Resource<host::Hypervisor>) -> Result<u64> {
        asked()
    }
    async fn drop(&mut self, _: Resource<host::Hypervisor>) -> Result<()> {
        asked()
    }
}

impl host::HostRequest for Later {
    async fn new(
        &mut self,
        _: String,
        _: String,
        _: String,
        _: String,
    ) -> Result<Resource<host::Request>> {
        asked()
    }
    async fn header(&mut self, _: Resource<host::Request>, _: String, _: String) -> Result<()> {
        asked()
    }
    async fn body(&mut self, _: Resource<host::Request>, _: Vec<u8>) -> Result<()> {
        asked()
    }
    async fn timeout(&mut self, _: Resource<host::Request>, _: u64) -> Result<()> {
        asked()
    }
    async fn drop(&mut self, _: Resource<host::Request>) -> Result<()> {
        asked()
    }
}

impl host::HostResponse for Later {
    async fn status(&mut self, _: Resource<host::Response>) -> Result<u16> {
        asked()
    }
    async fn reason(&mut self, _: Resource<host::Response>) -> Result<String> {
        asked()
    }
    async fn header(&mut self, _: Resource<host::Response>, _: String) -> Result<Option<String>> {
        asked()
    }
    async fn headers(&mut self, _: Resource<host::Response>) -> Result<Vec<(String, String)>> {
        asked()
    }
    async fn read(&mut self, _: Resource<host::Response>, _: u32) -> Answer<Vec<u8>> {
        asked()
    }
    async fn drop(&mut self, _: Resource<host::Response>) -> Result<()> {
        asked()
    }
}

impl host::Host for Later {
    async fn send(
        &mut self,
        _: Resource<host::Hypervisor>,
        _: Resource<host::Request>,
    ) -> Answer<Resource<host::Response>> {
        asked()
    }
}

#[tokio::test]
async fn an_engine_of_today_loads_in_a_host_with_a_method_more() {
    let engine = Engine::default();
    let component = Component::from_file(&engine, wasm()).unwrap();
    let mut linker: Linker<Later> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    types::add_to_linker::<Later, HasSelf<Later>>(&mut linker, |later| later).unwrap();
    host::add_to_linker::<Later, HasSelf<Later>>(&mut linker, |later| later).unwrap();
    let later = Later {
        table: ResourceTable::new(),
        wasi: WasiCtx::builder().build(),
    };
    let mut store = Store::new(&engine, later);
    let instance = grown::Engine::instantiate_async(&mut store, &component, &linker)
        .await
        .unwrap();
    let described = instance
        .enginehouse_engine_meta()
        .call_describe(&mut store)
        .await
        .unwrap();
    assert!(described.contains("\"abuse\""), "{described}");
}

/// The copy is the contract and one method, nothing else: the test above speaks of the real one.
#[test]
fn the_grown_contract_is_the_contract_and_one_method() {
    let grown = include_str!("growth/engine.wit");
    let contract = include_str!("../../../../wit/engine.wit");
    let added = "        /// Only in this copy: what a later host might add.\n        \
        grown: func(question: string) -> string;\n";
    assert_eq!(grown.matches(added).count(), 1);
    assert!(
        grown.replace(added, "") == contract,
        "wit/engine.wit changed: copy it to host/engines/tests/engine/growth and add the method again"
    );
}
