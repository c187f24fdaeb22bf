//! The sandbox of one call: what it holds, and its limits.
//!
//! A fresh store for each call. Wasm's own memory and tables are bounded by [`Limits`]; what the host
//! allocates for the guest by handles, the resource table and the bytes one host call may carry;
//! time by epochs, which make a spinning guest yield, and the caller's timeout around it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::egress::{Connection, OnceSlot, Reporting};
use crate::occasion::Occasion;
use crate::stdio::Printed;

/// Bytes that one call of a host function may carry: a body of 16 MiB and what is around it.
const HOSTCALL_MAX: usize = 24 << 20;
/// Live handles of a call.
const HANDLES_MAX: usize = 1000;
/// Elements of a table: JavaScript and .NET guests need many.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Of one call. A guest of linked Python libraries has about a hundred instances.
const INSTANCES_MAX: usize = 200;
const TABLES_MAX: usize = 50;
const MEMORIES_MAX: usize = 10;
/// Bytes of randomness at a time.
const RANDOM_MAX: u64 = 64 << 10;

/// What a call's guest can reach.
pub(crate) struct Sandbox {
    pub table: ResourceTable,
    wasi: WasiCtx,
    pub limits: Limits,
    pub occasion: Occasion,
    /// Absent for `describe` and `assess`.
    pub connection: Option<Arc<Connection>>,
    pub reporting: Reporting,
    /// The call's `once` request. Outlives the sandbox.
    pub once: Arc<Mutex<Option<OnceSlot>>>,
    /// Whether the guest waits for a provider now, rather than computing.
    pub waiting: Arc<AtomicBool>,
    deadline: Instant,
    /// Lines of log and progress so far.
    pub lines: u32,
}

/// What stays when the sandbox is gone.
pub(crate) struct Remains {
    pub once: Arc<Mutex<Option<OnceSlot>>>,
    pub generation: Arc<AtomicU64>,
    pub waiting: Arc<AtomicBool>,
    pub printed: Printed,
}

impl Sandbox {
    pub(crate) fn store(
        engine: &wasmtime::Engine,
        memory_limit: usize,
        occasion: Occasion,
        connection: Option<Arc<Connection>>,
        deadline: Instant,
    ) -> (Store<Self>, Remains) {
        let printed = Printed::default();
        let wasi = WasiCtx::builder()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_MAX)
            .build();
        let remains = Remains {
            once: Arc::default(),
            generation: Arc::default(),
            waiting: Arc::default(),
            printed,
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let sandbox = Self {
            table,
            wasi,
            limits: Limits::new(memory_limit),
            reporting: Reporting {
                observer: Arc::clone(&occasion.observer),
                clock: occasion.clock.clone(),
                generation: Arc::clone(&remains.generation),
            },
            occasion,
            connection,
            once: Arc::clone(&remains.once),
            waiting: Arc::clone(&remains.waiting),
            deadline,
            lines: 0,
        };
        let mut store = Store::new(engine, sandbox);
        store.limiter(|sandbox| &mut sandbox.limits);
        store.set_hostcall_fuel(HOSTCALL_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        (store, remains)
    }

    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// # Errors
    /// Traps a guest that has no hypervisor to ask: it cannot have a handle either.
    pub(crate) fn connection(&self) -> Result<&Arc<Connection>> {
        (self.connection.as_ref())
            .ok_or_else(|| wasmtime::format_err!("no hypervisor in this call"))
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Bounds wasm's own memories and tables.
pub(crate) struct Limits {
    memory_max: usize,
    /// Bytes of all memories of the call.
    memory: usize,
    /// A memory wanted to grow beyond the limit.
    pub memory_refused: bool,
}

impl Limits {
    fn new(memory_max: usize) -> Self {
        Self {
            memory_max,
            memory: 0,
            memory_refused: false,
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_max {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_call_share_one_limit() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(!limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_refused);
        assert!(limits.memory_growing(60, 100, None).unwrap());
        assert!(!limits.memory_growing(100, 101, None).unwrap());
    }
}
