//! The host's own secrets. Their values come in and never go out.

use axum::Json;
use enginehouse_api::{ErrorCode, Operation, Problem, SecretList, SecretValue};
use enginehouse_model::{SecretName, SecretNameError};
use enginehouse_secrets::Zeroizing;

use crate::access::Caller;
use crate::rest::answer::{Answer, Body, InPath};

pub(crate) async fn list(caller: Caller) -> Answer<Json<SecretList>> {
    Ok(Json(crate::secrets::list(&caller)?))
}

pub(crate) async fn set(
    caller: Caller,
    InPath(name): InPath<String>,
    Body(body): Body<SecretValue>,
) -> Answer<Json<Operation>> {
    let value = Zeroizing::new(body.value);
    let name = named(&name)?;
    Ok(Json(crate::secrets::set(&caller, name, value).await?))
}

pub(crate) async fn remove(
    caller: Caller,
    InPath(name): InPath<String>,
) -> Answer<Json<Operation>> {
    let name = named(&name)?;
    Ok(Json(crate::secrets::remove(&caller, name).await?))
}

pub(crate) async fn rotate_key(caller: Caller) -> Answer<Json<Operation>> {
    Ok(Json(crate::secrets::rotate_key(&caller).await?))
}

fn named(name: &str) -> Result<SecretName, Problem> {
    name.parse()
        .map_err(|error: SecretNameError| Problem::new(ErrorCode::BadRequest, error.to_string()))
}
