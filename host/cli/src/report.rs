//! The one place where an error becomes text, a hint and an exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use enginehouse_api::{
    AccessError, ChildOperation, ClientError, ErrorCode, FieldError, Operation, OperationState,
    Problem,
};
use enginehouse_secrets::KeyFileError;

use crate::error::CommandError;
use crate::export_files::ExportFilesError;
use crate::input::DirectoryError;
use crate::operation_text;
use crate::output::Output;
use crate::style::{Style, clean};

/// See `enginehouse --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    NotOver = 4,
}

/// An error as a person reads it.
#[derive(Debug)]
struct Report {
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    exit: Exit,
}

/// Says what went wrong and what to do, on standard error.
pub fn report(error: &CommandError, output: &Output) -> ExitCode {
    if let CommandError::Write(source) = error
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        // `enginehouse tree | head`: the reader has what it wanted.
        return ExitCode::SUCCESS;
    }
    if output.is_json()
        && let CommandError::Client(ClientError::Refused(problem)) = error
    {
        // A script reads the reason from where it would have read the answer. When that cannot be
        // written, the text below still says it.
        let _ = output.answer(problem, |_| String::new());
    }
    let report = describe(error);
    let paint = output.err();
    let mut text = format!(
        "{} {}\n",
        paint.paint(Style::Bad, "error:"),
        clean(&report.message)
    );
    for detail in &report.details {
        for line in clean(detail).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if let Some(hint) = &report.hint {
        text.push_str(&format!(
            "{} {}\n",
            paint.paint(Style::Warning, "hint:"),
            clean(hint)
        ));
    }
    eprint!("{text}");
    ExitCode::from(report.exit as u8)
}

fn describe(error: &CommandError) -> Report {
    let plain = |exit, hint: Option<&str>| Report {
        message: with_causes(error),
        details: Vec::new(),
        hint: hint.map(str::to_owned),
        exit,
    };
    match error {
        CommandError::Client(ClientError::Refused(problem)) => refused(problem),
        CommandError::Client(client) => Report {
            message: client_message(client),
            details: Vec::new(),
            hint: client.hint(),
            exit: client_exit(client),
        },
        CommandError::Access(access) => Report {
            message: with_causes(access),
            details: Vec::new(),
            hint: Some(access_hint(access).to_owned()),
            exit: Exit::Unreachable,
        },
        CommandError::NoToken { .. } => plain(
            Exit::Usage,
            Some(
                "give --token-file, or set ENGINEHOUSE_TOKEN; the token is in the file `token` of the server's data directory",
            ),
        ),
        CommandError::NoHome => plain(Exit::Usage, Some("name the data directory with --data")),
        CommandError::Name(_) => plain(
            Exit::Usage,
            Some("a path names a folder or a machine from the root, as in /web/vm1"),
        ),
        CommandError::Change(_) => plain(
            Exit::Usage,
            Some(
                "write it as key=value, as in memory=8GiB, disks.root.size=20GiB or labels.\"a.b\"=x",
            ),
        ),
        CommandError::DefinitionFile(_) => plain(Exit::Usage, None),
        CommandError::Directory(directory) => of_directory(directory),
        CommandError::ExportFiles(export) => match export {
            ExportFilesError::InTheWay(_) => plain(
                Exit::Usage,
                Some("choose another directory, move them away, or overwrite them with --force"),
            ),
            ExportFilesError::NoDirectory(_) => plain(
                Exit::Usage,
                Some("choose another directory, or move it away"),
            ),
            ExportFilesError::Write { .. }
            | ExportFilesError::Read { .. }
            | ExportFilesError::Outside(_) => plain(Exit::Failed, None),
        },
        CommandError::ImportNeedsYes(_) => plain(
            Exit::Usage,
            Some("look at it with --dry-run, then repeat the command with --yes"),
        ),
        CommandError::NoChange => {
            plain(Exit::Usage, Some("give key=value, --unset KEY or -f FILE"))
        }
        CommandError::Duration { .. } => plain(
            Exit::Usage,
            Some("write it as 90s, 5m or 1h; at most a day"),
        ),
        CommandError::Lifetime { .. } => plain(
            Exit::Usage,
            Some("write it as 90d, 2w or 12h; at most ten years"),
        ),
        CommandError::Moment { .. } => plain(
            Exit::Usage,
            Some("write it as 2h, 7d, 2026-11-21 or 2026-11-21T08:00:00Z"),
        ),
        CommandError::Keep { .. } => plain(
            Exit::Usage,
            Some(
                "write it as operations=30d, executed=1000000, plans=7d,500 or keys=all; see `enginehouse serve --help`",
            ),
        ),
        CommandError::NobodyToAsk { what, path } => Report {
            hint: Some(format!(
                "look at the plan with `enginehouse plan {path} --{what}`, then repeat the command with --yes"
            )),
            ..plain(Exit::Usage, None)
        },
        CommandError::NobodyToAskAbout { .. } => plain(
            Exit::Usage,
            Some("look at it with --dry-run, then repeat the command with --yes"),
        ),
        CommandError::NoAuditEntry { .. } => plain(
            Exit::Usage,
            Some("`enginehouse audit head` says the number of the newest one"),
        ),
        CommandError::BrokenAuditLog { .. } => plain(
            Exit::Failed,
            Some(
                "who could write the database? compare the entries around it with those in a backup, and keep this database as it is",
            ),
        ),
        CommandError::OtherAuditLog {
            restored: Some(entry),
            ..
        } => Report {
            hint: Some(format!(
                "the host was restored from a backup: entry {entry} says when, and with which head the log ended that is gone (`enginehouse audit show {entry}`); that database is in the data directory under before-restore-N"
            )),
            ..plain(Exit::Failed, None)
        },
        CommandError::OtherAuditLog { restored: None, .. } => plain(
            Exit::Failed,
            Some(
                "no restore explains it: somebody made the log anew, or cut its end; keep this database as it is, and compare it with a backup",
            ),
        ),
        CommandError::NoEntry { .. } => plain(
            Exit::Usage,
            Some("`enginehouse history` lists the entries of a node"),
        ),
        CommandError::Declined => plain(Exit::Failed, None),
        CommandError::Operation(operation) => ended(operation),
        CommandError::Left(number) => Report {
            hint: Some(format!(
                "watch it with `enginehouse ops wait {number}`, end it with `enginehouse ops cancel {number}`"
            )),
            ..plain(Exit::NotOver, None)
        },
        CommandError::Lost { number, source } => Report {
            message: format!("{error}: {}", client_message(source)),
            details: Vec::new(),
            hint: Some(format!(
                "it goes on as soon as the host runs; then watch it with `enginehouse ops wait {number}`"
            )),
            exit: client_exit(source),
        },
        CommandError::StillRunning(number) => Report {
            hint: Some(format!("see `enginehouse ops show {number}`")),
            ..plain(Exit::NotOver, None)
        },
        CommandError::NotAllWell(count) => {
            let exit = if count.failed > 0 {
                Exit::Failed
            } else {
                Exit::NotOver
            };
            plain(
                exit,
                Some("`enginehouse ops show NUMBER` says more of each"),
            )
        }
        CommandError::LostResults { cursor, source } => {
            let (message, hint) = match source {
                ClientError::Refused(problem) => (problem.detail.clone(), problem.hint.clone()),
                other => (
                    format!("{error}: {}", client_message(other)),
                    Some(format!("go on later with --after {cursor}")),
                ),
            };
            Report {
                message,
                details: Vec::new(),
                hint,
                exit: client_exit(source),
            }
        }
        CommandError::Unhealthy { .. } => plain(Exit::Failed, None),
        CommandError::NoHypervisor { .. } => plain(
            Exit::Usage,
            Some("`enginehouse hypervisors list` shows those that are defined"),
        ),
        CommandError::Listen { .. } => plain(
            Exit::Usage,
            Some("write it as address:port, as in 127.0.0.1:7878"),
        ),
        CommandError::BackupInTheWay(_) => plain(
            Exit::Usage,
            Some("choose another name, or overwrite the file with --force"),
        ),
        CommandError::BackupFile { .. } => plain(Exit::Failed, None),
        CommandError::BackupCut { .. } => plain(Exit::Failed, Some("try it again")),
        CommandError::Restore(error) => Report {
            message: with_causes(error),
            hint: error.hint(),
            ..plain(Exit::Failed, None)
        },
        CommandError::Start(start) => Report {
            message: with_causes(start),
            hint: start.hint(),
            ..plain(Exit::Failed, None)
        },
        CommandError::NoEngines(_) | CommandError::NoEngine { .. } => plain(
            Exit::Usage,
            Some(
                "`cargo xtask run` builds the engines and shows the demonstration; or name their directory with --engines",
            ),
        ),
        CommandError::LogFilter { .. } => plain(
            Exit::Usage,
            Some("write it as error, warn, info, debug or trace"),
        ),
        CommandError::SecretFile { .. } | CommandError::SignatureFile { .. } => {
            plain(Exit::Usage, None)
        }
        CommandError::NothingToSign(_) => plain(
            Exit::Failed,
            Some("`enginehouse approvals list` says what does"),
        ),
        CommandError::Key(KeyFileError::Exists(_)) => plain(
            Exit::Usage,
            Some("a key that something is encrypted with is not overwritten; name another file"),
        ),
        CommandError::Key(_) => plain(Exit::Failed, None),
        CommandError::Sim(_)
        | CommandError::Program(_)
        | CommandError::Temporary(_)
        | CommandError::Write(_)
        | CommandError::Json(_)
        | CommandError::Ask(_)
        | CommandError::Signal(_)
        | CommandError::Runtime(_) => plain(Exit::Failed, None),
    }
}

fn of_directory(error: &DirectoryError) -> Report {
    let mut report = Report {
        message: with_causes(error),
        details: Vec::new(),
        hint: None,
        exit: Exit::Usage,
    };
    match error {
        DirectoryError::Files { problems, more } => {
            report.details = problems
                .iter()
                .map(|problem| match &problem.hint {
                    Some(hint) => format!("{problem}\n  {hint}"),
                    None => problem.to_string(),
                })
                .collect();
            if *more > 0 {
                report.details.push(format!("and {more} more"));
            }
        }
        DirectoryError::Link(_) => {
            report.hint = Some("put a copy there, or take it away".to_owned());
        }
        DirectoryError::Nothing(_) => {
            report.hint = Some("`enginehouse export DIR` writes such files".to_owned());
        }
        DirectoryError::TooMuch(_) => {
            report.hint = Some("import folders one by one, with --into".to_owned());
        }
        DirectoryError::Read { .. } | DirectoryError::Name(_) => {}
    }
    report
}

/// The error and what is behind it: `cannot read vm.yaml: No such file or directory`. Some errors of
/// libraries repeat their cause in their own text; it is not said twice.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// An HTTP client has many layers, and only the innermost says what happened.
fn client_message(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut innermost: Option<&dyn Error> = None;
    let mut next = error.source();
    while let Some(cause) = next {
        innermost = Some(cause);
        next = cause.source();
    }
    if let Some(cause) = innermost {
        text.push_str(&format!(": {cause}"));
    }
    text
}

fn client_exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(problem) => refusal_exit(problem.code),
        ClientError::Unreachable { .. } | ClientError::Answer { .. } => Exit::Unreachable,
        ClientError::Url { .. } | ClientError::Token => Exit::Usage,
        ClientError::Setup(_) => Exit::Failed,
    }
}

fn refusal_exit(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::BadRequest
        | ErrorCode::Invalid
        | ErrorCode::NotFound
        | ErrorCode::NeedsConfirmation
        | ErrorCode::TooLarge => Exit::Usage,
        ErrorCode::Unauthorized => Exit::Unreachable,
        ErrorCode::Forbidden
        | ErrorCode::Conflict
        | ErrorCode::WrongState
        | ErrorCode::Stale
        | ErrorCode::Gone
        | ErrorCode::Expired
        | ErrorCode::KeyReused
        | ErrorCode::Busy
        | ErrorCode::Internal => Exit::Failed,
    }
}

fn refused(problem: &Problem) -> Report {
    let hint = match (&problem.hint, problem.code) {
        (Some(hint), _) => Some(hint.clone()),
        (None, ErrorCode::Unauthorized) => Some(
            "is that the token of this server? it is in the file `token` of its data directory"
                .to_owned(),
        ),
        (None, _) => None,
    };
    Report {
        message: problem.detail.clone(),
        details: problem.errors.iter().map(field_error).collect(),
        hint,
        exit: refusal_exit(problem.code),
    }
}

/// `/web/vm1: memroy: unknown key` and what would be right below it.
pub fn field_error(error: &FieldError) -> String {
    // As compilers write it, so that editors find the place.
    let mut text = match (&error.file, error.line, error.column) {
        (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        (Some(file), _, _) => file.clone(),
        (None, _, _) => error.node.to_string(),
    };
    if !error.key.is_empty() {
        text.push_str(&format!(": {}", error.key));
    }
    if let Some(message) = &error.message {
        text.push_str(&format!(": {message}"));
    }
    match (&error.expected, &error.found) {
        (Some(expected), Some(found)) => {
            text.push_str(&format!(": expected {expected}, found {found}"));
        }
        (Some(expected), None) => text.push_str(&format!(": expected {expected}")),
        (None, Some(found)) => text.push_str(&format!(": found {found}")),
        (None, None) => {}
    }
    for more in [&error.description, &error.hint].into_iter().flatten() {
        text.push_str(&format!("\n  {more}"));
    }
    text
}

fn ended(operation: &Operation) -> Report {
    let number = operation.number;
    let what = format!(
        "{} of {} (operation {number})",
        operation.kind,
        operation_text::named(operation)
    );
    // A parent has no log of its own: that of the first part that failed says more.
    let failed = |part: &&ChildOperation| part.state == OperationState::Failed;
    let to_read = operation.children.iter().find(failed);
    let to_read = to_read.map_or(number, |part| part.number);
    let log = || Some(format!("`enginehouse ops log {to_read}` shows what it did"));
    let (message, hint, exit) = match operation.state {
        OperationState::InDoubt => (
            format!("{what} is in doubt"),
            Some(format!(
                "find out what the hypervisor did, then say it with `enginehouse ops resolve {number} --as done|failed|retry`"
            )),
            Exit::NotOver,
        ),
        OperationState::WaitingApproval => (
            format!("{what} waits for approval"),
            Some(format!(
                "`enginehouse approvals show {number}` says what is destroyed and who may approve it"
            )),
            Exit::NotOver,
        ),
        OperationState::Pending | OperationState::Running => (
            format!("{what} is not over yet"),
            Some(format!("watch it with `enginehouse ops wait {number}`")),
            Exit::NotOver,
        ),
        OperationState::Cancelled => (format!("{what} was cancelled"), log(), Exit::Failed),
        OperationState::Superseded => (
            format!("{what} was given up, because what it was planned from has changed"),
            Some("repeat the command to see the new plan".to_owned()),
            Exit::Failed,
        ),
        OperationState::Failed | OperationState::Succeeded => {
            (format!("{what} failed"), log(), Exit::Failed)
        }
    };
    let own_hint = operation
        .error
        .as_ref()
        .and_then(|error| error.hint.clone());
    let message = match &operation.error {
        Some(error) => format!("{message}: {}", error.message),
        None => message,
    };
    Report {
        message,
        details: operation_text::failure_details(operation),
        hint: own_hint.or(hint),
        exit,
    }
}

fn access_hint(error: &AccessError) -> &'static str {
    match error {
        AccessError::NotServing(_) => {
            "start the host with `enginehouse serve`, or name its data directory with --data, or its address with --server"
        }
        AccessError::Unreadable { .. } => "only who may read the data directory may use its server",
        AccessError::Empty(_) => "restart the host; it writes its address and token anew",
    }
}
