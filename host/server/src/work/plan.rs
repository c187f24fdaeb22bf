//! Plans of machines: desired, deployed and observed, and what the engine says to the change.

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_documents::{Assessment, Machine, Problem, Question};
use enginehouse_engines::Observer;
use enginehouse_model::{NodeUid, Timestamp};
use enginehouse_reconcile::{
    Bounds, Grounds, Intent, KeptBack, MachinePlan, Plan, PlannedAction, Subject, plan_one,
};
use enginehouse_tree::Computed;

use crate::destruction;
use crate::hold::Hold;
use crate::house::House;
use crate::orders::Order;
use crate::work::earlier;
use crate::work::observe::{self, Freshness};
use crate::work::target::{Target, check_provider};

/// The plan for one machine, with the engine's assessment of what changes.
pub(crate) async fn plan_target(
    target: &Target,
    intent: Intent,
    observed: Option<&Machine>,
) -> Result<MachinePlan, Problem> {
    let assessment = assess(target, intent, observed).await?;
    let mut plan = plan_one(&subject(target, intent, observed, assessment.as_ref()));
    gate(&mut plan, target);
    Ok(plan)
}

/// What of bringing a machine to its definition may run without a person, and what may not.
///
/// # Errors
/// When the engine cannot say how heavy it is.
pub(crate) async fn plan_automatic(
    target: &Target,
    bounds: &Bounds,
    observed: Option<&Machine>,
) -> Result<(MachinePlan, Vec<KeptBack>), Problem> {
    let intent = Intent::Reconfigure;
    let assessment = assess(target, intent, observed).await?;
    let mut plan = plan_one(&subject(target, intent, observed, assessment.as_ref()));
    let kept_back = plan.confine(bounds);
    gate(&mut plan, target);
    Ok((plan, kept_back))
}

/// Holds back what destroys, where the tree or the machine's record protects it.
fn gate(plan: &mut MachinePlan, target: &Target) {
    plan.gate(target.protected_by.as_ref());
    let record = target.record.as_ref();
    plan.gate_record(record.and_then(|record| record.protected.as_ref()));
}

/// Asks the engine's `assess`, where it has one and something of the machine changes.
async fn assess(
    target: &Target,
    intent: Intent,
    observed: Option<&Machine>,
) -> Result<Option<Assessment>, Problem> {
    if !target.engine.has_assess() {
        return Ok(None);
    }
    let changed = enginehouse_reconcile::changed(&subject(target, intent, observed, None));
    if changed.is_empty() {
        return Ok(None);
    }
    let question = Question {
        desired: target.desired.clone(),
        deployed: target.record.as_ref().map(|record| record.deployed.clone()),
        observed: observed.cloned(),
        changed,
    };
    let assessment = target.engine.assess(&question).await;
    assessment.map(Some).map_err(|error| error.problem())
}

/// What an approval of what is done to the machine rests on.
pub(super) fn grounds<'a>(target: &'a Target, observed: Option<&'a Machine>) -> Grounds<'a> {
    Grounds {
        name: &target.name,
        node: target.node,
        hypervisor: target.hypervisor(),
        hypervisor_name: &target.hypervisor_name,
        record: target.record.as_ref(),
        observed,
        engine: target.engine.hash(),
    }
}

fn subject<'a>(
    target: &'a Target,
    intent: Intent,
    observed: Option<&'a Machine>,
    assessment: Option<&'a Assessment>,
) -> Subject<'a> {
    Subject {
        name: &target.name,
        node: target.node,
        machine: target.record.as_ref().map(|record| record.uid),
        hypervisor: target.hypervisor(),
        hypervisor_name: &target.hypervisor_name,
        intent,
        shutdown_timeout_ms: Some(target.shutdown_timeout_ms),
        desired: Some(&target.desired),
        record: target.record.as_ref(),
        observed,
        rules: &target.rules,
        assessment,
    }
}

/// A plan of many descriptors, for people: nothing is journalled and nothing changes. Machines of
/// one hypervisor are seen together.
pub(crate) async fn plan_nodes(
    house: &Arc<House>,
    nodes: &[NodeUid],
    intent: Intent,
    freshness: Freshness,
) -> Result<Plan, Problem> {
    let targets = nodes.iter().map(|node| Target::of(house, *node));
    let targets = targets.collect::<Result<_, _>>()?;
    plan_targets(house, targets, intent, freshness).await
}

/// The same, were these the computed definitions of the nodes.
pub(crate) async fn plan_definitions(
    house: &Arc<House>,
    definitions: Vec<(NodeUid, Arc<Computed>)>,
    intent: Intent,
    freshness: Freshness,
) -> Result<Plan, Problem> {
    let targets = definitions.into_iter().map(|(node, computed)| {
        Target::of(house, node).map(|target| Target {
            desired: computed.config(),
            computed: Some(computed),
            ..target
        })
    });
    let targets = targets.collect::<Result<_, _>>()?;
    plan_targets(house, targets, intent, freshness).await
}

/// What a rollback would do.
pub(crate) async fn plan_rollback(
    house: &Arc<House>,
    nodes: &[NodeUid],
    freshness: Freshness,
    order: impl Fn(NodeUid) -> Order,
) -> Result<Plan, Problem> {
    let mut targets = Vec::new();
    for node in nodes {
        let mut target = Target::of(house, *node)?;
        target.desired = earlier::config(house, &target, &order(*node)).await?;
        target.computed = None;
        targets.push(target);
    }
    plan_targets(house, targets, Intent::Reconfigure, freshness).await
}

async fn plan_targets(
    house: &Arc<House>,
    targets: Vec<Target>,
    intent: Intent,
    freshness: Freshness,
) -> Result<Plan, Problem> {
    let observer: Arc<dyn Observer> = Arc::new(enginehouse_engines::Silent);
    for target in &targets {
        check_provider(house, target, &observer).await?;
    }
    let seen = observe::see_all(house, &targets, freshness, &observer).await?;
    let mut assessments = Vec::new();
    for (target, seen) in targets.iter().zip(&seen) {
        assessments.push(assess(target, intent, seen.machine.as_ref()).await?);
    }
    let subjects: Vec<Subject<'_>> = targets
        .iter()
        .zip(&seen)
        .zip(&assessments)
        .map(|((target, seen), assessment)| {
            subject(target, intent, seen.machine.as_ref(), assessment.as_ref())
        })
        .collect();
    let mut plan = enginehouse_reconcile::plan(&subjects);
    let kept: BTreeMap<NodeUid, Timestamp> = targets
        .iter()
        .zip(&seen)
        .filter_map(|(target, seen)| Some((target.node, seen.kept_since?)))
        .collect();
    for machine in &mut plan.machines {
        machine.observed_at = kept.get(&machine.node).copied();
    }
    let by_node: BTreeMap<NodeUid, &Target> =
        targets.iter().map(|target| (target.node, target)).collect();
    for machine in &mut plan.machines {
        if let Some(target) = by_node.get(&machine.node) {
            gate(machine, target);
        }
    }
    plan.renumber();
    explain(house, &targets, &mut plan);
    let now = house.now();
    let state = house.state.lock();
    let machines = plan.machines.iter().map(|machine| machine.node);
    if let Some(budget) = destruction::budget(&state, machines, now) {
        let below = |node| destruction::chain(&state.tree, node);
        plan.wait_for_room(budget, below, now);
    }
    Ok(plan)
}

/// Writes down what people ask of a plan: where the wanted values come from, and what is before it.
fn explain(house: &House, targets: &[Target], plan: &mut Plan) {
    let computed: BTreeMap<NodeUid, &Computed> = targets
        .iter()
        .filter_map(|target| Some((target.node, target.computed.as_deref()?)))
        .collect();
    let state = house.state.lock();
    for machine in &mut plan.machines {
        if !machine.says_something() {
            continue;
        }
        if let Some(computed) = computed.get(&machine.node) {
            let origins = computed.origins().into_iter();
            let origins: Vec<_> = origins.map(|line| (line.key, line.origin)).collect();
            machine.trace(&origins);
        }
        if machine.actions.is_empty() {
            continue;
        }
        let before = state.queue.lane(machine.node);
        let is_gated = machine.actions.iter().any(PlannedAction::is_gated);
        machine.waits = before
            .map(|operation| {
                format!(
                    "operation {} ({}), which comes before it",
                    operation.number(),
                    operation.spec.kind
                )
            })
            .collect();
        if is_gated {
            let approvals = crate::approvals::waits_in_plan(&state, machine.node);
            machine.waits.extend(approvals);
        }
        if state.hold.is_some() {
            machine.waits.push(Hold::reason());
        }
    }
}
