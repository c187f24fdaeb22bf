//! What is wrong with an import: all of it, each with its file and place.

use enginehouse_api::{ErrorCode, FieldError, Problem};
use enginehouse_model::FullName;
use enginehouse_text::{FileProblem, place_of};
use enginehouse_tree::{EditError, KeyPath, ResolveError};

use super::Import;

/// More errors than this are counted, not listed.
const LISTED: usize = 1_000;

/// What was found so far.
#[derive(Default)]
pub(super) struct Refusals {
    errors: Vec<FieldError>,
    more: usize,
    /// Something is wrong with what the files say, not only with the state of the tree.
    invalid: bool,
}

impl Refusals {
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    fn push(&mut self, error: FieldError) {
        if self.errors.len() < LISTED {
            self.errors.push(error);
        } else {
            self.more += 1;
        }
    }

    /// What is wrong with a file; `node` is what it is about.
    pub(super) fn of_file(&mut self, node: &FullName, problem: &FileProblem) {
        self.invalid = true;
        self.push(FieldError {
            node: node.clone(),
            key: problem.key.clone(),
            file: Some(problem.file.clone()),
            line: problem.place.map(|place| place.line),
            column: problem.place.map(|place| place.column),
            message: Some(problem.message.clone()),
            expected: None,
            found: None,
            hint: problem.hint.clone(),
        });
    }

    /// What a node's state does not allow.
    pub(super) fn of_state(
        &mut self,
        node: &FullName,
        file: Option<&str>,
        message: String,
        hint: Option<String>,
    ) {
        self.push(FieldError {
            node: node.clone(),
            key: String::new(),
            file: file.map(str::to_owned),
            line: None,
            column: None,
            message: Some(message),
            expected: None,
            found: None,
            hint,
        });
    }

    /// What the tree says to all edits together.
    pub(super) fn of_edit(&mut self, import: &Import<'_>, error: &EditError) {
        match error {
            EditError::Unresolved { problems, .. } => {
                for problem in problems {
                    self.of_resolve(import, problem);
                }
            }
            EditError::HypervisorInUse {
                node, hypervisor, ..
            } => {
                self.at_key(
                    import,
                    node,
                    &["hypervisors", hypervisor],
                    error.to_string(),
                );
            }
            error => {
                let text = crate::problem::with_sources(error);
                self.of_state(&import.request.path, None, text, None);
            }
        }
    }

    fn of_resolve(&mut self, import: &Import<'_>, problem: &ResolveError) {
        let text = problem.to_string();
        match problem {
            ResolveError::Unknown { node, key, .. } => self.at_key(import, node, &[key], text),
            ResolveError::Filtered { node, .. } => {
                self.at_key(import, node, &["use_hypervisor"], text);
            }
            ResolveError::NoUid { .. } => self.of_state(&import.request.path, None, text, None),
        }
    }

    /// At the place of a key, where the node has a file.
    fn at_key(&mut self, import: &Import<'_>, node: &FullName, keys: &[&str], message: String) {
        let path = KeyPath::from_keys(keys.iter().map(|key| (*key).to_owned()).collect());
        let Some(file) = import.files.get(node) else {
            self.invalid = true;
            self.of_state(node, None, message, None);
            return;
        };
        let problem = FileProblem {
            place: place_of(import.bytes(file), &path),
            key: path.to_string(),
            ..FileProblem::of_file(file, message)
        };
        self.of_file(node, &problem);
    }

    /// All of it; `more` are not even in it.
    pub(super) fn into_problem(self, more: usize) -> Problem {
        let more = self.more + more;
        let detail = match (self.errors.len() + more, self.errors.len()) {
            (1, _) => "the import is refused, nothing was changed".to_owned(),
            (all, listed) if all == listed => {
                format!("the import is refused for {all} reasons, nothing was changed")
            }
            (all, listed) => format!(
                "the import is refused for {all} reasons, nothing was changed; these are the first {listed}"
            ),
        };
        let code = if self.invalid {
            ErrorCode::Invalid
        } else {
            ErrorCode::WrongState
        };
        Problem::new(code, detail).with_errors(self.errors)
    }
}
