//! `engines list|show`.

use clap::{Args, Subcommand};
use enginehouse_api::{Client, Engine, EngineList};
use serde_json::Value;

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;

#[derive(Debug, Subcommand)]
pub enum EnginesCommand {
    /// List the engines, and the files that were refused
    List,
    /// Show what an engine says of itself, and the settings it takes
    #[command(after_help = "\
Examples:
  enginehouse engines show proxmox
  enginehouse engines show proxmox --output json    with the JSON Schemas of its settings")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name of the engine
    name: String,
}

pub async fn engines(
    client: &Client,
    command: EnginesCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        EnginesCommand::List => {
            let list = client.engines().await?;
            output.answer(&list, |paint| listing(&list, paint))
        }
        EnginesCommand::Show(args) => {
            let engine = client.engine(&args.name).await?;
            output.answer(&engine, |paint| one(&engine, paint))
        }
    }
}

/// The first digits of a hash: enough to tell two files apart.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn listing(list: &EngineList, paint: Painter) -> String {
    let mut text = String::new();
    if list.engines.is_empty() {
        text.push_str("no engines\n");
    } else {
        let mut table = Table::with_header(&["NAME", "VERSION", "KINDS", "FILE", "HASH"]);
        for engine in &list.engines {
            table.row([
                (Style::Plain, engine.name.clone()),
                (Style::Plain, engine.version.clone()),
                (Style::Plain, engine.kinds.join(", ")),
                (Style::Plain, engine.file.clone()),
                (Style::Faint, short(&engine.hash)),
            ]);
        }
        text.push_str(&table.render(paint));
    }
    for refused in &list.refused {
        text.push_str(&format!(
            "{} {}: {}\n",
            paint.paint(Style::Bad, "refused:"),
            one_line(&refused.file),
            one_line(&refused.reason)
        ));
        if let Some(hint) = &refused.hint {
            text.push_str(&format!(
                "  {} {}\n",
                paint.paint(Style::Warning, "hint:"),
                one_line(hint)
            ));
        }
    }
    text
}

fn one(engine: &Engine, paint: Painter) -> String {
    let description = &engine.description;
    let mut table = Table::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([(Style::Faint, format!("  {name}")), (Style::Plain, value)]);
        }
    };
    fact("version", engine.summary.version.clone());
    fact("also called", description.aliases.join(", "));
    fact("kinds", description.kinds.join(", "));
    fact("actions", description.actions.join(", "));
    let auth = description.auth.iter().map(|scheme| {
        let name = serde_json::to_value(scheme).ok();
        name.and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    });
    fact("authentication", auth.collect::<Vec<_>>().join(", "));
    let endpoints = description.endpoints.iter().map(|endpoint| &endpoint.name);
    let endpoints: Vec<&str> = endpoints.map(String::as_str).collect();
    fact("endpoints", endpoints.join(", "));
    let port = description.default_port.map(|port| port.to_string());
    fact("default port", port.unwrap_or_default());
    fact("file", engine.summary.file.clone());
    fact("hash", engine.summary.hash.clone());
    let title = if description.title.is_empty() {
        String::new()
    } else {
        format!(" ({})", one_line(&description.title))
    };
    format!(
        "engine {}{title}\n{}{}{}",
        paint.paint(Style::Strong, &engine.summary.name),
        table.render(paint),
        settings(
            "settings of a machine",
            &description.machine_settings_schema,
            paint
        ),
        settings(
            "settings of a hypervisor",
            &description.hypervisor_settings_schema,
            paint
        )
    )
}

/// The settings that a schema describes, each with what it takes and what it is.
fn settings(what: &str, schema: &Value, paint: Painter) -> String {
    let settings = enginehouse_settings::listing(schema);
    if settings.is_empty() {
        return String::new();
    }
    let mut text = format!("{what}\n");
    for setting in settings {
        text.push_str(&format!("  {}", paint.paint(Style::Strong, &setting.name)));
        if setting.required {
            text.push_str(", required");
        }
        if setting.secret {
            text.push_str(", never shown");
        }
        text.push('\n');
        let facts = [
            Some(setting.takes),
            setting.default.map(|value| format!("default {value}")),
            setting.example.map(|value| format!("for example {value}")),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        for line in wrapped(&facts.join("; ")) {
            text.push_str(&format!("      {line}\n"));
        }
        for line in setting.description.iter().flat_map(|text| wrapped(text)) {
            text.push_str(&format!("      {}\n", paint.paint(Style::Faint, &line)));
        }
    }
    text
}

/// Lines of a text, broken between words.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 80;
    let mut lines: Vec<String> = Vec::new();
    for word in one_line(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
