//! How a request is sent, and sent again.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{ANSWER, Client};
use crate::{ClientError, Problem, routes};

/// Pauses before an order is sent again whose connection was lost: a server that is started again is
/// there within them.
const RETRIES: [Duration; 7] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
    Duration::from_millis(3200),
];

impl Client {
    pub(super) fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            url: self.url().to_owned(),
            source: source.without_url(),
        }
    }

    /// What an answer says that is not the one asked for.
    pub(super) async fn refusal(&self, answer: reqwest::Response) -> ClientError {
        let status = answer.status().as_u16();
        match answer.bytes().await {
            Ok(body) => match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => ClientError::Refused(Box::new(problem)),
                Err(_) => ClientError::Answer {
                    url: self.url().to_owned(),
                    status,
                    source: None,
                },
            },
            Err(source) => self.unreachable(source),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &(impl Serialize + ?Sized),
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path, ANSWER)?;
        self.send(request.query(query)).await
    }

    /// `GET {collection}/{name}`, the name escaped.
    pub(super) async fn get_named<T: DeserializeOwned>(
        &self,
        collection: &str,
        name: &str,
    ) -> Result<T, ClientError> {
        let url = self.named(collection, name)?;
        self.send(self.http.get(url).timeout(ANSWER)).await
    }

    /// `{collection}/{name}`, the name escaped.
    pub(super) fn named(&self, collection: &str, name: &str) -> Result<Url, ClientError> {
        let mut url = self.url_of(collection)?;
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.push(name);
            }
            Err(()) => return Err(self.no_url()),
        }
        Ok(url)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, ANSWER)?;
        self.send(request.json(body)).await
    }

    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        timeout: Duration,
    ) -> Result<RequestBuilder, ClientError> {
        let url = self.url_of(path)?;
        Ok(self.http.request(method, url).timeout(timeout))
    }

    pub(super) fn url_of(&self, path: &str) -> Result<Url, ClientError> {
        self.base
            .join(path.trim_start_matches('/'))
            .map_err(|_| self.no_url())
    }

    fn no_url(&self) -> ClientError {
        ClientError::Url {
            url: self.url().to_owned(),
        }
    }

    /// Sends an order, and again when the connection is lost after it may have arrived. A server that
    /// was not there to begin with is not asked again.
    pub(super) async fn send_order<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        key: Option<&str>,
    ) -> Result<T, ClientError> {
        let drawn;
        let key = match key {
            Some(key) => key,
            None => {
                drawn = Uuid::now_v7().to_string();
                &drawn
            }
        };
        let request = request.header(routes::IDEMPOTENCY_KEY, key);
        let mut pauses = RETRIES.iter();
        let mut lost = false;
        loop {
            let Some(again) = request.try_clone() else {
                return self.send(request).await;
            };
            let error = match self.send(again).await {
                Err(ClientError::Unreachable { url, source }) => {
                    if source.is_timeout() || (source.is_connect() && !lost) {
                        return Err(ClientError::Unreachable { url, source });
                    }
                    ClientError::Unreachable { url, source }
                }
                other => return other,
            };
            lost = true;
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            }
        }
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let answer = request
            .send()
            .await
            .map_err(|source| self.unreachable(source))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        let status = answer.status().as_u16();
        let body = answer
            .bytes()
            .await
            .map_err(|source| self.unreachable(source))?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Answer {
            url: self.url().to_owned(),
            status,
            source: Some(source),
        })
    }
}
