//! Answers and bodies: JSON, or an RFC 9457 problem.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enginehouse_api::routes::PROBLEM_JSON;
use enginehouse_api::{ErrorCode, Problem};
use serde::de::DeserializeOwned;

/// A problem as an answer.
#[derive(Debug)]
pub(crate) struct Refused(pub Problem);

pub(crate) type Answer<T> = Result<T, Refused>;

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON body; one that is none is a problem.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refused(of_json(&rejection))),
        }
    }
}

fn of_json(rejection: &JsonRejection) -> Problem {
    let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ErrorCode::TooLarge
    } else {
        ErrorCode::BadRequest
    };
    let problem = Problem::new(code, crate::problem::with_sources(rejection));
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            problem.with_hint("send JSON with `content-type: application/json`")
        }
        _ => problem,
    }
}

/// Parameters in the query; wrong ones are a problem.
pub(crate) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let result: Result<Query<T>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        match result {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refused(Problem::new(
                ErrorCode::BadRequest,
                crate::problem::with_sources(&rejection),
            ))),
        }
    }
}

/// What stands in the path; a wrong one is a problem.
pub(crate) struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let result: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        match result {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refused(Problem::new(
                ErrorCode::BadRequest,
                crate::problem::with_sources(&rejection),
            ))),
        }
    }
}

pub(crate) async fn no_route(request: Request) -> Refused {
    Refused(Problem::new(
        ErrorCode::NotFound,
        format!("there is no {}", request.uri().path()),
    ))
}

pub(crate) async fn no_method(request: Request) -> Refused {
    Refused(Problem::new(
        ErrorCode::BadRequest,
        format!(
            "{} does not take {}",
            request.uri().path(),
            request.method()
        ),
    ))
}
