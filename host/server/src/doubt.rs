//! What is known of an operation in doubt, and what each verdict does.
//!
//! All of it follows from the journal, so it is the same after a restart: the request from the
//! operation's state, what was found from the entries while it was being found out ([`Trail`]). The
//! body of a request is not journalled, only a hash: it may hold what is secret inside of the guest, in
//! fields that only the engine knows.

use enginehouse_api::{
    CreatedObject, Doubt, DoubtHypervisor, DoubtfulRequest, ErrorCode, Finding, Problem, ResolveAs,
    Verdict,
};
use enginehouse_model::documents::Sent;
use enginehouse_model::{HypervisorUid, Timestamp};
use enginehouse_queue::{Entry, OnFailure, Operation, Phase};

use crate::house::State;
use crate::orders::kind_of;

/// Answers that are kept, beside how often each came. The first and the newest are worth most.
const FOUND_MAX: usize = 20;

/// What was found out about the last request, as the entries of the journal tell it.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    is_settling: bool,
    pub found: Vec<Finding>,
    /// Since when it is in doubt.
    pub since: Option<Timestamp>,
}

impl Trail {
    pub(crate) fn note(&mut self, at: Timestamp, entry: &Entry) {
        match entry {
            Entry::Settling { .. } => self.is_settling = true,
            Entry::Postponed { problem, .. } if self.is_settling => {
                self.is_settling = false;
                self.take(at, problem.to_string());
            }
            Entry::Doubted { reason } => {
                if self.is_settling {
                    self.take(at, reason.clone());
                }
                self.is_settling = false;
                self.since = Some(at);
            }
            // Of another request, or of none any more.
            Entry::Called { .. }
            | Entry::NotSent { .. }
            | Entry::Moved { .. }
            | Entry::Waiting { .. }
            | Entry::Done { .. }
            | Entry::Resolved { .. }
            | Entry::BegunAnew { .. } => *self = Self::default(),
            Entry::Queued { .. }
            | Entry::Started
            | Entry::Asked { .. }
            | Entry::Signed { .. }
            | Entry::Approved { .. }
            | Entry::Held { .. }
            | Entry::Released
            | Entry::Planned(_)
            | Entry::Skipped { .. }
            | Entry::Filled { .. }
            | Entry::Sending { .. }
            | Entry::Answered { .. }
            | Entry::Broke { .. }
            | Entry::TaskEnded { .. }
            | Entry::Escalated { .. }
            | Entry::Postponed { .. }
            | Entry::Freed { .. }
            | Entry::Ranked { .. }
            | Entry::RollingBack { .. }
            | Entry::CancelRequested { .. }
            | Entry::Ended { .. } => {}
        }
    }

    fn take(&mut self, at: Timestamp, text: String) {
        if let Some(last) = self.found.last_mut()
            && last.text == text
        {
            last.last_at = at;
            last.times = last.times.saturating_add(1);
            return;
        }
        if self.found.len() >= FOUND_MAX {
            self.found.remove(1);
        }
        self.found.push(Finding {
            at,
            last_at: at,
            times: 1,
            text,
        });
    }
}

/// What a person needs to decide `operation`, if it is in doubt.
pub(crate) fn of(state: &State, operation: &Operation) -> Option<Doubt> {
    let Phase::InDoubt { reason } = &operation.phase else {
        return None;
    };
    let number = operation.number();
    let step = operation.current_step();
    let record = state.record_of(operation.spec.target);
    let trail = state.live.get(&number).map(|live| &live.trail);
    let request = operation.doubtful();
    let hypervisor = (operation.spec.hypervisor)
        .or_else(|| record.map(|record| record.hypervisor))
        .and_then(|uid| hypervisor(state, uid, request));
    Some(Doubt {
        reason: reason.clone(),
        since: trail.and_then(|trail| trail.since),
        hypervisor,
        machine_id: machine_id(state, operation),
        mark: record.map(|record| record.mark.to_string()),
        step: u32::try_from(operation.step)
            .unwrap_or(u32::MAX)
            .saturating_add(1),
        action: step.map(|step| step.action.clone()).unwrap_or_default(),
        text: step.map(|step| step.reason.clone()).unwrap_or_default(),
        request: request.map(|sent| DoubtfulRequest {
            endpoint: sent.endpoint.clone(),
            method: sent.method.clone(),
            path: sent.path.clone(),
            effect: "once".to_owned(),
            sent_at: Timestamp(sent.at),
            deadline: Timestamp(sent.deadline),
            answered: sent.lost || operation.state.forgotten.is_some(),
        }),
        task: operation.state.forgotten.clone(),
        reserved: reserved(state, operation),
        created: crate::view::created(operation),
        found: trail.map(|trail| trail.found.clone()).unwrap_or_default(),
        verdicts: [ResolveAs::Done, ResolveAs::Failed, ResolveAs::Retry]
            .into_iter()
            .map(|verdict| self::verdict(state, operation, verdict))
            .collect(),
    })
}

fn reserved(state: &State, operation: &Operation) -> Vec<CreatedObject> {
    let number = operation.number();
    let ours = state
        .reservations
        .iter()
        .filter(|(_, holder)| **holder == number);
    ours.map(|((_, space, value), _)| CreatedObject {
        kind: space.clone(),
        id: value.to_string(),
    })
    .collect()
}

fn machine_id(state: &State, operation: &Operation) -> Option<String> {
    let identity = state.record_of(operation.spec.target)?.identity.as_ref()?;
    Some(identity.machine_id.clone())
}

fn hypervisor(
    state: &State,
    uid: HypervisorUid,
    request: Option<&Sent>,
) -> Option<DoubtHypervisor> {
    let found = state.tree.hypervisor(uid)?;
    let entry = &found.entry;
    let endpoint = request.map_or("host", |sent| sent.endpoint.as_str());
    let address = match endpoint {
        "host" => entry.host.as_ref(),
        other => entry.endpoints.get(other),
    };
    Some(DoubtHypervisor {
        name: found.name.clone(),
        engine: entry
            .kind
            .as_ref()
            .map(|kind| kind.0.to_string())
            .unwrap_or_default(),
        address: address.map(ToString::to_string),
    })
}

/// What "done" comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The step achieved what it was to.
    Step,
    /// What the step was to make is there: the step goes on with it.
    Machine,
}

/// Whether its current step makes a machine.
pub(crate) fn creates(operation: &Operation) -> bool {
    let step = operation.current_step();
    step.is_some_and(|step| step.action == "create")
}

/// What follows when a person says that the request took effect.
///
/// A creation is more than its request, and ends with the machine being looked at: what it is called,
/// and what tells it from a copy. So it is gone on with, not taken for complete.
///
/// # Errors
/// When it is not known which machine that would be.
pub(crate) fn as_done(state: &State, operation: &Operation) -> Result<Taken, Problem> {
    if !creates(operation) {
        return Ok(Taken::Step);
    }
    if machine_id(state, operation).is_some() {
        return Ok(Taken::Machine);
    }
    Err(Problem::new(
        ErrorCode::WrongState,
        "it cannot be called done: no machine id is known",
    )
    .with_hint(format!(
        "with `retry` the request is sent again; with `failed` the operation ends, and the next `enginehouse deploy {}` looks for the machine by its mark before it makes one",
        operation.spec.target_name
    )))
}

fn verdict(state: &State, operation: &Operation, verdict: ResolveAs) -> Verdict {
    let (effect, refused) = match verdict {
        ResolveAs::Done => match as_done(state, operation) {
            Ok(taken) => (done(state, operation, taken), None),
            Err(problem) => (
                "takes the request for done and goes on after it".to_owned(),
                Some(problem.detail),
            ),
        },
        ResolveAs::Failed => (failed(operation), None),
        ResolveAs::Retry => (retry(operation, &reserved(state, operation)), None),
    };
    Verdict {
        verdict,
        effect,
        command: format!(
            "enginehouse ops resolve {} --as {}",
            operation.number(),
            verdict.as_str()
        ),
        refused,
    }
}

fn done(state: &State, operation: &Operation, taken: Taken) -> String {
    let at = operation.step + 1;
    if taken == Taken::Machine {
        let id = machine_id(state, operation).unwrap_or_default();
        return format!(
            "goes on with machine {id}: it has to carry this machine's mark; step {at} makes nothing and writes what the machine lacks"
        );
    }
    let action = operation
        .current_step()
        .map_or("", |step| step.action.as_str());
    let looks = match action {
        "disk-add" => "looks which disk is new, ",
        "nic-add" => "looks which nic is new, ",
        _ => "",
    };
    match operation.steps.get(at) {
        Some(next) => format!(
            "{looks}takes step {at} ({action}) for done, and goes on with step {} ({})",
            at + 1,
            next.action
        ),
        None => format!("{looks}takes step {at} ({action}) for done; it is the last one"),
    }
}

fn failed(operation: &Operation) -> String {
    let mut text =
        "ends the operation as failed and sends nothing; its machine is free for the next one"
            .to_owned();
    if operation.spec.on_failure == OnFailure::Rollback {
        text.push_str("; what it did is taken back");
        return text;
    }
    let kind = kind_of(&operation.spec).map(|kind| kind.as_str().to_owned());
    if kind.as_deref() == Some("deploy") {
        text.push_str("; what it made stays: `deploy` goes on with it, `undeploy` removes it");
    }
    text
}

fn retry(operation: &Operation, reserved: &[CreatedObject]) -> String {
    let Some(sent) = operation.doubtful() else {
        return "calls the engine again, which goes on from where it was".to_owned();
    };
    let mut text = format!("sends {} {} once more", sent.method, sent.path);
    let named: Vec<String> = reserved
        .iter()
        .map(|object| format!("{} {}", object.kind, object.id))
        .collect();
    if !named.is_empty() {
        text.push_str(&format!(", with the same {}", named.join(", ")));
    }
    text.push_str(": where the first one took effect, it is asked for twice");
    text
}
