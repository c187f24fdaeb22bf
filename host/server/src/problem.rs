//! Errors of the tree and the engines, in the API's words.

use enginehouse_api::{ErrorCode, FieldError, OperationError, Problem};
use enginehouse_documents::Code;
use enginehouse_model::FullName;
use enginehouse_tree::{DefinitionErrors, EditError, LookupError, ProblemKind};

/// An edit that was refused.
pub(crate) fn of_edit(error: &EditError) -> Problem {
    let code = match error {
        EditError::Lookup(lookup) => return of_lookup(lookup),
        EditError::Definition(errors) => return of_definition(errors),
        EditError::Name { .. } | EditError::Unresolved { .. } => ErrorCode::Invalid,
        EditError::Exists(_)
        | EditError::Root(_)
        | EditError::NotEmpty { .. }
        | EditError::BelowItself(_)
        | EditError::HypervisorInUse { .. }
        | EditError::OtherMachine { .. } => ErrorCode::Conflict,
        EditError::Stale { .. } | EditError::NotTheLatest => ErrorCode::Stale,
        EditError::State { .. }
        | EditError::NotProvisioned { .. }
        | EditError::FolderInUse { .. }
        | EditError::NothingToReconfigure(_)
        | EditError::NoMachineOnRecord(_) => ErrorCode::WrongState,
    };
    Problem::new(code, with_sources(error))
}

pub(crate) fn of_lookup(error: &LookupError) -> Problem {
    let code = match error {
        LookupError::NotFound { .. } | LookupError::Gone(_) => ErrorCode::NotFound,
        LookupError::Folder(_) | LookupError::Descriptor(_) | LookupError::NoMachine(_) => {
            ErrorCode::WrongState
        }
    };
    Problem::new(code, error.to_string())
}

pub(crate) fn of_definition(errors: &DefinitionErrors) -> Problem {
    let count = errors.problems.len();
    let detail = match count {
        1 => format!("the definition of {} has an error", errors.node),
        _ => format!("the definition of {} has {count} errors", errors.node),
    };
    let fields = errors
        .problems
        .iter()
        .map(|problem| field(&errors.node, &problem.key.to_string(), &problem.kind))
        .collect();
    Problem::new(ErrorCode::Invalid, detail).with_errors(fields)
}

fn field(node: &FullName, key: &str, kind: &ProblemKind) -> FieldError {
    let mut error = FieldError {
        node: node.clone(),
        key: key.to_owned(),
        file: None,
        line: None,
        column: None,
        message: None,
        expected: None,
        found: None,
        hint: None,
    };
    match kind {
        ProblemKind::UnknownKey { nearest, known } => {
            error.message = Some("unknown key".to_owned());
            error.hint = Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known keys: {}", known.join(", ")),
            });
        }
        ProblemKind::Expected {
            expected,
            found,
            hint,
        } => {
            error.expected = Some(expected.clone());
            error.found = Some(found.clone());
            error.hint.clone_from(hint);
        }
        ProblemKind::Twice { other } => {
            error.message = Some(format!("says the same as `{other}`"));
            error.hint = Some("write one of the two".to_owned());
        }
        ProblemKind::Edit(reason) => error.message = Some(reason.clone()),
    }
    error
}

/// What an engine or its provider says, for an operation.
pub(crate) fn of_operation(problem: &enginehouse_documents::Problem) -> OperationError {
    OperationError {
        code: problem.code.to_string(),
        message: problem.message.clone(),
        hint: problem.detail.hint.clone(),
        lines: problem.detail.lines.clone(),
        errors: Vec::new(),
    }
}

/// The same, for a request that is answered at once.
pub(crate) fn of_engine(problem: &enginehouse_documents::Problem) -> Problem {
    let code = match problem.code {
        Code::Invalid | Code::Unsupported => ErrorCode::Invalid,
        Code::NotFound => ErrorCode::NotFound,
        Code::Conflict => ErrorCode::Conflict,
        Code::Busy | Code::Unreachable | Code::SessionExpired => ErrorCode::Busy,
        Code::Denied | Code::Provider => ErrorCode::Conflict,
    };
    let mut answer = Problem::new(code, problem.message.clone());
    answer.hint.clone_from(&problem.detail.hint);
    answer
}

/// An error with its sources, joined by colons.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
