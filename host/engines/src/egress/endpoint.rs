//! Named endpoints: the only places a guest can send to.

use std::net::Ipv6Addr;

use enginehouse_documents::{Code, Problem};
use reqwest::Url;

use super::spec::ConnectionError;

/// Longest path of a request, in bytes.
const PATH_MAX: usize = 16 << 10;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host and port, with an empty path.
    base: Url,
    /// `/prefix` without a trailing slash, or empty.
    prefix: String,
}

impl Endpoint {
    /// Reads `pve1`, `pve1:8006`, `[::1]:8006` or `https://pve1:8006/prefix`.
    pub(crate) fn parse(
        hypervisor: &str,
        field: &str,
        text: &str,
        default_scheme: &str,
        default_port: Option<u16>,
    ) -> Result<Self, ConnectionError> {
        let invalid = |hint: &str| ConnectionError::Invalid {
            hypervisor: hypervisor.to_owned(),
            field: field.to_owned(),
            value: shown(text),
            hint: hint.to_owned(),
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(ConnectionError::Missing {
                hypervisor: hypervisor.to_owned(),
                field: field.to_owned(),
                hint: "write a host name, an address, or a URL".to_owned(),
            });
        }
        let (scheme, rest) = trimmed
            .split_once("://")
            .unwrap_or((default_scheme, trimmed));
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(invalid("only http:// and https:// can be used"));
        }
        let bracketed;
        let rest = if rest.parse::<Ipv6Addr>().is_ok() {
            bracketed = format!("[{rest}]");
            bracketed.as_str()
        } else {
            rest
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(invalid(
                "write user and password in `user` and `password`, not into the URL",
            ));
        }
        let mut url = Url::parse(&format!("{scheme}://{rest}"))
            .map_err(|error| invalid(&format!("no host or URL ({error})")))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("an endpoint has neither `?` nor `#`"));
        }
        // The URL type forgets a port that is the scheme's own, so look at the text.
        let has_port = (authority.rsplit_once(':'))
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        if let Some(port) = default_port
            && !has_port
        {
            url.set_port(Some(port))
                .map_err(|()| invalid("it cannot have a port"))?;
        }
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path("");
        Ok(Self { base: url, prefix })
    }

    /// `pve1:8006`, for people.
    pub(crate) fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The host's name as TLS knows it: without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.base.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The URL of a guest's path, which stays on this endpoint and below its prefix.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Problem> {
        let invalid = |why: &str| {
            Problem::new(
                Code::Invalid,
                format!("the request's path `{}` {why}", shown(path)),
            )
        };
        if !path.starts_with('/') {
            return Err(invalid("does not begin with `/`"));
        }
        if path.len() > PATH_MAX {
            return Err(invalid("is longer than 16 KiB"));
        }
        if let Some(c) = (path.chars()).find(|c| !c.is_ascii_graphic() || matches!(c, '#' | '\\')) {
            return Err(invalid(&format!(
                "has `{}`: percent-encode it",
                c.escape_default()
            )));
        }
        let text = format!(
            "{}{}{path}",
            self.base.as_str().trim_end_matches('/'),
            self.prefix
        );
        let url = Url::parse(&text).map_err(|error| invalid(&error.to_string()))?;
        // `..` is resolved by now: it must not have led out of the prefix, nor off the host.
        let below = url.path().strip_prefix(self.prefix.as_str());
        if url.origin() != self.base.origin() || !below.is_some_and(|rest| rest.starts_with('/')) {
            return Err(invalid("leaves the endpoint"));
        }
        Ok(url)
    }

    /// The path of a URL that leads here.
    pub(crate) fn path_of(&self, url: &Url) -> Option<String> {
        if url.origin() != self.base.origin()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return None;
        }
        let path = url.path().strip_prefix(self.prefix.as_str())?;
        if !path.starts_with('/') {
            return None;
        }
        Some(match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str, port: Option<u16>) -> Endpoint {
        Endpoint::parse("h", "host", text, "https", port).unwrap()
    }

    #[test]
    fn hosts_are_read_as_people_write_them() {
        for (text, port, path, url) in [
            ("pve1", Some(8006), "/x", "https://pve1:8006/x"),
            ("pve1:443", Some(8006), "/x", "https://pve1/x"),
            ("https://pve1", Some(8006), "/x", "https://pve1:8006/x"),
            ("https://pve1:443/", Some(8006), "/x", "https://pve1/x"),
            (
                "http://10.0.0.1:80/",
                None,
                "/x?a=1",
                "http://10.0.0.1/x?a=1",
            ),
            ("https://p/pve/", None, "/x", "https://p/pve/x"),
            ("::1", Some(8006), "/x", "https://[::1]:8006/x"),
            ("[::1]:1", Some(8006), "/x", "https://[::1]:1/x"),
        ] {
            assert_eq!(
                endpoint(text, port).url(path).unwrap().as_str(),
                url,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_way_out() {
        for (text, hint) in [
            ("ftp://x", "only http://"),
            ("https://root:pw@x", "write user and password in"),
            ("root@x", "write user and password in"),
            ("https://x/?a", "neither"),
            ("a b", "no host or URL"),
            ("https://", "no host or URL"),
            (" ", "write a host name"),
        ] {
            let error = Endpoint::parse("h", "host", text, "https", None).unwrap_err();
            assert!(error.to_string().contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_endpoint() {
        let plain = endpoint("https://pve1:8006", None);
        assert_eq!(
            plain.url("//evil/x").unwrap().as_str(),
            "https://pve1:8006//evil/x"
        );
        assert_eq!(plain.url("/@evil/x").unwrap().host_str(), Some("pve1"));
        for path in [
            "x", "@evil/", ":1@evil/", "/a b", "/a#b", "/a\\b", "/ä", "/a\nb", "",
        ] {
            assert!(plain.url(path).is_err(), "{path}");
        }
        let below = endpoint("https://p/pve", None);
        for path in ["/../x", "/%2e%2e/x", "/a/../../x", "/..", "/../pvex"] {
            assert!(below.url(path).is_err(), "{path}");
        }
        assert_eq!(below.url("/a/../x").unwrap().as_str(), "https://p/pve/x");
    }

    #[test]
    fn urls_of_the_provider_are_located() {
        let below = endpoint("https://p:8443/pve", None);
        let path = |text: &str| below.path_of(&Url::parse(text).unwrap());
        assert_eq!(path("https://p:8443/pve/x?y=1"), Some("/x?y=1".into()));
        for other in [
            "https://p/pve/x",
            "http://p:8443/pve/x",
            "https://q:8443/pve/x",
            "https://p:8443/pvex/x",
            "https://u:p@p:8443/pve/x",
        ] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
