//! Histories: who did what to a node and when, with its definitions, names and machines.

use anyhow::{Result, ensure};
use enginehouse_api::{Change, HistoryEntry, HistoryOf, HistoryPart, OperationKind, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::defined;
use serde_json::{Value, json};

use enginehouse_tests::{Stage, to_name};

fn set(key: &str, value: Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: key.split('.').map(str::to_owned).collect(),
            value,
        }],
        ..Params::default()
    }
}

fn lines(entry: &HistoryEntry) -> Vec<String> {
    let of = |part| match part {
        HistoryPart::Name => "name",
        HistoryPart::Definition => "definition",
        HistoryPart::Rights => "rights",
        HistoryPart::Deployed => "deployed",
    };
    let changes = entry.changes.iter();
    changes
        .map(|change| {
            format!(
                "{} {}: {} -> {}",
                of(change.of),
                change.key,
                change.before.as_deref().unwrap_or("-"),
                change.after.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

#[tokio::test]
async fn the_whole_life_of_a_descriptor_is_in_its_history_also_when_it_is_gone() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    stage.provision("/web/vm1", json!({"vcpu": 2})).await?;
    let uid = stage.node("/web/vm1").await?.uid;
    let mut numbers = vec![
        stage
            .node("/web/vm1")
            .await?
            .last_operation
            .expect("one")
            .number,
    ];
    let edit = set("labels.team", json!("web"));
    numbers.push(
        stage
            .order(OperationKind::Edit, "/web/vm1", edit)
            .await?
            .number,
    );
    numbers.push(stage.moved("/web/vm1", "/web/shop").await?.number);
    numbers.push(stage.deploy("/web/shop").await?.number);
    let machine_id = stage
        .node("/web/shop")
        .await?
        .machine_id
        .expect("a machine");
    let kind = OperationKind::Reconfigure;
    numbers.push(
        stage
            .order(kind, "/web/shop", set("memory", json!("2GiB")))
            .await?
            .number,
    );
    // Its definition is written when it starts, what was applied is noted when it ends.
    numbers.extend(numbers.last().copied());
    // What changes nothing leaves no entry.
    stage.order(kind, "/web/shop", Params::default()).await?;
    numbers.push(stage.undeploy("/web/shop").await?.number);
    let gone = OperationKind::Deprovision;
    numbers.push(
        stage
            .order(gone, "/web/shop", Params::default())
            .await?
            .number,
    );
    ensure!(!stage.is_there("/web/shop").await?);
    stage.host.kill().await?;
    stage.host.restart().await?;

    let client = stage.host.client();
    let page = client.history(&HistoryOf::Uid(uid), None, None).await?;
    ensure!(page.gone);
    assert_eq!(page.full_name, Some("/web/shop".parse()?));
    let mut entries = page.entries;
    entries.reverse();
    let told: Vec<_> = entries.iter().map(|entry| entry.operation).collect();
    assert_eq!(told, numbers.iter().copied().map(Some).collect::<Vec<_>>());
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "provision",
            "edit",
            "move",
            "deploy",
            "reconfigure",
            "reconfigure",
            "undeploy",
            "deprovision"
        ]
    );
    ensure!(
        entries
            .windows(2)
            .all(|pair| pair[0].at <= pair[1].at && pair[0].seq < pair[1].seq)
    );
    ensure!(
        entries
            .iter()
            .all(|entry| !entry.who.is_empty() && entry.who != "host")
    );
    assert_eq!(lines(&entries[0]), ["definition vcpu: - -> 2"]);
    assert_eq!(lines(&entries[1]), ["definition labels.team: - -> web"]);
    assert_eq!(lines(&entries[2]), ["name : /web/vm1 -> /web/shop"]);
    let deployed = lines(&entries[3]);
    for line in [
        "deployed vcpu: - -> 2",
        "deployed memory: - -> 1 GiB",
        "deployed name: - -> shop",
    ] {
        ensure!(deployed.contains(&line.to_owned()), "{line}: {deployed:?}");
    }
    let linked = entries[3].machine.clone().expect("a machine");
    assert_eq!(linked.machine_id.as_deref(), Some(machine_id.as_str()));
    assert_eq!(
        (linked.hypervisor.as_deref(), linked.event.as_str()),
        (Some("sim"), "linked")
    );
    assert_eq!(lines(&entries[4]), ["definition memory: - -> 2 GiB"]);
    assert_eq!(lines(&entries[5]), ["deployed memory: 1 GiB -> 2 GiB"]);
    let removed = entries[6].machine.clone().expect("a machine");
    assert_eq!(
        (removed.uid, removed.event.as_str()),
        (linked.uid, "removed")
    );
    assert_eq!(removed.machine_id.as_deref(), Some(machine_id.as_str()));
    let last = entries[7].definition.clone().expect("definitions");
    ensure!(last.after.is_none() && last.before.is_some());

    // A name leads to the last that had it, and tells of others.
    stage.provision("/web/shop", json!({})).await?;
    let page = stage.history("/web/shop").await?;
    ensure!(!page.gone && page.uid != uid);
    assert_eq!(
        page.others
            .iter()
            .map(|other| other.uid)
            .collect::<Vec<_>>(),
        [uid]
    );
    let old = stage.history("/web/vm1").await?;
    assert_eq!((old.uid, old.gone), (uid, true));
    let error = stage.history("/web/never").await.unwrap_err();
    ensure!(
        error.to_string().contains("there is no `/web/never`"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn pages_follow_each_other_and_know_what_was_applied_before() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm", json!({})).await?;
    stage.deploy("/vm").await?;
    for memory in ["2GiB", "3GiB", "4GiB"] {
        let change = set("memory", json!(memory));
        stage
            .order(OperationKind::Reconfigure, "/vm", change)
            .await?;
    }
    let client = stage.host.client();
    let of = HistoryOf::Path("/vm".parse()?);
    let whole = client.history(&of, None, None).await?;
    // One for each definition, and one for each that was applied.
    assert_eq!((whole.entries.len(), whole.next), (8, None));
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = client.history(&of, before, Some(2)).await?;
        ensure!(page.entries.len() <= 2);
        paged.extend(page.entries);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(paged, whole.entries, "with the same differences");
    ensure!(lines(&paged[2]).contains(&"deployed memory: 2 GiB -> 3 GiB".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_machine_of_a_failed_deploy_is_in_the_history() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm", json!({})).await?;
    stage.sim.tune(|knobs| {
        knobs.faults.push(Fault::once(
            Call::MachineStart,
            FaultEffect::TaskError {
                message: "no".to_owned(),
                leave_half: false,
            },
        ));
    })?;
    let failed = stage
        .begin(OperationKind::Deploy, "/vm", Params::default())
        .await?;
    stage.ended(failed.number).await?;
    let entry = stage.history("/vm").await?.entries.remove(0);
    assert_eq!(entry.operation, Some(failed.number));
    let machine = entry.machine.expect("a machine");
    let id = stage.node("/vm").await?.machine_id;
    assert_eq!((machine.event.as_str(), machine.machine_id), ("linked", id));
    Ok(())
}

#[tokio::test]
async fn no_password_is_in_a_history() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let entry = json!({"hypervisors": {"other": {
        "type": "fake", "host": "http://127.0.0.1:1", "user": "u", "password": "hunter2hunter2"}}});
    stage
        .order(OperationKind::CreateFolder, "/x", defined(entry))
        .await?;
    let change = set("hypervisors.other.password", json!("swordfish99"));
    stage.order(OperationKind::Edit, "/x", change).await?;
    let page = serde_json::to_string(&stage.history("/x").await?)?;
    let shown = stage.cli(&["history", "/x"]).await?;
    let whole = stage.cli(&["history", "/x", "--output", "json"]).await?;
    for text in [page, shown, whole] {
        ensure!(text.contains("hypervisors"), "{text}");
        for secret in ["hunter2hunter2", "swordfish99"] {
            ensure!(!text.contains(secret), "{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_command_line_shows_a_history_and_one_entry_of_it() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm", json!({"vcpu": 2})).await?;
    stage
        .order(OperationKind::Edit, "/vm", set("vcpu", json!(4)))
        .await?;
    stage
        .order(OperationKind::Move, "/vm", to_name("/vm2")?)
        .await?;
    stage.deploy("/vm2").await?;
    let shown = stage.cli(&["history", "/vm2"]).await?;
    for part in [
        "/vm2 (uid ",
        "deploy by ",
        ": machine m-1 on sim",
        "name  /vm -> /vm2",
        "vcpu  2 -> 4",
    ] {
        ensure!(shown.contains(part), "{part}: {shown}");
    }
    let deploy = shown.find("deploy by").unwrap_or(usize::MAX);
    ensure!(
        deploy < shown.find("provision by").unwrap_or_default(),
        "newest first: {shown}"
    );
    let json: Value =
        serde_json::from_str(&stage.cli(&["history", "/vm2", "--output", "json"]).await?)?;
    assert_eq!(json["entries"].as_array().map(Vec::len), Some(4));
    let edit = json["entries"][2]["seq"].to_string();
    let whole = stage.cli(&["history", "/vm2", "--show", &edit]).await?;
    for part in [
        "edit by",
        "definition before\n  vcpu: 2",
        "definition after\n  vcpu: 4",
    ] {
        ensure!(whole.contains(part), "{part}: {whole}");
    }
    let none = stage.run(&["history", "/vm2", "--show", "99999"]).await?;
    assert_eq!(none.code, 2, "{}", none.err);
    let cut = stage.cli(&["history", "/vm2", "--limit", "1"]).await?;
    ensure!(cut.contains("older ones: --before "), "{cut}");
    let nothing = stage.run(&["history", "/nowhere"]).await?;
    ensure!(
        nothing.code != 0 && nothing.err.contains("/nowhere"),
        "{}",
        nothing.err
    );
    Ok(())
}
