//! Numbers of which a provider lets us choose one, reserved for the operation that asked.
//!
//! A number is taken when the newest list shows it, when a machine on record has it (it may be newer
//! than the list), when another operation holds it, or when the provider refused it. The reservation is stored with the step's next token (and before it, here:
//! a row too many is pruned when the operation ends).

use std::sync::Arc;

use enginehouse_documents::{Code, Problem};
use enginehouse_engines::Reservations;
use enginehouse_model::{HypervisorUid, OperationId};
use enginehouse_store::Table;
use futures_util::future::BoxFuture;

use crate::house::{House, RESERVATION_VERSION};

/// On behalf of one operation.
pub(crate) struct OperationReservations {
    pub house: Arc<House>,
    pub generation: u64,
    pub operation: OperationId,
    pub hypervisor: HypervisorUid,
}

pub(crate) fn key(hypervisor: HypervisorUid, space: &str, number: u64) -> String {
    format!("{hypervisor}/{space}/{number}")
}

impl Reservations for OperationReservations {
    fn reserve<'a>(
        &'a self,
        space: &'a str,
        lowest: u64,
        highest: u64,
        refused: &'a [u64],
    ) -> BoxFuture<'a, Result<u64, Problem>> {
        Box::pin(async move {
            let list = self.house.inventories.newest(self.hypervisor);
            self.house
                .transact(|state, staged, _| {
                    if state.generation != self.generation {
                        return Err(enginehouse_api::Problem::new(
                            enginehouse_api::ErrorCode::Stale,
                            "the host has loaded its state again",
                        ));
                    }
                    let ours = state
                        .reservations
                        .iter()
                        .find(|((hypervisor, of, number), holder)| {
                            *hypervisor == self.hypervisor
                                && of == space
                                && **holder == self.operation
                                && (lowest..=highest).contains(number)
                                && !refused.contains(number)
                        })
                        .map(|((_, _, number), _)| *number);
                    if let Some(number) = ours {
                        return Ok(Some(number));
                    }
                    let listed = list.iter().flat_map(|list| list.entries());
                    let listed = listed.map(|entry| &*entry.shown.id);
                    let recorded = state.records.values();
                    let recorded = recorded
                        .filter(|record| record.hypervisor == self.hypervisor)
                        .filter_map(|record| record.identity.as_ref())
                        .map(|identity| &*identity.machine_id);
                    let taken: std::collections::BTreeSet<u64> = listed
                        .chain(recorded)
                        .filter_map(|id| id.parse().ok())
                        .collect();
                    let free = (lowest..=highest).find(|number| {
                        !taken.contains(number)
                            && !refused.contains(number)
                            && !state.reservations.contains_key(&(
                                self.hypervisor,
                                space.to_owned(),
                                *number,
                            ))
                    });
                    if let Some(number) = free {
                        state
                            .reservations
                            .insert((self.hypervisor, space.to_owned(), number), self.operation);
                        staged.put(
                            Table::Reservation,
                            key(self.hypervisor, space, number),
                            RESERVATION_VERSION,
                            &self.operation,
                        );
                    }
                    Ok(free)
                })
                .await
                .map_err(|problem| Problem::new(Code::Busy, problem.detail))?
                .ok_or_else(|| {
                    Problem::new(
                        Code::Busy,
                        format!("no free {space} from {lowest} to {highest} is left"),
                    )
                })
        })
    }
}
