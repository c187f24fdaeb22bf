//! `show`: one node whole.

use clap::Args;
use enginehouse_api::{Client, ComputedValue, Node, NodeKind};
use enginehouse_model::documents::{Config, Power};
use enginehouse_model::{Bytes, FullName};
use serde_json::Value;

use super::drift::fields;
use super::tree::status_style;
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::date_time;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse show /web/vm1
  enginehouse show /web/vm1 --origins
  enginehouse show /web/vm1 --output json")]
pub struct ShowArgs {
    /// A folder or a machine
    path: FullName,
    /// Where each value of the definition came from
    #[arg(long)]
    origins: bool,
}

pub async fn show(client: &Client, args: ShowArgs, output: &Output) -> Result<(), CommandError> {
    let node = client.node(&args.path).await?;
    output.answer(&node, |paint| render(&node, args.origins, paint))
}

/// The node as text.
#[must_use]
pub fn render(node: &Node, origins: bool, paint: Painter) -> String {
    let kind = match node.kind {
        NodeKind::Folder => "folder",
        NodeKind::Descriptor => "machine",
    };
    let mut text = format!(
        "{kind} {}\n",
        paint.paint(Style::Strong, &node.full_name.to_string())
    );
    text.push_str(&facts(node).render(paint));
    text.push_str(&section(
        "definition",
        &definition(&node.computed_definition, origins),
        paint,
    ));
    if let Some(config) = &node.deployed_config {
        text.push_str(&section("deployed", &deployed(config), paint));
    }
    let mut pending = Table::new();
    for change in &node.pending_changes {
        pending.row([(Style::Warning, format!("  {change}"))]);
    }
    if !node.pending_changes.is_empty() {
        text.push_str(&section("pending changes", &pending, paint));
    }
    if !node.drift.is_empty() {
        text.push_str(&section("drift", &fields(&node.drift), paint));
    }
    text
}

fn section(title: &str, table: &Table, paint: Painter) -> String {
    let rows = table.render(paint);
    let rows = if rows.is_empty() {
        "  (empty)\n".to_owned()
    } else {
        rows
    };
    format!("{}\n{rows}", paint.paint(Style::Strong, title))
}

fn facts(node: &Node) -> Table {
    let mut table = Table::new();
    let mut fact = |name: &str, style, value: String| {
        table.row([(Style::Faint, format!("  {name}")), (style, value)]);
    };
    if let Some(status) = node.status {
        fact("status", status_style(status), status.to_string());
    }
    if let Some(id) = &node.machine_id {
        fact("machine id", Style::Plain, id.clone());
    }
    if let Some(number) = node.busy {
        fact(
            "busy",
            Style::Plain,
            format!("operation {number} works on it"),
        );
    }
    if let Some(returned) = &node.returned {
        fact(
            "there again",
            Style::Warning,
            format!(
                "machine {} on {}, which was lost {}",
                one_line(&returned.id),
                one_line(&returned.hypervisor),
                date_time(returned.lost_at)
            ),
        );
        let hint = format!(
            "hint: `enginehouse link {}` makes it its machine again",
            node.full_name
        );
        fact("", Style::Warning, hint);
    }
    if let Some(protected) = &node.protected {
        fact(
            "protected",
            Style::Plain,
            format!(
                "by {}, {}",
                one_line(&protected.by),
                date_time(protected.since)
            ),
        );
    }
    if let Some(paused) = &node.paused {
        let at = match paused.at == node.full_name {
            true => String::new(),
            false => format!(" at {}", paused.at),
        };
        let reason = paused.reason.as_deref();
        let reason = reason.map_or(String::new(), |reason| format!(": {}", one_line(reason)));
        fact(
            "paused",
            Style::Warning,
            format!("{at} by {}, {}{reason}", paused.by, date_time(paused.since))
                .trim()
                .to_owned(),
        );
    }
    if let Some(error) = &node.last_error {
        let operation = error
            .operation
            .map(|number| format!(" (operation {number})"));
        fact(
            "last error",
            Style::Bad,
            format!("{}{}", error.message, operation.unwrap_or_default()),
        );
        if let Some(hint) = &error.hint {
            fact("", Style::Warning, format!("hint: {hint}"));
        }
    }
    if let Some(last) = &node.last_operation {
        fact(
            "last operation",
            Style::Plain,
            format!(
                "{}: {} by {}, {}, {}",
                last.number,
                last.kind,
                last.who,
                last.outcome,
                date_time(last.at)
            ),
        );
    }
    fact("uid", Style::Plain, node.uid.to_string());
    fact("revision", Style::Plain, node.revision.to_string());
    table
}

fn definition(values: &[ComputedValue], origins: bool) -> Table {
    let mut table = if origins && !values.is_empty() {
        Table::with_header(&["  KEY", "VALUE", "FROM"])
    } else {
        Table::new()
    };
    for value in values {
        let mut cells = vec![
            (Style::Plain, format!("  {}", value.key)),
            (Style::Plain, scalar(&value.value)),
        ];
        if origins {
            cells.push((Style::Faint, value.origin.to_string()));
        }
        table.row(cells);
    }
    table
}

/// A value as one writes it on the command line; a text only in quotes where it must be.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => one_line(text),
        Value::String(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => value.to_string(),
    }
}

/// What was applied, in the words of a definition.
#[must_use]
pub fn deployed(config: &Config) -> Table {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut put = |key: &str, value: Option<String>| {
        rows.extend(value.map(|value| (format!("  {key}"), value)));
    };
    put("name", config.name.clone());
    put("base_image", config.base_image.clone());
    put("vcpu", config.vcpu.map(|vcpu| vcpu.to_string()));
    put("memory", config.memory.map(size));
    put("description", config.description.clone());
    let power = config.power.map(|power| match power {
        Power::Running => "running".to_owned(),
        Power::Stopped => "stopped".to_owned(),
    });
    put("power", power);
    put("placement.host", config.placement.host.clone());
    put("placement.cluster", config.placement.cluster.clone());
    put("placement.pool", config.placement.pool.clone());
    put("placement.folder", config.placement.folder.clone());
    for (name, value) in &config.labels {
        put(&format!("labels.{name}"), Some(value.clone()));
    }
    for (name, disk) in &config.disks {
        let key = |field: &str| format!("disks.{name}.{field}");
        put(&key("size"), disk.size.map(size));
        put(&key("storage"), disk.storage.clone());
        put(&key("storage_class"), disk.storage_class.clone());
        put(&key("bus"), disk.bus.clone());
        put(&key("keep"), disk.keep.map(|keep| keep.to_string()));
    }
    for (name, nic) in &config.nics {
        let key = |field: &str| format!("nics.{name}.{field}");
        put(&key("network"), nic.network.clone());
        put(&key("vlan"), nic.vlan.map(|vlan| vlan.to_string()));
        put(&key("mac"), nic.mac.clone());
        put(&key("adapter"), nic.adapter.clone());
        let addresses = nic.addresses.join(", ");
        put(
            &key("addresses"),
            Some(addresses).filter(|text| !text.is_empty()),
        );
        put(&key("gateway"), nic.gateway.clone());
    }
    for (name, value) in &config.guest {
        put(&format!("guest.{name}"), Some(scalar(value)));
    }
    for (name, value) in &config.settings {
        put(&format!("settings.{name}"), Some(scalar(value)));
    }
    let mut table = Table::new();
    for (key, value) in rows {
        table.row([(Style::Plain, key), (Style::Plain, value)]);
    }
    table
}

fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}
