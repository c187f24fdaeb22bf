//! Commands about machines: deploy, undeploy, deprovision, start, stop, restart, rollback.

use clap::{Args, ValueEnum};
use enginehouse_api::{Client, OnFailure, OperationKind, Params, WaveSize};
use enginehouse_model::{FullName, OperationId};

use super::order::{LoweringArgs, Order, OrderArgs, YesArgs};
use crate::confirm::agreed_before;
use crate::error::CommandError;
use crate::output::Output;
use crate::time::parse_duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse deploy /web/vm1
  enginehouse deploy /web              all machines below /web
  enginehouse deploy /web --no-wait    prints the operation's number
  enginehouse deploy /web --on-failure rollback    all of them, or none")]
pub struct DeployArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    agreed: YesArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Shows the plan and asks before it destroys anything. Where there is nobody to ask, --yes is needed.

Examples:
  enginehouse undeploy /web/vm1
  enginehouse undeploy /web/vm1 --yes --keep-disks
  enginehouse undeploy /web --yes --timeout 30s")]
pub struct UndeployArgs {
    /// A machine, or a folder
    path: FullName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Leave all disks
    #[arg(long)]
    keep_disks: bool,
    #[command(flatten)]
    shutdown: ShutdownArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enginehouse deprovision /web/vm1")]
pub struct DeprovisionArgs {
    /// A machine that is not deployed
    path: FullName,
    #[command(flatten)]
    lowering: LoweringArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse protect /web/vm1
  enginehouse protect /web         all machines that it has now")]
pub struct ProtectArgs {
    /// A machine, or a folder: all machines below it
    path: FullName,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enginehouse unprotect /web/vm1 --lower-protection")]
pub struct UnprotectArgs {
    /// A machine, or a folder: all machines below it
    path: FullName,
    #[command(flatten)]
    lowering: LoweringArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enginehouse start /web/vm1")]
pub struct StartArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse stop /web/vm1
  enginehouse stop /web/vm1 --timeout 2m
  enginehouse stop /web/vm1 --force")]
pub struct StopArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    shutdown: ShutdownArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The machine becomes what it was; its definition stays as it is, and shows as a pending change. What it
would lose by that is shown and asked about first. Where there is nobody to ask, --yes is needed.

Examples:
  enginehouse rollback /web/vm1             to the config before the present one
  enginehouse rollback /web/vm1 --to 12     to the config that operation 12 left
  enginehouse rollback /web --of 40         take back what operation 40 changed
  enginehouse plan /web/vm1 --rollback      what it would do")]
pub struct RollbackArgs {
    /// A machine, or a folder
    path: FullName,
    /// To the config that this operation left; the one before the present one if none is named
    #[arg(long, value_name = "NUMBER")]
    to: Option<OperationId>,
    /// Take back what this operation changed, on all machines that nobody has changed since
    #[arg(long, value_name = "NUMBER", conflicts_with = "to")]
    of: Option<OperationId>,
    #[command(flatten)]
    waves: WaveArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    agreed: YesArgs,
    #[command(flatten)]
    order: OrderArgs,
}

/// How many machines of a folder are gone through at a time.
#[derive(Debug, Default, Args)]
pub struct WaveArgs {
    /// Machines of each wave: numbers, shares of all, `rest`; a wave begins when the one before is
    /// over
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    waves: Vec<WaveSize>,
    /// So many machines may fail until nothing more is begun
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_failures: Option<u32>,
}

impl WaveArgs {
    /// Adds them to the parameters of an order.
    pub fn add_to(&self, params: &mut Params) {
        if !self.waves.is_empty() {
            params.waves = Some(self.waves.clone());
        }
        params.max_failures = self.max_failures;
    }
}

/// What becomes of what was done when something fails.
#[derive(Debug, Args)]
pub struct FailureArgs {
    /// What becomes of what was done when a machine fails: `keep` it, or take all of it back;
    /// `on_failure` of the definition if not given
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<OnFailureArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailureArg {
    Keep,
    Rollback,
}

impl FailureArgs {
    /// As a parameter of an order.
    #[must_use]
    pub fn on_failure(&self) -> Option<OnFailure> {
        self.on_failure.map(|given| match given {
            OnFailureArg::Keep => OnFailure::Keep,
            OnFailureArg::Rollback => OnFailure::Rollback,
        })
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse restart /web/vm1
  enginehouse restart /web --waves 1,25%,rest    one machine, then a quarter, then the rest")]
pub struct RestartArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    waves: WaveArgs,
    #[command(flatten)]
    shutdown: ShutdownArgs,
    #[command(flatten)]
    order: OrderArgs,
}

/// How a running machine is brought down.
#[derive(Debug, Args)]
struct ShutdownArgs {
    /// Do not ask the guest to shut down: switch the machine off
    #[arg(long)]
    force: bool,
    /// How long the guest may take to shut down, as in 90s or 5m; then `undeploy` switches the machine
    /// off, `stop` and `restart` give up
    #[arg(long, value_name = "TIME", conflicts_with = "force")]
    timeout: Option<String>,
}

impl ShutdownArgs {
    fn params(&self) -> Result<Params, CommandError> {
        let seconds = match &self.timeout {
            // At most a day, so that it fits.
            Some(text) => u32::try_from(parse_duration(text)?.as_secs()).ok(),
            None => None,
        };
        Ok(Params {
            force: self.force,
            shutdown_timeout_s: seconds,
            ..Params::default()
        })
    }
}

pub async fn deploy(
    client: &Client,
    args: DeployArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let params = Params {
        on_failure: args.failure.on_failure(),
        confirm_destructive: args.agreed.yes,
        ..Params::default()
    };
    Order::new(OperationKind::Deploy, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn undeploy(
    client: &Client,
    args: UndeployArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let params = Params {
        keep_disks: args.keep_disks,
        ..args.shutdown.params()?
    };
    let mut order = Order::new(OperationKind::Undeploy, args.path, params);
    order.confirm(client, args.yes, output).await?;
    order.carry_out(client, &args.order, output).await
}

pub async fn deprovision(
    client: &Client,
    args: DeprovisionArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let params = Params {
        confirm_lowered: args.lowering.confirmed,
        ..Params::default()
    };
    Order::new(OperationKind::Deprovision, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn protect(
    client: &Client,
    args: ProtectArgs,
    output: &Output,
) -> Result<(), CommandError> {
    Order::new(OperationKind::Protect, args.path, Params::default())
        .carry_out(client, &args.order, output)
        .await
}

pub async fn unprotect(
    client: &Client,
    args: UnprotectArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let params = Params {
        confirm_lowered: args.lowering.confirmed,
        ..Params::default()
    };
    Order::new(OperationKind::Unprotect, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn start(client: &Client, args: StartArgs, output: &Output) -> Result<(), CommandError> {
    Order::new(OperationKind::Start, args.path, Params::default())
        .carry_out(client, &args.order, output)
        .await
}

pub async fn stop(client: &Client, args: StopArgs, output: &Output) -> Result<(), CommandError> {
    let params = args.shutdown.params()?;
    Order::new(OperationKind::Stop, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn restart(
    client: &Client,
    args: RestartArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let mut params = args.shutdown.params()?;
    args.waves.add_to(&mut params);
    Order::new(OperationKind::Restart, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn rollback(
    client: &Client,
    args: RollbackArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let mut params = Params {
        to_operation: args.to,
        of_operation: args.of,
        on_failure: args.failure.on_failure(),
        confirm_destructive: args.agreed.yes,
        ..Params::default()
    };
    args.waves.add_to(&mut params);
    let mut order = Order::new(OperationKind::Rollback, args.path, params);
    if !args.agreed.yes {
        order.request.params = agreed_before(client, output, &order.request).await?;
    }
    order.carry_out(client, &args.order, output).await
}
