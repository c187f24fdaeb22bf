//! Credentials, presented by the host's own code.
//!
//! A session scheme logs in when the first request needs it, once for all who wait, and again when
//! the session is old or an engine said that it has expired. A refused password is remembered for a
//! while: ten waiting operations must not lock the account.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enginehouse_documents::{Code, Problem};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exchange::{Reporting, reason};
use super::spec::{Auth, ConnectionError, ConnectionSpec};
use super::{Connection, Effect, RequestLine};

/// A Proxmox ticket lives two hours (Proxmox VE API, `access/ticket`).
const RENEW_AFTER: Duration = Duration::from_secs(105 * 60);
/// How long a refused password is not tried again.
const REFUSAL_COUNTS: Duration = Duration::from_secs(10);
const LOGIN_PATH: &str = "/api2/json/access/ticket";
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
const LOGIN_ANSWER_MAX: usize = 64 << 10;

/// What goes into the headers of each request.
pub(crate) enum Credentials {
    None,
    /// One header, the same for every request.
    Fixed(HeaderName, HeaderValue),
    Ticket(Session),
}

#[derive(Default)]
pub(crate) struct Session {
    state: Mutex<State>,
    /// Number of logins so far.
    generation: AtomicU64,
    /// Sessions up to this generation are no longer good.
    expired: AtomicU64,
}

#[derive(Default)]
struct State {
    ticket: Option<Ticket>,
    refused: Option<(Instant, Problem)>,
}

struct Ticket {
    cookie: HeaderValue,
    csrf: HeaderValue,
    at: Instant,
    generation: u64,
}

#[derive(Deserialize)]
struct LoginAnswer {
    data: Option<LoginData>,
}

#[derive(Deserialize)]
struct LoginData {
    ticket: Option<String>,
    #[serde(rename = "CSRFPreventionToken")]
    csrf: Option<String>,
}

impl Credentials {
    /// Checks that the spec has what its scheme needs.
    pub(crate) fn new(spec: &ConnectionSpec) -> Result<Self, ConnectionError> {
        let missing = |field: &str, hint: &str| ConnectionError::Missing {
            hypervisor: spec.name.clone(),
            field: field.to_owned(),
            hint: hint.to_owned(),
        };
        let invalid = |field: &str, value: &str, hint: String| ConnectionError::Invalid {
            hypervisor: spec.name.clone(),
            field: field.to_owned(),
            value: value.to_owned(),
            hint,
        };
        let needs_user = |hint: &str| {
            if spec.user.is_empty() {
                Err(missing("user", hint))
            } else {
                Ok(())
            }
        };
        let needs_password = |hint: &str| {
            if spec.password.is_empty() {
                Err(missing("password", hint))
            } else {
                Ok(())
            }
        };
        let secret = |text: String| {
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                let hint = "it has characters that a header cannot carry (line breaks?)";
                invalid("password", "(secret)", hint.to_owned())
            })?;
            value.set_sensitive(true);
            Ok(value)
        };
        let password = spec.password.reveal();
        match &spec.auth {
            Auth::None => Ok(Self::None),
            Auth::Basic => {
                needs_user("the scheme `basic` needs a user")?;
                if spec.user.contains(':') {
                    let hint = "a user of the scheme `basic` has no `:` (RFC 7617)".to_owned();
                    return Err(invalid("user", &spec.user, hint));
                }
                let encoded = STANDARD.encode(format!("{}:{password}", spec.user));
                Ok(Self::Fixed(
                    AUTHORIZATION,
                    secret(format!("Basic {encoded}"))?,
                ))
            }
            Auth::Bearer => {
                needs_password("the scheme `bearer` needs the token as the password")?;
                Ok(Self::Fixed(
                    AUTHORIZATION,
                    secret(format!("Bearer {password}"))?,
                ))
            }
            Auth::Header { name } => {
                needs_password("the scheme `header` needs the header's value as the password")?;
                let lower = name.to_ascii_lowercase();
                let known = (Auth::HEADERS.iter()).find(|known| **known == lower);
                let Some(known) = known else {
                    let hint = format!("write one of {}", Auth::HEADERS.join(", "));
                    return Err(invalid("auth.header", name, hint));
                };
                Ok(Self::Fixed(
                    HeaderName::from_static(known),
                    secret(password.to_owned())?,
                ))
            }
            Auth::ProxmoxToken => {
                let hint = "write the token's whole id, as in root@pam!enginehouse";
                needs_user(hint)?;
                needs_password("a Proxmox token needs its secret (a UUID) as the password")?;
                if !proxmox_token_id(&spec.user) {
                    return Err(invalid("user", &spec.user, hint.to_owned()));
                }
                let text = format!("PVEAPIToken={}={password}", spec.user);
                Ok(Self::Fixed(AUTHORIZATION, secret(text)?))
            }
            Auth::ProxmoxTicket => {
                let hint = "write the user with its realm, as in root@pam";
                needs_user(hint)?;
                needs_password("a Proxmox login needs a password")?;
                if !spec.user.contains('@') || spec.user.contains('!') {
                    return Err(invalid("user", &spec.user, hint.to_owned()));
                }
                Ok(Self::Ticket(Session::default()))
            }
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Ticket(session) => Some(session),
            Self::None | Self::Fixed(..) => None,
        }
    }
}

fn proxmox_token_id(user: &str) -> bool {
    (user.split_once('!')).is_some_and(|(user, token)| user.contains('@') && !token.is_empty())
}

impl Session {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn expire(&self, generation: u64) {
        self.expired.fetch_max(generation, Ordering::AcqRel);
    }

    fn is_good(&self, ticket: &Ticket) -> bool {
        ticket.generation > self.expired.load(Ordering::Acquire)
            && ticket.at.elapsed() < RENEW_AFTER
    }
}

impl Connection {
    /// Adds the credentials; answers the generation of the session, 0 where there is none.
    pub(crate) async fn authorize(
        &self,
        headers: &mut HeaderMap,
        method: &Method,
        deadline: Instant,
        reporting: &Reporting,
    ) -> Result<u64, Problem> {
        let session = match &self.credentials {
            Credentials::None => return Ok(0),
            Credentials::Fixed(name, value) => {
                headers.insert(name.clone(), value.clone());
                return Ok(0);
            }
            Credentials::Ticket(session) => session,
        };
        let mut state = session.state.lock().await;
        if let Some((at, problem)) = &state.refused
            && at.elapsed() < REFUSAL_COUNTS
        {
            return Err(problem.clone());
        }
        let kept = state.ticket.take().filter(|ticket| session.is_good(ticket));
        let ticket = match kept {
            Some(ticket) => ticket,
            None => match self.log_in(session, deadline, reporting).await {
                Ok(ticket) => ticket,
                Err(problem) => {
                    state.refused =
                        (problem.code == Code::Denied).then(|| (Instant::now(), problem.clone()));
                    return Err(problem);
                }
            },
        };
        headers.insert(COOKIE, ticket.cookie.clone());
        if *method != Method::GET {
            let name = HeaderName::from_static("csrfpreventiontoken");
            headers.insert(name, ticket.csrf.clone());
        }
        let generation = ticket.generation;
        state.refused = None;
        state.ticket = Some(ticket);
        Ok(generation)
    }

    async fn log_in(
        &self,
        session: &Session,
        deadline: Instant,
        reporting: &Reporting,
    ) -> Result<Ticket, Problem> {
        tokio::time::sleep(self.turn()?).await;
        let began = Instant::now();
        let mut body = String::new();
        for (name, value) in [
            ("username", self.spec.user.as_str()),
            ("password", self.spec.password.reveal()),
        ] {
            if !body.is_empty() {
                body.push('&');
            }
            body.push_str(name);
            body.push('=');
            body.push_str(&crate::redact::percent_encoded(value, "%20", false));
        }
        let bytes = body.len() as u64;
        let timeout = deadline.saturating_duration_since(began).min(LOGIN_TIMEOUT);
        let result = self.send_login(body, timeout).await;
        let (status, error) = match &result {
            Ok((status, ..)) => (Some(*status), None),
            Err(problem) => (None, Some(self.redactor.text(&problem.message))),
        };
        reporting.observer.request(&RequestLine {
            endpoint: "host".to_owned(),
            method: "POST".to_owned(),
            path: LOGIN_PATH.to_owned(),
            effect: Effect::Read,
            status,
            error,
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes,
            login: true,
            replayed: false,
        });
        let (status, reason, answer) = result?;
        self.read_login(session, status, &reason, &answer)
    }

    async fn send_login(
        &self,
        body: String,
        timeout: Duration,
    ) -> Result<(u16, String, Vec<u8>), Problem> {
        let Some(endpoint) = self.endpoints.get("host") else {
            return Err(Problem::new(
                Code::Invalid,
                "the hypervisor has no endpoint `host`",
            ));
        };
        let sent = (self.fresh.post(endpoint.url(LOGIN_PATH)?))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .timeout(timeout)
            .body(body)
            .send()
            .await;
        let failed = |error: reqwest::Error| self.failed(&error, endpoint, timeout).error.problem();
        let mut response = sent.map_err(failed)?;
        let (status, reason) = (response.status().as_u16(), reason(&response));
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > LOGIN_ANSWER_MAX {
                let message = "the answer to the login is longer than 64 KiB";
                return Err(Problem::new(Code::Provider, message));
            }
        }
        Ok((status, reason, answer))
    }

    fn read_login(
        &self,
        session: &Session,
        status: u16,
        reason: &str,
        answer: &[u8],
    ) -> Result<Ticket, Problem> {
        let (name, user) = (&self.spec.name, &self.spec.user);
        let problem = |code, message: String, hint: &str| {
            let mut problem = Problem::new(code, self.redactor.text(&message));
            problem.detail.status = Some(status);
            problem.detail.hint = (!hint.is_empty()).then(|| hint.to_owned());
            Err(problem)
        };
        match status {
            200 => {}
            401 | 403 => {
                return problem(
                    Code::Denied,
                    format!("hypervisor `{name}` refuses the password of user `{user}`: {reason}"),
                    "check `user` (with its realm, as in root@pam) and `password`",
                );
            }
            500..=599 => {
                let message =
                    format!("hypervisor `{name}` cannot log in `{user}`: {status} {reason}");
                return problem(Code::Unreachable, message, "");
            }
            _ => {
                return problem(
                    Code::Provider,
                    format!("hypervisor `{name}` answers the login with {status} {reason}"),
                    "is this a Proxmox VE API? it usually listens on port 8006",
                );
            }
        }
        let data = serde_json::from_slice::<LoginAnswer>(answer)
            .ok()
            .and_then(|a| a.data);
        let parts = data.and_then(|data| Some((data.ticket?, data.csrf.unwrap_or_default())));
        let Some((ticket, csrf)) = parts else {
            return problem(
                Code::Provider,
                format!("hypervisor `{name}` answers the login without a ticket"),
                "is this a Proxmox VE API? it usually listens on port 8006",
            );
        };
        self.redactor.add(&ticket);
        self.redactor.add(&csrf);
        if ticket.starts_with("PVE:!tfa!") {
            return problem(
                Code::Denied,
                format!("user `{user}` of hypervisor `{name}` needs a second factor"),
                "use an API token: user root@pam!NAME, its secret as the password",
            );
        }
        let header = |text: &str| {
            HeaderValue::from_str(text).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let (Ok(cookie), Ok(csrf)) = (header(&format!("PVEAuthCookie={ticket}")), header(&csrf))
        else {
            let message = format!("hypervisor `{name}` gave a ticket that no header can carry");
            return problem(Code::Provider, message, "");
        };
        let generation = session.generation.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(Ticket {
            cookie,
            csrf,
            at: Instant::now(),
            generation,
        })
    }
}
