//! Which addresses a name may lead to.
//!
//! An operator names hosts; DNS says where they are, and DNS may be somebody else's. A name that
//! leads to a link-local address (where clouds keep the credentials of the host itself) is refused;
//! an operator who means such an address writes the address. A resolution is kept for a while, so
//! that what was checked is what is connected to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::time::Instant;

/// How long a resolution counts.
const PINNED: Duration = Duration::from_secs(60);

/// A name leads only to addresses that nobody named.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{name}` leads to {address}, {kind}, which is refused: if it is meant, write the address itself as the endpoint"
)]
pub(crate) struct RefusedAddress {
    name: String,
    address: IpAddr,
    kind: &'static str,
}

#[derive(Debug, Error)]
#[error("`{0}` has no address")]
struct NoAddress(String);

/// What is wrong with connecting to an address that only DNS named.
fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = embedded_v4(v6) {
                return refused_v4(v4);
            }
            let segments = v6.segments();
            if v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) {
                Some("a metadata address")
            } else if segments[0] & 0xffc0 == 0xfe80 {
                Some("a link-local address")
            } else if v6.is_unspecified() {
                Some("no address of a host")
            } else if v6.is_multicast() {
                Some("a multicast address")
            } else {
                None
            }
        }
    }
}

fn refused_v4(v4: Ipv4Addr) -> Option<&'static str> {
    if v4 == Ipv4Addr::new(169, 254, 169, 254) {
        Some("a metadata address")
    } else if v4.is_link_local() {
        Some("a link-local address")
    } else if v4.is_unspecified() || v4.is_broadcast() {
        Some("no address of a host")
    } else if v4.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

/// IPv4 inside IPv6: mapped, compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Keeps the addresses that may be used; an error when none is left.
fn allowed(name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let mut first_refused = None;
    let mut kept = Vec::new();
    for address in addresses {
        match refused(address.ip()) {
            None => kept.push(address),
            Some(kind) => {
                first_refused.get_or_insert(RefusedAddress {
                    name: name.to_owned(),
                    address: address.ip(),
                    kind,
                });
            }
        }
    }
    match first_refused {
        Some(error) if kept.is_empty() => Err(error),
        _ => Ok(kept),
    }
}

/// Where a name led, and since when.
struct Pin {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

/// Asks the system, checks the answer, and keeps it for a while.
#[derive(Clone, Default)]
pub(crate) struct Resolver {
    pins: Arc<Mutex<HashMap<String, Pin>>>,
}

impl Resolver {
    /// A connection failed: ask again next time.
    pub(crate) fn forget(&self) {
        self.pins.lock().clear();
    }

    fn pinned(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let pins = self.pins.lock();
        let pin = pins.get(name)?;
        (pin.at.elapsed() < PINNED).then(|| pin.addresses.clone())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            if let Some(addresses) = this.pinned(name) {
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            let addresses = allowed(name, found)?;
            if addresses.is_empty() {
                return Err(NoAddress(name.to_owned()).into());
            }
            let pin = Pin {
                at: Instant::now(),
                addresses: addresses.clone(),
            };
            this.pins.lock().insert(name.to_owned(), pin);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_dress() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(refused(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "169.253.255.255",
            "fd00:ec2::255",
            "fec0::1",
            "2001:db8::1",
        ] {
            assert_eq!(refused(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_name_keeps_its_good_addresses() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        assert_eq!(
            allowed("h", vec![at("fe80::1"), at("10.0.0.1")]),
            Ok(vec![at("10.0.0.1")])
        );
        let error = allowed("h", vec![at("169.254.169.254")]).unwrap_err();
        assert!(
            error.to_string().contains("`h` leads to 169.254.169.254"),
            "{error}"
        );
        assert!(
            error.to_string().contains("write the address itself"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolution_is_pinned_for_its_time_and_forgotten_on_failure() {
        let resolver = Resolver::default();
        let ask = async |resolver: &Resolver| {
            resolver
                .resolve("localhost".parse().unwrap())
                .await
                .map(Iterator::count)
        };
        assert!(ask(&resolver).await.unwrap() > 0);
        let first = resolver.pins.lock()["localhost"].at;
        tokio::time::advance(PINNED / 2).await;
        ask(&resolver).await.unwrap();
        assert_eq!(resolver.pins.lock()["localhost"].at, first);
        tokio::time::advance(PINNED).await;
        ask(&resolver).await.unwrap();
        assert!(resolver.pins.lock()["localhost"].at > first);
        resolver.forget();
        assert_eq!(resolver.pinned("localhost"), None);
    }
}
