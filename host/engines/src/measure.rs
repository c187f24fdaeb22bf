//! What a call costs without its sandbox. For measurements: no other call shares an instance.

use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::engine::Engine;
use crate::error::CallError;
use crate::sandbox::Sandbox;

impl Engine {
    /// Calls `meta.describe` this often, all in one fresh sandbox. Answers the time of each call; the
    /// first has the instance's start in it. All of them share the time of one call.
    ///
    /// # Errors
    /// As any call.
    pub async fn describe_repeatedly(&self, times: usize) -> Result<Vec<Duration>, CallError> {
        let call = async |store: &mut Store<Sandbox>| {
            let mut took = Vec::with_capacity(times);
            let mut began = Instant::now();
            let instance = self.instance.instantiate_async(&mut *store).await?;
            for _ in 0..times {
                let meta = instance.enginehouse_engine_meta();
                meta.call_describe(&mut *store).await?;
                took.push(began.elapsed());
                began = Instant::now();
            }
            Ok(took)
        };
        self.pure(call).await.map_err(CallError::new)
    }
}
