//! The way to a host that may be gone at any moment: an order is sent with a key, and sent again with
//! the same key to the next host when nobody knows what became of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use enginehouse_api::{Access, Operation, OperationRequest, Problem, routes};
use enginehouse_model::OperationId;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// How long a host that is being killed all the time may take to answer once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a host is, as long as it lives.
#[derive(Clone, Debug)]
pub struct Door {
    access: Access,
    http: reqwest::Client,
}

/// What a host said.
#[derive(Debug)]
pub enum Said<T> {
    Yes(T),
    No(Box<Problem>),
}

impl Door {
    pub fn of(data: &Path) -> Result<Self> {
        Ok(Self {
            access: Access::of_data_dir(data)?,
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.access.url.trim_end_matches('/'));
        self.http
            .request(method, url)
            .bearer_auth(&self.access.token)
            .timeout(Duration::from_secs(20))
    }
}

/// The host of the moment, once there is one.
async fn open(doors: &mut watch::Receiver<Option<Door>>) -> Result<Door> {
    let found = doors.wait_for(Option::is_some).await?;
    found.clone().context("the door is closed")
}

/// Asks until some host answers.
async fn ask<T: DeserializeOwned>(
    doors: &mut watch::Receiver<Option<Door>>,
    build: impl Fn(&Door) -> RequestBuilder,
) -> Result<Said<T>> {
    let asked = async {
        loop {
            let door = open(doors).await?;
            match once(build(&door)).await {
                Ok(Some(said)) => return Ok(said),
                // Killed before it answered, or between two words of its answer.
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .context("no host answered")?
}

async fn once<T: DeserializeOwned>(request: RequestBuilder) -> Result<Option<Said<T>>> {
    let Ok(response) = request.send().await else {
        return Ok(None);
    };
    let status = response.status();
    let Ok(body) = response.bytes().await else {
        return Ok(None);
    };
    if status.is_success() {
        let answer = serde_json::from_slice(&body)
            .with_context(|| format!("not understood: {}", String::from_utf8_lossy(&body)))?;
        return Ok(Some(Said::Yes(answer)));
    }
    let problem: Problem = serde_json::from_slice(&body)
        .with_context(|| format!("{status}: {}", String::from_utf8_lossy(&body)))?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Ok(None);
    }
    if status.is_server_error() {
        bail!("the host answers {status}: {problem:?}");
    }
    Ok(Some(Said::No(Box::new(problem))))
}

/// Orders something, as often as it takes, under one key.
pub async fn order(
    doors: &mut watch::Receiver<Option<Door>>,
    request: &OperationRequest,
    key: &str,
) -> Result<Said<Operation>> {
    ask(doors, |door| {
        door.request(Method::POST, routes::OPERATIONS)
            .header(routes::IDEMPOTENCY_KEY, key)
            .json(request)
    })
    .await
}

pub async fn operation(
    doors: &mut watch::Receiver<Option<Door>>,
    number: OperationId,
) -> Result<Said<Operation>> {
    let path = format!("{}/{number}", routes::OPERATIONS);
    ask(doors, |door| door.request(Method::GET, &path)).await
}

pub async fn cancel(
    doors: &mut watch::Receiver<Option<Door>>,
    number: OperationId,
) -> Result<Said<Operation>> {
    let path = format!("{}/{number}/cancel", routes::OPERATIONS);
    ask(doors, |door| door.request(Method::POST, &path)).await
}
