//! The JSON documents of the engine contract.
//!
//! `wit/engine.wit` carries them as strings; here is their one definition, used by the host and by
//! the SDK. `wit/schemas/` holds the JSON Schemas made from these types; a test keeps them true.
//!
//! **How documents grow.** Members may be added, never removed or given another meaning. A reader
//! ignores what it does not know; a member that may be absent has a default. Sizes are bytes, times
//! are milliseconds, both as plain numbers.

mod action;
mod describe;
mod machine;
mod problem;
mod task;

pub use action::{
    Action, ActionRequest, Assessment, FieldAssessment, Note, Outcome, Question, Sent,
};
pub use describe::{
    AuthScheme, ChangeClass, Coverage, Description, EndpointDescription, FieldRule, Gap, Health,
    Page,
};
pub use machine::{Config, Disk, Machine, MachineRef, Nic, Placement, Power, PowerState};
pub use problem::{Code, Problem, ProblemDetail};
pub use task::{TaskEnd, TaskReport};

/// Name and JSON Schema of every document, as `wit/schemas/NAME.json` holds them.
#[must_use]
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("action", schemars::schema_for!(ActionRequest)),
        ("assessment", schemars::schema_for!(Assessment)),
        ("description", schemars::schema_for!(Description)),
        ("health", schemars::schema_for!(Health)),
        ("machine", schemars::schema_for!(Machine)),
        ("machine-ref", schemars::schema_for!(MachineRef)),
        ("note", schemars::schema_for!(Note)),
        ("outcome", schemars::schema_for!(Outcome)),
        ("page", schemars::schema_for!(Page)),
        ("problem-detail", schemars::schema_for!(ProblemDetail)),
        ("question", schemars::schema_for!(Question)),
        ("sent", schemars::schema_for!(Sent)),
        ("task-end", schemars::schema_for!(TaskEnd)),
        ("task-report", schemars::schema_for!(TaskReport)),
    ]
}
