//! Advances wasmtime's epoch while calls run, so that a spinning guest yields.
//!
//! One thread; it sleeps while nothing runs and ends with the runtime.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long a guest may compute before others get a turn.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Ticker {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    ended: bool,
}

/// A call runs; the epoch advances until it is dropped.
pub(crate) struct Running(Arc<Ticker>);

impl Ticker {
    pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let (shared, weak) = (Arc::downgrade(&ticker), engine.weak());
        std::thread::Builder::new()
            .name("engine-epoch".to_owned())
            .spawn(move || tick(&shared, &weak))?;
        Ok(ticker)
    }

    pub(crate) fn running(self: &Arc<Self>) -> Running {
        let mut state = self.state.lock();
        state.running += 1;
        if state.running == 1 {
            self.wake.notify_all();
        }
        drop(state);
        Running(Arc::clone(self))
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.wake.notify_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.running = state.running.saturating_sub(1);
    }
}

fn tick(ticker: &Weak<Ticker>, engine: &wasmtime::EngineWeak) {
    loop {
        let Some(ticker) = ticker.upgrade() else {
            return;
        };
        let mut state = ticker.state.lock();
        while state.running == 0 && !state.ended {
            ticker.wake.wait(&mut state);
        }
        if state.ended {
            return;
        }
        drop(state);
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
    }
}
