use super::*;
use crate::Proxmox;

fn upid(n: u32) -> String {
    format!("UPID:pve1:{n:08X}:00001B58:6B018AFB:qmclone:9000:root@pam:")
}

fn query(upid: &str, cursor: &str) -> TaskQuery {
    TaskQuery {
        task: format!("upid:{upid}"),
        cursor: cursor.to_owned(),
    }
}

fn expect_log(hypervisor: &Hypervisor, upid: &str, start: &str, lines: Value) {
    hypervisor
        .expect("GET", &task_of(upid, "log"))
        .query(&[("start", start), ("limit", "500")])
        .answer(data(lines));
}

#[test]
fn a_running_task_shows_its_new_lines_and_how_far_it_is() {
    let hypervisor = scripted();
    let running = || data(json!({"status": "running"}));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(running());
    expect_log(
        &hypervisor,
        CLONE_UPID,
        "0",
        json!([
            {"n": 1, "t": "create full clone of drive scsi0"},
            {"n": "2", "t": "transferred 1.0 GiB of 8.0 GiB (12.50%)"},
        ]),
    );
    let state = hypervisor
        .poll::<Proxmox>(&[query(CLONE_UPID, "")])
        .unwrap()
        .remove(0);
    assert_eq!(state.status, TaskStatus::Running);
    assert_eq!(state.report.percent, Some(12));
    assert_eq!(state.report.lines.len(), 2);
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(running());
    expect_log(
        &hypervisor,
        CLONE_UPID,
        "2",
        json!([{"n": 1, "t": "no content"}]),
    );
    let next = hypervisor
        .poll::<Proxmox>(&[query(CLONE_UPID, &state.cursor)])
        .unwrap();
    assert!(next[0].report.lines.is_empty());
}

#[test]
fn warnings_are_no_failure_and_a_failure_keeps_its_last_lines() {
    let hypervisor = scripted();
    let ended = |exit: &str| data(json!({"status": "stopped", "exitstatus": exit}));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended("WARNINGS: 1"));
    expect_log(
        &hypervisor,
        CLONE_UPID,
        "0",
        json!([{"n": 1, "t": "WARN: no efidisk"}, {"n": 2, "t": "TASK WARNINGS: 1"}]),
    );
    let end = |hypervisor: &Hypervisor| {
        let states = hypervisor
            .poll::<Proxmox>(&[query(CLONE_UPID, "")])
            .unwrap();
        states[0].report.end.clone().unwrap()
    };
    let warned = end(&hypervisor);
    assert_eq!(warned.warnings, ["no efidisk"]);
    assert_eq!(warned.problem, None);

    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended("clone failed: No space left on device"));
    let lines: Vec<_> = (1..=20)
        .map(|n| json!({"n": n, "t": format!("line {n}")}))
        .collect();
    expect_log(&hypervisor, CLONE_UPID, "0", json!(lines));
    let problem = end(&hypervisor).problem.unwrap();
    assert_eq!(problem.code, Code::Provider);
    assert_eq!(problem.message, "clone failed: No space left on device");
    assert_eq!(problem.detail.lines.len(), 10);
    assert_eq!(problem.detail.lines[9], "line 20");
    assert!(problem.detail.hint.unwrap().contains("free space"));
}

#[test]
fn many_tasks_of_a_node_cost_one_request_and_two_logs() {
    let hypervisor = scripted();
    let listed: Vec<_> = (1..=40)
        .map(|n| match n {
            // How it ended, how it runs, and how newer nodes say that it runs.
            1 => json!({"upid": upid(n), "type": "qmclone", "starttime": 1, "endtime": 2, "status": "OK"}),
            2 => json!({"upid": upid(n), "type": "qmclone", "starttime": 1, "status": "RUNNING"}),
            _ => json!({"upid": upid(n), "type": "qmclone", "starttime": "1"}),
        })
        .collect();
    hypervisor
        .expect("GET", &api("/nodes/pve1/tasks"))
        .query(&[("source", "all"), ("since", "1795263226"), ("limit", "360")])
        .answer(data(json!(listed)));
    // Those whose log was not looked at for the longest time: all at once, so the first two.
    for n in [2, 3] {
        expect_log(&hypervisor, &upid(n), "0", json!([{"n": 1, "t": "50%"}]));
    }
    let queries: Vec<_> = (1..=40).map(|n| query(&upid(n), "")).collect();
    let states = hypervisor.poll::<Proxmox>(&queries).unwrap();
    assert_eq!(states[0].status, TaskStatus::Ended);
    assert_eq!(states[1].report.percent, Some(50));
    assert!(
        states[2..]
            .iter()
            .all(|state| state.status == TaskStatus::Running)
    );
    assert_eq!(hypervisor.requests().len(), 3);
}

#[test]
fn a_node_that_is_away_hides_no_task_of_another() {
    let hypervisor = scripted();
    let away = CLONE_UPID.replace("pve1", "pve2");
    let path = task_of(&away, "status").replace("/nodes/pve1/", "/nodes/pve2/");
    hypervisor
        .expect("GET", &path)
        .answer(said(595, "No route to host"));
    hypervisor
        .expect("GET", &task_of(CLONE_UPID, "status"))
        .answer(ended_well());
    let states = hypervisor
        .poll::<Proxmox>(&[query(&away, "3:7"), query(CLONE_UPID, "")])
        .unwrap();
    assert_eq!(states[0].status, TaskStatus::Running);
    assert_eq!(states[0].cursor, "3:7");
    assert_eq!(states[1].status, TaskStatus::Ended);
    hypervisor
        .expect("GET", &path)
        .answer(said(595, "No route to host"));
    let error = hypervisor.poll::<Proxmox>(&[query(&away, "")]).unwrap_err();
    assert!(error.is(Code::Unreachable));
}

#[test]
fn tasks_that_are_none_are_lost() {
    let hypervisor = scripted();
    let states = hypervisor
        .poll::<Proxmox>(&[query("nonsense", ""), TaskQuery::default()])
        .unwrap();
    assert!(states.iter().all(|state| state.status == TaskStatus::Lost));
}

#[test]
fn what_the_ha_manager_never_does_is_given_up() {
    let hypervisor = scripted();
    hypervisor
        .expect("GET", &api("/nodes/pve1/qemu/105/status/current"))
        .answer(data(json!({"status": "stopped"})));
    let task = TaskQuery {
        task: "power:pve1/105:running:1".to_owned(),
        cursor: String::new(),
    };
    let states = hypervisor.poll::<Proxmox>(&[task]).unwrap();
    let problem = states[0].report.end.clone().unwrap().problem.unwrap();
    assert_eq!(problem.code, Code::Busy);
}
