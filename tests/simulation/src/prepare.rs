//! The beginning of an operation: look, then plan, then journal the plan as its steps.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Action, Code, Config, Machine, Problem};
use enginehouse_model::{
    FullName, HypervisorUid, InstallationId, MachineRecord, MachineUid, Mark, NodeUid, OperationId,
    Timestamp,
};
use enginehouse_queue::{Event, Json, StepPlan, StepSpec};
use enginehouse_reconcile::{
    Intent, MachinePlan, Rules, Subject, Unit, adopt, plan_one, recognise,
};
use enginehouse_store::Table;
use enginehouse_tree::{Event as TreeEvent, Status, next};
use uuid::Uuid;

use crate::approvals::grounds;
use crate::engine::description;
use crate::machines::hypervisor_of;
use crate::memory::Staged;
use crate::orders::{Kind, Order, Params, changed, params_of};
use crate::protection::keep_or_revert;
use crate::rollback::Past;
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::{Rule, Violation};
use crate::work::{HostWork, Prepared};

pub(crate) fn installation() -> InstallationId {
    InstallationId::from_uuid(Uuid::from_u128(0xe1))
}

/// Milliseconds that a guest is given.
const SHUTDOWN: u64 = 10_000;

/// A descriptor with what a plan of it needs.
pub(crate) struct Target {
    pub node: NodeUid,
    pub name: FullName,
    pub desired: Config,
    pub hypervisor: HypervisorUid,
    /// Its place among the providers.
    pub provider: usize,
    pub record: Option<MachineRecord>,
    pub protected_by: Option<FullName>,
}

pub(crate) fn subject<'a>(
    target: &'a Target,
    intent: Intent,
    record: Option<&'a MachineRecord>,
    observed: Option<&'a Machine>,
    rules: &'a Rules,
) -> Subject<'a> {
    Subject {
        name: &target.name,
        node: target.node,
        machine: record.map(|record| record.uid),
        hypervisor: target.hypervisor,
        hypervisor_name: "h",
        intent,
        shutdown_timeout_ms: Some(SHUTDOWN),
        desired: Some(&target.desired),
        record,
        observed,
        rules,
        assessment: None,
    }
}

impl Simulation {
    pub(crate) fn prepare(&mut self, number: OperationId) -> Result<(), Violation> {
        let Some(operation) = self.memory()?.queue.get(number).cloned() else {
            return Ok(());
        };
        let Some(kind) = Kind::of(&operation.spec) else {
            return Ok(());
        };
        let params = params_of(&operation.spec);
        let node = operation.spec.target;
        if !kind.works_on_machine() {
            return self.change_tree(number, node, kind, params);
        }
        if let (Kind::Undo, Some(undo)) = (kind, params.undo)
            && !undo.destroy
            && self.earlier(node, undo.of).is_ok()
            && let Some(staged) = self.restore_definition(node, undo.of)?
        {
            return self.commit(staged, vec![HostWork::Look(number)]);
        }
        // It was written before people were asked; others may have changed it since.
        let is_written = operation.approval.is_some();
        let changes = params.change.is_some() || params.definition.is_some();
        let changes = changes && !is_written;
        if kind == Kind::Reconfigure && changes {
            let now = self.now();
            let fault = self.settings.fault;
            let mut uids = self.outside.uids;
            let memory = self.memory()?;
            let mut uid = || {
                uids += 1;
                Uuid::from_u128(uids)
            };
            let before = memory.tree.node(node).map(|node| node.local.to_json());
            let written = changed(memory, node, &params).and_then(|definition| {
                let after = definition.to_json();
                let change = memory
                    .tree
                    .apply_reconfigure(node, definition, None, &mut uid)
                    .map_err(|error| error.to_string())?;
                let said = params.confirm_lowered;
                let change = keep_or_revert(&mut memory.tree, change, said, fault)?;
                Ok((change, after))
            });
            match written {
                Ok((change, after)) => {
                    let mut staged = Staged::default();
                    let said = params.confirm_lowered;
                    staged.edited(&memory.tree, &change, now, "reconfigure", said);
                    if let Some(before) = before.ok().filter(|before| *before != after) {
                        let past = Past {
                            deployed: None,
                            written: Some((before, after)),
                        };
                        staged.past(node, number, now, &past);
                    }
                    self.outside.uids = uids;
                    return self.commit(staged, vec![HostWork::Look(number)]);
                }
                Err(reason) => {
                    let problem = Problem::new(Code::Invalid, reason);
                    let staged = self.handle(number, Event::Prepared(Err(problem)))?;
                    return self.commit(staged, Vec::new());
                }
            }
        }
        self.look(number)
    }

    fn change_tree(
        &mut self,
        number: OperationId,
        node: NodeUid,
        kind: Kind,
        params: Params,
    ) -> Result<(), Violation> {
        let Some(name) = self.memory()?.tree.full_name(node).ok().cloned() else {
            let gone = Problem::new(Code::NotFound, "the node is gone");
            let staged = self.handle(number, Event::Prepared(Err(gone)))?;
            return self.commit(staged, Vec::new());
        };
        let order = Order {
            params,
            ..Order::of(kind, name)
        };
        let mut also = Staged::default();
        let result = self.apply_to_tree(&mut also, &order, node, false);
        let event = Event::Prepared(match result {
            Ok(()) => Ok(StepPlan::default()),
            Err(reason) => Err(Problem::new(Code::Conflict, reason)),
        });
        let mut staged = self.handle(number, event)?;
        staged.writes = also.writes;
        staged.promises = also.promises;
        self.commit(staged, Vec::new())
    }

    /// Reads and plans; what it found is reported a little later.
    pub(crate) fn look(&mut self, number: OperationId) -> Result<(), Violation> {
        let now = self.now();
        self.outside.ledger.looked.insert(number, now);
        self.note_managed(number);
        let found = match self.mishap(40) {
            true => Prepared::failed(Problem::new(Code::Busy, "too many calls at once")),
            false => match self.begin(number) {
                Ok(prepared) => prepared,
                Err(problem) => Prepared::failed(problem),
            },
        };
        let takes = self.below(300);
        self.later(takes, HostWork::Prepared(number, Box::new(found)));
        Ok(())
    }

    pub(crate) fn prepared(
        &mut self,
        number: OperationId,
        prepared: Prepared,
    ) -> Result<(), Violation> {
        let operation = self.operation(number)?;
        let event = match prepared.result {
            Ok(plan) => self.approved(&operation, prepared.unit.as_ref(), plan),
            Err(problem) => Event::Prepared(Err(problem)),
        };
        if let Event::Outdated(problem) = &event {
            self.check_outdated(number, problem)?;
        }
        let asks = match &event {
            Event::Asks { request, .. } => Some(request.clone()),
            _ => None,
        };
        let mut staged = self.handle(number, event)?;
        if let Some(request) = asks {
            self.asks_people(&mut staged, &operation, request)?;
        }
        let now = self.now();
        let memory = self.memory()?;
        let node = staged
            .output
            .ended
            .iter()
            .find(|ended| ended.number() == number)
            .or_else(|| memory.queue.get(number))
            .map(|operation| operation.spec.target);
        let Some(node) = node else {
            return self.commit(staged, Vec::new());
        };
        if let Some(uid) = prepared.forgets {
            memory.forget_machine(&mut staged, node, uid, now);
        }
        if let Some(record) = prepared.record {
            if memory.record_of(node).is_none()
                && let Ok(change) = memory.tree.set_machine(node, Some(record.uid))
            {
                staged.nodes(&memory.tree, &change, now, "linked");
            }
            staged.record(&record);
            memory.records.insert(record.uid, record);
        }
        memory.observed.insert(number, prepared.observed);
        self.commit(staged, Vec::new())
    }

    /// The descriptor as it is now. The machine on record decides about the hypervisor.
    pub(crate) fn target(&mut self, node: NodeUid) -> Result<Target, Problem> {
        let gone = |text: String| Problem::new(Code::NotFound, text);
        let memory = self.memory().map_err(|violation| gone(violation.text))?;
        let name = memory
            .tree
            .full_name(node)
            .map_err(|e| gone(e.to_string()))?;
        let name = name.clone();
        let computed = memory
            .tree
            .computed(node)
            .map_err(|e| gone(e.to_string()))?;
        let record = memory.record_of(node).cloned();
        let hypervisor = hypervisor_of(memory, node)
            .ok_or_else(|| Problem::new(Code::Invalid, "no hypervisor"))?;
        let mut providers = self.outside.providers.iter();
        let provider = providers
            .position(|provider| provider.uid == hypervisor)
            .ok_or_else(|| Problem::new(Code::Conflict, "no such hypervisor"))?;
        Ok(Target {
            node,
            name,
            desired: computed.config(),
            hypervisor,
            provider,
            record,
            protected_by: computed.protected_by().cloned(),
        })
    }

    fn begin(&mut self, number: OperationId) -> Result<Prepared, Problem> {
        let operation = self
            .memory()
            .ok()
            .and_then(|memory| memory.queue.get(number).cloned())
            .ok_or_else(|| Problem::new(Code::NotFound, "the operation is gone"))?;
        let kind =
            Kind::of(&operation.spec).ok_or_else(|| Problem::new(Code::Invalid, "no such kind"))?;
        let node = operation.spec.target;
        let params = params_of(&operation.spec);
        if let Err(problem) = self.check_state(node, kind, &params) {
            if kind != Kind::Undo {
                self.refused_late(number, node, &problem);
            }
            return Err(problem);
        }
        let mut target = self.target(node)?;
        let taken_back =
            params.was_taken_back(target.record.as_ref()) && !self.has(Fault::TakesBackAll);
        if operation.spec.hypervisor != Some(target.hypervisor) {
            let text = "it uses another hypervisor now than when this was ordered";
            return Err(Problem::new(Code::Conflict, text));
        }
        if self.has(Fault::TakesUnsetForEmpty) {
            target.desired.description.get_or_insert_default();
        }
        let mut observed = None;
        let mut forgets = None;
        let takes_down = kind.destroys(&params);
        let queued_at = operation.spec.queued_at;
        if let Some(mut record) = target.record.take() {
            if let Some(known) = &record.identity {
                observed = self.observe(target.provider, &known.machine_id)?;
                if let Some(machine) = &observed {
                    recognise(&mut record, machine);
                }
            } else if takes_down
                && !self.has(Fault::LooksForNoMark)
                && let Some(machine) = self.begun(&target, &record, queued_at)?
            {
                // A creation of which it was never known what became of it.
                recognise(&mut record, &machine);
                observed = Some(machine);
            }
            target.record = Some(record);
            let gone = observed.is_none();
            if gone && kind == Kind::Deploy && !self.is_deployed(node) {
                // What an unfinished creation made is known by the mark on record alone.
                let first = self.has(Fault::ForgetsFirst);
                let known = |record: &mut MachineRecord| first || record.identity.is_some();
                forgets = target.record.take_if(known).map(|record| record.uid);
            }
        }
        if kind == Kind::Deploy && observed.is_none() {
            observed = self.room(&mut target, queued_at)?;
            if observed.is_none()
                && let Some(record) = target.record.take_if(|record| record.identity.is_none())
            {
                forgets = Some(record.uid);
            }
            if target.record.is_none() {
                target.record = Some(self.new_record(&target, number));
            }
        }
        let takes_back = params.undo.filter(|undo| !undo.destroy);
        if let Some(undo) = takes_back {
            target.desired = self.earlier(node, undo.of)?;
        }
        if self.has(Fault::TakesAllDisksForOurs)
            && let (Some(record), Some(machine)) = (&mut target.record, &observed)
        {
            take_all_disks(record, machine);
        }
        let rules = Rules::new(&description());
        let intent = kind.intent(&params);
        let mut plan = plan_one(&subject(
            &target,
            intent,
            target.record.as_ref(),
            observed.as_ref(),
            &rules,
        ));
        if params.repair {
            self.confine(node, &mut plan);
        }
        if !self.has(Fault::PlansThroughTheGate) {
            plan.gate(target.protected_by.as_ref());
        }
        let actions = match takes_down && (observed.is_none() || taken_back) {
            true => &[][..],
            false => &plan.actions,
        };
        let unit = Unit::of(&grounds(&target, observed.as_ref()), actions);
        let mut record = target.record;
        if let (Some(record), false) = (&mut record, takes_down) {
            adopt(record, &plan, &target.desired, &rules);
        }
        if takes_down && (observed.is_none() || taken_back) {
            plan.refused.clear();
            plan.actions.clear();
        }
        Ok(Prepared {
            result: steps(&plan, kind, &params),
            record,
            observed,
            forgets,
            unit,
        })
    }

    fn is_deployed(&self, node: NodeUid) -> bool {
        self.memory.as_ref().is_some_and(|memory| {
            let body = memory.tree.descriptor(node);
            body.is_ok_and(|body| body.status != Status::Provisioned)
        })
    }

    /// What was accepted is possible when its turn comes, unless something before it was not.
    fn refused_late(&mut self, number: OperationId, node: NodeUid, problem: &Problem) {
        let ledger = &self.outside.ledger;
        let excused = ledger.upset.contains(&node) || !self.is_certain(node);
        if !excused {
            let text = format!("{number} was accepted, and cannot begin: {problem}");
            self.found
                .get_or_insert(Violation::new(Rule::Accepted, text));
        }
    }

    /// The state may be another now than when the operation was accepted.
    fn check_state(&mut self, node: NodeUid, kind: Kind, params: &Params) -> Result<(), Problem> {
        let gone = |text: String| Problem::new(Code::NotFound, text);
        let memory = self.memory().map_err(|violation| gone(violation.text))?;
        let was_taken_back = params.was_taken_back(memory.record_of(node));
        let body = memory
            .tree
            .descriptor(node)
            .map_err(|error| gone(error.to_string()))?;
        let event = match kind {
            Kind::Deploy => TreeEvent::Deploy,
            _ if was_taken_back => return Ok(()),
            kind if kind.destroys(params) => TreeEvent::Undeploy,
            Kind::Undo if body.machine.is_some() => return Ok(()),
            _ if body.status == Status::Deployed => return Ok(()),
            kind => {
                let text = format!("{} is refused while {}", kind.name(), body.status);
                return Err(Problem::new(Code::Conflict, text));
            }
        };
        next(body.status, body.machine.is_some(), event)
            .map(|_| ())
            .map_err(|refused| Problem::new(Code::Conflict, refused.to_string()))
    }

    fn new_record(&mut self, target: &Target, number: OperationId) -> MachineRecord {
        let uid = MachineUid::from_uuid(self.uid());
        MachineRecord {
            uid,
            node: target.node,
            hypervisor: target.hypervisor,
            provider_identity: "simulated".to_owned(),
            mark: Mark {
                installation: installation(),
                machine: uid,
                operation: number,
            },
            created_by: number,
            identity: None,
            slots: BTreeMap::new(),
            deployed: Config::default(),
            last_step_ended: Timestamp::default(),
            unnoted: false,
            protected: None,
        }
    }
}

impl Prepared {
    fn failed(problem: Problem) -> Self {
        Self {
            result: Err(problem),
            record: None,
            observed: None,
            forgets: None,
            unit: None,
        }
    }
}

impl crate::memory::Memory {
    /// Takes a machine that does not exist off the record of a provisioned descriptor.
    pub(crate) fn forget_machine(
        &mut self,
        staged: &mut Staged,
        node: NodeUid,
        machine: MachineUid,
        now: Timestamp,
    ) {
        if let Ok(change) = self.tree.set_machine(node, None) {
            staged.nodes(&self.tree, &change, now, "forgotten");
            self.records.remove(&machine);
            staged.delete(Table::Machine, machine.to_string());
        }
    }
}

/// A host that takes whatever disk a machine has for its own.
fn take_all_disks(record: &mut MachineRecord, machine: &Machine) {
    for (slot, disk) in machine.config.iter().flat_map(|config| &config.disks) {
        // That of the template is there from the beginning.
        if slot != "scsi0" && !record.slots.values().any(|ours| ours == slot) {
            record.slots.insert(slot.clone(), slot.clone());
            record.deployed.disks.insert(slot.clone(), disk.clone());
        }
    }
}

/// The plan's actions as steps of the queue.
fn steps(plan: &MachinePlan, kind: Kind, params: &Params) -> Result<StepPlan, Problem> {
    let mut shortfall = None;
    if !plan.refused.is_empty() {
        let reasons: Vec<String> = plan
            .refused
            .iter()
            .map(|refusal| format!("{}: {}", refusal.subject, refusal.reason))
            .collect();
        let problem = Problem::new(Code::Conflict, reasons.join("; "));
        // What can be taken back is, and the rest is said.
        if kind != Kind::Undo || kind.destroys(params) {
            return Err(problem);
        }
        shortfall = Some(problem);
    }
    let steps: Result<Vec<StepSpec>, Problem> = plan
        .actions
        .iter()
        .map(|planned| {
            let action = &planned.request.action;
            let template = match action {
                Action::Create { desired } => desired.base_image.clone(),
                _ => None,
            };
            let asks_the_guest = matches!(action, Action::Stop { graceful: true, .. });
            let body = Json::of(planned)
                .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
            Ok(StepSpec {
                action: action.name().to_owned(),
                reason: planned.reason.clone(),
                template,
                may_escalate: asks_the_guest && kind.destroys(params),
                may_be_left: asks_the_guest && kind == Kind::Stop,
                body,
            })
        })
        .collect();
    Ok(StepPlan {
        steps: steps?,
        shortfall,
        ..StepPlan::default()
    })
}
