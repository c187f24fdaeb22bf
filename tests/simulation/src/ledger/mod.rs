//! What clients were told and people did: what the host's deeds are held against.
//!
//! An order promises something from the commit on that makes it durable: its place in a lane, and
//! what it comes after. The ledger keeps that by itself, from the orders and not from the queue's
//! entries, and takes the beginnings and ends of operations in as they become durable.

mod approvals;

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_approval::Request;
use enginehouse_model::{NodeUid, OperationId, Timestamp};
use enginehouse_queue::Final;
use enginehouse_tree::Policy;
use serde_json::Value;

use crate::violation::{Rule, Violation, holds};

pub(crate) use self::approvals::{Asks, all_asks, asks_now};

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Numbers that clients have read, with what they asked for.
    pub acknowledged: BTreeMap<OperationId, String>,
    pub refused: usize,
    /// Operations about which a person decided.
    pub judged: BTreeSet<OperationId>,
    /// Operations that were in doubt.
    pub doubted: BTreeSet<OperationId>,
    /// Operations whose engine broke twice over one request: they end before it does.
    pub gave_up: BTreeMap<OperationId, u32>,
    /// Descriptors to whose machines somebody did something.
    pub meddled: BTreeSet<NodeUid>,
    /// Descriptors whose machine may be gone although its undeploy failed: a person said so, or the
    /// engine was given up.
    pub unsure: BTreeSet<NodeUid>,
    /// Descriptors of which the same holds for whether the machine runs.
    pub unsure_power: BTreeSet<NodeUid>,
    /// Descriptors of which an operation did not succeed: what comes after it may not be possible.
    pub upset: BTreeSet<NodeUid>,
    /// What a client asked for something that it may not have.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Operations that were given another place in their lanes.
    pub moved: u64,
    /// Operations that did not begin yet, in the order that was promised for their lane.
    lanes: BTreeMap<NodeUid, Vec<OperationId>>,
    /// What has to end first.
    pub(crate) needs: BTreeMap<OperationId, Vec<Need>>,
    /// What the host wants itself.
    pub(crate) automatic: BTreeSet<OperationId>,
    pub(crate) begun: BTreeSet<OperationId>,
    pub(crate) ended: BTreeMap<OperationId, Final>,
    /// The parts of each operation that has some.
    pub(crate) parts: BTreeMap<OperationId, Vec<OperationId>>,
    /// Changes of definitions that were accepted.
    pub(crate) changes: Vec<Change>,
    /// Descriptors with definitions that nobody can foretell: changes of them were given another
    /// order, or taken back.
    pub(crate) reordered: BTreeSet<NodeUid>,
    /// What takes back which part.
    pub(crate) undoes: BTreeMap<OperationId, OperationId>,
    /// Creations that a person told to go on with the machine of that id.
    pub(crate) gone_on: BTreeMap<OperationId, u64>,
    /// What goes in waves.
    in_waves: BTreeMap<OperationId, InWaves>,
    /// What changed each machine's deployed config last.
    deployed_by: BTreeMap<NodeUid, OperationId>,
    /// What a person takes back: on which machine, what which operation did.
    pub(crate) takes_back: BTreeMap<OperationId, (NodeUid, OperationId)>,
    /// Lanes of which somebody changed the order.
    disturbed: BTreeSet<NodeUid>,
    /// When the last step on each descriptor's machine ended.
    pub(crate) stepped: BTreeMap<NodeUid, Timestamp>,
    /// How often the host has repaired each machine by itself.
    pub(crate) repairs: BTreeMap<NodeUid, u32>,
    /// How often a machine was seen to differ from what was deployed.
    pub drifted: u64,
    /// What was managed when each operation was planned.
    pub(crate) managed: BTreeMap<OperationId, BTreeSet<String>>,
    /// Descriptors that are protected, and since when.
    protected: BTreeMap<NodeUid, Timestamp>,
    /// When each operation looked at its machine last, to be planned.
    pub(crate) looked: BTreeMap<OperationId, Timestamp>,
    /// When each step was called last, while nothing of it was at the provider.
    pub(crate) called: BTreeMap<(OperationId, usize), Timestamp>,
    /// What the host has ordered by itself, to bring a machine back.
    pub(crate) alone: BTreeMap<OperationId, NodeUid>,
    /// How often each field of a machine was brought back since a person did that.
    pub(crate) repaired: BTreeMap<(NodeUid, String), u32>,
    /// How far the host may go by itself, and since when.
    pub(crate) policies: BTreeMap<NodeUid, (Policy, Timestamp)>,
    /// Nodes at and below which it may do nothing, and since when.
    pub(crate) paused: BTreeMap<NodeUid, Timestamp>,
    /// When nodes were moved last.
    pub(crate) moved_at: Timestamp,
    /// When each step was begun.
    pub(crate) filled: BTreeMap<(OperationId, usize), Timestamp>,
    /// Descriptors where what is destroyed is to be approved: by whom, and since when.
    pub(crate) asks: BTreeMap<NodeUid, (Asks, Timestamp)>,
    /// What people were asked, and by whom it was to be approved then.
    pub(crate) requests: BTreeMap<OperationId, (Request, Asks)>,
    /// Who signed for which operation, and what was asked.
    pub(crate) signed: BTreeMap<OperationId, Vec<(String, Request)>>,
    /// Operations to which somebody said no.
    pub(crate) said_no: BTreeSet<OperationId>,
    /// Operations that enough people have approved, and those of which that did not count any more.
    pub(crate) approved: BTreeSet<OperationId>,
    pub(crate) outdated: BTreeSet<OperationId>,
    /// Those of them that have not begun again.
    rejoined: BTreeSet<OperationId>,
    /// When an operation on each descriptor ended last.
    pub(crate) ended_at: BTreeMap<NodeUid, Timestamp>,
    /// Machines that were found by their mark, without an id on record: to go on with, and to remove.
    pub found_to_deploy: u64,
    pub found_to_undeploy: u64,
}

/// Something that has to end before an operation may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub number: OperationId,
    /// It need not have succeeded.
    pub however: bool,
}

impl Need {
    pub(crate) fn good(number: OperationId) -> Self {
        let however = false;
        Self { number, however }
    }

    pub(crate) fn any(number: OperationId) -> Self {
        let however = true;
        Self { number, however }
    }
}

/// What was promised of an operation whose parts go in waves.
#[derive(Clone, Debug)]
pub(crate) struct InWaves {
    pub waves: Vec<Vec<OperationId>>,
    pub max_failures: usize,
}

/// A change of a descriptor's definition that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub node: NodeUid,
    pub by: OperationId,
    /// Members with their values; `null` takes one away.
    pub members: Value,
    /// Written in the commit that numbered it.
    pub at_once: bool,
}

/// What holds from a commit on.
#[derive(Clone, Debug)]
pub(crate) enum Promise {
    /// The last of its lane, or the first of those that have not begun.
    Queued {
        number: OperationId,
        node: NodeUid,
        first: bool,
        needs: Vec<Need>,
        automatic: bool,
    },
    Parts(OperationId, Vec<OperationId>),
    Moved {
        node: NodeUid,
        order: Vec<OperationId>,
    },
    Changes(Change),
    Undoes {
        number: OperationId,
        node: NodeUid,
        part: OperationId,
    },
    /// Its parts go in waves.
    GoesInWaves(OperationId, InWaves),
    /// An operation has made another config of a machine's deployed one.
    Deploys(NodeUid, OperationId),
    /// A person takes back what an operation did to a machine.
    TakesBack {
        number: OperationId,
        node: NodeUid,
        of: OperationId,
    },
    /// These descriptors are protected, and no others. `lowers`: somebody said that fewer may be.
    Protects {
        nodes: BTreeSet<NodeUid>,
        lowers: bool,
    },
    /// How far the host may go by itself with each descriptor's machine.
    Policies(Vec<(NodeUid, Policy)>),
    /// These are paused, and no others.
    Pauses(BTreeSet<NodeUid>),
    MovesNodes,
    /// The host has ordered it by itself.
    Alone(OperationId, NodeUid),
    /// The host has brought these fields back.
    Repaired(NodeUid, Vec<String>),
    /// A person has brought the machine to its definition.
    Brought(NodeUid),
    /// These descriptors ask for approvals, and no others.
    AsksFor(BTreeMap<NodeUid, Asks>),
    /// People are asked to approve it; it has left its lane.
    Asked(OperationId, Box<Request>, Asks),
    /// It was approved, and is in its lane again.
    Rejoins {
        number: OperationId,
        node: NodeUid,
        order: Vec<OperationId>,
    },
    SaysNo(OperationId),
    /// It goes on with the machine of this id.
    GoesOnWith(OperationId, u64),
    Begun(OperationId),
    Ended(OperationId, Final),
}

impl Ledger {
    /// Takes in what became durable.
    ///
    /// # Errors
    /// When something began that was not to begin yet.
    pub(crate) fn keep(&mut self, promises: &[Promise], now: Timestamp) -> Result<(), Violation> {
        for promise in promises {
            match promise {
                Promise::Queued {
                    number,
                    node,
                    first,
                    needs,
                    automatic,
                } => {
                    let lane = self.lanes.entry(*node).or_default();
                    let at = if *first { 0 } else { lane.len() };
                    lane.insert(at, *number);
                    self.needs.insert(*number, needs.clone());
                    if *automatic {
                        self.automatic.insert(*number);
                    }
                }
                Promise::Parts(whole, parts) => {
                    self.parts.insert(*whole, parts.clone());
                }
                Promise::Moved { node, order } => {
                    self.moved += 1;
                    self.reordered.insert(*node);
                    self.disturbed.insert(*node);
                    self.lanes.insert(*node, order.clone());
                }
                Promise::Changes(change) => self.changes.push(change.clone()),
                Promise::Undoes { number, node, part } => {
                    self.reordered.insert(*node);
                    self.undoes.insert(*number, *part);
                }
                Promise::GoesInWaves(whole, waves) => {
                    self.in_waves.insert(*whole, waves.clone());
                }
                Promise::Deploys(node, by) => {
                    self.deployed_by.insert(*node, *by);
                }
                Promise::TakesBack { number, node, of } => {
                    self.takes_back.insert(*number, (*node, *of));
                    self.reordered.insert(*node);
                }
                Promise::Protects { nodes, lowers } => self.protects(nodes, *lowers, now)?,
                Promise::Policies(policies) => {
                    for (node, policy) in policies {
                        let known = self.policies.get(node).map(|(policy, _)| *policy);
                        if known != Some(*policy) {
                            self.policies.insert(*node, (*policy, now));
                        }
                    }
                }
                Promise::Pauses(nodes) => {
                    self.paused.retain(|node, _| nodes.contains(node));
                    for node in nodes {
                        self.paused.entry(*node).or_insert(now);
                    }
                }
                Promise::MovesNodes => self.moved_at = now,
                Promise::Alone(number, node) => {
                    self.alone.insert(*number, *node);
                }
                Promise::Repaired(node, fields) => {
                    for field in fields {
                        *self.repaired.entry((*node, field.clone())).or_default() += 1;
                    }
                }
                Promise::Brought(node) => self.repaired.retain(|(of, _), _| of != node),
                Promise::AsksFor(asks) => self.asks_for(asks, now),
                Promise::Asked(number, request, asks) => {
                    let asked = ((**request).clone(), asks.clone());
                    self.requests.insert(*number, asked);
                }
                Promise::Rejoins {
                    number,
                    node,
                    order,
                } => {
                    self.approved.insert(*number);
                    self.rejoined.insert(*number);
                    self.lanes.insert(*node, order.clone());
                }
                Promise::SaysNo(number) => {
                    self.said_no.insert(*number);
                }
                Promise::GoesOnWith(number, id) => {
                    self.gone_on.insert(*number, *id);
                }
                Promise::Begun(number) => self.begins(*number)?,
                Promise::Ended(number, end) => self.ends(*number, *end)?,
            }
        }
        Ok(())
    }

    /// The order of its lane is kept, and nothing begins before what it needs.
    fn begins(&mut self, number: OperationId) -> Result<(), Violation> {
        let begins = self.begun.insert(number);
        if !begins && !self.rejoined.remove(&number) {
            return Ok(());
        }
        for lane in self.lanes.values_mut() {
            let Some(at) = lane.iter().position(|other| *other == number) else {
                continue;
            };
            holds(at == 0, Rule::Lane, || {
                format!("{number} began before others of its lane: {lane:?}")
            })?;
            lane.remove(at);
        }
        if begins {
            self.wave_begins(number)?;
        }
        if let Some((node, of)) = self.takes_back.get(&number) {
            let last = self.deployed_by.get(node);
            let foreseen = last.is_none_or(|last| last <= of);
            let disturbed = self.disturbed.contains(node);
            holds(foreseen || disturbed, Rule::Rollback, || {
                format!("{number} takes back {of} on {node}, and {last:?} came after it")
            })?;
        }
        self.may_work(number)
    }

    /// A wave begins when the one before is over; nothing does after too many failures.
    fn wave_begins(&self, number: OperationId) -> Result<(), Violation> {
        for (whole, going) in &self.in_waves {
            let wave = going.waves.iter().position(|wave| wave.contains(&number));
            let Some(wave) = wave else { continue };
            let before = going.waves.iter().take(wave).flatten();
            let open = before.clone().find(|part| !self.ended.contains_key(part));
            holds(open.is_none(), Rule::Waves, || {
                format!(
                    "{number} of wave {wave} of {whole} began before {open:?} of an earlier one ended"
                )
            })?;
            let all = going.waves.iter().flatten();
            let failed = all.filter(|part| self.ended.get(part) == Some(&Final::Failed));
            let failed = failed.count();
            holds(failed < going.max_failures, Rule::Waves, || {
                format!("{number} of {whole} began after {failed} had failed")
            })?;
        }
        Ok(())
    }

    /// Of what goes in waves so many have failed that this part is not begun.
    pub(crate) fn was_stopped(&self, number: OperationId) -> bool {
        let mut all = self.in_waves.values();
        let going = all.find(|going| going.waves.iter().flatten().any(|part| *part == number));
        going.is_some() && !self.begun.contains(&number)
    }

    /// What an operation needs has ended, and well.
    pub(crate) fn may_work(&self, number: OperationId) -> Result<(), Violation> {
        for need in self.needs.get(&number).into_iter().flatten() {
            let is_over = match self.ended.get(&need.number) {
                Some(Final::Succeeded | Final::Superseded) => true,
                Some(Final::Failed | Final::Cancelled) => need.however,
                None => false,
            };
            holds(is_over, Rule::Needs, || {
                let end = self.ended.get(&need.number);
                format!("{number} began; it needs {}, which is {end:?}", need.number)
            })?;
        }
        let Some(part) = self.undoes.get(&number) else {
            return Ok(());
        };
        // Taken back in reverse: what needed it is gone.
        let mut wholes = self.parts.values();
        let whole = wholes.find(|parts| parts.contains(part));
        for (other, of) in &self.undoes {
            let needs = self.needs.get(of).into_iter().flatten();
            let needed = needs.map(|need| need.number).any(|need| need == *part);
            let same = whole.is_some_and(|parts| parts.contains(of));
            let is_over = !needed || !same || self.ended.contains_key(other);
            holds(is_over, Rule::Needs, || {
                format!("{number} takes {part} back before {other}, and {of} needs that")
            })?;
        }
        Ok(())
    }

    /// Protection is never taken away by the way.
    fn protects(
        &mut self,
        nodes: &BTreeSet<NodeUid>,
        lowers: bool,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let lowered = self.protected.keys().find(|node| !nodes.contains(node));
        holds(lowers || lowered.is_none(), Rule::Protected, || {
            format!("{lowered:?} is not protected any more, and nobody said so")
        })?;
        self.protected.retain(|node, _| nodes.contains(node));
        for node in nodes {
            self.protected.entry(*node).or_insert(now);
        }
        Ok(())
    }

    /// Since when a descriptor is protected.
    pub(crate) fn protected_since(&self, node: NodeUid) -> Option<Timestamp> {
        self.protected.get(&node).copied()
    }

    /// An operation with parts ends after all of them.
    fn ends(&mut self, number: OperationId, end: Final) -> Result<(), Violation> {
        for lane in self.lanes.values_mut() {
            lane.retain(|other| *other != number);
        }
        let parts = self.parts.get(&number).into_iter().flatten();
        let undoes = self.undoes.iter().filter(|(_, part)| {
            let all = self.parts.get(&number);
            all.is_some_and(|all| all.contains(part))
        });
        let mut all = parts.chain(undoes.map(|(undo, _)| undo));
        let open = all.find(|part| !self.ended.contains_key(part));
        holds(open.is_none(), Rule::Order, || {
            format!("{number} ended before its part {open:?}")
        })?;
        self.ended.insert(number, end);
        Ok(())
    }

    pub(crate) fn refuse(&mut self, why: &'static str) {
        *self.refusals.entry(why).or_default() += 1;
    }
}
