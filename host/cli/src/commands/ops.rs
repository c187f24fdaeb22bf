//! `ops list|show|log|wait|cancel|move|resolve|results|executed`.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use enginehouse_api::{
    Client, LogLine, LogSource, MoveRequest, Operation, OperationFilter, OperationState,
    RequestRecord, ResolveAs,
};
use enginehouse_model::{FullName, OperationId};

use super::ended;
use super::order::finish;
use crate::error::{CommandError, NotAllWell};
use crate::follow::follow;
use crate::operation_text::{named, state_style, took, whole};
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{clock, date_time, parse_duration, span};

#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// List operations, newest first
    #[command(after_help = "\
Examples:
  enginehouse ops list
  enginehouse ops list --state in-doubt
  enginehouse ops list --path /web --limit 100")]
    List(ListArgs),
    /// Show an operation with its steps
    Show(NumberArgs),
    /// Show what an operation did: its log, or the requests it made
    #[command(after_help = "\
Examples:
  enginehouse ops log 12
  enginehouse ops log 12 --follow
  enginehouse ops log 12 --requests")]
    Log(LogArgs),
    /// Wait until operations are over; the exit code says how they ended
    #[command(after_help = "\
Exit codes:
  0  all succeeded
  1  one or more failed, were cancelled or superseded
  3  the server cannot be reached
  4  otherwise one or more are not over: in doubt, waiting for a person, or beyond --timeout

Examples:
  enginehouse ops wait 12
  enginehouse ops wait 12 13 14 --timeout 10m")]
    Wait(WaitArgs),
    /// Ask an operation to end where nothing is half done
    Cancel(NumberArgs),
    /// Give an operation that has not begun another place among those of its machine
    #[command(after_help = "\
Examples:
  enginehouse ops list --path /web/vm1 --state pending
  enginehouse ops move 14 --first
  enginehouse ops move 14 --before 12")]
    Move(MoveArgs),
    /// Say what became of an operation that is in doubt
    #[command(after_help = "\
`enginehouse ops show` says what is known, and what each of these would do:

done    the hypervisor did it: go on with what is there
failed  end the operation as failed, and send nothing
retry   the hypervisor did not do it: send the request again

Examples:
  enginehouse ops list --state in-doubt
  enginehouse ops show 12
  enginehouse ops resolve 12 --as done")]
    Resolve(ResolveArgs),
    /// Show how operations ended, in the order in which they did, each once
    #[command(after_help = "\
An answer ends with a cursor: with --after it, the next one has what ended since then. A cursor from before
the oldest result that is kept is refused, and the refusal names the one to go on with.

Examples:
  enginehouse ops results
  enginehouse ops results --after r1-2a
  enginehouse ops results --follow -o json")]
    Results(ended::ResultsArgs),
    /// Show the log of all operations that have ended, the last one first
    #[command(after_help = "\
Examples:
  enginehouse ops executed
  enginehouse ops executed --path /web --since 7d
  enginehouse ops executed --who ann --outcome failed -o json")]
    Executed(ended::ExecutedArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only those about this node or what is below it
    #[arg(long)]
    path: Option<FullName>,
    /// Only those before this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<OperationId>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    Pending,
    WaitingApproval,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Superseded,
    InDoubt,
}

impl From<StateArg> for OperationState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::WaitingApproval => Self::WaitingApproval,
            StateArg::Running => Self::Running,
            StateArg::Succeeded => Self::Succeeded,
            StateArg::Failed => Self::Failed,
            StateArg::Cancelled => Self::Cancelled,
            StateArg::Superseded => Self::Superseded,
            StateArg::InDoubt => Self::InDoubt,
        }
    }
}

#[derive(Debug, Args)]
pub struct NumberArgs {
    /// The operation
    number: OperationId,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// The operation
    number: OperationId,
    /// Go on until the operation is over
    #[arg(long, short, conflicts_with = "requests")]
    follow: bool,
    /// The requests it made to the hypervisor, without secrets
    #[arg(long)]
    requests: bool,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The operations
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<OperationId>,
    /// Wait no longer than this for all of them, as in 90s or 5m
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The operation
    number: OperationId,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// Before all that have not begun
    #[arg(long)]
    first: bool,
    /// After all others
    #[arg(long)]
    last: bool,
    /// Before this one
    #[arg(long, value_name = "NUMBER")]
    before: Option<OperationId>,
    /// After this one
    #[arg(long, value_name = "NUMBER")]
    after: Option<OperationId>,
}

impl PlaceArgs {
    fn place(&self) -> MoveRequest {
        match (self.before, self.after, self.first) {
            (Some(other), _, _) => MoveRequest::Before(other),
            (_, Some(other), _) => MoveRequest::After(other),
            (None, None, true) => MoveRequest::First,
            (None, None, false) => MoveRequest::Last,
        }
    }
}

#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The operation
    number: OperationId,
    /// What became of its request
    #[arg(long = "as", value_enum)]
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verdict {
    Done,
    Failed,
    Retry,
}

pub async fn ops(
    client: &Client,
    command: OpsCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        OpsCommand::List(args) => list(client, args, output).await,
        OpsCommand::Show(args) => {
            let operation = client.operation(args.number).await?;
            output.answer(&operation, |paint| whole(&operation, paint))
        }
        OpsCommand::Log(args) if args.requests => {
            let page = client.requests(args.number).await?;
            output.answer(&page, |paint| requests(&page.requests, paint))
        }
        OpsCommand::Log(args) => log(client, args, output).await,
        OpsCommand::Wait(args) => {
            let limit = args.timeout.as_deref().map(parse_duration).transpose()?;
            if let [number] = args.numbers.as_slice() {
                let operation = client.operation(*number).await?;
                return finish(follow(client, operation, output, limit).await?, output);
            }
            wait_for_all(client, &args.numbers, limit, output).await
        }
        OpsCommand::Results(args) => ended::results(client, args, output).await,
        OpsCommand::Executed(args) => ended::executed(client, args, output).await,
        OpsCommand::Cancel(args) => {
            let operation = client.cancel(args.number).await?;
            output.answer(&operation, |paint| cancelled(&operation, paint))
        }
        OpsCommand::Move(args) => {
            let operation = client
                .move_operation(args.number, args.place.place())
                .await?;
            output.answer(&operation, |_| {
                let waits = operation.waiting_for.as_deref();
                format!(
                    "operation {} waits for {}\n",
                    operation.number,
                    waits.map_or("nothing".into(), one_line)
                )
            })
        }
        OpsCommand::Resolve(args) => {
            let verdict = match args.verdict {
                Verdict::Done => ResolveAs::Done,
                Verdict::Failed => ResolveAs::Failed,
                Verdict::Retry => ResolveAs::Retry,
            };
            let operation = client.resolve(args.number, verdict).await?;
            output.answer(&operation, |paint| {
                format!(
                    "operation {} is {} now",
                    operation.number,
                    paint.paint(state_style(operation.state), operation.state.as_str())
                )
            })
        }
    }
}

/// Waits for one after the other: when the last one is over, so are all.
async fn wait_for_all(
    client: &Client,
    numbers: &[OperationId],
    limit: Option<Duration>,
    output: &Output,
) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut operations = Vec::new();
    for number in numbers {
        let operation = client.operation(*number).await?;
        let left = limit.map(|limit| limit.saturating_sub(began.elapsed()));
        operations.push(match follow(client, operation, output, left).await {
            Err(CommandError::StillRunning(number)) => client.operation(number).await?,
            other => other?,
        });
    }
    output.answer(&operations, |paint| table(&operations, paint))?;
    let count = |is: fn(&Operation) -> bool| operations.iter().filter(|it| is(it)).count();
    let count = NotAllWell {
        all: operations.len(),
        failed: count(|it| it.state.has_ended() && it.state != OperationState::Succeeded),
        left: count(|it| !it.state.has_ended()),
    };
    if count.failed + count.left > 0 {
        return Err(CommandError::NotAllWell(count));
    }
    Ok(())
}

fn table(operations: &[Operation], paint: Painter) -> String {
    let mut table =
        Table::with_header(&["NUMBER", "QUEUED", "KIND", "PATH", "STATE", "TOOK", "NOTE"]);
    for operation in operations {
        table.row([
            (Style::Plain, operation.number.to_string()),
            (Style::Plain, date_time(operation.queued_at)),
            (Style::Plain, operation.kind.to_string()),
            (Style::Plain, named(operation)),
            (state_style(operation.state), operation.state.to_string()),
            (Style::Plain, took(operation).map(span).unwrap_or_default()),
            (Style::Plain, note(operation)),
        ]);
    }
    table.render(paint)
}

async fn list(client: &Client, args: ListArgs, output: &Output) -> Result<(), CommandError> {
    let filter = OperationFilter {
        state: args.state.map(OperationState::from),
        path: args.path,
        before: args.before,
        limit: Some(args.limit),
    };
    let page = client.operations(&filter).await?;
    output.answer(&page, |paint| {
        if page.operations.is_empty() {
            return "no operations\n".to_owned();
        }
        let mut text = table(&page.operations, paint);
        if let Some(next) = page.next {
            text.push_str(&paint.paint(Style::Faint, &format!("older ones: --before {next}")));
            text.push('\n');
        }
        text
    })
}

fn note(operation: &Operation) -> String {
    if let Some(error) = &operation.error {
        return error.message.clone();
    }
    if let Some(reason) = &operation.waiting_for {
        return format!("waits for {reason}");
    }
    let warning = operation
        .result
        .as_ref()
        .and_then(|result| result.warnings.first());
    warning
        .map(|text| format!("warning: {text}"))
        .unwrap_or_default()
}

async fn log(client: &Client, args: LogArgs, output: &Output) -> Result<(), CommandError> {
    let mut lines: Vec<LogLine> = Vec::new();
    let mut after = 0;
    loop {
        // Asked before the lines are read: what was written before the end is not missed.
        let over = if args.follow {
            let operation = client.wait(args.number, Duration::from_millis(500)).await?;
            operation.state.has_ended() || operation.state.needs_person()
        } else {
            true
        };
        loop {
            let page = client.log(args.number, after).await?;
            let Some(last) = page.lines.last() else {
                break;
            };
            after = last.seq;
            if output.is_json() {
                lines.extend(page.lines);
            } else {
                let paint = output.out();
                let text: String = page
                    .lines
                    .iter()
                    .map(|line| log_line(line, paint))
                    .collect();
                output.text(&text)?;
            }
            if !page.more {
                break;
            }
        }
        if over {
            break;
        }
    }
    if output.is_json() {
        let page = enginehouse_api::LogPage { lines, more: false };
        return output.answer(&page, |_| String::new());
    }
    if after == 0 {
        output.note("no lines");
    }
    Ok(())
}

fn log_line(line: &LogLine, paint: Painter) -> String {
    let style = match line.level.as_str() {
        "error" => Style::Bad,
        "warn" => Style::Warning,
        "debug" => Style::Faint,
        _ => Style::Plain,
    };
    let source = match line.source {
        LogSource::Engine => "engine",
        LogSource::Task => "task",
        LogSource::Host => "host",
    };
    // Not by its colour alone.
    let weight = match line.level.as_str() {
        "error" => "error: ",
        "warn" => "warning: ",
        _ => "",
    };
    let text = format!("{weight}{}", one_line(&line.text));
    format!(
        "{}  {source:<6}  {}\n",
        paint.paint(Style::Faint, &clock(line.at)),
        paint.paint(style, &text)
    )
}

fn requests(requests: &[RequestRecord], paint: Painter) -> String {
    if requests.is_empty() {
        return "no requests\n".to_owned();
    }
    let mut table = Table::with_header(&[
        "AT", "STEP", "EFFECT", "STATUS", "TOOK", "ENDPOINT", "REQUEST",
    ]);
    for request in requests {
        let status = match request.status {
            Some(status) if status < 400 => (Style::Good, status.to_string()),
            Some(status) => (Style::Bad, status.to_string()),
            None => (Style::Bad, "no answer".to_owned()),
        };
        table.row([
            (Style::Faint, clock(request.at)),
            (
                Style::Plain,
                request
                    .step
                    .map(|step| step.to_string())
                    .unwrap_or_default(),
            ),
            (Style::Plain, request.effect.clone()),
            status,
            (Style::Plain, request.took_ms.map(span).unwrap_or_default()),
            (Style::Plain, request.endpoint.clone()),
            (Style::Plain, asked(request)),
        ]);
    }
    table.render(paint)
}

/// `GET /v1/tasks?ids=t-1 (37 times)`
fn asked(request: &RequestRecord) -> String {
    let asked = format!("{} {}", request.method, request.path);
    match request.times {
        Some(times) if times > 1 => format!("{asked} ({times} times)"),
        Some(_) | None => asked,
    }
}

fn cancelled(operation: &Operation, paint: Painter) -> String {
    let state = paint.paint(state_style(operation.state), operation.state.as_str());
    if operation.state.has_ended() {
        format!("operation {} is {state}", operation.number)
    } else {
        format!(
            "operation {} is {state} and ends where nothing is half done",
            operation.number
        )
    }
}
