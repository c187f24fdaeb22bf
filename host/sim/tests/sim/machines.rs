//! The API without any fault.

use enginehouse_sim::{Call, Sim, SimConfig};
use serde_json::{Value, json};

use crate::client::{ask, config, create, get, pass, patch, post};

#[tokio::test(start_paused = true)]
async fn a_machine_lives_and_dies() {
    let sim = Sim::start(config()).await.unwrap();
    let body = json!({
        "name": "web", "base_image": "d12", "vcpu": 2, "memory": 1_u64 << 30, "mark": "eh:1",
        "disks": {"root": {"size": 1_u64 << 40}, "data": {"size": 1_u64 << 30, "keep": true}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 7}},
    });
    let made = post(&sim, "/v1/machines", body).await.unwrap();
    assert_eq!(made, (202, json!({"machine": "m-1", "task": "t-1"})));
    let (_, shown) = get(&sim, "/v1/machines/m-1").await.unwrap();
    assert_eq!(
        (&shown["lock"], &shown["mark"], &shown["task"]),
        (&json!("create"), &json!("eh:1"), &json!("t-1"))
    );
    assert_eq!(
        post(&sim, "/v1/machines/m-1/start", Value::Null)
            .await
            .unwrap()
            .0,
        423
    );

    pass(500).await;
    let (_, task) = get(&sim, "/v1/tasks/t-1").await.unwrap();
    assert_eq!(
        (&task["state"], &task["percent"], &task["log"]),
        (
            &json!("running"),
            &json!(50),
            &json!(["create of m-1 began", "25 % done", "50 % done"])
        )
    );
    pass(500).await;
    let (_, tasks) = get(&sim, "/v1/tasks?ids=t-1,t-99").await.unwrap();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(tasks["tasks"][0]["result"], "ok");
    let (_, shown) = get(&sim, "/v1/machines/m-1").await.unwrap();
    // The image's own disk keeps its size; the other is added.
    let config = &shown["config"];
    assert_eq!(config["disks"]["disk0"]["size"], 10_u64 << 30);
    assert_eq!(config["disks"]["disk1"]["label"], "data");
    assert_eq!(config["nics"]["nic0"]["mac"], "02:00:00:00:00:01");
    assert_eq!(
        shown["slots"],
        json!({"data": "disk1", "lan": "nic0", "root": "disk0"})
    );
    assert_eq!(
        (&shown["lock"], &shown["power"]),
        (&Value::Null, &json!("stopped"))
    );

    for (path, status, power) in [
        ("start", 202, "running"),
        ("start", 409, "running"),
        ("restart", 202, "running"),
        ("shutdown", 202, "stopped"),
        ("stop", 409, "stopped"),
    ] {
        let path = format!("/v1/machines/m-1/{path}");
        assert_eq!(
            post(&sim, &path, Value::Null).await.unwrap().0,
            status,
            "{path}"
        );
        pass(1000).await;
        assert_eq!(
            get(&sim, "/v1/machines/m-1").await.unwrap().1["power"],
            power,
            "{path}"
        );
    }
    assert_eq!(sim.world().machine("m-1").unwrap().boots, 2);

    let gone = ask(
        sim.addr(),
        "DELETE",
        "/v1/machines/m-1?keep=disk1",
        Value::Null,
        "",
    )
    .await;
    assert_eq!(gone.unwrap().0, 202);
    pass(1000).await;
    assert_eq!(get(&sim, "/v1/machines/m-1").await.unwrap().0, 404);
    let (_, volumes) = get(&sim, "/v1/volumes").await.unwrap();
    assert_eq!(volumes["volumes"][0]["id"], "m-1/disk1");
    assert_eq!(sim.requests().count(Call::MachineStart), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_based_on_an_old_version_is_refused() {
    let sim = Sim::start(config()).await.unwrap();
    create(&sim, "web").await.unwrap();
    pass(1000).await;
    let change = json!({"vcpu": 4, "description": "x", "labels": {"a": "1"}});
    let path = "/v1/machines/m-1";
    let send = |seen: &'static str, body| ask(sim.addr(), "PATCH", path, body, seen);
    let (status, shown) = send("if-match: \"1\"\r\n", change.clone()).await.unwrap();
    assert_eq!((status, &shown["version"]), (200, &json!("2")));
    assert_eq!(send("if-match: \"1\"\r\n", change).await.unwrap().0, 412);
    let unset = json!({"description": null, "labels": {"a": null}});
    let (_, shown) = send("", unset).await.unwrap();
    let config = &shown["config"];
    assert_eq!(
        (&config["vcpu"], &config["description"], &config["labels"]),
        (&json!(4), &json!(""), &json!({}))
    );
    assert_eq!(sim.world().machine("m-1").unwrap().description, None);
}

#[tokio::test(start_paused = true)]
async fn disks_are_added_and_only_grow() {
    let sim = Sim::start(config()).await.unwrap();
    create(&sim, "web").await.unwrap();
    pass(1000).await;
    let added = json!({"label": "data", "disk": {"size": 1_u64 << 30}});
    assert_eq!(
        post(&sim, "/v1/machines/m-1/disks", added).await.unwrap().0,
        202
    );
    pass(1000).await;
    let disk = "/v1/machines/m-1/disks/disk1";
    assert_eq!(
        patch(&sim, disk, json!({"size": 2_u64 << 30}))
            .await
            .unwrap()
            .0,
        202
    );
    assert_eq!(
        sim.world().machine("m-1").unwrap().disks["disk1"].size,
        1 << 30
    );
    pass(1000).await;
    assert_eq!(
        sim.world().machine("m-1").unwrap().disks["disk1"].size,
        2 << 30
    );
    let (status, refused) = patch(&sim, disk, json!({"size": 1_u64 << 30}))
        .await
        .unwrap();
    assert_eq!(
        (status, &refused["error"]["code"]),
        (422, &json!("invalid"))
    );
    assert_eq!(
        patch(&sim, "/v1/machines/m-1/disks/disk9", json!({"size": 1}))
            .await
            .unwrap()
            .0,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn firmware_changes_with_a_restart_or_not_at_all() {
    let sim = Sim::start(config()).await.unwrap();
    post(
        &sim,
        "/v1/machines",
        json!({"name": "u", "settings": {"firmware": "uefi"}}),
    )
    .await
    .unwrap();
    pass(1000).await;
    post(&sim, "/v1/machines/m-1/start", Value::Null)
        .await
        .unwrap();
    pass(1000).await;
    let path = "/v1/machines/m-1";
    assert_eq!(
        patch(&sim, path, json!({"settings": {"firmware": "bios"}}))
            .await
            .unwrap()
            .0,
        422
    );
    let (_, shown) = patch(&sim, path, json!({"settings": {"firmware": "uefi-secure"}}))
        .await
        .unwrap();
    assert_eq!(shown["restart_needed"], true);
    post(&sim, "/v1/machines/m-1/restart", json!({"force": true}))
        .await
        .unwrap();
    pass(1000).await;
    assert_eq!(get(&sim, path).await.unwrap().1["restart_needed"], false);
}

#[tokio::test(start_paused = true)]
async fn a_clone_by_hand_has_the_mark_but_not_the_incarnation() {
    let sim = Sim::start(config()).await.unwrap();
    create(&sim, "web").await.unwrap();
    pass(1000).await;
    post(&sim, "/v1/machines/m-1/clone", json!({"name": "copy"}))
        .await
        .unwrap();
    pass(1000).await;
    let world = sim.world();
    let (original, copy) = (world.machine("m-1").unwrap(), world.machine("m-2").unwrap());
    assert_eq!(original.mark, copy.mark);
    assert_ne!(original.incarnation, copy.incarnation);
}

#[tokio::test(start_paused = true)]
async fn a_client_token_makes_one_machine_unless_it_is_ignored() {
    let sim = Sim::start(config()).await.unwrap();
    let body = json!({"name": "web", "client_token": "k"});
    let first = post(&sim, "/v1/machines", body.clone()).await.unwrap();
    assert_eq!(
        first,
        post(&sim, "/v1/machines", body.clone()).await.unwrap()
    );
    assert_eq!(sim.world().machines_made, 1);
    sim.tune(|knobs| knobs.ignore_client_token = true).unwrap();
    post(&sim, "/v1/machines", body).await.unwrap();
    assert_eq!(sim.world().machines_made, 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_says_what_it_misses() {
    let hosts = vec!["sim-a".to_owned(), "sim-b".to_owned()];
    let sim = Sim::start(SimConfig { hosts, ..config() }).await.unwrap();
    for index in 0..5 {
        create(&sim, &format!("vm{index}")).await.unwrap();
    }
    let ids = |page: &Value| -> Vec<String> {
        let machines = page["machines"].as_array().unwrap();
        machines
            .iter()
            .map(|machine| machine["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, first) = get(&sim, "/v1/machines?limit=3").await.unwrap();
    assert_eq!(
        (ids(&first), &first["next"]),
        (vec!["m-1".into(), "m-2".into(), "m-3".into()], &json!("3"))
    );
    let (_, second) = get(&sim, "/v1/machines?limit=3&cursor=3").await.unwrap();
    assert_eq!(
        (ids(&second), &second["next"]),
        (vec!["m-4".into(), "m-5".into()], &Value::Null)
    );

    sim.tune(|knobs| knobs.offline_hosts = vec!["sim-b".to_owned()])
        .unwrap();
    let (_, page) = get(&sim, "/v1/machines").await.unwrap();
    assert_eq!(ids(&page), ["m-1", "m-3", "m-5"]);
    let gap = json!({"scope": "host", "name": "sim-b", "reason": "away"});
    assert_eq!(page["coverage"]["gaps"], json!([gap]));
    assert_eq!(get(&sim, "/v1/machines/m-2").await.unwrap().0, 503);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_with_the_reason() {
    let sim = Sim::start(config()).await.unwrap();
    for (body, status, says) in [
        (
            json!({"name": "x", "cores": 2}),
            400,
            "unknown field `cores`",
        ),
        (
            json!({"name": "x", "memory": 5}),
            422,
            "memory 5 is not a whole number of MiB",
        ),
        (
            json!({"name": "x", "vcpu": 0}),
            422,
            "vcpu 0 is not from 1 to 256",
        ),
        (json!({"name": "a b"}), 422, "name `a b`"),
        (
            json!({"name": "x", "base_image": "d99"}),
            422,
            "image `d99` does not exist",
        ),
        (json!([1]), 400, "invalid"),
    ] {
        let (got, answer) = post(&sim, "/v1/machines", body.clone()).await.unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(got, status, "{body}: {message}");
        assert!(message.contains(says), "{body}: {message}");
    }
    for path in [
        "/v1/machines?limit=0",
        "/v1/machines?cursor=x",
        "/v1/tasks",
        "/v1/tasks?ids=,",
    ] {
        assert_eq!(get(&sim, path).await.unwrap().0, 400, "{path}");
    }
    for path in [
        "/v1/machines/m-01",
        "/v1/machines/m-",
        "/v1/machines/%20",
        "/v2",
        "/",
    ] {
        assert_eq!(get(&sim, path).await.unwrap().0, 404, "{path}");
    }
    assert_eq!(sim.world().machines_made, 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_and_kept_out_of_the_transcript() {
    let token = Some("tell-nobody".to_owned());
    let sim = Sim::start(SimConfig { token, ..config() }).await.unwrap();
    assert_eq!(get(&sim, "/v1/info").await.unwrap().0, 401);
    let with = |header: &'static str| ask(sim.addr(), "GET", "/v1/info", Value::Null, header);
    assert_eq!(
        with("authorization: Bearer wrong\r\n").await.unwrap().0,
        401
    );
    let (status, info) = with("authorization: Bearer tell-nobody\r\n").await.unwrap();
    assert_eq!((status, &info["product"]), (200, &json!("enginehouse-sim")));
    let (_, requests) = get(&sim, "/_sim/requests").await.unwrap();
    assert_eq!(requests["counts"]["info"], 3);
    assert!(!requests.to_string().contains("tell-nobody"));
}
