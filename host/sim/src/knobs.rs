//! What goes wrong, and when.
//!
//! General knobs hold for every call. A [`Fault`] names the calls it is about, how often it fires,
//! and what it does; of several that match, each is asked, in order, and their effects add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Call;

/// Everything that can be changed while the simulation runs. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// How long a task takes.
    pub task_ms: u64,
    /// How long a task of this kind takes instead (`create`, `clone`, `start`, `stop`, `shutdown`,
    /// `restart`, `destroy`, `disk-add`, `disk-grow`, `disk-remove`, `nic-add`, `nic-change`,
    /// `nic-remove`).
    pub task_ms_of: BTreeMap<String, u64>,
    /// Passes before a request is looked at.
    pub latency_ms: u64,
    /// Passes between the work and its answer.
    pub answer_late_ms: u64,
    /// Every connection is closed without an answer (but for `/_sim`).
    pub away: bool,
    /// A machine that is being created or cloned shows nothing but its id, host and lock.
    pub late_mark: bool,
    /// A new machine appears in lists and reads only after this time.
    pub hidden_ms: u64,
    /// `client_token` of a create is read and forgotten, as by providers that have none.
    pub ignore_client_token: bool,
    /// No task is known any more, neither one that runs nor one that is over. They go on all the same.
    pub forget_tasks: bool,
    /// Ids or names of machines whose guests do not react to a shutdown; `*` for all.
    pub ignore_shutdown: Vec<String>,
    /// Hosts that are away: their machines are missing from lists, which say so.
    pub offline_hosts: Vec<String>,
    /// So many machines can be made from one image at a time; the next is told to try later.
    pub clones_per_image: Option<usize>,
    /// Where chance begins. Setting another seed begins anew.
    pub seed: u64,
    pub faults: Vec<Fault>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            task_ms: 200,
            task_ms_of: BTreeMap::new(),
            latency_ms: 0,
            answer_late_ms: 0,
            away: false,
            late_mark: false,
            hidden_ms: 0,
            ignore_client_token: false,
            forget_tasks: false,
            ignore_shutdown: Vec::new(),
            offline_hosts: Vec::new(),
            clones_per_image: None,
            seed: 1,
            faults: Vec::new(),
        }
    }
}

/// Something that goes wrong with some calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls, by their kind (`machine.create`); `machine.*` and `*` are understood.
    pub call: String,
    /// How often it fires. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// The share of matching calls it fires for, 0 to 1.
    #[serde(default = "always")]
    pub rate: f64,
    /// So many matching calls pass before it begins.
    #[serde(default)]
    pub after: u64,
    pub effect: FaultEffect,
    /// Matching calls so far. Counted by the simulation.
    #[serde(default)]
    pub seen: u64,
    /// How often it has fired. Counted by the simulation.
    #[serde(default)]
    pub fired: u64,
}

fn always() -> f64 {
    1.0
}

/// What a fault does to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultEffect {
    /// This answer instead of the work.
    Answer {
        status: u16,
        code: String,
        message: String,
    },
    /// The connection is closed before the work.
    Drop,
    /// The work is done, then the connection is closed without an answer.
    LoseAnswer,
    /// Milliseconds before the work.
    Delay { ms: u64 },
    /// Milliseconds between the work and its answer.
    AnswerLate { ms: u64 },
    /// The task that the call starts ends with this error and without effect.
    TaskError {
        message: String,
        /// A machine that was being made stays, half finished, instead of being removed.
        #[serde(default)]
        leave_half: bool,
    },
    /// The task that the call starts ends well, with this warning.
    TaskWarning { message: String },
}

impl Fault {
    /// A fault that fires for the next call of this kind and never again.
    #[must_use]
    pub fn once(call: Call, effect: FaultEffect) -> Self {
        Self {
            times: Some(1),
            ..Self::always(call, effect)
        }
    }

    /// A fault that fires for every call of this kind.
    #[must_use]
    pub fn always(call: Call, effect: FaultEffect) -> Self {
        Self {
            call: call.as_str().to_owned(),
            times: None,
            rate: always(),
            after: 0,
            effect,
            seen: 0,
            fired: 0,
        }
    }

    fn matches(&self, call: Call) -> bool {
        match self.call.strip_suffix('*') {
            Some(prefix) => call.as_str().starts_with(prefix),
            None => call.as_str() == self.call,
        }
    }

    /// Counts this call, and says whether the fault fires for it.
    fn fires(&mut self, call: Call, chance: &mut Chance) -> bool {
        if !self.matches(call) {
            return false;
        }
        self.seen += 1;
        if self.seen <= self.after || self.times.is_some_and(|times| self.fired >= times) {
            return false;
        }
        // Chance is used up only where it decides: a fault that always fires shifts nothing.
        if self.rate < 1.0 && chance.share() >= self.rate {
            return false;
        }
        self.fired += 1;
        true
    }
}

/// What was decided for one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub delay_ms: u64,
    pub late_ms: u64,
    pub drop: bool,
    pub lose_answer: bool,
    /// Status, code and message.
    pub answer: Option<(u16, String, String)>,
    pub task_error: Option<(String, bool)>,
    pub task_warnings: Vec<String>,
}

impl Knobs {
    /// How long a task of this kind takes.
    #[must_use]
    pub fn task_time(&self, kind: &str) -> u64 {
        self.task_ms_of.get(kind).copied().unwrap_or(self.task_ms)
    }

    /// Decides what goes wrong with a call. The first of several answers or errors stands.
    pub(crate) fn judge(&mut self, call: Call, chance: &mut Chance) -> Verdict {
        let mut verdict = Verdict {
            delay_ms: self.latency_ms,
            late_ms: self.answer_late_ms,
            drop: self.away,
            ..Verdict::default()
        };
        for fault in &mut self.faults {
            if !fault.fires(call, chance) {
                continue;
            }
            match &fault.effect {
                FaultEffect::Answer {
                    status,
                    code,
                    message,
                } => {
                    verdict
                        .answer
                        .get_or_insert_with(|| (*status, code.clone(), message.clone()));
                }
                FaultEffect::Drop => verdict.drop = true,
                FaultEffect::LoseAnswer => verdict.lose_answer = true,
                FaultEffect::Delay { ms } => verdict.delay_ms += ms,
                FaultEffect::AnswerLate { ms } => verdict.late_ms += ms,
                FaultEffect::TaskError {
                    message,
                    leave_half,
                } => {
                    verdict
                        .task_error
                        .get_or_insert_with(|| (message.clone(), *leave_half));
                }
                FaultEffect::TaskWarning { message } => verdict.task_warnings.push(message.clone()),
            }
        }
        verdict
    }
}

/// A small seeded generator (SplitMix64): good enough to throw dice with, and the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    fn share(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drops(fault: &Fault, seed: u64, calls: usize) -> Vec<bool> {
        let mut knobs = Knobs {
            faults: vec![fault.clone()],
            ..Knobs::default()
        };
        let mut chance = Chance::new(seed);
        (0..calls)
            .map(|_| knobs.judge(Call::MachineStart, &mut chance).drop)
            .collect()
    }

    #[test]
    fn a_fault_fires_once_after_some_calls() {
        let fault = Fault {
            after: 2,
            ..Fault::once(Call::MachineStart, FaultEffect::Drop)
        };
        assert_eq!(drops(&fault, 1, 5), [false, false, true, false, false]);
    }

    #[test]
    fn a_rate_is_kept_and_repeats_with_its_seed() {
        let fault = Fault {
            rate: 0.25,
            ..Fault::always(Call::MachineStart, FaultEffect::Drop)
        };
        let first = drops(&fault, 7, 4000);
        let share = first.iter().filter(|dropped| **dropped).count();
        assert!((900..1100).contains(&share), "{share} of 4000");
        assert_eq!(first, drops(&fault, 7, 4000));
        assert_ne!(first, drops(&fault, 8, 4000));
    }

    #[test]
    fn a_fault_is_about_the_calls_it_names() {
        let mut fault = Fault::always(Call::MachineStart, FaultEffect::Drop);
        let about = |fault: &Fault, call| fault.matches(call);
        assert!(about(&fault, Call::MachineStart) && !about(&fault, Call::MachineStop));
        fault.call = "machine.*".to_owned();
        assert!(about(&fault, Call::MachineStop) && !about(&fault, Call::TaskRead));
        fault.call = "*".to_owned();
        assert!(about(&fault, Call::TaskRead));
    }

    #[test]
    fn effects_of_several_faults_add_up() {
        let mut knobs = Knobs {
            latency_ms: 5,
            faults: vec![
                Fault::always(Call::Info, FaultEffect::Delay { ms: 10 }),
                Fault::always(Call::Info, FaultEffect::LoseAnswer),
            ],
            ..Knobs::default()
        };
        let verdict = knobs.judge(Call::Info, &mut Chance::new(1));
        assert_eq!((verdict.delay_ms, verdict.lose_answer), (15, true));
    }
}
