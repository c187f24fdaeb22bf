//! Machines of a hypervisor that become descriptors'.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{AdoptionAnswer, AdoptionRequest};
use enginehouse_tree::Permission;

use crate::access::Caller;
use crate::idempotency::{OrderKey, Taken, replayed};
use crate::rest::answer::{Answer, Body};
use crate::rest::operations::{say_replayed, status_of};

pub(crate) async fn make(
    caller: Caller,
    headers: HeaderMap,
    Body(request): Body<AdoptionRequest>,
) -> Answer<Response> {
    let key = OrderKey::of(&caller, &headers, "POST /v1/adoptions", &request)?;
    let (answer, again) = match crate::orders::adopt(&caller, &request, key).await? {
        Taken::New(answer) => (answer, false),
        Taken::Before(before) => {
            let operation = replayed(&caller, before, Permission::Operate).await?;
            let (hypervisor, into) = (request.hypervisor, request.into);
            (AdoptionAnswer::replayed(hypervisor, into, operation), true)
        }
    };
    let status = answer.operation.as_ref().map_or(StatusCode::OK, status_of);
    let mut response = (status, Json(answer)).into_response();
    if again {
        say_replayed(&mut response);
    }
    Ok(response)
}
