//! One loaded engine and the calls of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enginehouse_documents::{
    ActionRequest, Assessment, Description, Health, Machine, MachineRef, Page, Problem, Question,
};

use crate::answer::{Settled, Step, TaskQuery, TaskState};
use crate::egress::Connection;
use crate::error::CallError;
use crate::occasion::Occasion;

/// An engine, ready to be called. Every call runs in an instance of its own; calls run in parallel.
///
/// A read-only call that ends with `session-expired` logs in again and is repeated once, here. A
/// `run` that ends so has expired the session; the caller retries it.
pub struct Engine {
    path: PathBuf,
    hash: String,
    description: Description,
    has_assess: bool,
}

impl Engine {
    /// As in its description.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.description.name
    }

    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// blake3 of the `.wasm`, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it exports `assess`.
    #[must_use]
    pub fn has_assess(&self) -> bool {
        self.has_assess
    }

    /// Is `kind` (an operator's `type`) this engine: its name or an alias, without regard to case?
    #[must_use]
    pub fn is_called(&self, kind: &str) -> bool {
        self.description.name.eq_ignore_ascii_case(kind)
            || (self.description.aliases.iter()).any(|alias| alias.eq_ignore_ascii_case(kind))
    }

    /// `meta.check`
    ///
    /// # Errors
    /// See [`crate::Failure`].
    pub async fn check(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
    ) -> Result<Health, CallError> {
        todo!("{occasion:?} {}", connection.name())
    }

    /// `machines.list`: one page.
    ///
    /// # Errors
    /// See [`crate::Failure`].
    pub async fn list(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        cursor: Option<&str>,
    ) -> Result<Page, CallError> {
        todo!("{occasion:?} {} {cursor:?}", connection.name())
    }

    /// `machines.read`, in the order of `machines`. More than 200 are read in several calls.
    ///
    /// # Errors
    /// See [`crate::Failure`]; a machine's own error is in its place.
    pub async fn read(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        machines: &[MachineRef],
    ) -> Result<Vec<Result<Machine, Problem>>, CallError> {
        todo!("{occasion:?} {} {machines:?}", connection.name())
    }

    /// `machines.run`: one phase of an action. Returns only when the fate of its `once` request is
    /// journalled, even if the guest died before.
    ///
    /// # Errors
    /// See [`crate::Failure`]. When [`CallError::once`] is `Lost`, nothing that the engine answered
    /// counts: settle the step.
    pub async fn run(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        action: &ActionRequest,
        token: Option<&[u8]>,
    ) -> Result<Step, CallError> {
        todo!("{occasion:?} {} {action:?} {token:?}", connection.name())
    }

    /// `machines.settle`: what became of `occasion.sent`?
    ///
    /// # Errors
    /// See [`crate::Failure`].
    pub async fn settle(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        action: &ActionRequest,
        token: Option<&[u8]>,
    ) -> Result<Settled, CallError> {
        todo!("{occasion:?} {} {action:?} {token:?}", connection.name())
    }

    /// `machines.poll`, in the order of `tasks`. More than 200 are asked in several calls.
    ///
    /// # Errors
    /// See [`crate::Failure`].
    pub async fn poll(
        &self,
        occasion: Occasion,
        connection: &Arc<Connection>,
        tasks: &[TaskQuery],
    ) -> Result<Vec<TaskState>, CallError> {
        todo!("{occasion:?} {} {tasks:?}", connection.name())
    }

    /// `assess.assess`. An engine without it answers nothing: every field keeps the class of the
    /// description.
    ///
    /// # Errors
    /// See [`crate::Failure`].
    pub async fn assess(&self, question: &Question) -> Result<Assessment, CallError> {
        todo!("{question:?}")
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &self.description.name)
            .field("version", &self.description.version)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
