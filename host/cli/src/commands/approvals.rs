//! `approvals list|show|text`, `approve`, `refuse`: what waits for signatures before it destroys.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use enginehouse_api::{
    Approval, ApprovalPage, ApprovalRequest, ApproveRequest, Client, Operation, OperationState,
    RefuseRequest,
};
use enginehouse_model::{FullName, OperationId};

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, clean, one_line};
use crate::table::Table;
use crate::time::date_time;

/// Largest file that is read, bytes: the text of some ten thousand machines.
const FILE_MAX: u64 = 8 << 20;

/// What `ssh-keygen -Y sign` adds to the name of the file that it signs.
const SIGNATURE_SUFFIX: &str = ".sig";

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List what waits for approval
    #[command(after_help = "\
Examples:
  enginehouse approvals list
  enginehouse approvals list --path /web")]
    List(ListArgs),
    /// Show what an operation is to destroy, who may approve that and who did
    Show(NumberArgs),
    /// Print what is to be signed, byte by byte; of an operation on a folder, for all its machines
    #[command(after_help = "\
Examples:
  enginehouse approvals text 12 > undeploy.txt
  ssh-keygen -Y sign -n enginehouse -f ~/.ssh/id_ed25519 undeploy.txt
  enginehouse approve 12 --signature undeploy.txt.sig")]
    Text(NumberArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those about this node or what is below it
    #[arg(long)]
    path: Option<FullName>,
    /// Only those after this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<OperationId>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct NumberArgs {
    /// The operation
    number: OperationId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Read the text before you sign it: it says what is destroyed, where, by whose order and until when.
The signature counts for exactly that text, once; who ordered the operation does not approve it.

Examples:
  enginehouse approvals text 12 > undeploy.txt
  ssh-keygen -Y sign -n enginehouse -f ~/.ssh/id_ed25519 undeploy.txt
  enginehouse approve 12 --signature undeploy.txt.sig")]
pub struct ApproveArgs {
    /// The operation
    number: OperationId,
    /// What `ssh-keygen -Y sign -n enginehouse` wrote; `-` is standard input
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// The text that was signed [default: the signature's file without `.sig`, where that is there]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse refuse 12 --reason \"the customer still needs it\"")]
pub struct RefuseArgs {
    /// The operation; of one on a folder, all its parts that wait
    number: OperationId,
    /// Why; it is shown with the operation
    #[arg(long)]
    reason: String,
}

pub async fn approvals(
    client: &Client,
    command: ApprovalsCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        ApprovalsCommand::List(args) => {
            let page = client
                .approvals(args.path.as_ref(), args.after, args.limit)
                .await?;
            output.answer(&page, |paint| listed(&page, paint))
        }
        ApprovalsCommand::Show(args) => {
            let asked = client.approval(args.number).await?;
            output.answer(&asked, |paint| shown(args.number, &asked, paint))
        }
        ApprovalsCommand::Text(args) => text(client, args.number, output).await,
    }
}

async fn text(client: &Client, number: OperationId, output: &Output) -> Result<(), CommandError> {
    let asked = client.approval(number).await?;
    let Some(text) = &asked.text else {
        return Err(CommandError::NothingToSign(number));
    };
    if asked.not_yet > 0 {
        output.note(&format!(
            "{} more parts of operation {number} may come to wait for approval; they are not in this text",
            asked.not_yet
        ));
    }
    output.answer(&asked, |_| text.clone())
}

pub async fn approve(
    client: &Client,
    args: ApproveArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let signature = read(&args.signature)?;
    let text = match &args.text {
        Some(path) => Some(read(path)?),
        None => match signed_file(&args.signature) {
            Some(path) => Some(read(&path)?),
            None => None,
        },
    };
    let request = ApproveRequest { signature, text };
    let operation = client.approve(args.number, &request).await?;
    output.answer(&operation, |_| after(&operation, "approved"))
}

pub async fn refuse(
    client: &Client,
    args: RefuseArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let request = RefuseRequest {
        reason: args.reason,
    };
    let operation = client.refuse(args.number, &request).await?;
    output.answer(&operation, |_| after(&operation, "refused"))
}

fn after(operation: &Operation, what: &str) -> String {
    let number = operation.number;
    match operation.state {
        OperationState::WaitingApproval => {
            let more = operation.waiting_for.as_deref();
            let more = more.unwrap_or("more approvals of its parts");
            format!("{what}; operation {number} waits for {}", one_line(more))
        }
        OperationState::Pending | OperationState::Running => {
            format!("{what}; operation {number} goes on: `enginehouse ops wait {number}`")
        }
        state => format!("{what}; operation {number} is {state}"),
    }
}

/// The file that a signature was made of, where it lies beside it.
fn signed_file(signature: &Path) -> Option<PathBuf> {
    let name = signature.to_str()?.strip_suffix(SIGNATURE_SUFFIX)?;
    let path = PathBuf::from(name);
    path.is_file().then_some(path)
}

fn read(path: &Path) -> Result<String, CommandError> {
    let failed = |source| CommandError::SignatureFile {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(FILE_MAX + 1).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(FILE_MAX + 1).read_to_string(&mut text)
    };
    match read.map_err(failed)? as u64 {
        0..=FILE_MAX => Ok(text),
        _ => Err(failed(io::Error::other("it is larger than 8 MiB"))),
    }
}

fn listed(page: &ApprovalPage, paint: Painter) -> String {
    if page.approvals.is_empty() {
        return "nothing waits for approval\n".to_owned();
    }
    let mut table = Table::with_header(&["OPERATION", "KIND", "PATH", "BY", "APPROVED", "UNTIL"]);
    for approval in &page.approvals {
        table.row([
            (Style::Plain, approval.operation.to_string()),
            (Style::Plain, one_line(&approval.kind)),
            (Style::Plain, approval.path.to_string()),
            (Style::Plain, one_line(&approval.who)),
            (Style::Plain, counted(approval)),
            (Style::Plain, date_time(approval.until)),
        ]);
    }
    let mut text = table.render(paint);
    if let Some(next) = page.next {
        text.push_str(&paint.paint(Style::Faint, &format!("more: --after {next}")));
        text.push('\n');
    }
    text
}

fn counted(approval: &Approval) -> String {
    let have = approval.need.saturating_sub(approval.missing);
    format!("{have} of {}", approval.need)
}

fn shown(number: OperationId, asked: &ApprovalRequest, paint: Painter) -> String {
    if asked.approvals.is_empty() {
        return format!("nothing of operation {number} waits for approval\n");
    }
    let mut text = String::new();
    for approval in &asked.approvals {
        // What is written into a text does not fail.
        let _ = writeln!(
            text,
            "operation {}: {}, ordered by {} at {}",
            approval.operation,
            one_line(&approval.kind),
            one_line(&approval.who),
            date_time(approval.asked_at)
        );
        text.push_str(&clean(&approval.what));
        let by = (approval.by.as_ref())
            .map_or_else(|| "nobody any more".to_owned(), ToString::to_string);
        let _ = writeln!(text, "  asked by     {by}");
        let style = if approval.missing == 0 {
            Style::Good
        } else {
            Style::Warning
        };
        let count = paint.paint(style, &counted(approval));
        let _ = writeln!(
            text,
            "  approved     {count}, until {}",
            date_time(approval.until)
        );
        for signed in &approval.signed {
            let _ = writeln!(
                text,
                "    {} with {}, handed in by {} at {}",
                one_line(&signed.owner),
                one_line(&signed.fingerprint),
                one_line(&signed.by),
                date_time(signed.at)
            );
        }
        if !approval.may_sign.is_empty() {
            let names = one_line(&approval.may_sign.join(", "));
            let _ = writeln!(text, "  may sign     {names}");
        }
        for unusable in &approval.unusable {
            let _ = writeln!(text, "  cannot sign  {}", one_line(unusable));
        }
        text.push('\n');
    }
    if asked.text.is_some() {
        let _ = write!(
            text,
            "to approve it:\n  \
             enginehouse approvals text {number} > FILE\n  \
             ssh-keygen -Y sign -n enginehouse -f KEY FILE\n  \
             enginehouse approve {number} --signature FILE.sig\n"
        );
    }
    text
}
