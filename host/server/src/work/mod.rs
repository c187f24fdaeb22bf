//! Carries out the queue's commands: the part of the host that does something.

mod before;
mod call;
mod definition;
mod doubted;
mod earlier;
mod observe;
mod observer;
mod occasion;
mod once;
mod plan;
mod poll;
mod prepare;
mod probe;
mod replaced;
mod reserve;
mod rollback;
mod settle;
mod taken;
mod target;
mod timer;
mod turns;

use std::sync::Arc;

use enginehouse_queue::Command;

use crate::house::House;

pub(crate) use doubted::outcome_of;
pub(crate) use observe::Freshness;
pub(crate) use plan::{plan_automatic, plan_definitions, plan_nodes, plan_rollback};
pub(crate) use replaced::replaces;
pub(crate) use reserve::key as reservation_key;
pub(crate) use rollback::did_something;
pub(crate) use taken::take_as_done;
pub(crate) use target::{Checks, Place, Target, check, check_provider, provider_identity};
pub(crate) use timer::run_timer;
pub(crate) use turns::Turns;

/// Starts what the commands ask for; returns at once.
pub(crate) fn carry_out(house: &Arc<House>, commands: Vec<Command>) {
    let state = house.state.lock();
    if state.hold.is_some() {
        // All of it is asked for again when the hold is over.
        return;
    }
    let generation = state.generation;
    for command in commands {
        let house = Arc::clone(house);
        let hypervisor = match &command {
            Command::Prepare { operation }
            | Command::Call { operation }
            | Command::Settle { operation } => {
                let operation = state.queue.get(*operation);
                operation.and_then(|operation| operation.spec.hypervisor)
            }
            _ => None,
        };
        match command {
            Command::Prepare { operation } => {
                tokio::spawn(async move {
                    let work = || prepare::prepare(&house, generation, operation);
                    house.turns.take(hypervisor, work).await;
                });
            }
            Command::Call { operation } => {
                tokio::spawn(async move {
                    let work = || call::call(&house, generation, operation);
                    house.turns.take(hypervisor, work).await;
                });
            }
            Command::Settle { operation } => {
                tokio::spawn(async move {
                    let work = || settle::settle(&house, generation, operation);
                    house.turns.take(hypervisor, work).await;
                });
            }
            Command::Poll {
                hypervisor,
                operations,
            } => {
                tokio::spawn(async move {
                    poll::poll(&house, generation, hypervisor, operations).await;
                });
            }
            Command::Probe { hypervisor } => {
                tokio::spawn(async move { probe::probe(&house, generation, hypervisor).await });
            }
            Command::RollBack { operation } => {
                tokio::spawn(async move {
                    rollback::roll_back(&house, generation, operation).await;
                });
            }
            // Who waits for it hears of the commit itself.
            Command::Finish { .. } => {}
        }
    }
}
