//! Many runs, and one again.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::run::Simulation;
use crate::settings::Settings;
use crate::violation::Violation;

/// The test that runs one seed.
const ONE_AGAIN: &str = "the_seed_that_is_asked_for -- --nocapture";

/// Lines of a trace that are shown.
const SHOWN: usize = 400;

/// What many runs came to: that they are about something has to be seen too.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub runs: u64,
    pub crashes: u64,
    pub moments: u64,
    pub refused: u64,
    pub judged: u64,
    pub meddled: u64,
    /// Creations that went on with the machine that a person said was there.
    pub gone_on: u64,
    /// Machines without an id on record that a deploy, and an undeploy, found by their mark.
    pub found_to_deploy: u64,
    pub found_to_undeploy: u64,
    /// How often a machine was seen to differ from what was deployed, and how often the host ordered by
    /// itself that it be brought back.
    pub drifted: u64,
    pub repaired: u64,
    /// Operations that people were asked to approve, those that enough of them did, those to which somebody
    /// said no, and those that did not go on since they were not what was approved any more.
    pub asked: u64,
    pub approved: u64,
    pub said_no: u64,
    pub outdated: u64,
    /// Machines on which a person took back what a `reconfigure` had done.
    pub taken_back: u64,
    /// Operations that were given another place in their lane.
    pub moved: u64,
    /// Moves that were refused, by the reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Operations, by kind and end.
    pub ends: BTreeMap<String, u64>,
    /// Journal entries, by name.
    pub entries: BTreeMap<String, u64>,
    /// Requests that arrived.
    pub requests: BTreeMap<&'static str, u64>,
}

/// What a journal entry is called.
#[derive(Deserialize)]
struct Tag {
    entry: String,
}

/// A run that broke a promise, with what happened in it.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub settings: Settings,
    /// Absent: the code panicked.
    pub violation: Option<Violation>,
    pub text: String,
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.trace.len().saturating_sub(SHOWN);
        if skipped > 0 {
            writeln!(f, "({skipped} lines before)")?;
        }
        for line in self.trace.iter().skip(skipped) {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {} with {:?}", self.seed, self.settings)?;
        writeln!(f, "{}", self.text)?;
        write!(
            f,
            "again: ENGINEHOUSE_SEED={} ENGINEHOUSE_KILL={} cargo test -p enginehouse-simulation --test seeds {}",
            self.seed, self.settings.kill, ONE_AGAIN
        )
    }
}

/// One whole run: what the seed makes, its end, and everything taken down again.
///
/// # Errors
/// With the first promise that was broken, and the trace of a second run of the same seed.
pub fn run_seed(seed: u64, settings: Settings) -> Result<Totals, Box<Failure>> {
    match attempt(seed, settings) {
        Ok(simulation) => Ok(Totals::of(&simulation)),
        Err((violation, text, _)) => {
            let traced = Settings {
                traced: true,
                ..settings
            };
            let trace = match attempt(seed, traced) {
                Err((_, _, trace)) => trace,
                Ok(_) => vec!["a second run of this seed did not fail".to_owned()],
            };
            Err(Box::new(Failure {
                seed,
                settings,
                violation,
                text,
                trace,
            }))
        }
    }
}

/// The promise that a run breaks, without a second run for its trace.
#[must_use]
pub fn breaks(seed: u64, settings: Settings) -> Option<Violation> {
    attempt(seed, settings).err()?.0
}

/// What happens in a run, line by line, and what came of it.
#[must_use]
pub fn trace_seed(seed: u64, settings: Settings) -> (Vec<String>, Option<String>) {
    let traced = Settings {
        traced: true,
        ..settings
    };
    match attempt(seed, traced) {
        Ok(simulation) => (simulation.trace, None),
        Err((_, text, trace)) => (trace, Some(text)),
    }
}

type Broken = (Option<Violation>, String, Vec<String>);

fn attempt(seed: u64, settings: Settings) -> Result<Simulation, Broken> {
    let mut simulation = Simulation::seeded(seed, settings)
        .map_err(|violation| (Some(violation.clone()), violation.to_string(), Vec::new()))?;
    let result = catch_unwind(AssertUnwindSafe(|| {
        simulation.run()?;
        simulation.check_over()?;
        simulation.settle_down()
    }));
    match result {
        Ok(Ok(())) => Ok(simulation),
        Ok(Err(violation)) => {
            let text = violation.to_string();
            Err((Some(violation), text, simulation.trace))
        }
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_else(|| "panicked".to_owned());
            Err((None, format!("panicked: {text}"), simulation.trace))
        }
    }
}

/// Runs these seeds on all processors.
///
/// # Errors
/// With the failure of the smallest seed among those that had failed when the others were stopped.
pub fn run_seeds(
    seeds: Range<u64>,
    settings: impl Fn(u64) -> Settings + Sync,
) -> Result<Totals, Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals::default());
    let failed: Mutex<Option<Box<Failure>>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Totals::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match run_seed(seed, settings(seed)) {
                        Ok(one) => mine.add(&one),
                        Err(failure) => {
                            next.store(seeds.end, Ordering::Relaxed);
                            let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            if first.as_ref().is_none_or(|other| failure.seed < other.seed) {
                                *first = Some(failure);
                            }
                        }
                    }
                }
                let mut all = totals.lock().unwrap_or_else(PoisonError::into_inner);
                all.add(&mine);
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(totals.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

impl Totals {
    fn of(simulation: &Simulation) -> Self {
        let mut totals = Self {
            runs: 1,
            crashes: simulation.outside.lives,
            moments: simulation.outside.moments as u64,
            refused: simulation.outside.ledger.refused as u64,
            judged: simulation.outside.ledger.judged.len() as u64,
            meddled: simulation.outside.ledger.meddled.len() as u64,
            gone_on: simulation.outside.ledger.gone_on.len() as u64,
            found_to_deploy: simulation.outside.ledger.found_to_deploy,
            found_to_undeploy: simulation.outside.ledger.found_to_undeploy,
            drifted: simulation.outside.ledger.drifted,
            repaired: simulation
                .outside
                .ledger
                .repairs
                .values()
                .copied()
                .map(u64::from)
                .sum(),
            asked: simulation.outside.ledger.requests.len() as u64,
            approved: simulation.outside.ledger.approved.len() as u64,
            said_no: simulation.outside.ledger.said_no.len() as u64,
            outdated: simulation.outside.ledger.outdated.len() as u64,
            taken_back: simulation.outside.ledger.takes_back.len() as u64,
            moved: simulation.outside.ledger.moved,
            refusals: simulation.outside.ledger.refusals.clone(),
            ..Self::default()
        };
        for line in &simulation.disk.executed {
            let end = format!("{} {}", line.kind, line.outcome);
            *totals.ends.entry(end).or_default() += 1;
        }
        for row in simulation.disk.journal.values().flatten() {
            if let Ok(Tag { entry }) = row.document.read() {
                *totals.entries.entry(entry).or_default() += 1;
            }
        }
        for provider in &simulation.outside.providers {
            for (name, times) in &provider.arrived {
                *totals.requests.entry(name).or_default() += u64::from(*times);
            }
        }
        totals
    }

    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.moments += other.moments;
        self.refused += other.refused;
        self.judged += other.judged;
        self.meddled += other.meddled;
        self.gone_on += other.gone_on;
        self.found_to_deploy += other.found_to_deploy;
        self.found_to_undeploy += other.found_to_undeploy;
        self.drifted += other.drifted;
        self.repaired += other.repaired;
        self.asked += other.asked;
        self.approved += other.approved;
        self.said_no += other.said_no;
        self.outdated += other.outdated;
        self.taken_back += other.taken_back;
        self.moved += other.moved;
        for (why, times) in &other.refusals {
            *self.refusals.entry(why).or_default() += times;
        }
        for (name, times) in &other.ends {
            *self.ends.entry(name.clone()).or_default() += times;
        }
        for (name, times) in &other.entries {
            *self.entries.entry(name.clone()).or_default() += times;
        }
        for (name, times) in &other.requests {
            *self.requests.entry(name).or_default() += times;
        }
    }
}
