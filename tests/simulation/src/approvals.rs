//! What is destroyed where a folder asks for signatures waits for them.
//!
//! The host's part: people are asked when the plan was made, it is looked again when its turn comes and
//! right before a step, and signatures are taken in. What decides is `enginehouse-approval`'s.

use enginehouse_approval::{
    Asked, Request, Signature, Signed, Signer, Terms, Verdict, before_step, decide, request_of,
    signed_of, still_covers, text,
};
use enginehouse_model::documents::{Code, Machine, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Event, Operation, Phase, StepPlan};
use enginehouse_reconcile::{Grounds, PlannedAction, Unit};

use crate::ledger::{Promise, asks_now};
use crate::memory::{Memory, Staged};
use crate::people::wait_for_each_other;
use crate::prepare::{Target, installation};
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::{Rule, Violation};

/// How long people have, milliseconds.
pub(crate) const LIFETIME: u64 = 40_000;
/// The life of the installation: nobody restores it here.
const EPOCH: u64 = 1;
const ENGINE: &str = "e1";

pub(crate) fn grounds<'a>(target: &'a Target, observed: Option<&'a Machine>) -> Grounds<'a> {
    Grounds {
        name: &target.name,
        node: target.node,
        hypervisor: target.hypervisor,
        hypervisor_name: "h",
        record: target.record.as_ref(),
        observed,
        engine: ENGINE,
    }
}

impl Memory {
    /// Who may sign for a node now; none where nobody is asked.
    pub(crate) fn asked_of(&self, node: NodeUid, author: &str) -> Option<Asked> {
        let computed = self.tree.computed(node).ok()?;
        let approvals = computed.approvals()?;
        let by = computed.approvals_by();
        let by = by.cloned().unwrap_or_else(FullName::root);
        Some(Asked::of(approvals.need, &approvals.keys, by, author))
    }

    /// The operations of a lane that have not begun, and this one.
    fn with_pending(&self, node: NodeUid, number: OperationId) -> Vec<OperationId> {
        let lane = self.queue.lane(node);
        let pending =
            lane.filter(|other| other.phase == Phase::Pending || other.number() == number);
        pending.map(Operation::number).collect()
    }

    /// What waits for people, by number.
    pub(crate) fn requests(&self) -> Vec<(OperationId, Request)> {
        let waiting = self.queue.waiting_approval();
        let asked =
            waiting.filter_map(|operation| Some((operation.number(), request_of(operation)?)));
        asked.collect()
    }
}

impl Simulation {
    fn asked_by(&self, operation: &Operation) -> Option<Asked> {
        let author = match self.has(Fault::CountsTheAuthor) {
            true => "nobody",
            false => operation.spec.who.as_str(),
        };
        let memory = self.memory.as_ref()?;
        memory.asked_of(operation.spec.target, author)
    }

    /// What becomes of a plan that was made: it is carried out, or people are asked before.
    pub(crate) fn approved(
        &mut self,
        operation: &Operation,
        unit: Option<&Unit>,
        plan: StepPlan,
    ) -> Event {
        let now = self.time_for(operation);
        let terms = Terms {
            installation: installation(),
            epoch: EPOCH,
            lifetime_ms: LIFETIME,
        };
        let asked = self.asked_by(operation);
        let again = self.has(Fault::ApprovesForEver)
            && unit.is_some_and(|unit| self.was_approved(&unit.digest()));
        let unasked = again || self.has(Fault::AsksNobody);
        let unit = unit.cloned().map(|unit| self.blurred(unit));
        match decide(asked.as_ref(), &terms, operation, unit.as_ref(), now) {
            _ if unasked => Event::Prepared(Ok(plan)),
            Verdict::Go => Event::Prepared(Ok(plan)),
            Verdict::Outdated(_) if self.has(Fault::ApprovesWhatever) => Event::Prepared(Ok(plan)),
            Verdict::Outdated(problem) => Event::Outdated(problem),
            Verdict::Never(problem) => Event::Prepared(Err(problem)),
            Verdict::Ask(request) => match serde_json::to_value(&request) {
                Ok(document) => Event::Asks {
                    request: document,
                    until: request.until,
                },
                Err(error) => Event::Prepared(Err(Problem::new(Code::Invalid, error.to_string()))),
            },
        }
    }

    fn time_for(&self, operation: &Operation) -> Timestamp {
        match self.has(Fault::ForgetsTheTime) && operation.approval.is_some() {
            true => Timestamp::default(),
            false => self.outside.now,
        }
    }

    /// People are about to be asked.
    pub(crate) fn asks_people(
        &mut self,
        staged: &mut Staged,
        operation: &Operation,
        request: serde_json::Value,
    ) -> Result<(), Violation> {
        let (number, node) = (operation.number(), operation.spec.target);
        // It leaves its lane: what was ordered after it finds another state than it was accepted for.
        self.outside.ledger.upset.insert(node);
        let asks = asks_now(&self.memory()?.tree, node);
        if let (Ok(request), Some(asks)) = (serde_json::from_value(request), asks) {
            staged
                .promises
                .push(Promise::Asked(number, Box::new(request), asks));
        }
        Ok(())
    }

    /// A host that binds approvals to what changes all the time.
    fn blurred(&self, mut unit: Unit) -> Unit {
        if self.has(Fault::SignsTheWorld)
            && let Some(memory) = &self.memory
        {
            let others = memory
                .records
                .values()
                .filter(|record| record.node != unit.node);
            let known = others.filter_map(|record| record.identity.as_ref());
            unit.engine = format!("{} and {} others", unit.engine, known.count());
        }
        unit
    }

    /// Whether some other operation was approved for the same.
    fn was_approved(&self, digest: &str) -> bool {
        let mut all = self.outside.ledger.requests.values();
        all.any(|(request, _)| request.unit.digest() == digest)
    }

    /// Right before a step is begun.
    pub(crate) fn check_approved(
        &self,
        operation: &Operation,
        planned: &PlannedAction,
        target: &Target,
        observed: Option<&Machine>,
    ) -> Result<(), Problem> {
        let careless = [
            Fault::AsksNobody,
            Fault::ApprovesForEver,
            Fault::ApprovesWhatever,
            Fault::LooksOnceForApproval,
            Fault::SignsTheWorld,
        ];
        if careless.iter().any(|fault| self.has(*fault)) {
            return Ok(());
        }
        let asked = self.asked_by(operation);
        let grounds = grounds(target, observed);
        let now = self.time_for(operation);
        before_step(asked.as_ref(), EPOCH, operation, planned, &grounds, now)
    }

    /// Before a step is tried again of which nothing is at the provider.
    pub(crate) fn check_covered(
        &self,
        operation: &Operation,
        planned: &PlannedAction,
        target: &Target,
        observed: Option<&Machine>,
    ) -> Result<(), Problem> {
        match self.has(Fault::TriesAgainUncovered) {
            true => Ok(()),
            false => still_covers(operation, planned, &grounds(target, observed)),
        }
    }

    /// Somebody hands a signature in, under a text of these operations.
    ///
    /// # Errors
    /// When it does not count. Nothing has changed then.
    pub(crate) fn hand_in(
        &mut self,
        armoured: &str,
        numbers: &[OperationId],
    ) -> Result<(), String> {
        let signature = Signature::parse(armoured).map_err(|error| error.to_string())?;
        let now = self.now();
        let memory = self.memory().map_err(|violation| violation.text)?;
        let mut units = memory.requests();
        units.retain(|(number, _)| numbers.contains(number));
        let signed_text = text(&units).ok_or("nothing waits")?;
        let mut taken = Vec::new();
        for (number, request) in &units {
            let operation = self
                .memory
                .as_ref()
                .and_then(|memory| memory.queue.get(*number));
            let operation = operation.cloned().ok_or("it is over")?;
            if now >= request.until {
                return Err("it is too late".to_owned());
            }
            let asked = self
                .asked_by(&operation)
                .ok_or("nobody asks for it any more")?;
            let counted = asked.quorum.sign(&signature, signed_text.as_bytes());
            let signer = counted.map_err(|refused| refused.to_string())?;
            let before = signed_of(&operation);
            let mut signers: Vec<Signer> = before.iter().map(Signed::signer).collect();
            let missing = asked.quorum.missing(&signers);
            signers.push(signer.clone());
            let left = asked.quorum.missing(&signers);
            if left == missing {
                return Err("that person has signed already".to_owned());
            }
            let signed = Signed {
                owner: signer.owner,
                fingerprint: signer.fingerprint,
                by: "somebody".to_owned(),
                at: now,
                signature: armoured.trim().to_owned(),
            };
            taken.push((*number, operation.spec.target, signed, left == 0));
        }
        for (number, node, signed, enough) in taken {
            let document = serde_json::to_value(&signed).map_err(|error| error.to_string())?;
            let memory = self.memory().map_err(|violation| violation.text)?;
            let mut last = memory.with_pending(node, number);
            last.push(number);
            let stuck = enough && wait_for_each_other(memory, node, &last);
            let output = memory.queue.sign(number, document, enough, now);
            let mut staged = Staged {
                output: output.map_err(|illegal| illegal.to_string())?,
                ..Staged::default()
            };
            if enough {
                let order = self.rejoined(number, node, &last, stuck)?;
                staged.promises.push(Promise::Rejoins {
                    number,
                    node,
                    order,
                });
            }
            self.commit(staged, Vec::new())
                .map_err(|violation| self.keep_found(violation))?;
        }
        Ok(())
    }

    /// The lane with what was approved: at the end of it, unless they would wait for each other there.
    fn rejoined(
        &mut self,
        number: OperationId,
        node: NodeUid,
        last: &[OperationId],
        stuck: bool,
    ) -> Result<Vec<OperationId>, String> {
        let memory = self.memory.as_ref().ok_or("the host is down")?;
        let order = memory.with_pending(node, number);
        if order != last && !stuck {
            let text = format!("{number} was approved, and is not the last of its lane: {order:?}");
            return Err(self.keep_found(Violation::new(Rule::Lane, text)));
        }
        Ok(order)
    }

    fn keep_found(&mut self, violation: Violation) -> String {
        let text = violation.text.clone();
        self.found.get_or_insert(violation);
        text
    }

    /// Somebody says no.
    pub(crate) fn say_no(&mut self, number: OperationId) -> Result<(), Violation> {
        let memory = self.memory()?;
        let operation = memory.queue.get(number);
        if operation.is_none_or(|operation| operation.phase != Phase::WaitingApproval) {
            return Ok(());
        }
        if self.has(Fault::OverhearsNo) {
            self.outside.ledger.said_no.insert(number);
            return Ok(());
        }
        let problem = Problem::new(Code::Denied, "somebody refused it");
        let mut staged = self.handle(number, Event::Refused(problem))?;
        staged.promises.push(Promise::SaysNo(number));
        self.commit(staged, Vec::new())
    }
}
