//! Reads machines in full, some at a time.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, MachineRef, Problem};
use enginehouse_engines::{Connection, Engine, Observer, Occasion, Silent};
use enginehouse_model::HypervisorUid;

use crate::house::House;
use crate::work::Place;

/// Time for one call.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(120);
/// Machines in one call: few enough to be done long before the deadline where each takes a second.
pub(super) const AT_ONCE: usize = 50;

/// What became of full reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub read: usize,
    /// Those that the provider refused or could not answer.
    pub failed: usize,
}

/// Reads these machines and keeps what is seen; what was read before an error stays.
///
/// # Errors
/// When a call failed as a whole: what is left was not tried.
pub(super) async fn read(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    machines: &[MachineRef],
    observer: &Arc<dyn Observer>,
) -> Result<Reads, Problem> {
    let mut reads = Reads::default();
    let hypervisor = connection.hypervisor();
    let slot = house.inventories.slot(hypervisor);
    let _reading = slot.reading.lock().await;
    let _progress = Progress::begin(house, hypervisor, machines.len());
    for (batch, done) in machines.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
        slot.kept.lock().reading = Some((done, machines.len()));
        let occasion = Occasion::reading(READ_DEADLINE, Arc::clone(observer));
        let began_at = house.now();
        let found = engine
            .read(occasion, connection, batch)
            .await
            .map_err(|error| error.problem())?;
        let mut kept = slot.kept.lock();
        for (machine, found) in batch.iter().zip(found) {
            match found {
                Ok(found) => {
                    reads.read += 1;
                    kept.take_read(&machine.id, began_at, &found);
                }
                Err(problem) => {
                    // Gone since the list: the next one says so.
                    reads.failed += usize::from(problem.code != Code::NotFound);
                    kept.take_refusal(&machine.id, began_at, problem);
                }
            }
        }
    }
    Ok(reads)
}

/// The same for whoever has to see these machines whole.
///
/// # Errors
/// When the hypervisor cannot be reached, or a call failed as a whole.
pub(crate) async fn read_in_full(
    house: &Arc<House>,
    place: &Place,
    machines: &[MachineRef],
) -> Result<Reads, Problem> {
    let (engine, connection) = place.reach(house)?;
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    read(house, &engine, &connection, machines, &observer).await
}

/// Says that nothing is read any more, also when the reading is given up half-way.
struct Progress<'a> {
    house: &'a House,
    hypervisor: HypervisorUid,
}

impl<'a> Progress<'a> {
    fn begin(house: &'a House, hypervisor: HypervisorUid, of: usize) -> Self {
        let inventories = &house.inventories;
        inventories.with(hypervisor, |kept| kept.reading = Some((0, of)));
        Self { house, hypervisor }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        let inventories = &self.house.inventories;
        inventories.with(self.hypervisor, |kept| kept.reading = None);
    }
}
