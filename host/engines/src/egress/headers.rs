//! Which headers a guest may set and see.

use enginehouse_documents::{Code, Problem};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::spec::Auth;

/// Carry credentials, frame the message, or belong to the connection.
const FORBIDDEN: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "csrfpreventiontoken",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-http-method-override",
];

/// Of an answer, what sets cookies or carries credentials.
const HIDDEN: &[&str] = &[
    "authentication-info",
    "authorization",
    "cookie",
    "csrfpreventiontoken",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "set-cookie2",
];

/// Bytes of all headers of one request.
const TOTAL_MAX: usize = 32 << 10;
const COUNT_MAX: usize = 100;

/// The guest's headers, checked.
pub(crate) fn outgoing(headers: &[(String, String)]) -> Result<HeaderMap, Problem> {
    let total: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if headers.len() > COUNT_MAX || total > TOTAL_MAX {
        return Err(Problem::new(
            Code::Invalid,
            "a request has at most 100 headers of 32 KiB together",
        ));
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let shown: String = name.chars().take(80).collect();
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Problem::new(
                Code::Invalid,
                format!("`{}` is no header name", shown.escape_debug()),
            )
        })?;
        if FORBIDDEN.contains(&name.as_str()) || Auth::HEADERS.contains(&name.as_str()) {
            return Err(Problem::new(
                Code::Denied,
                format!("an engine may not set the header `{name}`: the host does"),
            ));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            Problem::new(
                Code::Invalid,
                format!("the value of header `{name}` cannot be sent"),
            )
        })?;
        map.append(name, value);
    }
    Ok(map)
}

/// What the guest sees of an answer's headers, in order.
pub(crate) fn incoming(headers: &HeaderMap) -> Vec<(String, String)> {
    (headers.iter())
        .filter(|(name, _)| {
            !HIDDEN.contains(&name.as_str()) && !Auth::HEADERS.contains(&name.as_str())
        })
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn headers_of_credentials_and_framing_are_refused_in_any_case() {
        for name in [
            "Authorization",
            "COOKIE",
            "host",
            "Content-Length",
            "X-Auth-Token",
            "CSRFPreventionToken",
            "Transfer-Encoding",
            "Connection",
        ] {
            let problem = outgoing(&header(name, "x")).unwrap_err();
            assert_eq!(problem.code, Code::Denied, "{name}");
            assert!(problem.message.contains(&name.to_lowercase()), "{problem}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (name, value) in [
            ("a b", "x"),
            ("", "x"),
            ("a", "x\r\nb: y"),
            ("a:", "x"),
            ("ä", "x"),
        ] {
            assert_eq!(
                outgoing(&header(name, value)).unwrap_err().code,
                Code::Invalid,
                "{name}"
            );
        }
        let many: Vec<_> = (0..101).map(|n| (format!("h{n}"), String::new())).collect();
        assert!(outgoing(&many).is_err());
        assert!(outgoing(&header("a", &"x".repeat(TOTAL_MAX))).is_err());
        assert_eq!(
            outgoing(&header("If-Match", "\"1\"")).unwrap()["if-match"],
            "\"1\""
        );
    }

    #[test]
    fn an_answer_loses_its_cookies() {
        let mut map = HeaderMap::new();
        map.append("set-cookie", HeaderValue::from_static("a=b"));
        map.append("etag", HeaderValue::from_static("1"));
        map.append("x-auth-token", HeaderValue::from_static("t"));
        assert_eq!(incoming(&map), header("etag", "1"));
    }
}
