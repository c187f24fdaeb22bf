//! Operations that end up in doubt, on the simulated hypervisor.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::{Doubt, Operation, OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::Stage;

const PATIENCE: Duration = Duration::from_secs(120);

/// What a provider says to whom may not look.
pub const FORBIDDEN: &str = "you may not look at this machine";

/// From the so many-th call on, nobody may look.
pub fn forbidden(call: Call, after: u64) -> Fault {
    let effect = FaultEffect::Answer {
        status: 403,
        code: "forbidden".to_owned(),
        message: FORBIDDEN.to_owned(),
    };
    Fault {
        after,
        ..Fault::always(call, effect)
    }
}

/// The operation once it has ended or needs a person.
pub async fn over(stage: &Stage, number: OperationId) -> Result<Operation> {
    let began = Instant::now();
    loop {
        let wait = stage.host.client().wait(number, Duration::from_secs(10));
        let operation = wait.await?;
        if operation.state.has_ended() || operation.state.needs_person() {
            return Ok(operation);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "operation {number} does not end: {operation:#?}\n{}",
            stage.host.log()
        );
    }
}

/// What is in doubt.
pub fn doubt(operation: &Operation) -> Result<&Doubt> {
    ensure!(operation.state == OperationState::InDoubt, "{operation:#?}");
    match operation.doubt.as_deref() {
        Some(doubt) => Ok(doubt),
        None => anyhow::bail!("nothing is said of the doubt: {operation:#?}"),
    }
}

/// A deploy whose answer is lost, at a hypervisor that lets nobody look afterwards. `arrives`: the machine
/// is made all the same.
pub async fn lost_creation(stage: &Stage, path: &str, arrives: bool) -> Result<OperationId> {
    let effect = match arrives {
        true => FaultEffect::LoseAnswer,
        false => FaultEffect::Drop,
    };
    stage.sim.tune(|knobs| {
        // The first list is what the plan is made from.
        let blind = forbidden(Call::MachineList, 1);
        knobs.faults = vec![Fault::once(Call::MachineCreate, effect), blind];
    })?;
    in_doubt(stage, OperationKind::Deploy, path).await
}

/// A deploy whose task is forgotten by a hypervisor that lets nobody look at the machine.
pub async fn forgotten_creation(stage: &Stage, path: &str) -> Result<OperationId> {
    stage.sim.tune(|knobs| {
        knobs.forget_tasks = true;
        knobs.faults = vec![forbidden(Call::MachineRead, 0)];
    })?;
    in_doubt(stage, OperationKind::Deploy, path).await
}

/// Orders something that ends in doubt, and then all is well at the hypervisor.
async fn in_doubt(stage: &Stage, kind: OperationKind, path: &str) -> Result<OperationId> {
    let number = stage.begin(kind, path, Params::default()).await?.number;
    let operation = over(stage, number).await?;
    doubt(&operation)?;
    stage.sim.tune(|knobs| {
        knobs.forget_tasks = false;
        knobs.faults.clear();
    })?;
    Ok(number)
}

/// Machines that the hypervisor has.
pub fn machines(stage: &Stage) -> usize {
    stage.sim.world().machines.len()
}

/// Requests to make one, so far.
pub fn asked(stage: &Stage) -> u64 {
    stage.sim.requests().count(Call::MachineCreate)
}

/// `enginehouse ops resolve`, which succeeds.
pub async fn resolve(stage: &Stage, number: OperationId, verdict: &str) -> Result<Operation> {
    let number_text = number.to_string();
    stage
        .cli(&["ops", "resolve", &number_text, "--as", verdict])
        .await?;
    over(stage, number).await
}
