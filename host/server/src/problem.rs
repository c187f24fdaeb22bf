//! Errors of the tree and the engines, in the API's words.

use enginehouse_api::{ErrorCode, FieldError, OperationError, Problem};
use enginehouse_documents::Code;
use enginehouse_model::FullName;
use enginehouse_tree::{
    DefinitionErrors, EditError, LookupError, ProblemKind, SettingErrors, SettingFaultKind,
    SettingProblem,
};

/// An edit that was refused.
pub(crate) fn of_edit(error: &EditError) -> Problem {
    let code = match error {
        EditError::Lookup(lookup) => return of_lookup(lookup),
        EditError::Definition(errors) => return of_definition(errors),
        EditError::Settings(errors) => return of_settings(errors),
        EditError::Name { .. } | EditError::TooDeep(_) | EditError::Unresolved { .. } => {
            ErrorCode::Invalid
        }
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
    let mut error = FieldError::of(node, key);
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

/// Settings that an engine does not take.
pub(crate) fn of_settings(errors: &SettingErrors) -> Problem {
    let node = &errors.node;
    let detail = match errors.problems.len() {
        1 => format!("the settings of {node} have an error"),
        count => format!("the settings of {node} have {count} errors"),
    };
    let fields = errors.problems.iter().map(setting).collect();
    let problem = Problem::new(ErrorCode::Invalid, detail).with_errors(fields);
    match errors.problems.first() {
        Some(first) => problem.with_hint(format!(
            "`enginehouse engines show {}` lists the settings there are",
            first.engine
        )),
        None => problem,
    }
}

/// Names of settings that an error lists.
const KNOWN_SHOWN: usize = 20;

fn setting(problem: &SettingProblem) -> FieldError {
    let mut message = problem.effect();
    let mut say = |what: String| {
        message = Some(match message.take() {
            Some(effect) => format!("{what} ({effect})"),
            None => what,
        });
    };
    let (mut expected, mut found, mut hint) = (None, None, None);
    match &problem.fault.kind {
        SettingFaultKind::Unknown { nearest, known } => {
            say(format!("{} has no such setting", problem.engine));
            hint = match nearest {
                Some(nearest) => Some(format!("did you mean `{nearest}`?")),
                None if known.is_empty() => None,
                None => {
                    let more = if known.len() > KNOWN_SHOWN {
                        ", …"
                    } else {
                        ""
                    };
                    let known: Vec<&str> = (known.iter().take(KNOWN_SHOWN))
                        .map(String::as_str)
                        .collect();
                    Some(format!("known: {}{more}", known.join(", ")))
                }
            };
        }
        SettingFaultKind::Expected {
            expected: wanted,
            found: there,
            hint: help,
        } => {
            expected = Some(wanted.clone());
            found = Some(there.clone());
            hint.clone_from(help);
        }
        SettingFaultKind::Missing { expected: wanted } => {
            say("missing".to_owned());
            expected = Some(wanted.clone());
        }
    }
    FieldError {
        message,
        expected,
        found,
        hint,
        description: problem.fault.description.clone(),
        ..FieldError::of(&problem.node, problem.key.to_string())
    }
}

/// The same, where it is found only when an operation begins.
pub(crate) fn settings_in_operation(errors: &SettingErrors) -> enginehouse_documents::Problem {
    let mut problem = enginehouse_documents::Problem::new(Code::Invalid, errors.to_string());
    problem.detail.hint = of_settings(errors).hint;
    problem.detail.field = (errors.problems.first()).map(|first| first.key.to_string());
    problem
}

/// An order that was accepted and cannot be carried out any more, with the first errors in words.
pub(crate) fn in_operation(problem: Problem, code: Code) -> enginehouse_documents::Problem {
    let mut message = problem.detail;
    for error in problem.errors.iter().take(5) {
        message.push_str(&format!("; {}: `{}`", error.node, error.key));
        if let Some(what) = &error.message {
            message.push_str(&format!(": {what}"));
        }
        if let Some(expected) = &error.expected {
            message.push_str(&format!(": expected {expected}"));
        }
        if let Some(found) = &error.found {
            message.push_str(&format!(", found {found}"));
        }
    }
    let mut answer = enginehouse_documents::Problem::new(code, message);
    answer.detail.hint = problem.hint;
    answer
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
