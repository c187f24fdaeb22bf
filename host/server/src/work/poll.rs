//! Asks one hypervisor about many tasks in one call.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_api::{LogSource, Progress};
use enginehouse_documents::{Code, Problem, TaskReport};
use enginehouse_engines::{Connection, Engine, Occasion, TaskQuery, TaskState, TaskStateKind};
use enginehouse_model::{HypervisorUid, OperationId};
use enginehouse_queue::{Event, Phase, PollEnd};

use crate::house::House;
use crate::work::observer::listen;
use crate::work::target::Place;

/// Time for one batch.
const POLL_DEADLINE: Duration = Duration::from_secs(120);

/// Polls the tasks that these operations wait for.
pub(crate) async fn poll(
    house: &Arc<House>,
    generation: u64,
    hypervisor: HypervisorUid,
    operations: Vec<OperationId>,
) {
    let mut waiting = Vec::new();
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
                waiting.push((number, step, query));
            }
        }
    }
    let result = match reach(house, hypervisor) {
        Ok((engine, connection)) => {
            let listeners = waiting
                .iter()
                .map(|(number, step, _)| (*number, Some(*step)))
                .collect();
            let queries: Vec<TaskQuery> =
                waiting.iter().map(|(_, _, query)| query.clone()).collect();
            let occasion = Occasion::reading(POLL_DEADLINE, listen(house, listeners));
            engine
                .poll(occasion, &connection, &queries)
                .await
                .map_err(|error| error.problem())
        }
        Err(problem) => Err(problem),
    };
    for (at, (number, _, _)) in waiting.into_iter().enumerate() {
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
        let _ = house
            .report(generation, number, Event::Polled(end), |_, _, _| {})
            .await;
    }
}

fn reach(
    house: &House,
    hypervisor: HypervisorUid,
) -> Result<(Arc<Engine>, Arc<Connection>), Problem> {
    let place = {
        let state = house.state.lock();
        state.tree.hypervisor(hypervisor).map(Place::of)
    };
    place
        .ok_or_else(|| Problem::new(Code::Conflict, "the hypervisor entry is gone"))?
        .reach(house)
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
