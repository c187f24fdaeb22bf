//! What can go wrong with a request to the server.

use thiserror::Error;

use crate::Problem;

/// Why the client has no answer to give.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server refused it; the problem says why and what to do.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    #[error("cannot reach the server at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The server is there and its answer is none of ours.
    #[error("the server at {url} gave an answer that is not understood (HTTP status {status})")]
    Answer {
        url: String,
        status: u16,
        #[source]
        source: Option<serde_json::Error>,
    },
    #[error("`{url}` is no address of a server")]
    Url { url: String },
    #[error("the token contains characters that cannot be sent")]
    Token,
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

impl ClientError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(problem) => problem.hint.clone(),
            Self::Unreachable { .. } => Some(
                "is it running? start it with `enginehouse serve`, or name another one with \
                 --server or --data"
                    .to_owned(),
            ),
            Self::Answer { .. } => Some(
                "is that an Enginehouse server, of the same version as this client?".to_owned(),
            ),
            Self::Url { .. } => Some("write it as http://127.0.0.1:7878".to_owned()),
            Self::Token => Some("the token file holds one line of plain text".to_owned()),
            Self::Setup(_) => None,
        }
    }
}
