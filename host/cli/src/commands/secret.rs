//! `secret set|list|remove|rotate-key|new-key`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use enginehouse_api::{Client, SecretInfo, SecretList, SecretValue};
use enginehouse_model::SecretName;
use enginehouse_secrets::KeyFile;
use serde::Serialize;

use super::order::finish;
use crate::error::CommandError;
use crate::input::{hidden_line, secret_file, secret_stdin};
use crate::output::Output;
use crate::style::{Painter, Style};
use crate::table::Table;
use crate::time::date_time;

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Give a secret a value: a new one, or another
    #[command(after_help = "\
The value comes from standard input, or is asked for on a terminal and not shown; it is never an
argument. Line ends after it are not part of it. A definition refers to it by its name, as in
password: {secret: pve/root}.

Examples:
  enginehouse secret set pve/root
  pass show pve | enginehouse secret set pve/root
  enginehouse secret set pve/root --from-file /run/pve.password")]
    Set(SetArgs),
    /// List secrets: names, and which nodes use them; no values
    List,
    /// Remove a secret that nothing uses
    Remove(RemoveArgs),
    /// Encrypt all secrets with a new key, and drop the old one
    #[command(after_help = "\
Make a new copy of the key afterwards: the old one does not open the secrets any more.")]
    RotateKey,
    /// Make a key file, for a host that is given its key; asks no server
    #[command(after_help = "\
Examples:
  enginehouse secret new-key /etc/enginehouse/secret.key
  enginehouse serve --secret-key /etc/enginehouse/secret.key")]
    NewKey(NewKeyArgs),
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Letters, digits, `-`, `_` and `.`, with `/` between parts
    name: SecretName,
    /// Read the value from this file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    name: SecretName,
}

#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// The new file; only its owner can read it
    file: PathBuf,
}

/// What `new-key --output json` writes.
#[derive(Serialize)]
struct NewKey<'a> {
    file: &'a std::path::Path,
    key: String,
}

pub async fn secret(
    client: impl Fn() -> Result<Client, CommandError>,
    command: SecretCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        SecretCommand::Set(args) => {
            let client = client()?;
            let value = match &args.from_file {
                Some(file) => secret_file(file)?,
                None if std::io::stdin().is_terminal() => {
                    hidden_line(&format!("value of {}: ", args.name))?
                }
                None => secret_stdin()?,
            };
            let value = SecretValue { value };
            finish(client.set_secret(&args.name, &value).await?, output)
        }
        SecretCommand::List => {
            let list = client()?.secrets().await?;
            output.answer(&list, |paint| listing(&list, paint))
        }
        SecretCommand::Remove(args) => finish(client()?.remove_secret(&args.name).await?, output),
        SecretCommand::RotateKey => finish(client()?.rotate_key().await?, output),
        SecretCommand::NewKey(args) => {
            let file = KeyFile::given(args.file);
            let key = file.make().map_err(CommandError::Key)?;
            let made = NewKey {
                file: file.path(),
                key: key.id().to_string(),
            };
            output.answer(&made, |_| {
                format!("made {} (key {})\n", file.path().display(), made.key)
            })
        }
    }
}

fn listing(list: &SecretList, paint: Painter) -> String {
    if list.secrets.is_empty() {
        return "no secrets\n".to_owned();
    }
    let mut table = Table::with_header(&["NAME", "CHANGED", "BY", "USED BY"]);
    for secret in &list.secrets {
        let used = match used_by(secret) {
            Some(nodes) => (Style::Plain, nodes),
            None => (Style::Faint, "nothing".to_owned()),
        };
        table.row([
            (Style::Plain, secret.name.to_string()),
            (Style::Plain, date_time(secret.changed_at)),
            (Style::Plain, secret.by.clone()),
            used,
        ]);
    }
    table.render(paint)
}

/// The first few nodes, and how many more.
fn used_by(secret: &SecretInfo) -> Option<String> {
    const NAMED: usize = 3;
    let mut text = secret
        .used_by
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    match secret.used_by.len() {
        0 => return None,
        few if few <= NAMED => {}
        many => text.push_str(&format!(" and {} more", many - NAMED)),
    }
    Some(text)
}
