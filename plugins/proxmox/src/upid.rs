//! Names of Proxmox VE's tasks.

/// What a UPID says: `UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:`, numbers in hexadecimal digits
/// (`PVE::Tools::upid_decode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upid<'a> {
    pub node: &'a str,
    /// Seconds since 1970, by the node's clock.
    pub start: u64,
    /// `qmclone`
    pub kind: &'a str,
}

impl<'a> Upid<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        if parts.next()? != "UPID" {
            return None;
        }
        let node = parts.next().filter(|node| !node.is_empty())?;
        let start = parts.nth(2)?;
        Some(Self {
            node,
            start: u64::from_str_radix(start, 16).ok()?,
            kind: parts.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_says_node_start_and_type() {
        let upid =
            Upid::parse("UPID:pve1:000003E8:00001B58:6560A1B2:qmclone:9000:root@pam:").unwrap();
        assert_eq!(upid.node, "pve1");
        assert_eq!(upid.start, 0x6560_A1B2);
        assert_eq!(upid.kind, "qmclone");
        for wrong in [
            "",
            "UPID:",
            "UPID:pve1:1:2:x:t:1:u:",
            "lock:pve1/100",
            "UPID::1:2:3:t:1:u:",
        ] {
            assert_eq!(Upid::parse(wrong), None, "{wrong}");
        }
    }
}
