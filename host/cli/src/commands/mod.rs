//! The commands, one module for each group of them.

pub mod access;
pub mod adopt;
pub mod approvals;
pub mod audit;
pub mod definition;
pub mod demo;
pub mod drift;
pub mod ended;
pub mod engines;
pub mod folder;
pub mod history;
pub mod hypervisors;
mod inventory;
pub mod lost;
pub mod machine;
pub mod moving;
pub mod ops;
mod order;
pub mod plan;
pub mod recovery;
pub mod secret;
pub mod serve;
pub mod show;
pub mod sim;
pub mod text;
pub mod tree;

use crate::args::{Cli, Command};
use crate::connection::connect;
use crate::error::CommandError;
use crate::output::Output;

/// Runs the command.
///
/// # Errors
/// See [`CommandError`].
pub async fn run(cli: Cli, output: &Output) -> Result<(), CommandError> {
    let client = || connect(&cli.global);
    match cli.command {
        Command::Serve(args) => serve::serve(&cli.global, args, output).await,
        Command::Sim(args) => sim::sim(args, output).await,
        Command::Demo(args) => demo::demo(args, output).await,
        Command::Backup(args) => recovery::backup(&client()?, args, output).await,
        Command::Restore(args) => recovery::restore(&cli.global, args, output).await,
        Command::Resume(args) => match args.path {
            Some(path) => drift::unpause(&client()?, path, output).await,
            None => recovery::resume(&client()?, output).await,
        },
        Command::Drift(args) => drift::drift(&client()?, args, output).await,
        Command::Missing(args) => lost::missing(&client()?, args, output).await,
        Command::Link(args) => lost::link(&client()?, args, output).await,
        Command::Pause(args) => drift::pause(&client()?, args, output).await,
        Command::Tree(args) => tree::tree(&client()?, args, output).await,
        Command::Show(args) => show::show(&client()?, args, output).await,
        Command::History(args) => history::history(&client()?, args, output).await,
        Command::Export(args) => text::export(&client()?, args, output).await,
        Command::Import(args) => text::import(&client()?, args, output).await,
        Command::Schema => text::schema(output),
        Command::Folder(command) => folder::folder(&client()?, command, output).await,
        Command::Provision(args) => definition::provision(&client()?, args, output).await,
        Command::Edit(args) => definition::edit(&client()?, args, output).await,
        Command::Move(args) => moving::moving(&client()?, args, output).await,
        Command::Reconfigure(args) => definition::reconfigure(&client()?, args, output).await,
        Command::Deprovision(args) => machine::deprovision(&client()?, args, output).await,
        Command::Deploy(args) => machine::deploy(&client()?, args, output).await,
        Command::Undeploy(args) => machine::undeploy(&client()?, args, output).await,
        Command::Start(args) => machine::start(&client()?, args, output).await,
        Command::Stop(args) => machine::stop(&client()?, args, output).await,
        Command::Restart(args) => machine::restart(&client()?, args, output).await,
        Command::Rollback(args) => machine::rollback(&client()?, args, output).await,
        Command::Protect(args) => machine::protect(&client()?, args, output).await,
        Command::Unprotect(args) => machine::unprotect(&client()?, args, output).await,
        Command::Plan(args) => plan::plan(&client()?, args, output).await,
        Command::Ops(command) => ops::ops(&client()?, command, output).await,
        Command::Approvals(command) => approvals::approvals(&client()?, command, output).await,
        Command::Approve(args) => approvals::approve(&client()?, args, output).await,
        Command::Refuse(args) => approvals::refuse(&client()?, args, output).await,
        Command::Engines(command) => engines::engines(&client()?, command, output).await,
        Command::Secret(command) => secret::secret(client, command, output).await,
        Command::Hypervisors(command) => {
            hypervisors::hypervisors(&client()?, command, output).await
        }
        Command::Adopt(args) => adopt::adopt(&client()?, args, output).await,
        Command::Audit(command) => audit::audit(&client()?, command, output).await,
        Command::Grant(args) => access::grant(&client()?, args, output).await,
        Command::Grants(args) => access::grants(&client()?, args, output).await,
        Command::Token(command) => access::token(&client()?, command, output).await,
        Command::Whoami => access::whoami(&client()?, output).await,
    }
}
