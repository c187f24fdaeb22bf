//! Where an endpoint is: a URL, or `host`, or `host:port`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde_json::{Value, json};
use thiserror::Error;

use crate::schema::with_examples;
use crate::secret::Secrets;
use crate::written::Leaf;

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
    /// HTTP over a Unix socket.
    Unix,
}

/// An endpoint as the operator wrote it. What is absent, the engine's description decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub scheme: Option<Scheme>,
    /// Name or address, without brackets; empty for a Unix socket.
    pub host: String,
    pub port: Option<u16>,
    /// Base path without a trailing slash, or a Unix socket's path. Empty: none.
    pub path: String,
}

/// Why a text is no endpoint. The text itself is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("write user and password into `user` and `password`")]
    Credentials,
    #[error("its scheme is not http, https or unix")]
    Scheme,
    #[error("its port is not a number from 1 to 65535")]
    Port,
    #[error("it has a query or a fragment")]
    Query,
    #[error("its host is not a name or an address")]
    Host,
    #[error("a unix socket needs a whole path, as in unix:///run/docker.sock")]
    Socket,
}

/// The shape: ports and IPv6 addresses are looked at more closely when they are read.
const PATTERN: &str = concat!(
    r"^[ \t\n\f\r]*(",
    r"[Uu][Nn][Ii][Xx]:///[^\u0000-\u001f\u007f-\u009f]+",
    r"|([Hh][Tt][Tt][Pp][Ss]?://)?",
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,252}(:0*[1-9][0-9]{0,4})?|\[[0-9A-Fa-f:.]+\](:0*[1-9][0-9]{0,4})?|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)",
    r"(/[!$-;=A-\[\]-~]*)?",
    r")[ \t\n\f\r]*$"
);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_ascii();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" => (Some(Scheme::Http), rest),
                "https" => (Some(Scheme::Https), rest),
                "unix" => (Some(Scheme::Unix), rest),
                _ => return Err(AddressError::Scheme),
            },
            None => (None, text),
        };
        if scheme == Some(Scheme::Unix) {
            let is_path =
                rest.starts_with('/') && rest.len() > 1 && !rest.contains(char::is_control);
            return if is_path {
                Ok(Self {
                    scheme,
                    host: String::new(),
                    port: None,
                    path: rest.to_owned(),
                })
            } else {
                Err(AddressError::Socket)
            };
        }
        if rest.contains('@') {
            return Err(AddressError::Credentials);
        }
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = split_port(authority)?;
        let path_fits = path
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '<' | '>'));
        if !path_fits {
            return Err(AddressError::Host);
        }
        Ok(Self {
            scheme,
            host,
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), AddressError> {
    // An IPv6 address without brackets has no port.
    if let Ok(address) = authority.parse::<Ipv6Addr>() {
        return Ok((address.to_string(), None));
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(AddressError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| AddressError::Host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(read_port(port)?),
            None if port.is_empty() => None,
            None => return Err(AddressError::Host),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(read_port(port)?)),
        None => (authority, None),
    };
    let fits = (1..=253).contains(&host.len())
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && host.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        Ok((host.to_ascii_lowercase(), port))
    } else {
        Err(AddressError::Host)
    }
}

fn read_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(AddressError::Port),
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Unix => "unix",
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl Leaf for Address {
    const EXPECTED: &'static str = "a URL, or a host, or host:port";
    /// It may hold a password that does not belong there.
    const SECRET: bool = true;

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        text.parse()
            .map_err(|error: AddressError| Some(error.to_string()))
    }

    fn schema() -> Value {
        with_examples(
            json!({ "type": "string", "pattern": PATTERN }),
            json!([
                "https://pve1.example.com:8006",
                "pve1",
                "unix:///run/docker.sock"
            ]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_in_one_form() {
        for (text, normal) in [
            ("pve1", "pve1"),
            ("PVE1.example.com:8006", "pve1.example.com:8006"),
            ("https://pve1:8006/", "https://pve1:8006"),
            ("HTTP://10.0.0.1/api/", "http://10.0.0.1/api"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), normal);
            assert_eq!(normal.parse::<Address>(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, error) in [
            ("https://root:pw@pve1", AddressError::Credentials),
            ("ftp://pve1", AddressError::Scheme),
            ("pve1:0", AddressError::Port),
            ("pve1:99999", AddressError::Port),
            ("pve1:", AddressError::Port),
            ("pve1/?x=1", AddressError::Query),
            ("", AddressError::Host),
            ("a b", AddressError::Host),
            ("[::1", AddressError::Host),
            ("unix://run", AddressError::Socket),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
