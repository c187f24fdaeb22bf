//! The events of one operation as the client reads them.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::sse::{Parser, Raw};
use crate::{ClientError, End, EndReason, LogLine, Operation, OperationEvent, Reset};

/// Longest time without a sign of life: the server gives one every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Events of an operation, until it has ended or this is dropped.
#[derive(Debug)]
pub struct OperationStream {
    url: String,
    answer: Response,
    parser: Parser,
    events: VecDeque<OperationEvent>,
    over: bool,
}

impl OperationStream {
    pub(crate) fn new(url: String, answer: Response) -> Self {
        Self {
            url,
            answer,
            parser: Parser::default(),
            events: VecDeque::new(),
            over: false,
        }
    }

    /// The next event; `None` after the last, or when the server is silent for so long that the
    /// connection must be gone. Nothing is lost when this is dropped while it waits.
    ///
    /// # Errors
    /// When the connection is lost, or what comes is not understood.
    pub async fn next(&mut self) -> Result<Option<OperationEvent>, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.over = matches!(event, OperationEvent::End(_));
                return Ok(Some(event));
            }
            if self.over {
                return Ok(None);
            }
            let Ok(chunk) = tokio::time::timeout(SILENCE, self.answer.chunk()).await else {
                return Ok(None);
            };
            let chunk = chunk.map_err(|source| ClientError::Unreachable {
                url: self.url.clone(),
                source: source.without_url(),
            })?;
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            let raw = self
                .parser
                .feed(&chunk)
                .map_err(|_| self.not_understood(None))?;
            for raw in raw {
                let event = self.understood(&raw)?;
                self.events.extend(event);
            }
        }
    }

    /// What later versions may tell beside is left out.
    fn understood(&self, raw: &Raw) -> Result<Option<OperationEvent>, ClientError> {
        Ok(match raw.event.as_str() {
            "operation" => {
                let operation = self.read::<Operation>(raw)?;
                Some(OperationEvent::Operation(Box::new(operation)))
            }
            "log" => Some(OperationEvent::Log(self.read::<LogLine>(raw)?)),
            "reset" => Some(OperationEvent::Reset(self.read::<Reset>(raw)?)),
            "end" => Some(OperationEvent::End(self.read::<End>(raw).unwrap_or(End {
                reason: EndReason::Unknown,
            }))),
            _ => None,
        })
    }

    fn read<T: DeserializeOwned>(&self, raw: &Raw) -> Result<T, ClientError> {
        serde_json::from_str(&raw.data).map_err(|source| self.not_understood(Some(source)))
    }

    fn not_understood(&self, source: Option<serde_json::Error>) -> ClientError {
        ClientError::Answer {
            url: self.url.clone(),
            status: self.answer.status().as_u16(),
            source,
        }
    }
}
