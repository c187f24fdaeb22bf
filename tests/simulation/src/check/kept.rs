//! What holds of plans that rest on what was seen before.

use enginehouse_model::MachineRecord;
use enginehouse_reconcile::inventory::Observation;
use enginehouse_reconcile::{Intent, MachinePlan, Rules, plan_one};

use crate::engine::description;
use crate::prepare::{Target, subject};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// What was seen is no older than the machine's last step; and a drift that is told is there, unless
    /// somebody has done something to the machine since it was seen.
    pub(crate) fn check_kept(
        &self,
        target: &Target,
        record: &MachineRecord,
        observed: &Observation,
        plan: &MachinePlan,
    ) -> Result<(), Violation> {
        let node = target.node;
        let name = &target.name;
        let seen = observed.oldest();
        let stepped = self.outside.ledger.stepped.get(&node).copied();
        holds(stepped.is_none_or(|at| at <= seen), Rule::Observed, || {
            format!(
                "{name}: what was seen at {seen:?} counts after a step that ended at {stepped:?}"
            )
        })?;
        if plan.drift.is_empty() || !self.is_certain(node) {
            return Ok(());
        }
        let Some(vm) = self.vm_of(record) else {
            return Ok(());
        };
        let id = record.identity.as_ref().map(|i| i.machine_id.as_str());
        let id = id.and_then(|id| id.parse().ok()).unwrap_or_default();
        let now = vm.show(id, self.outside.now, None);
        let rules = Rules::new(&description());
        let intent = Intent::Reconfigure;
        let truth = plan_one(&subject(target, intent, Some(record), Some(&now), &rules));
        let mut told = plan.drift.iter();
        let made_up = told.find(|change| !truth.drift.contains(change));
        let explained = vm.others_at >= seen || now.config.is_none();
        holds(explained || made_up.is_none(), Rule::Observed, || {
            format!("{name}: nobody made this drift, which was seen at {seen:?}: {made_up:?}")
        })
    }
}
