//! From the contract's types to ours: sizes checked, documents read, secrets taken out.
//!
//! An answer that breaks the contract is an error of the engine with the export's name in it, never
//! a guess.

use enginehouse_documents::{
    Code, Coverage, Health, Machine, Note, Outcome, Page, Problem, ProblemDetail, TaskReport,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{Finished, Moved, Object, Settled, Step, TaskState, TaskStateKind, Waiting};
use crate::bindings::engine::enginehouse::engine::types;
use crate::bindings::engine::exports::enginehouse::engine::machines;
use crate::host::one_line;
use crate::redact::Redactor;

const TOKEN_MAX: usize = 64 << 10;
const TASK_MAX: usize = 4 << 10;
const CURSOR_MAX: usize = 1 << 10;
const PAGE_CURSOR_MAX: usize = 64 << 10;
const MESSAGE_MAX: usize = 4 << 10;
/// Lines, warnings and created objects that one answer may name.
const ITEMS_MAX: usize = 1000;

/// What breaks the contract.
pub(crate) type Broken = String;

/// A problem as the guest gets it.
pub(crate) fn problem_out(problem: &Problem) -> types::Problem {
    let detail = if problem.detail.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&problem.detail).unwrap_or_default()
    };
    types::Problem {
        code: problem.code.as_str().to_owned(),
        message: problem.message.clone(),
        detail,
    }
}

/// Reads what an engine answered.
pub(crate) struct Reader<'a> {
    pub redactor: &'a Redactor,
}

impl Reader<'_> {
    fn text(&self, text: &str) -> String {
        self.redactor.text(&one_line(text, MESSAGE_MAX))
    }

    fn texts(&self, texts: &mut Vec<String>) {
        texts.truncate(ITEMS_MAX);
        for text in texts {
            *text = self.text(text);
        }
    }

    fn document<T: DeserializeOwned>(
        &self,
        export: &str,
        name: &str,
        json: &str,
    ) -> Result<T, Broken> {
        let read = if self.redactor.touches(json) {
            serde_json::from_str::<Value>(json).and_then(|mut value| {
                self.redactor.document(&mut value);
                serde_json::from_value(value)
            })
        } else {
            serde_json::from_str(json)
        };
        read.map_err(|error| {
            let error = self.redactor.text(&error.to_string());
            format!("`{export}` answered no document `{name}`: {error}")
        })
    }

    /// The document, or its default for an empty text.
    fn optional<T: DeserializeOwned + Default>(
        &self,
        export: &str,
        name: &str,
        json: &str,
    ) -> Result<T, Broken> {
        if json.is_empty() {
            return Ok(T::default());
        }
        self.document(export, name, json)
    }

    /// An engine's error. A detail that cannot be read does not hide the message.
    pub(crate) fn problem(&self, problem: types::Problem) -> Problem {
        let detail = self.optional::<ProblemDetail>("", "problem-detail", &problem.detail);
        let mut read = Problem {
            code: Code::parse(&problem.code),
            message: problem.message,
            detail: detail.unwrap_or_default(),
        };
        self.clean(&mut read);
        read
    }

    /// Takes the secrets out of a problem, also out of one that the host itself made.
    pub(crate) fn clean(&self, problem: &mut Problem) {
        problem.message = self.text(&problem.message);
        let detail = &mut problem.detail;
        for text in [&mut detail.field, &mut detail.hint].into_iter().flatten() {
            *text = self.text(text);
        }
        self.texts(&mut detail.created);
        self.texts(&mut detail.lines);
        if let Some(more) = &mut detail.more {
            self.every_text(more);
        }
    }

    fn every_text(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.redactor.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.every_text(item)),
            Value::Object(members) => {
                members
                    .values_mut()
                    .for_each(|member| self.every_text(member));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    pub(crate) fn health(&self, json: &str) -> Result<Health, Broken> {
        let mut health: Health = self.document("check", "health", json)?;
        self.texts(&mut health.warnings);
        if health.identity.is_empty() {
            return Err("`check` answered no identity of the provider".to_owned());
        }
        Ok(health)
    }

    pub(crate) fn page(&self, json: &str) -> Result<Page, Broken> {
        let mut page: Page = self.document("list", "page", json)?;
        self.coverage(&mut page.coverage);
        if page
            .next
            .as_ref()
            .is_some_and(|next| next.len() > PAGE_CURSOR_MAX)
        {
            return Err("`list` answered a cursor of more than 64 KiB".to_owned());
        }
        if page.machines.iter().any(|machine| machine.id.is_empty()) {
            return Err("`list` answered a machine without an id".to_owned());
        }
        Ok(page)
    }

    fn coverage(&self, coverage: &mut Coverage) {
        for gap in &mut coverage.gaps {
            gap.reason = self.text(&gap.reason);
        }
    }

    pub(crate) fn machines(
        &self,
        asked: usize,
        answered: Vec<Result<String, types::Problem>>,
    ) -> Result<Vec<Result<Machine, Problem>>, Broken> {
        if answered.len() != asked {
            let n = answered.len();
            return Err(format!(
                "`read` answered {n} machines, but was asked for {asked}"
            ));
        }
        (answered.into_iter())
            .map(|item| match item {
                Ok(json) => self.document("read", "machine", &json).map(Ok),
                Err(problem) => Ok(Err(self.problem(problem))),
            })
            .collect()
    }

    pub(crate) fn step(&self, step: machines::Step) -> Result<Step, Broken> {
        match step {
            machines::Step::Done(finished) => {
                let mut outcome: Outcome = self.optional("run", "outcome", &finished.detail)?;
                self.texts(&mut outcome.warnings);
                Ok(Step::Done(Finished {
                    created: self.objects("run", finished.created)?,
                    outcome,
                }))
            }
            machines::Step::Again(moved) => Ok(Step::Again(self.moved("run", moved)?)),
            machines::Step::Wait(waiting) => Ok(Step::Wait(self.waiting("run", waiting)?)),
        }
    }

    pub(crate) fn settled(&self, settled: machines::Settled) -> Result<Settled, Broken> {
        Ok(match settled {
            machines::Settled::Done(moved) => Settled::Done(self.moved("settle", moved)?),
            machines::Settled::Pending(waiting) => {
                Settled::Pending(self.waiting("settle", waiting)?)
            }
            machines::Settled::NotStarted => Settled::NotStarted,
            machines::Settled::Unknown(text) => Settled::Unknown(self.text(&text)),
        })
    }

    fn moved(&self, export: &str, moved: types::Moved) -> Result<Moved, Broken> {
        Ok(Moved {
            token: self.token(export, moved.token)?,
            created: self.objects(export, moved.created)?,
            note: self.note(export, &moved.detail)?,
        })
    }

    fn waiting(&self, export: &str, waiting: types::Waiting) -> Result<Waiting, Broken> {
        if waiting.task.is_empty() || waiting.task.len() > TASK_MAX {
            let n = waiting.task.len();
            return Err(format!(
                "`{export}` named a task with {n} bytes; it has 1 to 4096"
            ));
        }
        Ok(Waiting {
            task: self.opaque(export, "task", waiting.task)?,
            token: self.token(export, waiting.token)?,
            created: self.objects(export, waiting.created)?,
            note: self.note(export, &waiting.detail)?,
        })
    }

    fn note(&self, export: &str, json: &str) -> Result<Note, Broken> {
        let mut note: Note = self.optional(export, "note", json)?;
        note.message = self.text(&note.message);
        self.texts(&mut note.warnings);
        Ok(note)
    }

    pub(crate) fn states(
        &self,
        asked: usize,
        answered: Vec<machines::TaskState>,
    ) -> Result<Vec<TaskState>, Broken> {
        if answered.len() != asked {
            let n = answered.len();
            return Err(format!(
                "`poll` answered {n} tasks, but was asked for {asked}"
            ));
        }
        answered
            .into_iter()
            .map(|state| self.state(state))
            .collect()
    }

    fn state(&self, state: machines::TaskState) -> Result<TaskState, Broken> {
        let mut report: TaskReport = self.optional("poll", "task-report", &state.detail)?;
        self.texts(&mut report.lines);
        report.percent = report.percent.map(|percent| percent.min(100));
        if let Some(end) = &mut report.end {
            self.texts(&mut end.warnings);
            if let Some(problem) = &mut end.problem {
                self.clean(problem);
            }
        }
        let kind = match state.state.as_str() {
            "ended" => TaskStateKind::Ended,
            "lost" => TaskStateKind::Lost,
            _ => TaskStateKind::Running,
        };
        if kind == TaskStateKind::Ended && report.end.is_none() {
            return Err("`poll` says that a task ended, but not how (`end`)".to_owned());
        }
        if state.cursor.len() > CURSOR_MAX {
            return Err("`poll` answered a cursor of more than 1 KiB".to_owned());
        }
        Ok(TaskState {
            state: kind,
            cursor: self.opaque("poll", "cursor", state.cursor)?,
            report,
        })
    }

    fn token(&self, export: &str, token: Vec<u8>) -> Result<Vec<u8>, Broken> {
        if token.len() > TOKEN_MAX {
            let n = token.len();
            return Err(format!(
                "`{export}` answered a token of {n} bytes; at most 65536 are kept"
            ));
        }
        if self.redactor.touches(&String::from_utf8_lossy(&token)) {
            return Err(holds_a_secret(export, "token"));
        }
        Ok(token)
    }

    /// What only the engine understands and the host keeps: nothing can be taken out of it.
    fn opaque(&self, export: &str, what: &str, text: String) -> Result<String, Broken> {
        if self.redactor.touches(&text) {
            return Err(holds_a_secret(export, what));
        }
        Ok(text)
    }

    fn objects(&self, export: &str, created: Vec<types::Object>) -> Result<Vec<Object>, Broken> {
        if created.len() > ITEMS_MAX {
            let n = created.len();
            return Err(format!(
                "`{export}` created {n} objects in one call; at most {ITEMS_MAX} are kept"
            ));
        }
        let text = |text: &str| one_line(&self.redactor.document_text(text), MESSAGE_MAX);
        let objects = created.into_iter().map(|object| Object {
            kind: text(&object.kind),
            id: text(&object.id),
        });
        Ok(objects.collect())
    }
}

fn holds_a_secret(export: &str, what: &str) -> Broken {
    format!(
        "`{export}` answered a {what} that holds credentials of the connection: they are not kept"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_reader<T>(check: impl FnOnce(Reader<'_>) -> T) -> T {
        let redactor = Redactor::new(["hunter2hunter2"]);
        check(Reader {
            redactor: &redactor,
        })
    }

    fn state(state: &str, detail: &str) -> machines::TaskState {
        machines::TaskState {
            state: state.into(),
            cursor: String::new(),
            detail: detail.into(),
        }
    }

    #[test]
    fn problems_lose_secrets_and_keep_the_provider_s_words() {
        with_reader(|reader| {
            let problem = reader.problem(types::Problem {
                code: "busy".into(),
                message: "VM is locked\n(hunter2hunter2)".into(),
                detail: r#"{"status": 500, "lines": ["x hunter2hunter2"]}"#.into(),
            });
            assert_eq!(problem.code, Code::Busy);
            assert_eq!(problem.message, "VM is locked ([redacted])");
            assert_eq!(problem.detail.status, Some(500));
            assert_eq!(problem.detail.lines, ["x [redacted]"]);
        });
    }

    #[test]
    fn an_unknown_code_and_a_broken_detail_do_not_hide_the_message() {
        with_reader(|reader| {
            let problem = reader.problem(types::Problem {
                code: "brandnew".into(),
                message: "m".into(),
                detail: "{".into(),
            });
            assert_eq!(
                (problem.code, problem.message.as_str()),
                (Code::Provider, "m")
            );
        });
    }

    #[test]
    fn what_breaks_the_contract_names_the_export() {
        with_reader(|reader| {
            assert!(
                reader
                    .page("{")
                    .unwrap_err()
                    .contains("`list` answered no document `page`")
            );
            assert!(
                reader
                    .page(r#"{"machines": [{}]}"#)
                    .unwrap_err()
                    .contains("without an id")
            );
            assert!(reader.health("{}").unwrap_err().contains("identity"));
            assert!(
                reader
                    .machines(1, Vec::new())
                    .unwrap_err()
                    .contains("0 machines")
            );
            assert!(
                reader
                    .states(2, Vec::new())
                    .unwrap_err()
                    .contains("asked for 2")
            );
            assert!(
                reader
                    .state(state("ended", ""))
                    .unwrap_err()
                    .contains("not how")
            );
            let moved = types::Moved {
                token: vec![0; TOKEN_MAX + 1],
                created: Vec::new(),
                detail: String::new(),
            };
            assert!(
                reader
                    .moved("run", moved)
                    .unwrap_err()
                    .contains("65537 bytes")
            );
        });
    }

    #[test]
    fn what_is_kept_holds_no_credentials() {
        with_reader(|reader| {
            let token = b"a hunter2hunter2".to_vec();
            let error = reader.token("run", token).unwrap_err();
            assert!(error.contains("a token that holds credentials"), "{error}");
            let task = types::Waiting {
                task: "hunter2hunter2".into(),
                token: Vec::new(),
                created: Vec::new(),
                detail: String::new(),
            };
            assert!(reader.waiting("run", task).is_err());
            let mut told = state("running", "");
            told.cursor = "hunter2hunter2".into();
            assert!(reader.state(told).is_err());
            let disk = types::Object {
                kind: "disk".into(),
                id: "of hunter2hunter2".into(),
            };
            assert_eq!(
                reader.objects("run", vec![disk]).unwrap()[0].id,
                "of [redacted]"
            );
        });
    }

    #[test]
    fn a_state_that_nobody_knows_is_running() {
        with_reader(|reader| {
            let read = reader.state(state("paused", "")).unwrap();
            assert_eq!(read.state, TaskStateKind::Running);
            let read = reader
                .state(state("ended", r#"{"end": {}, "percent": 200}"#))
                .unwrap();
            assert_eq!(
                (read.state, read.report.percent),
                (TaskStateKind::Ended, Some(100))
            );
        });
    }
}
