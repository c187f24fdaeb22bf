//! `adopt`: machines that are on a hypervisor already, taken into the tree.

use clap::Args;
use enginehouse_api::{AdoptedMachine, AdoptionAnswer, AdoptionRequest, Client, Whose};
use enginehouse_model::FullName;

use super::inventory::while_reading;
use super::order::{OrderArgs, ended_well, watched};
use crate::error::CommandError;
use crate::operation_text;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;

/// Machines that are listed.
const LISTED: usize = 200;

#[derive(Debug, Args)]
#[command(after_help = "\
Each machine gets a descriptor whose definition is what was observed, minus what it inherits from the
folder and the prototype. On the machine itself nothing is changed but the mark that says whose it is: a
plan made afterwards has nothing to do. Machines of descriptors, templates, and machines of another
installation of Enginehouse are left alone.

Examples:
  enginehouse adopt pve1 --into /web --dry-run
  enginehouse adopt pve1 101 102 --into /web --prototype small
  enginehouse adopt pve1 --into /imported --rename")]
pub struct AdoptArgs {
    /// The hypervisor, as it is called at the folder
    hypervisor: String,
    /// The provider's ids of the machines; none: all that are nobody's
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Folder that gets the descriptors
    #[arg(long, value_name = "PATH")]
    into: FullName,
    /// Prototype that the descriptors use: what it gives is not written again
    #[arg(long, value_name = "NAME")]
    prototype: Option<String>,
    /// Give machines whose names cannot be those of descriptors another one; the machine itself is
    /// renamed when it is reconfigured
    #[arg(long)]
    rename: bool,
    /// Change nothing; show what would be adopted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// # Errors
/// When the hypervisor cannot be looked at, a machine that was named cannot be adopted, or one was not
/// taken in the end.
pub async fn adopt(client: &Client, args: AdoptArgs, output: &Output) -> Result<(), CommandError> {
    let request = AdoptionRequest {
        hypervisor: args.hypervisor,
        into: args.into,
        ids: args.ids,
        prototype: args.prototype,
        rename: args.rename,
        dry_run: args.dry_run,
    };
    let (path, name) = (&request.into, Some(&*request.hypervisor));
    let answer = client.adopt(&request);
    let mut answer = while_reading(answer, client, path, name, output).await?;
    if let Some(operation) = answer.operation.take() {
        answer.operation = Some(watched(client, operation, &args.order, output).await?);
    }
    output.answer(&answer, |paint| told(&answer, paint))?;
    ended_well(answer.operation, &args.order)
}

fn told(answer: &AdoptionAnswer, paint: Painter) -> String {
    let mut text = String::new();
    if !answer.adopted.is_empty() {
        text.push_str(&adopted(&answer.adopted, paint));
    }
    for machine in answer.left.iter().take(LISTED) {
        let name = machine.name.as_deref().map(one_line).unwrap_or_default();
        let id = one_line(&machine.id);
        let reason = one_line(&machine.reason);
        let left = paint.paint(Style::Warning, "left:");
        text.push_str(&format!("{left} {id} {name}: {reason}\n"));
    }
    more(&mut text, answer.left.len());
    let mut hints: Vec<&str> = Vec::new();
    for hint in answer.left.iter().filter_map(|left| left.hint.as_deref()) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    for hint in hints.iter().take(5) {
        let label = paint.paint(Style::Warning, "hint:");
        text.push_str(&format!("{label} {}\n", one_line(hint)));
    }
    text.push_str(&summary(answer, paint));
    text
}

fn more(text: &mut String, all: usize) {
    if all > LISTED {
        text.push_str(&format!("… and {} more\n", all - LISTED));
    }
}

fn adopted(machines: &[AdoptedMachine], paint: Painter) -> String {
    let mut table = Table::with_header(&["ID", "NAME", "DESCRIPTOR", "DEFINITION"]);
    for machine in machines.iter().take(LISTED) {
        let name = match machine.whose {
            Whose::Orphan => format!("{} (orphan)", machine.name.as_deref().unwrap_or_default()),
            _ => machine.name.clone().unwrap_or_default(),
        };
        table.row([
            (Style::Plain, one_line(&machine.id)),
            (Style::Plain, one_line(&name)),
            (Style::Good, machine.path.to_string()),
            (Style::Faint, definition(machine)),
        ]);
    }
    let mut text = table.render(paint);
    more(&mut text, machines.len());
    for machine in machines {
        for then in &machine.then {
            let label = paint.paint(Style::Warning, "then:");
            let then = one_line(then);
            text.push_str(&format!("{label} {}: {then}\n", machine.path));
        }
    }
    text
}

/// `vcpu 2, memory 2 GiB, disks scsi0, nics net0`
fn definition(machine: &AdoptedMachine) -> String {
    let parts = machine.definition.iter().map(|(key, value)| match value {
        serde_json::Value::Object(members) => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            format!("{key} {}", names.join(" "))
        }
        serde_json::Value::String(text) => format!("{key} {text}"),
        value => format!("{key} {value}"),
    });
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => "as inherited".to_owned(),
        false => one_line(&parts.join(", ")),
    }
}

fn summary(answer: &AdoptionAnswer, paint: Painter) -> String {
    let machines = |count: usize| match count {
        1 => "1 machine".to_owned(),
        many => format!("{many} machines"),
    };
    if let (true, Some(operation)) = (answer.replayed, &answer.operation) {
        return operation_text::success(operation, paint);
    }
    let into = &answer.into;
    let mut parts = vec![match (answer.dry_run, &answer.operation) {
        (true, _) => format!(
            "{} would be adopted into {into}",
            machines(answer.adopted.len())
        ),
        (false, None) => format!("nothing to adopt on {}", one_line(&answer.hypervisor)),
        (false, Some(operation)) => format!(
            "{} adopted into {into} (operation {})",
            machines(answer.adopted.len()),
            operation.number
        ),
    }];
    if !answer.left.is_empty() {
        parts.push(format!("{} left", answer.left.len()));
    }
    if answer.ours > 0 {
        parts.push(format!("{} ours already", answer.ours));
    }
    if answer.templates > 0 {
        parts.push(match answer.templates {
            1 => "1 template".to_owned(),
            many => format!("{many} templates"),
        });
    }
    format!("{}\n", parts.join(", "))
}
