#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! [`Engine`] is the trait, [`export!`] the macro, [`Cx`] what a call is given, [`Step`] and
//! [`Settled`] what it answers, [`Error`] what goes wrong, [`documents`] the contract's JSON
//! documents, [`loose`] reading of APIs that are not sure of their types, [`testing`] the scripted
//! hypervisor. `wit/engine.wit` is the contract itself.

mod by_mark;
mod changes;
#[cfg(target_arch = "wasm32")]
mod component;
mod cx;
mod encoding;
mod engine;
mod error;
mod error_body;
mod export;
mod host;
pub mod loose;
#[doc(hidden)]
pub mod path;
mod reply;
mod request;
mod settings;
mod step;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use changes::{Changeable, Patch};
pub use cx::{Cx, Level};
pub use engine::{Assess, Engine, TaskQuery, TaskState, TaskStatus};
pub use enginehouse_documents as documents;
pub use error::{Error, Result};
pub use error_body::ErrorBody;
pub use host::{Effect, Location};
pub use path::Path;
pub use reply::Reply;
pub use request::{Effectless, Request};
pub use settings::{machine_settings, settings_schema};
pub use step::{Fate, Next, Object, Settled, Step};

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use component::Exported as __Exported;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use component::bindings as __bindings;

/// Everything that an engine's source needs: `use enginehouse_sdk::prelude::*;`
pub mod prelude {
    pub use crate::documents::{
        Action, ActionRequest, Assessment, AuthScheme, ChangeClass, Code, Config, Coverage,
        Description, Disk, EndpointDescription, FieldAssessment, FieldRule, Gap, Health, Machine,
        MachineRef, Nic, Note, Outcome, Page, Placement, Power, PowerState, Problem, Question,
        Sent, TaskEnd, TaskReport,
    };
    pub use crate::{
        Assess, Changeable, Cx, Effect, Engine, Error, ErrorBody, Fate, Level, Location, Next,
        Object, Patch, Path, Reply, Request, Result, Settled, Step, TaskQuery, TaskState,
        TaskStatus, debug, info, loose, machine_settings, path, settings_schema, warn,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
