//! Provider tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// What a poll found out about one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskReport {
    /// 0 to 100, where the provider or its log says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// New lines of the task's log, since the cursor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Present once the task has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<TaskEnd>,
}

/// How a task ended. Without `problem` it ended well, perhaps with warnings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskEnd {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
