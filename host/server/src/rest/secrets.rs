//! The host's own secrets. Their values come in and never go out.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::Response;
use enginehouse_api::{ErrorCode, Problem, SecretList, SecretValue};
use enginehouse_model::{SecretName, SecretNameError};
use enginehouse_secrets::Zeroizing;
use enginehouse_tree::Permission;

use crate::access::Caller;
use crate::idempotency::OrderKey;
use crate::rest::answer::{Answer, Body, InPath};
use crate::rest::operations::ordered;

pub(crate) async fn list(caller: Caller) -> Answer<Json<SecretList>> {
    Ok(Json(crate::secrets::list(&caller)?))
}

pub(crate) async fn set(
    caller: Caller,
    headers: HeaderMap,
    InPath(name): InPath<String>,
    Body(body): Body<SecretValue>,
) -> Answer<Response> {
    let value = Zeroizing::new(body.value);
    let name = named(&name)?;
    let order = (&name, value.as_str());
    let key = OrderKey::of(&caller, &headers, "PUT /v1/secrets", &order)?;
    let taken = crate::secrets::set(&caller, name, value, key).await?;
    ordered(&caller, taken, Permission::Govern).await
}

pub(crate) async fn remove(
    caller: Caller,
    headers: HeaderMap,
    InPath(name): InPath<String>,
) -> Answer<Response> {
    let name = named(&name)?;
    let key = OrderKey::of(&caller, &headers, "DELETE /v1/secrets", &name)?;
    let taken = crate::secrets::remove(&caller, name, key).await?;
    ordered(&caller, taken, Permission::Govern).await
}

pub(crate) async fn rotate_key(caller: Caller, headers: HeaderMap) -> Answer<Response> {
    let key = OrderKey::of(&caller, &headers, "POST /v1/secret-key/rotate", &())?;
    let taken = crate::secrets::rotate_key(&caller, key).await?;
    ordered(&caller, taken, Permission::Govern).await
}

fn named(name: &str) -> Result<SecretName, Problem> {
    name.parse()
        .map_err(|error: SecretNameError| Problem::new(ErrorCode::BadRequest, error.to_string()))
}
