use super::*;
use crate::Proxmox;

/// How an answer to a change of the configuration is understood.
fn answered(answer: Answer) -> Error {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/config"))
        .answer(data(cloned()));
    hypervisor
        .expect("PUT", &api("/nodes/pve1/qemu/105/config"))
        .answer(answer);
    let request = on_105(json!({
        "action": "configure", "desired": {"name": "web2"}, "changed": ["name"],
    }));
    // `unreachable` after a change would be settled: one step is enough here.
    let write = hypervisor.step::<Proxmox>(&request, None).unwrap();
    let Next::Again(phase) = write.next else {
        panic!("no write follows: {write:?}")
    };
    hypervisor
        .step::<Proxmox>(&request, Some(phase))
        .unwrap_err()
}

#[test]
fn both_forms_of_errors_keep_the_words_and_mean_the_same() {
    for (status, text, code) in [
        (500, "VM is locked (backup)", Code::Busy),
        (
            500,
            "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout",
            Code::Busy,
        ),
        (500, "cluster not ready - no quorum?", Code::Busy),
        (
            403,
            "Permission check failed (/vms/105, VM.Config.Options)",
            Code::Denied,
        ),
        (401, "authentication failure", Code::Denied),
        (595, "No route to host", Code::Unreachable),
        (596, "Broken pipe", Code::Unreachable),
        (
            501,
            "Method 'PUT /nodes/pve1/qemu/105/config' not implemented",
            Code::Unsupported,
        ),
        (
            500,
            "unable to write to storage 'local-lvm': No space left on device",
            Code::Provider,
        ),
        (500, "storage 'nfs' does not exist", Code::Invalid),
        (
            500,
            "can't remove VM 105 - protection mode enabled",
            Code::Denied,
        ),
        (500, "something that nobody has seen before", Code::Provider),
    ] {
        for answer in [says(status, text), said(status, text)] {
            let error = answered(answer);
            assert_eq!(error.code(), code, "{text}");
            assert_eq!(error.message(), text);
            assert_eq!(error.detail().status, Some(status));
        }
    }
}

#[test]
fn a_missing_privilege_is_named_with_its_path() {
    let error = answered(says(
        403,
        "Permission check failed (/vms/105, VM.Config.Options)",
    ));
    let hint = error.detail().hint.clone().unwrap();
    assert!(
        hint.starts_with("grant VM.Config.Options on /vms/105 "),
        "{hint}"
    );
}

#[test]
fn wrong_parameters_name_the_field_of_the_definition() {
    let answer = Answer::json(json!({
        "data": null, "message": "Parameter verification failed.\n",
        "errors": {"name": "invalid format - value does not look like a valid DNS name\n"},
    }));
    let error = answered(answer.status(400).reason("Parameter verification failed."));
    assert!(error.is(Code::Invalid));
    assert_eq!(error.detail().field.as_deref(), Some("name"));
    assert_eq!(
        error.message(),
        "Parameter verification failed: name: invalid format - value does not look like a valid DNS name"
    );
    let answer = Answer::json(json!({"data": null, "errors": {"cores": "too big"}}));
    let error = answered(answer.status(400).reason("Parameter verification failed."));
    assert_eq!(error.detail().field.as_deref(), Some("vcpu"));
}

#[test]
fn what_is_no_json_is_understood_by_its_status() {
    let page = || Answer::text("<html>Bad Gateway</html>").status(502);
    assert!(answered(page()).is(Code::Unreachable));
    assert_eq!(
        answered(page().reason("Bad Gateway")).message(),
        "Bad Gateway"
    );
    assert_eq!(
        answered(page()).message(),
        "the answer was 502 without a word"
    );
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/cluster/resources"))
        .answer(Answer::text("<html>login</html>"));
    let error = hypervisor.list::<Proxmox>().unwrap_err();
    assert!(error.is(Code::Provider));
    assert!(error.message().contains("<html>login"), "{error}");
}

#[test]
fn an_object_that_is_named_twice_is_not_taken_for_a_missing_machine() {
    let error = answered(says(500, "disk 'scsi9' does not exist"));
    assert!(error.is(Code::Invalid), "{error}");
}
