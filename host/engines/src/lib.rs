//! Loads and runs engines: wasmtime, limits, egress, credentials.
//!
//! ```text
//!   server ── Occasion, Connection ──> Engine ──> fresh sandbox ──> guest
//!                                                     │ send
//!                        OnceJournal <── egress <─────┘
//!                        Observer    <──   │  named endpoint, pinned address, TLS, credentials
//!                                          └──> provider
//! ```
//!
//! - [`Runtime`] checks components against the contract, compiles each once into a private cache,
//!   and bounds how many run at a time.
//! - [`Engine`] is one loaded component. Each call runs in an instance of its own, with limits on
//!   memory, handles and time, and ends with a typed answer or a [`CallError`].
//! - [`Connection`] is one hypervisor: endpoints, TLS, credentials, session. Every request of a
//!   guest goes through it; a guest names an endpoint and never sees an address or a password.
//! - [`Occasion`] is what the server lends to one call: who asks, until when, and the journal that
//!   makes a `once` request happen at most once.
//!
//! What leaves this crate as text (logs, problems, traps, request lines) is redacted.

mod answer;
mod bindings;
mod cache;
mod clock;
mod contract;
mod convert;
mod describe;
mod egress;
mod engine;
mod error;
mod exports;
mod host;
mod measure;
mod memory;
mod occasion;
mod quarantine;
mod redact;
mod runtime;
mod sandbox;
mod secret;
mod stdio;
mod ticker;
mod trap;

pub use answer::{
    Finished, Moved, Object, Settled, Step, TaskQuery, TaskState, TaskStateKind, Waiting,
};
pub use clock::{Clock, since_boot_ms};
pub use egress::{
    Auth, Connection, ConnectionError, ConnectionSpec, Effect, Rate, RequestLimits, RequestLine,
    Tls,
};
pub use engine::Engine;
pub use error::{CallError, Failure, LoadError, OnceState, RuntimeError};
pub use memory::give_back;
pub use occasion::{
    Begun, JournalError, Observer, Occasion, OnceEnd, OnceJournal, OncePolicy, OnceRequest,
    Reservations, Silent, StoredResponse,
};
pub use runtime::{Loaded, Runtime, RuntimeConfig};
pub use secret::Secret;
