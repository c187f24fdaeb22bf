//! What holds of each request that reaches a provider.

use enginehouse_queue::Final;

use crate::provider::{Flight, Request};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// Before the request is carried out.
    pub(crate) fn check_arrival(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        let number = flight.operation;
        let ledger = &self.outside.ledger;
        ledger.may_work(number)?;
        let superseded = ledger.ended.get(&number) == Some(&Final::Superseded);
        let began = ledger.begun.contains(&number);
        holds(began || !superseded, Rule::Superseded, || {
            format!(
                "{number} was superseded, and sends {}",
                flight.request.name()
            )
        })?;
        let copies = matches!(flight.request, Request::Clone { .. });
        let gone_on = ledger.gone_on.get(&number).filter(|_| copies);
        holds(gone_on.is_none(), Rule::Adopted, || {
            format!("{number} was to go on with machine {gone_on:?}, and makes another")
        })?;
        self.check_taken_back(provider, flight)
    }

    /// A rollback destroys only what its own operation made.
    fn check_taken_back(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        let Some(part) = self.outside.ledger.undoes.get(&flight.operation) else {
            return Ok(());
        };
        if flight.request != Request::Destroy {
            return Ok(());
        }
        let provider = self.outside.providers.get(provider);
        let vm = flight.id.and_then(|id| provider?.vms.get(&id));
        let made_by = vm.map(|vm| vm.made_by);
        holds(
            made_by.is_none_or(|by| by == Some(*part)),
            Rule::Rollback,
            || {
                format!(
                    "{} takes {part} back, and destroys machine {:?} of {}, which {made_by:?} made",
                    flight.operation, flight.id, flight.node,
                )
            },
        )
    }
}
