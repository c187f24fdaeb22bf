//! The command line as a whole: global options and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    access, adopt, approvals, audit, definition, demo, drift, engines, folder, history,
    hypervisors, lost, machine, moving, ops, plan, recovery, secret, serve, show, sim, text, tree,
};

const AFTER_HELP: &str = "\
Which server:
  --server URL, else --data DIR, else $ENGINEHOUSE_SERVER, else $ENGINEHOUSE_DATA, else the default
  data directory: /var/lib/enginehouse for root, $XDG_DATA_HOME/enginehouse or
  ~/.local/share/enginehouse for others. A data directory names its server and holds its token; with
  a URL the token comes from --token-file or $ENGINEHOUSE_TOKEN.

Exit codes:
  0  done
  1  the operation failed, or the server refused the order
  2  wrong usage or bad input
  3  the server cannot be reached, or does not accept the token
  4  not over: the operation is in doubt, waits for a person, or was left running

Examples:
  enginehouse serve
  enginehouse folder create /web use_hypervisor=pve1
  enginehouse provision /web/vm1 base_image=debian-12 vcpu=2 memory=4GiB
  enginehouse deploy /web/vm1
  enginehouse show /web/vm1 --origins
  enginehouse demo --once";

/// A host for infrastructure engines: keeps a tree of machines as it is written.
#[derive(Debug, Parser)]
#[command(name = "enginehouse", version, after_help = AFTER_HELP)]
#[command(propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Data directory: where `serve` keeps everything, and where other commands find its address
    /// and token
    #[arg(long, global = true, value_name = "DIR", help_heading = "Server")]
    pub data: Option<PathBuf>,
    /// Address of the server, as in http://127.0.0.1:7878
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    pub server: Option<String>,
    /// File with the token for --server
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub token_file: Option<PathBuf>,
    /// Text for people, or the JSON of the API
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the host
    Serve(serve::ServeArgs),
    /// Run a simulated hypervisor
    Sim(sim::SimArgs),
    /// Show what Enginehouse does, on a simulated hypervisor
    Demo(demo::DemoArgs),
    /// Write all that a running host has to remember into a file
    Backup(recovery::BackupArgs),
    /// Bring a data directory, which nobody serves, back to a backup
    Restore(recovery::RestoreArgs),
    /// Let a host go on that is on hold after a restore, or a folder that is paused
    Resume(recovery::ResumeArgs),

    /// List folders and machines
    Tree(tree::TreeArgs),
    /// Show one node whole
    Show(show::ShowArgs),
    /// List machines that were changed behind our back
    Drift(drift::DriftArgs),
    /// Let nothing be repaired by itself in a folder
    Pause(drift::PauseArgs),
    /// Show what became of a node: definitions, names, machines
    History(history::HistoryArgs),
    /// Write a folder and all below it as YAML files
    Export(text::ExportArgs),
    /// Bring a folder to what YAML files say
    Import(text::ImportArgs),
    /// Print the JSON Schema of a definition
    Schema,
    /// Create, remove or edit a folder
    #[command(subcommand)]
    Folder(folder::FolderCommand),

    /// Add a machine's descriptor to the tree; nothing is created yet
    Provision(definition::ProvisionArgs),
    /// Change the definition of a folder, or of a machine that is not deployed
    Edit(definition::EditArgs),
    /// Move or rename a folder, or a machine that is not deployed
    #[command(visible_alias = "rename")]
    Move(moving::MoveArgs),
    /// Change a deployed machine's definition, and the machine with it
    Reconfigure(definition::ReconfigureArgs),
    /// Take a descriptor that is not deployed out of the tree
    Deprovision(machine::DeprovisionArgs),

    /// Take machines that are on a hypervisor already into the tree, as they are
    Adopt(adopt::AdoptArgs),
    /// Create the machine, or all machines of a folder, and start them
    Deploy(machine::DeployArgs),
    /// Destroy the machine, or all machines of a folder; the descriptors stay
    Undeploy(machine::UndeployArgs),
    /// Start a machine, or all of a folder
    Start(machine::StartArgs),
    /// Shut a machine down, or all of a folder
    Stop(machine::StopArgs),
    /// Restart a machine, or all of a folder
    Restart(machine::RestartArgs),
    /// Bring a machine, or all of a folder, back to an earlier deployed config
    Rollback(machine::RollbackArgs),
    /// Let nothing destroy a machine, or those of a folder, from now on
    Protect(machine::ProtectArgs),
    /// Take the protection of machines themselves away
    Unprotect(machine::UnprotectArgs),
    /// Say that a machine that cannot be reached is gone for good
    Missing(lost::MissingArgs),
    /// Link a machine that was missing, and is there again, to its descriptor
    Link(lost::LinkArgs),
    /// Show what a command would do, and do nothing
    Plan(plan::PlanArgs),

    /// Operations: list, show, log, wait, cancel, move, resolve, results, executed
    #[command(subcommand)]
    Ops(ops::OpsCommand),
    /// What waits for signatures before it destroys: list, show, text
    #[command(subcommand)]
    Approvals(approvals::ApprovalsCommand),
    /// Hand in a signature under what an operation is to destroy
    Approve(approvals::ApproveArgs),
    /// Say no to what an operation is to destroy
    Refuse(approvals::RefuseArgs),
    /// Engines that are loaded, and files that were refused
    #[command(subcommand)]
    Engines(engines::EnginesCommand),
    /// Hypervisors of the tree: list, check, refresh, machines, missing
    #[command(subcommand, alias = "hypervisor")]
    Hypervisors(hypervisors::HypervisorsCommand),

    /// Give a person or program a role on a folder, or take it away
    Grant(access::GrantArgs),
    /// Show who was given which role
    Grants(access::GrantsArgs),
    /// Tokens: create, list, revoke, rotate
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Show whom your token stands for, and what it may do
    Whoami,
    /// Who ordered, allowed and changed what: list, show, head, verify
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Passwords that the host keeps encrypted: set, list, remove, rotate-key
    #[command(subcommand)]
    Secret(secret::SecretCommand),
}
