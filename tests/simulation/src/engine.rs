//! What an engine does: one phase a call, at most one request in it, its memory in the token.
//!
//! As the real ones it reads the provider and sends; it knows nothing of the host. A creation has
//! the phases machine, disks, nics, initialize; every other action one request.

use std::collections::BTreeMap;

use enginehouse_model::documents::{
    Action, ActionRequest, Code, Config, Description, FieldRule, Machine, Note, Outcome,
    PowerState, Problem, Sent, TaskEnd,
};
use enginehouse_model::{Mark, Timestamp};
use enginehouse_queue::{CallEnd, SettleEnd, Token};
use serde::{Deserialize, Serialize};

use crate::provider::{Answer, LAG, Naming, Provider, Request};

/// What an action remembers between two calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    Choose { refused: Vec<u64> },
    Chosen { id: u64, refused: Vec<u64> },
    Made { id: u64 },
    Disks { id: u64, at: usize },
    Nics { id: u64 },
    Set { id: u64 },
    Restarting { boots: u64 },
    Changed,
    Ended,
}

/// What a call wants.
#[derive(Debug)]
pub(crate) enum Move {
    Reserve {
        refused: Vec<u64>,
    },
    /// `effect` is what the counted name of the effect ends with.
    Send {
        id: Option<u64>,
        request: Request,
        effect: String,
        once: bool,
    },
    End(CallEnd),
}

/// One call.
pub(crate) struct Call<'a> {
    pub provider: &'a Provider,
    pub now: Timestamp,
    pub request: &'a ActionRequest,
    pub mark: Mark,
    pub phase: Option<Phase>,
    pub ended: Option<&'a TaskEnd>,
    /// The id that the host reserved.
    pub reserved: Option<u64>,
    pub answer: Option<&'a Answer>,
}

/// What it says of itself.
pub(crate) fn description() -> Description {
    let mib = FieldRule {
        granularity: Some(1 << 20),
        ..FieldRule::default()
    };
    Description {
        name: "simulated".to_owned(),
        actions: [
            "create",
            "create.from-image",
            "configure",
            "start",
            "stop",
            "stop.graceful",
            "restart",
            "destroy",
            "disk-add",
            "disk-grow",
            "disk-remove",
        ]
        .map(str::to_owned)
        .into(),
        fields: BTreeMap::from([
            ("memory".to_owned(), mib.clone()),
            ("disks.size".to_owned(), mib),
        ]),
        visibility_lag_ms: LAG,
        ..Description::default()
    }
}

pub(crate) fn token(phase: &Phase) -> Token {
    Token(serde_json::to_vec(phase).unwrap_or_default())
}

pub(crate) fn phase(token: Option<&Token>) -> Option<Phase> {
    serde_json::from_slice(&token?.0).ok()
}

pub(crate) fn unreachable(provider: &Provider) -> Problem {
    Problem::new(Code::Unreachable, format!("{} is down", provider.name))
}

fn problem(code: Code, text: impl Into<String>) -> Move {
    Move::End(CallEnd::Problem(Problem::new(code, text)))
}

fn again(phase: &Phase) -> Move {
    Move::End(CallEnd::Again {
        token: token(phase),
        created: Vec::new(),
        note: Note::default(),
    })
}

impl Call<'_> {
    /// The call, up to its request, or from its answer on.
    pub(crate) fn run(&self) -> Move {
        if !self.provider.is_up(self.now) && self.answer.is_none() {
            return Move::End(CallEnd::Problem(unreachable(self.provider)));
        }
        match &self.request.action {
            Action::Create { desired } => self.create(desired),
            action => self.change(action),
        }
    }

    fn machine_id(&self) -> Option<u64> {
        self.request.machine_id()?.parse().ok()
    }

    fn read(&self, id: u64) -> Option<Machine> {
        self.provider.read(id, self.now)
    }

    fn create(&self, desired: &Config) -> Move {
        match (&self.phase, self.machine_id()) {
            // What an earlier creation left.
            (None, Some(id)) => again(&Phase::Disks { id, at: 0 }),
            (None, None) => match self.provider.naming {
                Naming::ChosenId => self.choose(&[]),
                Naming::Marked | Naming::Blind => self.copy(desired, None, &[]),
            },
            (Some(Phase::Choose { refused }), _) => self.choose(refused),
            (Some(Phase::Chosen { id, refused }), _) => self.copy(desired, Some(*id), refused),
            (Some(Phase::Made { id }), _) => match self.failed() {
                Some(problem) => self.broke_off(*id, problem),
                None if self.provider.naming == Naming::Blind => self.named(desired, *id),
                None => again(&Phase::Disks { id: *id, at: 0 }),
            },
            (Some(Phase::Disks { id, at }), _) => match self.failed() {
                Some(problem) => self.broke_off(*id, problem),
                None => self.disks(desired, *id, *at),
            },
            (Some(Phase::Nics { id }), _) => self.nics(desired, *id),
            (Some(Phase::Set { id }), _) => self.set(desired, *id),
            (Some(Phase::Restarting { .. } | Phase::Changed | Phase::Ended), _) => {
                problem(Code::Provider, "no phase of a creation")
            }
        }
    }

    fn choose(&self, refused: &[u64]) -> Move {
        match self.reserved {
            None => Move::Reserve {
                refused: refused.to_vec(),
            },
            Some(id) => again(&Phase::Chosen {
                id,
                refused: refused.to_vec(),
            }),
        }
    }

    fn copy(&self, desired: &Config, id: Option<u64>, refused: &[u64]) -> Move {
        let is_blind = self.provider.naming == Naming::Blind;
        match self.answer {
            None => Move::Send {
                id: None,
                request: Request::Clone {
                    id,
                    name: desired.name.clone().filter(|_| !is_blind),
                    mark: Some(self.mark).filter(|_| !is_blind),
                },
                effect: "clone".to_owned(),
                once: true,
            },
            Some(Answer::Task { task, id }) => Move::End(CallEnd::Wait {
                task: task.clone(),
                token: token(&Phase::Made { id: *id }),
                created: vec![format!("machine {id}")],
                note: Note {
                    machine_id: Some(id.to_string()),
                    ..Note::default()
                },
            }),
            Some(Answer::Taken) => {
                let refused = refused.iter().copied().chain(id).collect();
                again(&Phase::Choose { refused })
            }
            Some(other) => refused_by(other),
        }
    }

    /// Writes onto a machine that shows nothing of us whose it is, as soon as its id is known.
    fn named(&self, desired: &Config, id: u64) -> Move {
        match self.answer {
            None => self.initialize(desired, id),
            Some(Answer::Done) => again(&Phase::Disks { id, at: 0 }),
            Some(other) => refused_by(other),
        }
    }

    fn initialize(&self, desired: &Config, id: u64) -> Move {
        Move::Send {
            id: Some(id),
            request: Request::Initialize {
                name: desired.name.clone(),
                mark: self.mark,
                desired: Box::new(desired.clone()),
            },
            effect: "initialize".to_owned(),
            once: false,
        }
    }

    /// One disk a phase; what is there already is not added again.
    fn disks(&self, desired: &Config, id: u64, at: usize) -> Move {
        let Some((name, disk)) = desired.disks.iter().nth(at) else {
            return again(&Phase::Nics { id });
        };
        let next = Phase::Disks { id, at: at + 1 };
        let vm = self.vm(id);
        match self.answer {
            None if vm.is_some_and(|vm| vm.slots.contains_key(name)) => again(&next),
            None => Move::Send {
                id: Some(id),
                request: Request::AddDisk {
                    name: name.clone(),
                    disk: disk.clone(),
                },
                effect: format!("disk {name}"),
                once: true,
            },
            Some(Answer::Task { task, .. }) => Move::End(CallEnd::Wait {
                task: task.clone(),
                token: token(&next),
                created: vec![format!("disk {id}/{name}")],
                note: Note::default(),
            }),
            Some(other) => refused_by(other),
        }
    }

    fn nics(&self, desired: &Config, id: u64) -> Move {
        if desired.nics.is_empty() {
            return again(&Phase::Set { id });
        }
        let names: Vec<String> = desired.nics.keys().cloned().collect();
        let vm = self.vm(id);
        match self.answer {
            None if vm.is_some_and(|vm| vm.nics == names) => again(&Phase::Set { id }),
            None => Move::Send {
                id: Some(id),
                request: Request::AddNics { names },
                effect: "nics".to_owned(),
                once: true,
            },
            Some(Answer::Done) => again(&Phase::Set { id }),
            Some(other) => refused_by(other),
        }
    }

    fn set(&self, desired: &Config, id: u64) -> Move {
        match self.answer {
            None => self.initialize(desired, id),
            Some(Answer::Done) => self.shown(id),
            Some(other) => refused_by(other),
        }
    }

    /// The action ends with the machine as it is now.
    fn shown(&self, id: u64) -> Move {
        if !self.provider.is_up(self.now) {
            return Move::End(CallEnd::Problem(unreachable(self.provider)));
        }
        let Some(machine) = self.read(id) else {
            return problem(Code::NotFound, format!("machine {id} is gone"));
        };
        let slots = self.provider.vms.get(&id).map(|vm| vm.slots.clone());
        done(Outcome {
            machine: Some(machine),
            slots: slots.unwrap_or_default(),
            ..Outcome::default()
        })
    }

    fn failed(&self) -> Option<Problem> {
        self.ended.and_then(|ended| ended.problem.clone())
    }

    /// A task of the creation failed, and may have left the machine.
    fn broke_off(&self, id: u64, mut problem: Problem) -> Move {
        if self.read(id).is_some() {
            problem.detail.created.push(format!("machine {id}"));
        }
        Move::End(CallEnd::Problem(problem))
    }

    fn change(&self, action: &Action) -> Move {
        let Some(id) = self.machine_id() else {
            return problem(Code::Invalid, "which machine?");
        };
        match &self.phase {
            None if matches!(action, Action::Restart { .. }) => {
                let boots = self.provider.vms.get(&id).map_or(0, |vm| vm.boots);
                return again(&Phase::Restarting { boots });
            }
            None | Some(Phase::Restarting { .. }) => {}
            Some(_) => {
                return match self.failed() {
                    Some(problem) => Move::End(CallEnd::Problem(problem)),
                    None if matches!(self.phase, Some(Phase::Changed)) => self.shown(id),
                    None => done(Outcome::default()),
                };
            }
        }
        let next = match action {
            Action::DiskAdd { .. } | Action::DiskRemove { .. } => Phase::Changed,
            _ => Phase::Ended,
        };
        match self.answer {
            // An addition of which nobody knew what became of it.
            None if self.has_disk_of(action, id) => self.shown(id),
            None => self.send(action, id),
            Some(Answer::Done) => self.shown(id),
            Some(Answer::Task { task, .. }) => Move::End(CallEnd::Wait {
                task: task.clone(),
                token: token(&next),
                created: Vec::new(),
                note: Note::default(),
            }),
            Some(Answer::NotFound) if matches!(action, Action::Destroy { .. }) => {
                done(Outcome::default())
            }
            Some(other) => refused_by(other),
        }
    }

    fn has_disk_of(&self, action: &Action, id: u64) -> bool {
        let Action::DiskAdd { name, .. } = action else {
            return false;
        };
        self.vm(id).is_some_and(|vm| vm.slots.contains_key(name))
    }

    fn send(&self, action: &Action, id: u64) -> Move {
        let request = match action {
            Action::Configure {
                desired,
                changed,
                observed,
            } => Request::Configure {
                version: observed
                    .as_ref()
                    .and_then(|machine| machine.version.as_ref()?.parse().ok()),
                desired: desired.clone(),
                changed: changed.clone(),
            },
            Action::Start => Request::Start,
            Action::Stop { graceful, .. } => Request::Stop {
                graceful: *graceful,
            },
            Action::Restart { .. } => Request::Restart,
            Action::Destroy { .. } => Request::Destroy,
            Action::DiskAdd { name, disk } => Request::AddDisk {
                name: name.clone(),
                disk: disk.clone(),
            },
            Action::DiskGrow { slot, size } => Request::Grow {
                slot: slot.clone(),
                size: *size,
            },
            Action::Create { .. } => return problem(Code::Invalid, "a creation is no change"),
            Action::Adopt => {
                return problem(Code::Unsupported, "nobody makes machines but the host");
            }
            Action::DiskRemove { slot, .. } => Request::RemoveDisk { slot: slot.clone() },
            // Not in its description, so no plan has them.
            Action::NicAdd { .. } | Action::NicChange { .. } | Action::NicRemove { .. } => {
                return problem(Code::Unsupported, action.name());
            }
        };
        let once = !matches!(request, Request::Grow { .. });
        let effect = request.name().to_owned();
        Move::Send {
            id: Some(id),
            request,
            effect,
            once,
        }
    }

    /// What became of the request whose answer was lost: by reading only.
    pub(crate) fn settle(&self, sent: &Sent) -> SettleEnd {
        if !self.provider.is_up(self.now) {
            return SettleEnd::Problem(unreachable(self.provider));
        }
        let not_started = SettleEnd::NotStarted {
            believable_at: Timestamp(sent.deadline).plus_ms(LAG),
        };
        let id = self.machine_id();
        match (&self.request.action, &self.phase) {
            (Action::Create { .. }, Some(Phase::Chosen { id, .. })) => match self.read(*id) {
                None => not_started,
                Some(machine) => self.settle_copy(&machine, not_started),
            },
            (Action::Create { .. }, None) if self.provider.naming == Naming::Blind => {
                SettleEnd::Unknown("the provider does not say whose a machine is".to_owned())
            }
            (Action::Create { .. }, None) => {
                let mark = self.mark.to_string();
                let list = self.provider.list(self.now);
                match list
                    .iter()
                    .find(|machine| machine.mark.as_ref() == Some(&mark))
                {
                    None => not_started,
                    Some(machine) => self.settle_copy(machine, not_started),
                }
            }
            (Action::Create { desired }, Some(Phase::Disks { id, at })) => {
                let next = Phase::Disks {
                    id: *id,
                    at: at + 1,
                };
                let name = desired.disks.keys().nth(*at).map(String::as_str);
                self.settle_disk(*id, name.unwrap_or_default(), next, not_started)
            }
            (Action::Create { desired }, Some(Phase::Nics { id })) => {
                let names: Vec<String> = desired.nics.keys().cloned().collect();
                match self.vm(*id).filter(|vm| vm.changed_from <= self.now) {
                    Some(vm) if vm.nics == names => settled(&Phase::Set { id: *id }),
                    Some(_) | None => not_started,
                }
            }
            (Action::Create { .. }, _) => SettleEnd::Unknown("nothing was lost".to_owned()),
            (Action::DiskAdd { name, .. }, _) => match id {
                Some(id) => self.settle_disk(id, name, Phase::Changed, not_started),
                None => SettleEnd::Unknown("which machine?".to_owned()),
            },
            (action, _) => match id {
                Some(id) => self.settle_change(action, id, not_started),
                None => SettleEnd::Unknown("which machine?".to_owned()),
            },
        }
    }

    fn vm(&self, id: u64) -> Option<&crate::provider::Vm> {
        self.provider.vms.get(&id)
    }

    fn settle_copy(&self, machine: &Machine, not_started: SettleEnd) -> SettleEnd {
        let Ok(id) = machine.id.parse::<u64>() else {
            return not_started;
        };
        let ours = self.mark.to_string();
        match machine.mark.as_deref() {
            Some(mark) if mark == ours => self.going_on(id, "clone", &Phase::Made { id }, None),
            // Somebody else's.
            Some(_) => not_started,
            None => SettleEnd::Problem(Problem::new(
                Code::Busy,
                format!("machine {id} does not show yet whose it is"),
            )),
        }
    }

    fn settle_disk(&self, id: u64, name: &str, next: Phase, not_started: SettleEnd) -> SettleEnd {
        let has = self.vm(id).is_some_and(|vm| vm.slots.contains_key(name));
        if has {
            return settled(&next);
        }
        self.going_on(id, "disk-add", &next, Some(not_started))
    }

    fn settle_change(&self, action: &Action, id: u64, not_started: SettleEnd) -> SettleEnd {
        let Some(vm) = self.vm(id) else {
            return match action {
                Action::Destroy { .. } => settled(&Phase::Ended),
                _ => SettleEnd::Problem(Problem::new(
                    Code::NotFound,
                    format!("machine {id} is gone"),
                )),
            };
        };
        let took_effect = match action {
            Action::Configure {
                desired, changed, ..
            } => {
                let is_so = changed.iter().all(|key| vm.has(key, desired));
                is_so && vm.changed_from <= self.now
            }
            Action::Start => vm.power == PowerState::Running,
            Action::Stop { .. } => vm.power == PowerState::Stopped,
            Action::Restart { .. } => match self.phase {
                Some(Phase::Restarting { boots }) => vm.boots > boots,
                _ => false,
            },
            Action::DiskRemove { slot, .. } => !vm.config.disks.contains_key(slot),
            Action::Create { .. }
            | Action::Adopt
            | Action::Destroy { .. }
            | Action::DiskAdd { .. }
            | Action::DiskGrow { .. }
            | Action::NicAdd { .. }
            | Action::NicChange { .. }
            | Action::NicRemove { .. } => false,
        };
        let next = match action {
            Action::Configure { .. } | Action::DiskRemove { .. } => Phase::Changed,
            _ => Phase::Ended,
        };
        if took_effect {
            return settled(&next);
        }
        let kind = match action {
            Action::Stop { graceful: true, .. } => "shutdown",
            other => other.name(),
        };
        self.going_on(id, kind, &next, Some(not_started))
    }

    /// While a task has the machine locked, that is it; afterwards it is done, or never was.
    fn going_on(
        &self,
        id: u64,
        what: &str,
        next: &Phase,
        otherwise: Option<SettleEnd>,
    ) -> SettleEnd {
        // The lock says what its task does: another's says nothing of this request.
        let running = self.provider.running_task(id, self.now);
        match (running.filter(|(_, does)| *does == what), otherwise) {
            (Some((task, _)), _) => SettleEnd::Pending {
                task: task.to_owned(),
                token: token(next),
                created: Vec::new(),
                note: noted(next),
            },
            (None, Some(otherwise)) => otherwise,
            (None, None) => settled(next),
        }
    }
}

fn noted(phase: &Phase) -> Note {
    let machine_id = match phase {
        Phase::Made { id } => Some(id.to_string()),
        _ => None,
    };
    Note {
        machine_id,
        ..Note::default()
    }
}

fn settled(next: &Phase) -> SettleEnd {
    let created = match next {
        Phase::Made { id } => vec![format!("machine {id}")],
        _ => Vec::new(),
    };
    SettleEnd::Done {
        token: token(next),
        created,
        note: noted(next),
    }
}

fn done(outcome: Outcome) -> Move {
    Move::End(CallEnd::Done {
        created: Vec::new(),
        outcome: Box::new(outcome),
    })
}

fn refused_by(answer: &Answer) -> Move {
    match answer {
        Answer::Busy(text) => problem(Code::Busy, text),
        Answer::SessionExpired => problem(Code::SessionExpired, "log in again"),
        Answer::NotFound => problem(Code::NotFound, "there is no such machine"),
        Answer::Conflict(text) => problem(Code::Conflict, text),
        Answer::Error(text) => problem(Code::Provider, text),
        Answer::Taken => problem(Code::Conflict, "the id is taken"),
        Answer::Done | Answer::Task { .. } => problem(Code::Provider, "an answer out of place"),
    }
}
