//! The journal of a step's `once` request, as the engine runtime asks for it.

use std::sync::Arc;

use enginehouse_engines::{Begun, JournalError, OnceEnd, OnceJournal, OnceRequest, StoredResponse};
use enginehouse_model::OperationId;
use enginehouse_queue::{Event, Once};
use futures_util::future::BoxFuture;

use crate::house::{House, State};

/// One step of one operation.
pub(crate) struct StepJournal {
    pub house: Arc<House>,
    pub generation: u64,
    pub operation: OperationId,
}

impl OnceJournal for StepJournal {
    fn begin<'a>(&'a self, request: &'a OnceRequest) -> BoxFuture<'a, Result<Begun, JournalError>> {
        Box::pin(async move {
            let once = {
                let state = self.house.state.lock();
                state
                    .queue
                    .get(self.operation)
                    .map(|operation| operation.state.once.clone())
            };
            match once {
                None => Ok(Begun::Refuse("the operation has ended".to_owned())),
                Some(Once::Sending { .. }) => Ok(Begun::Refuse(
                    "the step's request was sent already and its answer is not known".to_owned(),
                )),
                Some(Once::Answered {
                    sent,
                    digest,
                    response,
                }) => {
                    let response: StoredResponse = response
                        .read()
                        .map_err(|error| JournalError(error.to_string()))?;
                    Ok(Begun::Replay {
                        request: OnceRequest {
                            sent: *sent,
                            digest,
                        },
                        response,
                    })
                }
                Some(Once::None) => {
                    let sending = Event::Sending {
                        sent: request.sent.clone(),
                        digest: request.digest.clone(),
                    };
                    let (moment, number) = (self.house.steady.moment(), self.operation);
                    self.report(sending, move |state| {
                        state.live.entry(number).or_default().sent_at = Some(moment);
                    })
                    .await?;
                    Ok(Begun::Send)
                }
            }
        })
    }

    fn answered<'a>(&'a self, end: &'a OnceEnd) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            match end {
                OnceEnd::Answered(response) => {
                    let response = serde_json::to_value(response)
                        .map_err(|error| JournalError(error.to_string()))?;
                    self.report(Event::Answered(response), |_| {}).await
                }
                OnceEnd::NotSent(reason) => {
                    self.report(Event::NotSent(reason.clone()), |_| {}).await
                }
                // The entry before says all that is known.
                OnceEnd::Lost(_) => Ok(()),
            }
        })
    }
}

impl StepJournal {
    async fn report(
        &self,
        event: Event,
        also: impl FnOnce(&mut State),
    ) -> Result<(), JournalError> {
        self.house
            .report(self.generation, self.operation, event, |state, _, _| {
                also(state);
            })
            .await
            .map_err(|problem| JournalError(problem.detail))
    }
}
