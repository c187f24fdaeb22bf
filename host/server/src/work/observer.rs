//! Writes what an engine's call says and does into the logs of its operations.

use std::sync::Arc;

use enginehouse_api::{LogSource, Progress};
use enginehouse_engines::{Observer, RequestLine};
use enginehouse_model::OperationId;

use crate::house::House;

/// Listens to one call on behalf of one or several operations.
struct Listener {
    house: Arc<House>,
    operations: Vec<(OperationId, Option<u32>)>,
    /// It asks how tasks are.
    polls: bool,
}

/// Listens for operations, each with the step (from 1) that it is in.
pub(crate) fn listen(
    house: &Arc<House>,
    operations: Vec<(OperationId, Option<u32>)>,
) -> Arc<dyn Observer> {
    Arc::new(Listener {
        house: Arc::clone(house),
        operations,
        polls: false,
    })
}

/// As [`listen`], to a poll of the tasks of these operations.
pub(crate) fn listen_to_poll(
    house: &Arc<House>,
    operations: Vec<(OperationId, Option<u32>)>,
) -> Arc<dyn Observer> {
    Arc::new(Listener {
        house: Arc::clone(house),
        operations,
        polls: true,
    })
}

impl Observer for Listener {
    fn progress(&self, percent: Option<u8>, message: &str) {
        let mut state = self.house.state.lock();
        for (number, _) in &self.operations {
            if let Some(live) = state.live.get_mut(number) {
                live.progress = Some(Progress {
                    percent,
                    message: message.to_owned(),
                });
            }
        }
        drop(state);
        for (number, _) in &self.operations {
            self.house.feed.progressed(*number);
        }
        self.house.changed.send_modify(|count| *count += 1);
    }

    fn log(&self, level: &str, message: &str) {
        let now = self.house.now();
        let mut state = self.house.state.lock();
        for (number, _) in &self.operations {
            if let Some(live) = state.live.get_mut(number) {
                live.log(now, level, LogSource::Engine, message);
            }
        }
        drop(state);
        for (number, _) in &self.operations {
            self.house.feed.touch(&[*number]);
        }
    }

    fn request(&self, line: &RequestLine) {
        tracing::debug!(
            method = %line.method,
            path = %line.path,
            status = ?line.status,
            effect = line.effect.as_str(),
            "request"
        );
        let now = self.house.now();
        let poll = (self.polls && !line.login).then(|| Arc::new(line.clone()));
        let mut state = self.house.state.lock();
        for (number, step) in &self.operations {
            let Some(live) = state.live.get_mut(number) else {
                continue;
            };
            match &poll {
                Some(poll) => live.poll(now, *step, poll),
                None => live.request(now, step.filter(|_| !line.login), line),
            }
        }
    }
}
