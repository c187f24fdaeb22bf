//! Who may do what: `grant`, `grants`, `token …`, `whoami`.

use clap::{Args, Subcommand, ValueEnum};
use enginehouse_api::{
    Client, Grant, GrantChange, GrantList, OperationKind, Params, Role, Token, TokenList,
    TokenRequest, TokenState, WhoAmI,
};
use enginehouse_model::FullName;

use super::order::{Order, OrderArgs};
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{date, date_time, parse_lifetime};

#[derive(Debug, Args)]
#[command(after_help = "\
Roles:
  viewer    reads
  operator  reads, and orders what changes machines
  approver  reads, and says yes to what others ordered
  admin     everything, also grants, hypervisors, protection and policy

A role holds for the folder and all below it; roles only add up. Changing them needs the role admin
on the folder.

Examples:
  enginehouse grant /web ann operator
  enginehouse grant /web ann operator approver
  enginehouse grant --remove /web ann operator
  enginehouse grant --remove /web ann")]
pub struct GrantArgs {
    /// The folder or machine
    path: FullName,
    /// The person or program: whom a token stands for
    subject: String,
    /// What it is to be there; with --remove and without any, all that it is there
    #[arg(required_unless_present = "remove", value_name = "ROLE")]
    roles: Vec<RoleName>,
    /// Take the roles away
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With a path: all roles that hold there, and the folder that gives each. Without: all that were given
anywhere, as far as you may read it.

Examples:
  enginehouse grants
  enginehouse grants /web/vm1")]
pub struct GrantsArgs {
    /// The folder or machine
    path: Option<FullName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Approver => Self::Approver,
            RoleName::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a person or program; it is shown once
    #[command(after_help = "\
The token goes to standard output, all else to standard error. What it may do, roles decide: see
`enginehouse grant`.

Examples:
  enginehouse token create ann --expires 90d > ann.token
  enginehouse token create ci@build --note \"nightly deployments\"")]
    Create(CreateArgs),
    /// List tokens: all for who is admin of /, your own otherwise
    List,
    /// End a token for good
    Revoke(RevokeArgs),
    /// Make a new token of the installation in place of the one in its data directory
    Rotate,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Whom it stands for: lower case letters, digits, `.`, `_`, `-`, `+` and `@`
    subject: String,
    /// How long it is good, as in 90d, 12h or 2w [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its id, as `token list` shows it
    id: String,
}

pub async fn grant(client: &Client, args: GrantArgs, output: &Output) -> Result<(), CommandError> {
    let roles: Vec<Role> = args.roles.into_iter().map(Role::from).collect();
    let subject = args.subject;
    let change = if args.remove {
        GrantChange::Remove { subject, roles }
    } else {
        GrantChange::Add { subject, roles }
    };
    let params = Params {
        grants: vec![change],
        ..Params::default()
    };
    let wait = OrderArgs { no_wait: false };
    Order::new(OperationKind::SetGrants, args.path, params)
        .carry_out(client, &wait, output)
        .await
}

pub async fn grants(
    client: &Client,
    args: GrantsArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let list = client.grants(args.path.as_ref()).await?;
    output.answer(&list, |paint| match &args.path {
        Some(path) => holding(&list, path, paint),
        None => written(&list.grants, paint),
    })
}

/// What holds on a node, and where it comes from.
fn holding(list: &GrantList, path: &FullName, paint: Painter) -> String {
    if list.grants.is_empty() {
        return format!("nobody was given a role on {path}\n");
    }
    let mut grants: Vec<&Grant> = list.grants.iter().collect();
    grants.sort_by_key(|grant| (&grant.subject, grant.role));
    let mut table = Table::with_header(&["SUBJECT", "ROLE", "FROM"]);
    for grant in grants {
        let from = if grant.path == *path {
            (Style::Plain, "here".to_owned())
        } else {
            (Style::Faint, grant.path.to_string())
        };
        table.row([
            (Style::Plain, grant.subject.clone()),
            (Style::Plain, grant.role.to_string()),
            from,
        ]);
    }
    table.render(paint)
}

fn written(grants: &[Grant], paint: Painter) -> String {
    if grants.is_empty() {
        return "no roles were given; the installation's own token may do everything\n".to_owned();
    }
    let mut table = Table::with_header(&["PATH", "SUBJECT", "ROLE"]);
    for grant in grants {
        table.row([
            (Style::Plain, grant.path.to_string()),
            (Style::Plain, grant.subject.clone()),
            (Style::Plain, grant.role.to_string()),
        ]);
    }
    table.render(paint)
}

pub async fn token(
    client: &Client,
    command: TokenCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(args) => create(client, args, output).await,
        TokenCommand::List => {
            let list = client.tokens().await?;
            output.answer(&list, |paint| tokens(&list, paint))
        }
        TokenCommand::Revoke(args) => {
            let token = client.revoke_token(&args.id).await?;
            output.answer(&token, |paint| {
                let word = paint.paint(Style::Good, "revoked");
                format!("{word} token {} of {}\n", token.id, token.subject)
            })
        }
        TokenCommand::Rotate => {
            let rotated = client.rotate_token().await?;
            output.answer(&rotated, |paint| {
                let word = paint.paint(Style::Good, "rotated");
                format!("{word}: the new token is in {}\n", one_line(&rotated.file))
            })
        }
    }
}

async fn create(client: &Client, args: CreateArgs, output: &Output) -> Result<(), CommandError> {
    let lifetime = args.expires.as_deref().map(parse_lifetime).transpose()?;
    let request = TokenRequest {
        subject: args.subject,
        expires_in_s: lifetime.map(|lifetime| lifetime.as_secs()),
        note: args.note,
    };
    let created = client.create_token(&request).await?;
    let until = match created.info.expires_at {
        Some(end) => format!("good until {}", date_time(end)),
        None => "good until it is revoked".to_owned(),
    };
    output.note(&format!(
        "token {} of {}, {until}; it is shown this once",
        created.info.id, created.info.subject
    ));
    output.answer(&created, |_| created.token.clone())
}

fn tokens(list: &TokenList, paint: Painter) -> String {
    if list.tokens.is_empty() {
        return "no tokens but the installation's own\n".to_owned();
    }
    let header = [
        "ID",
        "SUBJECT",
        "STATE",
        "CREATED",
        "BY",
        "EXPIRES",
        "LAST USED",
        "NOTE",
    ];
    let mut table = Table::with_header(&header);
    for token in &list.tokens {
        table.row([
            (Style::Plain, token.id.clone()),
            (Style::Plain, token.subject.clone()),
            (state_style(token.state), token.state.to_string()),
            (Style::Plain, date(token.created_at)),
            (Style::Plain, token.created_by.clone()),
            (
                Style::Plain,
                token.expires_at.map_or_else(|| "never".to_owned(), date),
            ),
            (Style::Plain, last_used(token)),
            (Style::Faint, token.note.clone().unwrap_or_default()),
        ]);
    }
    table.render(paint)
}

fn last_used(token: &Token) -> String {
    token.last_used_day.map_or_else(|| "never".to_owned(), date)
}

fn state_style(state: TokenState) -> Style {
    match state {
        TokenState::Valid => Style::Good,
        TokenState::Expired => Style::Faint,
        TokenState::Revoked => Style::Bad,
    }
}

pub async fn whoami(client: &Client, output: &Output) -> Result<(), CommandError> {
    let me = client.whoami().await?;
    if let Some(hold) = &me.on_hold {
        output.note(&format!(
            "on hold since {}: restored from a backup with operations up to {}; nothing runs until `enginehouse resume`",
            date_time(hold.since),
            hold.last_operation
        ));
    }
    output.answer(&me, |paint| who(&me, paint))
}

fn who(me: &WhoAmI, paint: Painter) -> String {
    let mut text = format!("{}\n", paint.paint(Style::Strong, &one_line(&me.subject)));
    let Some(token) = &me.token else {
        text.push_str("  the installation's own token: may do everything, everywhere\n");
        return text;
    };
    let until = match token.expires_at {
        Some(end) => format!("good until {}", date_time(end)),
        None => "good until it is revoked".to_owned(),
    };
    text.push_str(&format!("  token {}, {until}\n", one_line(&token.id)));
    if me.grants.is_empty() {
        text.push_str("  no role on any folder\n");
    }
    for grant in &me.grants {
        text.push_str(&format!("  {} on {}\n", grant.role, grant.path));
    }
    text
}
