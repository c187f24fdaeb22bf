//! Answers of the provider.

use std::borrow::Cow;

use enginehouse_documents::Code;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::Incoming;
use crate::{Error, ErrorBody, Result};

/// How much of a body an error shows, in characters.
const SHOWN: usize = 160;

/// The answer to a request, read to its end.
pub struct Reply {
    /// Method and path of the request, for errors.
    request: String,
    incoming: Incoming,
}

impl Reply {
    pub(crate) fn new(request: String, incoming: Incoming) -> Self {
        Self { request, incoming }
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.incoming.status
    }

    /// The reason phrase of HTTP/1.1, empty if there is none. Some providers say nothing else.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.incoming.reason
    }

    /// First value of a header, by name without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers in order; the host leaves out those that set cookies or carry credentials.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.incoming.headers
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.incoming.body
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.incoming.body
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.incoming.body)
    }

    /// 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.incoming.status)
    }

    /// This reply if its status is 200 to 299.
    ///
    /// # Errors
    /// [`Reply::error`] otherwise.
    pub fn success(self) -> Result<Self> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(self.error())
        }
    }

    /// This reply if its status is 200 to 299. Otherwise the provider's own words and code, where the
    /// body has them.
    ///
    /// # Errors
    /// With the code that `body` knows for the provider's one, or else the status has;
    /// [`Reply::error`] if there is no message in the body.
    pub fn success_or(self, body: &ErrorBody) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let error = self.error();
        let said: Option<Value> = serde_json::from_slice(&self.incoming.body).ok();
        Err(said
            .and_then(|said| body.read_or(&said, error.code()))
            .map_or(error, |said| said.status(self.incoming.status)))
    }

    /// The answer as an error by its status alone: 400 and 422 `invalid`, 401 and 403 `denied`, 404
    /// and 410 `not-found`, 409 and 412 `conflict`, 423 and 429 `busy`, 501 `unsupported`, the rest
    /// `provider`. Its message is the reason phrase, or the beginning of a body of text. A provider
    /// that says more deserves a function of its own in its engine.
    #[must_use]
    pub fn error(&self) -> Error {
        let code = match self.incoming.status {
            400 | 422 => Code::Invalid,
            401 | 403 => Code::Denied,
            404 | 410 => Code::NotFound,
            409 | 412 => Code::Conflict,
            // Nothing else promises that nothing was changed: not 503, not 504.
            423 | 429 => Code::Busy,
            501 => Code::Unsupported,
            _ => Code::Provider,
        };
        let said = match (self.incoming.reason.trim(), self.beginning()) {
            ("", None) => String::new(),
            ("", Some(body)) => format!(": {body}"),
            (reason, None) => format!(" {reason}"),
            (reason, Some(body)) => format!(" {reason}: {body}"),
        };
        let status = self.incoming.status;
        Error::new(
            code,
            format_args!("{} answered {status}{said}", self.request),
        )
        .status(status)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `provider`, with the request, where in the document it went wrong, and the body's beginning.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let mut json = serde_json::Deserializer::from_slice(&self.incoming.body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let at = error.path().to_string();
            self.not_as_expected(&at, error.inner())
        })?;
        json.end()
            .map_err(|error| self.not_as_expected(".", &error))?;
        Ok(value)
    }

    fn not_as_expected(&self, at: &str, error: &serde_json::Error) -> Error {
        let at = match at {
            "." | "?" => String::new(),
            at => format!(" at {at}"),
        };
        let begins = self.beginning().map_or_else(
            || "the body is empty".to_owned(),
            |body| format!("the body begins with {body}"),
        );
        Error::provider(format_args!(
            "{} answered {} with unexpected JSON{at}: {error}; {begins}",
            self.request, self.incoming.status,
        ))
        .status(self.incoming.status)
    }

    /// The body's beginning in one line; `None` if there is nothing to see.
    fn beginning(&self) -> Option<String> {
        let head = self.incoming.body.get(..4 * SHOWN);
        let text = String::from_utf8_lossy(head.unwrap_or(&self.incoming.body));
        let mut words = text.split_whitespace();
        let mut line = words.next()?.to_owned();
        for word in words {
            line.push(' ');
            line.push_str(word);
        }
        let mut shown: String = line.chars().take(SHOWN).collect();
        if shown.len() < line.len() || head.is_some_and(|h| h.len() < self.incoming.body.len()) {
            shown.push('…');
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn reply(status: u16, reason: &str, body: &str) -> Reply {
        Reply::new(
            "GET /nodes".to_owned(),
            Incoming {
                status,
                reason: reason.to_owned(),
                headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
                body: body.as_bytes().to_vec(),
            },
        )
    }

    #[derive(Debug, Deserialize)]
    struct Nodes {
        #[serde(rename = "data")]
        _data: Vec<Node>,
    }

    #[derive(Debug, Deserialize)]
    struct Node {
        #[serde(rename = "cpus")]
        _cpus: u32,
    }

    #[test]
    fn wrong_json_says_what_was_asked_where_it_is_and_how_it_looks() {
        let error = reply(200, "OK", r#"{"data":[{"cpus":2},{"cpus":"x"}]}"#)
            .json::<Nodes>()
            .unwrap_err();
        assert_eq!(
            error.message(),
            "GET /nodes answered 200 with unexpected JSON at data[1].cpus: invalid type: string \
             \"x\", expected u32 at line 1 column 31; the body begins with \
             {\"data\":[{\"cpus\":2},{\"cpus\":\"x\"}]}"
        );
    }

    #[test]
    fn no_json_at_all_is_shown_by_its_beginning() {
        let page = format!("<html>\n  <title>Login</title>{}", "x".repeat(1000));
        let error = reply(200, "OK", &page).json::<Nodes>().unwrap_err();
        assert!(error.message().contains("begins with <html> <title>Login"));
        assert!(error.message().len() < 400, "{}", error.message().len());
        let error = reply(200, "OK", "").json::<Nodes>().unwrap_err();
        assert!(error.message().ends_with("the body is empty"), "{error}");
        assert!(reply(200, "OK", "1 2").json::<u8>().is_err());
    }

    #[test]
    fn a_status_becomes_a_code_and_keeps_the_words() {
        let error = reply(500, "VM 105 is locked (clone)", "").success().err();
        let error = error.unwrap();
        assert!(error.is(Code::Provider));
        assert_eq!(
            error.message(),
            "GET /nodes answered 500 VM 105 is locked (clone)"
        );
        assert_eq!(error.detail().status, Some(500));
        assert!(reply(404, "", "gone").error().is(Code::NotFound));
        assert!(reply(503, "", "").error().is(Code::Provider));
        assert!(reply(204, "", "").success().is_ok());
    }

    #[test]
    fn a_body_that_says_why_is_believed_before_the_status() {
        let body = ErrorBody {
            message: "/message",
            code: "/code",
            codes: &[("away", Code::Unreachable)],
        };
        let error = |status, said| reply(status, "", said).success_or(&body).err().unwrap();
        let away = error(503, r#"{"code": "away", "message": "node 2 is away"}"#);
        assert!(away.is(Code::Unreachable) && away.detail().status == Some(503));
        assert_eq!(away.message(), "node 2 is away");
        assert!(error(409, r#"{"message": "running"}"#).is(Code::Conflict));
        assert_eq!(
            error(502, "<html>").message(),
            "GET /nodes answered 502: <html>"
        );
        assert!(reply(200, "", "").success_or(&body).is_ok());
    }

    #[test]
    fn headers_are_found_in_any_case() {
        assert_eq!(
            reply(200, "", "").header("content-type"),
            Some("text/plain")
        );
    }
}
