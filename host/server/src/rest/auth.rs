//! The bearer token.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use enginehouse_api::{ErrorCode, Problem};

use crate::rest::answer::Refused;

/// Who a request with the installation's token comes from.
pub(crate) const OPERATOR: &str = "operator";

/// Knows the token by its hash; two hashes are compared in constant time.
#[derive(Clone)]
pub(crate) struct Guard(blake3::Hash);

impl Guard {
    pub(crate) fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }
}

pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
    let detail = match shown {
        None => "the request shows no bearer token",
        Some(token) if blake3::hash(token.as_bytes()) == guard.0 => {
            return next.run(request).await;
        }
        Some(_) => "the bearer token is not the one of this installation",
    };
    Refused(
        Problem::new(ErrorCode::Unauthorized, detail)
            .with_hint("it is in the file `token` of the data directory that the host serves"),
    )
    .into_response()
}
