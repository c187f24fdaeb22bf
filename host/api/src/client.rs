//! The client: one method for each route, by what it is about.

mod access;
mod approvals;
mod evidence;
mod hypervisors;
mod operations;
mod sending;
mod tree;

use std::time::Duration;

use enginehouse_model::OperationId;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use crate::{Access, Backup, ClientError, Healthz, Info, Resumed, routes};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the server may take for an answer, beside what a request asks it to wait. Making a plan
/// or checking hypervisors asks their providers, so it is not short.
const ANSWER: Duration = Duration::from_secs(120);

/// The same for an export or import of a large tree.
const IMPORT: Duration = Duration::from_secs(600);

/// The same for a look at hypervisors: every machine of a large one takes hours where it is slow.
const REFRESH: Duration = Duration::from_secs(6 * 3600);

/// The same for a backup, all of it.
const BACKUP: Duration = Duration::from_secs(3600);

/// Speaks to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Ends with `/`.
    base: Url,
}

impl Client {
    /// # Errors
    /// When the URL is none, or the token cannot be sent. Nothing is sent yet.
    pub fn new(access: &Access) -> Result<Self, ClientError> {
        let no_url = || ClientError::Url {
            url: access.url.clone(),
        };
        let base = format!("{}/", access.url.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|_| no_url())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(no_url());
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access.token))
            .map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Fails when the process has one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, base })
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// # Errors
    /// See [`ClientError`]; so for all methods that ask the server.
    pub async fn healthz(&self) -> Result<Healthz, ClientError> {
        self.get(routes::HEALTHZ, &()).await
    }

    pub async fn info(&self) -> Result<Info, ClientError> {
        self.get(routes::INFO, &()).await
    }

    /// All that the host has to remember, as a file that comes in pieces. Reading what it holds is
    /// reading everything: it needs the role admin on the root.
    pub async fn backup(&self) -> Result<BackupStream, ClientError> {
        let request = self.request(Method::GET, routes::BACKUP, BACKUP)?;
        let answer = request
            .send()
            .await
            .map_err(|source| self.unreachable(source))?;
        let info = answer
            .headers()
            .get(routes::BACKUP_HEADER)
            .and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
        match info {
            Some(info) if answer.status().is_success() => Ok(BackupStream {
                info,
                answer,
                url: self.url().to_owned(),
            }),
            // A refusal, or another server's answer.
            Some(_) | None => Err(self.refusal(answer).await),
        }
    }

    /// Lets a host that is on hold after a restore go on.
    pub async fn resume(&self) -> Result<Resumed, ClientError> {
        self.send(self.request(Method::POST, routes::RESUME, ANSWER)?)
            .await
    }
}

/// A backup that is being read.
#[derive(Debug)]
pub struct BackupStream {
    /// What is in it.
    pub info: Backup,
    answer: reqwest::Response,
    url: String,
}

impl BackupStream {
    /// The next piece of the file; none at its end.
    ///
    /// # Errors
    /// When the connection breaks before the end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = self.answer.chunk().await;
        let piece = piece.map_err(|source| ClientError::Unreachable {
            url: self.url.clone(),
            source: source.without_url(),
        })?;
        Ok(piece.map(Into::into))
    }
}

fn numbered(route: &str, number: OperationId) -> String {
    route.replace("{number}", &number.to_string())
}
