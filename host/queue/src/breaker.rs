//! Which hypervisors answer. Kept in memory only: after a restart the first tries find out again.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{HypervisorUid, OperationId, Timestamp};

use crate::backoff::Backoff;
use crate::command::{CallEnd, Event, PollEnd, SettleEnd};

/// Failures in a row, of whichever operations, after which a hypervisor is taken for lost.
const FAILURES: u32 = 3;

/// A hypervisor that does not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    pub since: Timestamp,
    /// The last failure.
    pub problem: Problem,
    /// When it is tried again; past while that is being done.
    pub next_try: Timestamp,
    tries: u32,
    is_probed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Breakers {
    /// Failures in a row of those that are not lost.
    failures: BTreeMap<HypervisorUid, u32>,
    lost: BTreeMap<HypervisorUid, Lost>,
}

impl Breakers {
    pub(crate) fn lost(&self, uid: HypervisorUid) -> Option<&Lost> {
        self.lost.get(&uid)
    }

    /// Notes a failure. True: with it the hypervisor is lost.
    pub(crate) fn failed(&mut self, uid: HypervisorUid, problem: &Problem, now: Timestamp) -> bool {
        if let Some(lost) = self.lost.get_mut(&uid) {
            lost.problem = problem.clone();
            return false;
        }
        let failures = self.failures.entry(uid).or_default();
        *failures += 1;
        if *failures < FAILURES {
            return false;
        }
        self.lose(uid, problem, now, now.plus_ms(delay_ms(uid, 0)));
        true
    }

    /// Takes it for lost without a failure here, to be tried at `next_try`.
    pub(crate) fn lose(
        &mut self,
        uid: HypervisorUid,
        problem: &Problem,
        since: Timestamp,
        next_try: Timestamp,
    ) {
        self.failures.remove(&uid);
        let lost = Lost {
            since,
            problem: problem.clone(),
            next_try,
            tries: 0,
            is_probed: false,
        };
        self.lost.insert(uid, lost);
    }

    /// It answered. True: it had been lost.
    pub(crate) fn answered(&mut self, uid: HypervisorUid) -> bool {
        self.failures.remove(&uid);
        self.lost.remove(&uid).is_some()
    }

    /// The probe did not reach it.
    pub(crate) fn still_lost(&mut self, uid: HypervisorUid, problem: Problem, now: Timestamp) {
        if let Some(lost) = self.lost.get_mut(&uid) {
            lost.problem = problem;
            lost.tries = lost.tries.saturating_add(1);
            lost.is_probed = false;
            lost.next_try = now.plus_ms(delay_ms(uid, lost.tries));
        }
    }

    /// Those to be tried now; they are not named again before [`Breakers::still_lost`].
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<HypervisorUid> {
        let mut due = Vec::new();
        for (uid, lost) in &mut self.lost {
            if !lost.is_probed && lost.next_try <= now {
                lost.is_probed = true;
                due.push(*uid);
            }
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        let waiting = self.lost.values().filter(|lost| !lost.is_probed);
        waiting.map(|lost| lost.next_try).min()
    }
}

fn delay_ms(uid: HypervisorUid, tries: u32) -> u64 {
    // What scatters operations scatters hypervisors: any number of their own will do.
    let scatter = uid.uuid().as_u64_pair().1;
    Backoff::PROBE.delay_ms(OperationId(scatter), tries)
}

/// What an event says about the way to the hypervisor: `Ok` it answered, `Err` it did not, `None`
/// nothing.
pub(crate) fn contact(event: &Event) -> Option<Result<(), &Problem>> {
    fn of_problem(problem: &Problem) -> Option<Result<(), &Problem>> {
        match problem.code {
            Code::Unreachable => Some(Err(problem)),
            Code::Busy | Code::Conflict | Code::NotFound | Code::Denied | Code::SessionExpired => {
                Some(Ok(()))
            }
            // May have been said without a request.
            Code::Invalid | Code::Unsupported | Code::Provider => None,
        }
    }
    match event {
        Event::Prepared(Err(problem))
        | Event::Returned(CallEnd::Problem(problem))
        | Event::Settled(SettleEnd::Problem(problem))
        | Event::Polled(PollEnd::Failed(problem)) => of_problem(problem),
        Event::Answered(_)
        | Event::Returned(CallEnd::Wait { .. })
        | Event::Settled(
            SettleEnd::Done { .. } | SettleEnd::Pending { .. } | SettleEnd::NotStarted { .. },
        )
        | Event::Polled(PollEnd::Running { .. } | PollEnd::Ended(_) | PollEnd::Lost) => {
            Some(Ok(()))
        }
        Event::Prepared(Ok(_))
        | Event::Asks { .. }
        | Event::Held { .. }
        | Event::Outdated(_)
        | Event::Refused(_)
        | Event::NotNeeded(_)
        | Event::Sending { .. }
        | Event::NotSent(_)
        | Event::Filled(_)
        | Event::Returned(
            CallEnd::Done { .. }
            | CallEnd::Again { .. }
            | CallEnd::Broken(_)
            | CallEnd::Deferred(_),
        )
        | Event::Settled(SettleEnd::Unknown(_) | SettleEnd::Broken(_))
        | Event::Doubt { .. }
        | Event::Cancel { .. }
        | Event::Retry { .. }
        | Event::TakeAsDone { .. }
        | Event::GoOnWith { .. }
        | Event::Close { .. } => None,
    }
}
