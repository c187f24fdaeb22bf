//! What can go wrong when an engine is loaded or called.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use enginehouse_documents::{Code, Problem};
use enginehouse_model::Timestamp;
use thiserror::Error;

use crate::occasion::JournalError;

/// Why the runtime cannot start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    #[error("the compile cache {path} cannot be used")]
    Cache {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the compile cache {path} is open to other users: {hint}")]
    CacheOpen { path: PathBuf, hint: String },
    #[error("wasmtime cannot start: {0}")]
    Wasmtime(String),
}

/// Why a file is no engine of ours.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("is {size} bytes; an engine has at most {limit}")]
    TooLarge { size: u64, limit: u64 },
    /// Corrupt, truncated, or something else altogether.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    #[error(
        "a core WebAssembly module, not a component: build it with `--target wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("exports no `{0}`: every engine must have it; see wit/engine.wit")]
    Missing(String),
    #[error("exports `{name}` with another type: expected `{expected}`, found `{found}`")]
    Different {
        name: String,
        expected: String,
        found: String,
    },
    #[error("was built for contract {found} of enginehouse:engine; this host speaks {expected}")]
    Version { expected: String, found: String },
    #[error("asks for `{name}`, which this host does not offer: {reason}")]
    Import { name: String, reason: String },
    #[error("does not fit the contract: {0}")]
    Contract(String),
    #[error("`describe` failed: {0}")]
    Describe(Box<Failure>),
    #[error("`describe` answered no valid description: {0}")]
    Description(String),
    #[error("the name `{name}` is taken by {other}")]
    Duplicate { name: String, other: PathBuf },
    /// The compiler refused it.
    #[error("cannot be compiled: {0}")]
    Compile(String),
}

/// A call that ended without the engine's answer, or with an error as its answer.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{failure}")]
pub struct CallError {
    pub failure: Failure,
    /// What became of this call's `once` request.
    pub once: OnceState,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Failure {
    /// The engine's own error, in the provider's words.
    #[error("{0}")]
    Problem(Problem),
    #[error("the engine trapped: {reason}")]
    Trap {
        /// One line: the panic's message where there is one, otherwise wasm's own.
        reason: String,
        /// Function names, innermost first; at most 20.
        backtrace: Vec<String>,
    },
    #[error("the engine did not answer within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    #[error("the engine wanted more than {} MiB of memory", limit >> 20)]
    Memory {
        /// Bytes.
        limit: u64,
    },
    /// The engine broke the contract.
    #[error("the engine's answer breaks the contract: {0}")]
    Contract(String),
    /// The step ran once more and wants to send another request than the one in the journal.
    #[error("the engine wants to send `{now}`, but this step already sent `{journalled}`")]
    Replay { journalled: String, now: String },
    #[error(transparent)]
    Journal(JournalError),
    #[error("no room for another engine call within {} s: too many run at once", .waited.as_secs_f64())]
    Overloaded { waited: Duration },
    #[error("the engine is quarantined after {traps} traps in a row")]
    Quarantined { traps: u32, until: Timestamp },
}

/// What became of the `once` request of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnceState {
    /// None was sent, and none was asked for.
    #[default]
    None,
    /// Its answer is in the journal.
    Answered,
    /// It provably had no effect.
    NotSent,
    /// It may have taken effect: settle the step.
    Lost,
}

impl CallError {
    #[must_use]
    pub(crate) fn new(failure: Failure) -> Self {
        Self {
            failure,
            once: OnceState::None,
        }
    }

    /// May go away by itself, and nothing was changed by this call that a retry would repeat.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        if self.once == OnceState::Lost {
            return false;
        }
        match &self.failure {
            Failure::Problem(problem) => matches!(
                problem.code,
                Code::Busy | Code::Unreachable | Code::SessionExpired
            ),
            Failure::Overloaded { .. } | Failure::Quarantined { .. } => true,
            Failure::Trap { .. }
            | Failure::Deadline(_)
            | Failure::Memory { .. }
            | Failure::Contract(_)
            | Failure::Replay { .. }
            | Failure::Journal(_) => false,
        }
    }

    /// The guest died (trap, deadline, memory): the step runs once more and is handed the journalled
    /// answer.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(
            self.failure,
            Failure::Trap { .. } | Failure::Deadline(_) | Failure::Memory { .. }
        )
    }

    /// The error as a problem, for whoever shows it to a person.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match &self.failure {
            Failure::Problem(problem) => problem.clone(),
            Failure::Trap { backtrace, .. } => {
                let mut problem = Problem::new(Code::Provider, self.to_string());
                problem.detail.lines.clone_from(backtrace);
                problem
            }
            Failure::Overloaded { .. } | Failure::Quarantined { .. } => {
                Problem::new(Code::Busy, self.to_string())
            }
            Failure::Deadline(_) => Problem::new(Code::Unreachable, self.to_string()),
            Failure::Memory { .. }
            | Failure::Contract(_)
            | Failure::Replay { .. }
            | Failure::Journal(_) => Problem::new(Code::Provider, self.to_string()),
        }
    }
}
