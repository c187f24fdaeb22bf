//! The peers themselves: fakepve under control, and what the proxy before it hides and breaks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enginehouse_tests::{
    FakePve, FakePveOptions, HidingProxy, Moment, Rule, TEMPLATE, Trouble, counts,
};
use serde_json::{Value, json};

async fn get(client: &reqwest::Client, url: &str) -> Result<Value> {
    let answer: Value = client.get(url).send().await?.json().await?;
    Ok(answer["data"].clone())
}

/// Asks for a clone as an engine does; answers the task.
async fn clone(client: &reqwest::Client, url: &str, vmid: u64) -> Result<String> {
    let path = format!("{url}/api2/json/nodes/pve1/qemu/{TEMPLATE}/clone");
    let body = json!({ "newid": vmid, "name": format!("vm{vmid}"), "description": "mark" });
    let answer: Value = client.post(path).json(&body).send().await?.json().await?;
    let task = answer["data"].as_str().context("no task")?;
    Ok(task.to_owned())
}

async fn end_of(client: &reqwest::Client, url: &str, task: &str) -> Result<Value> {
    let path = format!("{url}/api2/json/nodes/pve1/tasks/{task}/status");
    for _ in 0..500 {
        let status = get(client, &path).await?;
        if status["status"] == "stopped" {
            return Ok(status["exitstatus"].clone());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("{task} does not end")
}

#[tokio::test]
async fn a_clone_shows_only_its_lock_until_it_is_done() -> Result<()> {
    let slow = FakePveOptions {
        slow_clones: 1.0,
        ..FakePveOptions::default()
    };
    let Some(pve) = FakePve::start_or_skip(slow).await? else {
        return Ok(());
    };
    let proxy = HidingProxy::start(&pve).await?;
    let (client, url) = (pve.client()?, proxy.url());

    let task = clone(&client, &url, 100).await?;
    let config = format!("{url}/api2/json/nodes/pve1/qemu/100/config");
    let during = get(&client, &config).await?;
    let members: Vec<&String> = during.as_object().context("no object")?.keys().collect();
    assert_eq!(members, ["lock", "digest"]);
    let list = get(
        &client,
        &format!("{url}/api2/json/cluster/resources?type=vm"),
    )
    .await?;
    let listed = list.as_array().context("no list")?.iter();
    let named: Vec<&Value> = listed.map(|machine| &machine["name"]).collect();
    assert_eq!(named, ["template", "VM 100"]);
    // It is there whole on the other side.
    let machine = pve.machine(100).await?.context("no machine")?;
    assert_eq!(machine.value("description").as_deref(), Some("mark"));
    assert_eq!(machine.lock.as_deref(), Some("clone"));

    assert_eq!(end_of(&client, &url, &task).await?, "OK");
    let after = get(&client, &config).await?;
    assert_eq!(after["description"], "mark");
    assert_eq!(after["cores"], 1);

    // Both sides saw the same requests, and neither kept the token.
    let seen = proxy.exchanges();
    assert_eq!(counts(&seen), counts(&pve.exchanges().await?));
    let clone = &seen[0];
    assert_eq!(clone.template(), "POST /nodes/{node}/qemu/{vmid}/clone");
    assert_eq!(clone.credentials, ["authorization"]);
    assert_eq!(clone.status, Some(200));
    ensure!(!format!("{seen:?}").contains(pve.secret()));
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_leaves_the_work_done_and_a_lost_request_none() -> Result<()> {
    let Some(pve) = FakePve::start_or_skip(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let proxy = HidingProxy::start(&pve).await?;
    let (client, url) = (pve.client()?, proxy.url());
    proxy.on(Rule::once("POST", "/clone", Trouble::LoseAnswer));
    proxy.on(Rule::once("POST", "/clone", Trouble::LoseRequest));

    ensure!(clone(&client, &url, 100).await.is_err());
    ensure!(clone(&client, &url, 101).await.is_err());
    let made: Vec<u64> = pve.created().await?.iter().map(|vm| vm.vmid).collect();
    assert_eq!(made, [100]);
    let statuses: Vec<Option<u16>> = proxy.exchanges().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [Some(200), None]);
    Ok(())
}

#[tokio::test]
async fn what_was_sent_arrives_although_the_sender_has_gone() -> Result<()> {
    let Some(pve) = FakePve::start_or_skip(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let proxy = HidingProxy::start(&pve).await?;
    let (client, url) = (pve.client()?, proxy.url());
    proxy.on(Rule::once("POST", "/clone", Trouble::HoldRequest));

    let sender = tokio::spawn(async move { clone(&client, &url, 100).await });
    proxy.reached("POST", "/clone", Moment::Arrived, 1).await?;
    sender.abort();
    assert_eq!(pve.created().await?.len(), 0);
    proxy.release();
    proxy.reached("POST", "/clone", Moment::Done, 1).await?;
    assert_eq!(pve.created().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn errors_and_warnings_are_those_of_a_node() -> Result<()> {
    let Some(pve) = FakePve::start_or_skip(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let proxy = HidingProxy::start(&pve).await?;
    let (client, url) = (pve.client()?, proxy.url());
    let config = format!("{url}/api2/json/nodes/pve1/qemu/555/config");
    let missing = "Configuration file 'nodes/pve1/qemu-server/555.conf' does not exist";

    let answer = client.get(&config).send().await?;
    assert_eq!(answer.status(), 500);
    assert_eq!(
        answer.json::<Value>().await?["message"],
        format!("{missing}\n")
    );

    // Older nodes say it in the reason phrase, and the proxy hands it on.
    pve.old_errors(true).await?;
    let answer = client.get(&config).send().await?;
    let reason = answer.extensions().get::<hyper::ext::ReasonPhrase>();
    assert_eq!(
        reason.context("no reason phrase")?.as_bytes(),
        missing.as_bytes()
    );
    assert_eq!(answer.json::<Value>().await?, json!({ "data": null }));

    pve.warn_task("qmclone", &["the disk is slow"]).await?;
    let task = clone(&client, &url, 100).await?;
    assert_eq!(end_of(&client, &url, &task).await?, "WARNINGS: 1");
    pve.fail_task("qmclone", "clone failed: copy failed")
        .await?;
    let task = clone(&client, &url, 101).await?;
    assert_eq!(
        end_of(&client, &url, &task).await?,
        "clone failed: copy failed"
    );
    assert_eq!(pve.created().await?.len(), 1);

    pve.fail("POST", "/nodes/pve1/qemu/9000/clone", "no_quorum", Some(1))
        .await?;
    ensure!(clone(&client, &url, 102).await.is_err());
    let unknown = pve
        .fail("POST", "/nodes/pve1/qemu/9000/clone", "no-such-error", None)
        .await;
    let error = unknown.unwrap_err().to_string();
    ensure!(error.contains("no error 'no-such-error'"), "{error}");
    Ok(())
}
