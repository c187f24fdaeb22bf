//! Asks one hypervisor about many tasks in one call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_api::{LogSource, Progress};
use enginehouse_documents::{Code, Problem, TaskReport};
use enginehouse_engines::{Connection, Engine, Occasion, TaskQuery, TaskState, TaskStateKind};
use enginehouse_model::{HypervisorUid, OperationId};
use enginehouse_queue::{Event, Phase, PollEnd};

use crate::house::House;
use crate::kept_engines::StepEngine;
use crate::work::observer::listen_to_poll;
use crate::work::target::Place;

/// Time for one batch.
const POLL_DEADLINE: Duration = Duration::from_secs(120);

/// A task that is asked about, for an operation and its step.
type Waiting = (OperationId, u32, TaskQuery);

/// Polls the tasks that these operations wait for; those that another engine began by that one.
pub(crate) async fn poll(
    house: &Arc<House>,
    generation: u64,
    hypervisor: HypervisorUid,
    operations: Vec<OperationId>,
) {
    let mut by_engine: BTreeMap<Option<StepEngine>, Vec<Waiting>> = BTreeMap::new();
    {
        let state = house.state.lock();
        for number in operations {
            let Some(operation) = state.queue.get(number) else {
                continue;
            };
            if let Phase::Waiting { task, cursor, .. } = &operation.phase {
                let step = u32::try_from(operation.step).unwrap_or(u32::MAX) + 1;
                let query = TaskQuery {
                    task: task.clone(),
                    cursor: cursor.clone(),
                };
                let live = state.live.get(&number);
                let engine = live.and_then(|live| live.engine.clone());
                let waiting = by_engine.entry(engine).or_default();
                waiting.push((number, step, query));
            }
        }
    }
    for (engine, waiting) in by_engine {
        poll_with(house, generation, hypervisor, engine.as_ref(), waiting).await;
    }
}

async fn poll_with(
    house: &Arc<House>,
    generation: u64,
    hypervisor: HypervisorUid,
    engine: Option<&StepEngine>,
    waiting: Vec<Waiting>,
) {
    let mut begun_with = None;
    if let Some(named) = engine {
        begun_with = house.engine_named(named);
        if begun_with.is_none() {
            let missing = waiting.into_iter().map(|(number, _, _)| {
                let end = PollEnd::Failed(named.missing(number));
                (number, Event::Polled(end))
            });
            house.report_all(generation, missing.collect()).await;
            return;
        }
    }
    let result = match reach(house, hypervisor, begun_with) {
        Ok((engine, connection)) => {
            let listeners = waiting
                .iter()
                .map(|(number, step, _)| (*number, Some(*step)))
                .collect();
            let queries: Vec<TaskQuery> =
                waiting.iter().map(|(_, _, query)| query.clone()).collect();
            let occasion = Occasion::reading(POLL_DEADLINE, listen_to_poll(house, listeners));
            engine
                .poll(occasion, &connection, &queries)
                .await
                .map_err(|error| error.problem())
        }
        Err(problem) => Err(problem),
    };
    let ends = waiting.into_iter().enumerate().map(|(at, (number, _, _))| {
        let end = match &result {
            Ok(states) => match states.get(at) {
                Some(state) => take_in(house, number, state),
                None => PollEnd::Failed(Problem::new(
                    Code::Provider,
                    "the engine left the task out of its answer",
                )),
            },
            Err(problem) => PollEnd::Failed(problem.clone()),
        };
        (number, Event::Polled(end))
    });
    house.report_all(generation, ends.collect()).await;
}

fn reach(
    house: &House,
    hypervisor: HypervisorUid,
    begun_with: Option<Arc<Engine>>,
) -> Result<(Arc<Engine>, Arc<Connection>), Problem> {
    let place = {
        let state = house.state.lock();
        state.tree.hypervisor(hypervisor).map(Place::of)
    };
    let place =
        place.ok_or_else(|| Problem::new(Code::Conflict, "the hypervisor entry is gone"))?;
    let Some(engine) = begun_with else {
        return place.reach(house);
    };
    let connection = place.connection(house, &engine)?;
    Ok((engine, connection))
}

fn take_in(house: &House, number: OperationId, task: &TaskState) -> PollEnd {
    let TaskReport {
        percent,
        lines,
        end,
        ..
    } = &task.report;
    let now = house.now();
    let mut state = house.state.lock();
    let message = state
        .queue
        .get(number)
        .map(crate::view::message)
        .unwrap_or_default();
    let live = state.live.entry(number).or_default();
    for line in lines {
        live.log(now, "info", LogSource::Task, line);
    }
    let progress = Progress {
        percent: percent.or_else(|| live.progress.as_ref().and_then(|progress| progress.percent)),
        message,
    };
    if live.progress.as_ref() != Some(&progress) {
        live.progress = Some(progress);
        house.feed.progressed(number);
    }
    if !lines.is_empty() {
        house.feed.touch(&[number]);
    }
    match task.state {
        TaskStateKind::Running => PollEnd::Running {
            cursor: task.cursor.clone(),
        },
        TaskStateKind::Ended => PollEnd::Ended(end.clone().unwrap_or_default()),
        TaskStateKind::Lost => PollEnd::Lost,
    }
}
