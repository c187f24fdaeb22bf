//! Tasks: how they begin, and how they are read.

use serde_json::json;

use crate::answer::{Answer, Refusal};
use crate::knobs::Verdict;
use crate::world::number;
use crate::{Ending, Lock, Task, TaskEffect, World};

/// At most so many tasks in one batch.
const BATCH: usize = 1000;

impl World {
    /// Begins a task that locks its machine. How it ends is decided now.
    pub(crate) fn begin(
        &mut self,
        kind: &str,
        machine: u64,
        effect: TaskEffect,
        verdict: &Verdict,
    ) -> u64 {
        let ending = match &verdict.task_error {
            Some((message, leave_half)) => Ending::Failed {
                code: "failed".to_owned(),
                message: message.clone(),
                leave_half: *leave_half,
            },
            None => Ending::Done {
                warnings: verdict.task_warnings.clone(),
            },
        };
        self.begin_for(kind, machine, effect, ending, self.knobs.task_time(kind))
    }

    /// Begins a task that takes so many milliseconds.
    pub(crate) fn begin_for(
        &mut self,
        kind: &str,
        machine: u64,
        effect: TaskEffect,
        ending: Ending,
        takes_ms: u64,
    ) -> u64 {
        self.tasks_made += 1;
        let task = self.tasks_made;
        let ends_at = self.now.saturating_add(takes_ms);
        self.tasks.insert(
            task,
            Task {
                kind: kind.to_owned(),
                machine,
                began_at: self.now,
                ends_at,
                ended: false,
                ending,
                effect,
            },
        );
        self.running.insert((ends_at, task));
        if let Some(machine) = self.machines.get_mut(&machine) {
            machine.lock = Some(Lock {
                reason: kind.to_owned(),
                task,
            });
        }
        self.touch();
        task
    }

    pub(crate) fn read_task(&self, id: &str) -> Result<Answer, Refusal> {
        let (number, task) = self
            .known_task(id)
            .ok_or_else(|| Refusal::not_found("task", id))?;
        Ok(Answer::ok(self.show_task(number, task)))
    }

    /// The tasks with these ids; one that is not known is left out.
    pub(crate) fn read_tasks(&self, ids: &str) -> Result<Answer, Refusal> {
        let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
        if ids.is_empty() || ids.len() > BATCH {
            let message = format!("`ids` names 1 to {BATCH} tasks, separated by commas");
            return Err(Refusal::new(400, "bad-request", message));
        }
        let tasks: Vec<_> = ids
            .iter()
            .filter_map(|id| self.known_task(id))
            .map(|(number, task)| self.show_task(number, task))
            .collect();
        Ok(Answer::ok(json!({"tasks": tasks})))
    }

    /// What is told of a task; see [`Knobs::forget_tasks`](crate::Knobs::forget_tasks).
    fn known_task(&self, id: &str) -> Option<(u64, &Task)> {
        let number = number(id, "t-").filter(|_| !self.knobs.forget_tasks)?;
        Some((number, self.tasks.get(&number)?))
    }
}
