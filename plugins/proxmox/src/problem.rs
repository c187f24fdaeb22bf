//! What Proxmox VE says when something is wrong, as typed errors.
//!
//! Before pve-http-server 5.2.0 (January 2025) the text stands only in the reason phrase of the
//! answer, with the body `{"data":null}`; since then the body has a `message` as well. Parameter errors are
//! 400 with `errors` in all versions. Nearly everything else is 500, so the text decides; it comes from
//! the same Perl code whether a request or a task fails. Its words are kept as they are.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    message: Option<String>,
    errors: Option<BTreeMap<String, Value>>,
}

/// The error behind an answer that is no success.
pub fn of_reply(cx: &Cx, reply: &Reply) -> Error {
    // A proxy in between answers with a page of its own: the reason phrase has to do.
    let body: Body = serde_json::from_slice(reply.bytes()).unwrap_or_default();
    let status = reply.status();
    let mut words = body.message.as_deref().unwrap_or_default().trim();
    if words.is_empty() {
        words = reply.reason().trim();
    }
    let errors: Vec<(&str, String)> = body
        .errors
        .iter()
        .flatten()
        .map(|(field, text)| {
            let text = text
                .as_str()
                .map_or_else(|| text.to_string(), str::to_owned);
            (field.as_str(), text.trim().to_owned())
        })
        .collect();
    let mut message = if words.is_empty() {
        format!("the answer was {status} without a word")
    } else {
        words.to_owned()
    };
    for (n, (field, text)) in errors.iter().enumerate() {
        if n == 0 {
            message.truncate(message.trim_end_matches('.').len());
        }
        message.push_str(if n == 0 { ": " } else { "; " });
        message.push_str(&format!("{field}: {text}"));
    }
    let error = match status {
        401 => unauthorised(cx.session() > 0, message),
        403 => denied(message),
        400 if !errors.is_empty() => {
            let mut error = Error::invalid(message);
            if let Some((field, _)) = errors.first() {
                error = error.field(field_of(field));
            }
            error
        }
        501 => Error::unsupported(message)
            .hint("this version of Proxmox VE does not have that function; is it older than 7?"),
        // pveproxy's own: it could not reach the node that the request is about.
        595..=599 | 502..=504 => Error::unreachable(message),
        _ => of_text(&message),
    };
    error.status(status)
}

/// The error behind a text: of an answer with status 500, or of a task that failed.
pub fn of_text(text: &str) -> Error {
    let says = |part: &str| text.contains(part);
    if says("does not exist") && says("onfiguration file")
        || says("unable to find configuration file for")
        || says("no such VM")
    {
        return Error::not_found(text);
    }
    if says("is locked (")
        || says("can't lock file")
        || says("got lock timeout")
        || says("can't acquire lock")
        || says("got lock request timeout")
    {
        return Error::busy(text).hint(
            "another task works on this guest; a lock that a broken task left behind is removed with \
             `qm unlock VMID` on the node",
        );
    }
    if says("no quorum") {
        return Error::busy(text).hint(
            "the cluster has lost its majority: nothing can be changed until more nodes are back",
        );
    }
    if says("quit/powerdown failed") || says("VM is paused - cannot shutdown") {
        return Error::busy(text)
            .hint("the guest did not shut down; stop it without asking it, or give it more time");
    }
    if is_stale_text(text) {
        return Error::conflict(text);
    }
    if is_taken_text(text) {
        return Error::conflict(text);
    }
    if text.starts_with("VM ") && text.ends_with(" not running") {
        return Error::conflict(text).hint("start the machine first");
    }
    if says("is running - destroy failed") {
        return Error::conflict(text).hint("stop the machine first");
    }
    if says("protection mode enabled") {
        return Error::denied(text)
            .hint("the guest is protected in Proxmox VE: unset `protection` in its options first");
    }
    if says("still in use by linked clone") {
        return Error::conflict(text).hint("destroy the machines that are linked to it first");
    }
    if says("volume is still in use") {
        return Error::conflict(text).hint("remove the snapshots that hold it first");
    }
    if says("hostname lookup") || says("No route to host") || says("Connection timed out") {
        return Error::unreachable(text);
    }
    if says("ermission check failed") {
        return denied(text.to_owned());
    }
    if says("No space left on device")
        || says("nsufficient free space")
        || says("out of space")
        || says("not enough free space")
        || says("not enough space")
    {
        return Error::provider(text)
            .hint("free space on that storage, or choose another with `disks.NAME.storage`");
    }
    if says("storage '") && (says("does not exist") || says("is not available on node")) {
        return Error::invalid(text).hint("`disks.NAME.storage` must name a storage of that node");
    }
    if says("shrinking disks is not supported") || says("linked clones") || says("balloon value") {
        return Error::invalid(text);
    }
    if says("disk '") && says("does not exist") {
        return Error::invalid(text);
    }
    Error::provider(text)
}

/// 401. A session ends after two hours; a token that is refused is refused for good.
fn unauthorised(in_session: bool, message: String) -> Error {
    if in_session {
        return Error::session_expired(message);
    }
    Error::denied(message).hint(
        "Proxmox VE refuses the API token: is it `USER@REALM!TOKENID`, its secret right, and not expired?",
    )
}

/// `Permission check failed (/vms/100, VM.Config.CPU)` names what is missing.
fn denied(message: String) -> Error {
    let missing = message
        .rsplit_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .and_then(|rest| rest.split_once(", "));
    let hint = match missing {
        Some((path, privilege)) => format!(
            "grant {privilege} on {path} to the user, and to the API token too if it has privileges \
             of its own"
        ),
        None => "the user or API token of this hypervisor lacks a privilege".to_owned(),
    };
    Error::denied(message).hint(hint)
}

fn is_stale_text(text: &str) -> bool {
    // qemu-server spells it so, `PVE::API2::Qemu`; its relatives do not.
    text.contains("checksum missmatch")
        || text.contains("checksum mismatch")
        || text.contains("detected modified configuration")
}

/// Somebody else changed the configuration since its digest was read.
pub fn is_stale(error: &Error) -> bool {
    is_stale_text(error.message())
}

fn is_taken_text(text: &str) -> bool {
    text.contains("already exists") && !text.contains("disk image")
}

/// The VMID belongs to another guest.
pub fn is_taken(error: &Error) -> bool {
    is_taken_text(error.message())
        || error.detail().field.as_deref() == Some("newid")
        || error.detail().field.as_deref() == Some("vmid") && error.message().contains("use")
}

/// The guest is already where it was to be brought.
pub fn is_not_running(error: &Error) -> bool {
    let text = error.message();
    text.contains("not running") && !text.contains("agent")
}

pub fn is_already_running(error: &Error) -> bool {
    error.message().contains("already running")
}

/// The guest is not on this node (or nowhere).
pub fn is_elsewhere(error: &Error) -> bool {
    error.is(Code::NotFound) || error.message().contains("hostname lookup")
}

/// The member of the definition behind a parameter.
fn field_of(parameter: &str) -> String {
    let numbered = |prefix: &str| {
        parameter
            .strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    match parameter {
        "cores" | "sockets" => "vcpu".to_owned(),
        "memory" | "name" | "description" | "newid" | "vmid" => parameter.to_owned(),
        "target" | "node" => "placement.host".to_owned(),
        "pool" => "placement.pool".to_owned(),
        "storage" => "disks.root.storage".to_owned(),
        "full" => "settings.full_clone".to_owned(),
        _ if numbered("net") => format!("nics.{parameter}"),
        _ if ["scsi", "virtio", "sata", "ide"].into_iter().any(numbered) => {
            format!("disks.{parameter}")
        }
        _ if crate::settings::parameter(parameter).is_some() => format!("settings.{parameter}"),
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_expires_and_a_token_is_refused() {
        let said = || "permission denied - invalid PVE ticket".to_owned();
        assert!(unauthorised(true, said()).is(Code::SessionExpired));
        let refused = unauthorised(false, said());
        assert!(refused.is(Code::Denied));
        assert!(refused.detail().hint.is_some());
    }

    #[test]
    fn texts_of_tasks_mean_what_they_mean_in_answers() {
        for (text, code) in [
            ("VM is locked (snapshot-delete)", Code::Busy),
            ("VM quit/powerdown failed - got timeout", Code::Busy),
            (
                "unable to create VM 105: config file already exists",
                Code::Conflict,
            ),
            (
                "clone failed: Volume group \"pve\" has insufficient free space (0 extents)",
                Code::Provider,
            ),
            (
                "base volume 'local-lvm:base-9000-disk-0' is still in use by linked cloned",
                Code::Conflict,
            ),
            ("hostname lookup 'pve9' failed", Code::Unreachable),
            ("start failed: QEMU exited with code 1", Code::Provider),
        ] {
            assert_eq!(of_text(text).code(), code, "{text}");
        }
        let full = of_text("lvcreate 'x' error: Volume group \"pve\" has insufficient free space");
        assert!(
            full.detail()
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains("free space"))
        );
    }

    #[test]
    fn only_a_vmid_is_taken() {
        assert!(is_taken(&of_text(
            "unable to create VM 105 - VM 105 already exists on node 'pve1'"
        )));
        assert!(is_taken(
            &Error::invalid("VM 105 already in use").field("newid")
        ));
        assert!(!is_taken(&of_text("disk image '/x.qcow2' already exists")));
    }
}
