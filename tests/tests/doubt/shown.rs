//! A person sees everything that it takes to decide, as text and as JSON, also after a restart.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, ResolveAs};
use enginehouse_tests::{FakePveOptions, Site, Stage, defined};
use serde_json::{Value, json};

use crate::scene::{FORBIDDEN, doubt, forgotten_creation, lost_creation, over};

#[tokio::test]
async fn a_lost_request_is_shown_with_what_was_found_and_what_can_be_said() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let definition = json!({
        "vcpu": 2,
        "guest": {"domain": {
            "domain": "example.org", "account": "joiner", "password": "guest-secret",
        }},
    });
    stage.provision("/vm1", definition).await?;
    let number = lost_creation(&stage, "/vm1", true).await?;
    let operation = over(&stage, number).await?;
    let shown = doubt(&operation)?;
    ensure!(shown.reason.contains(FORBIDDEN), "{shown:#?}");
    assert_eq!((shown.step, &*shown.action), (1, "create"));
    let hypervisor = shown.hypervisor.as_ref().context("no hypervisor")?;
    assert_eq!((&*hypervisor.name, &*hypervisor.engine), ("sim", "fake"));
    assert_eq!(hypervisor.address.as_deref(), Some(&*stage.sim.url()));
    let request = shown.request.as_ref().context("no request")?;
    assert_eq!(
        (
            &*request.endpoint,
            &*request.method,
            &*request.path,
            &*request.effect
        ),
        ("host", "POST", "/v1/machines", "once")
    );
    ensure!(!request.answered && request.sent_at < request.deadline);
    ensure!(shown.since.is_some_and(|since| since >= request.sent_at));
    assert_eq!(shown.machine_id, None);
    let world = stage.sim.world();
    let made = world.machines.values().next().context("no machine")?;
    assert_eq!(shown.mark.as_deref(), Some(&*made.mark), "it can be found");
    let found = shown.found.first().context("nothing was found")?;
    ensure!(
        found.times >= 1 && found.text.contains(FORBIDDEN),
        "{found:?}"
    );
    let said: Vec<ResolveAs> = shown.verdicts.iter().map(|said| said.verdict).collect();
    assert_eq!(said, [ResolveAs::Done, ResolveAs::Failed, ResolveAs::Retry]);

    // The same as text, with commands to copy, and nothing that is secret.
    let text = stage.cli(&["ops", "show", &number.to_string()]).await?;
    for part in [
        "in_doubt",
        "sim (fake) at http://127.0.0.1:",
        "1 create: ",
        "POST /v1/machines (once, to `host`)",
        "is not known",
        FORBIDDEN,
        &made.mark,
        &format!("enginehouse ops resolve {number} --as failed\n"),
        "sends POST /v1/machines once more",
        "refused now: it cannot be called done",
    ] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    let all = format!("{text}{}", serde_json::to_string(&operation)?);
    ensure!(!all.contains("guest-secret"), "{all}");
    // Lists stay short.
    let list = stage.json(&["ops", "list", "--state", "in-doubt"]).await?;
    let listed = list["operations"].as_array().context("no list")?;
    assert_eq!(listed.len(), 1);
    ensure!(listed[0].get("doubt").is_none(), "{list:#}");

    // All of it is on disk.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let again = over(&stage, number).await?;
    assert_eq!(doubt(&again)?, shown);
    // Each command can be copied as it stands.
    let retry = shown.verdicts.last().context("no verdict")?;
    let mut words = retry.command.split(' ');
    assert_eq!(words.next(), Some("enginehouse"));
    stage.cli(&words.collect::<Vec<_>>()).await?;
    let ended = over(&stage, number).await?;
    ensure!(
        ended.state.has_ended() && ended.doubt.is_none(),
        "{ended:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_forgotten_task_is_shown_with_the_machine_that_it_was_about() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let number = forgotten_creation(&stage, "/vm1").await?;
    let operation = over(&stage, number).await?;
    let shown = doubt(&operation)?;
    assert_eq!(shown.task.as_deref(), Some("t-1"));
    assert_eq!(shown.machine_id.as_deref(), Some("m-1"));
    assert_eq!(operation.steps[0].task.as_deref(), Some("t-1"));
    let created = shown.created.first().context("nothing exists")?;
    assert_eq!((&*created.kind, &*created.id), ("machine", "m-1"));
    let request = shown.request.as_ref().context("no request")?;
    ensure!(
        request.answered && request.path == "/v1/machines",
        "{request:?}"
    );
    let done = shown.verdicts.first().context("no verdicts")?;
    ensure!(
        done.refused.is_none() && done.effect.contains("m-1"),
        "{done:?}"
    );
    // Who waits for it is sent to where all of it stands.
    let ran = stage.run(&["ops", "wait", &number.to_string()]).await?;
    ensure!(
        ran.code == 4 && ran.err.contains(&format!("enginehouse ops show {number}")),
        "{} {}",
        ran.code,
        ran.err
    );
    Ok(())
}

#[tokio::test]
async fn a_part_in_doubt_is_found_from_the_whole() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    stage.provision("/web/vm1", json!({})).await?;
    let whole = lost_part(&stage, "/web").await?;
    let text = stage.cli(&["ops", "show", &whole.to_string()]).await?;
    let part = stage.json(&["ops", "list", "--state", "in-doubt"]).await?;
    let part = part["operations"][0]["number"]
        .as_u64()
        .context("no part")?;
    ensure!(
        text.contains(&format!("`enginehouse ops show {part}`")),
        "{text}"
    );
    let ran = stage
        .run(&["ops", "resolve", &whole.to_string(), "--as", "retry"])
        .await?;
    ensure!(
        ran.code == 1 && ran.err.contains(&format!("its part {part} is")),
        "{}",
        ran.err
    );
    stage
        .cli(&["ops", "resolve", &part.to_string(), "--as", "retry"])
        .await?;
    let ended = over(&stage, whole).await?;
    ensure!(
        ended.state.has_ended() && ended.error.is_none(),
        "{ended:#?}"
    );
    Ok(())
}

async fn lost_part(stage: &Stage, path: &str) -> Result<enginehouse_model::OperationId> {
    use enginehouse_sim::{Call, Fault, FaultEffect};
    stage.sim.tune(|knobs| {
        knobs.faults = vec![
            Fault::once(Call::MachineCreate, FaultEffect::LoseAnswer),
            crate::scene::forbidden(Call::MachineList, 1),
        ];
    })?;
    let whole = stage
        .begin(OperationKind::Deploy, path, Params::default())
        .await?
        .number;
    let ran = stage.run(&["ops", "wait", &whole.to_string()]).await?;
    ensure!(ran.code == 4, "{} {}", ran.code, ran.err);
    stage.sim.tune(|knobs| knobs.faults.clear())?;
    Ok(whole)
}

/// The VMID was chosen before the request was sent, and is what a person looks for.
#[tokio::test]
async fn a_clone_in_doubt_shows_the_vmid_that_was_reserved_and_no_credentials() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let limits = json!({"limits": {"request_timeout_s": 2}});
    site.set_root(site.entry_with(limits)).await?;
    site.provision("/vm1", json!({"description": "nothing secret"}))
        .await?;
    // The clone is refused with an error that says nothing, and nobody may look.
    site.pve
        .fail(
            "GET",
            "/nodes/pve1/qemu/100/config",
            "permission_denied",
            None,
        )
        .await?;
    site.pve
        .fail_with(
            "GET",
            "/nodes/{node}/tasks/{upid}/status",
            400,
            "no such task",
            None,
        )
        .await?;
    let operation = site
        .end(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let shown = doubt(&operation)?;
    let request = shown.request.as_ref().context("no request")?;
    ensure!(request.path.ends_with("/qemu/9000/clone"), "{request:?}");
    let reserved: Vec<(&str, &str)> = shown
        .reserved
        .iter()
        .map(|object| (&*object.kind, &*object.id))
        .collect();
    assert_eq!(reserved, [("vmid", "100")]);
    ensure!(
        shown
            .task
            .as_deref()
            .is_some_and(|task| task.contains("qmclone")),
        "{shown:#?}"
    );
    let json = serde_json::to_string(&operation)?;
    let text = site
        .cli(&["ops", "show", &operation.number.to_string()])
        .await?;
    for secret in [site.pve.secret(), site.pve.password()] {
        ensure!(!json.contains(secret) && !text.contains(secret), "{text}");
    }
    ensure!(text.contains("vmid 100"), "{text}");

    // It is done: only what it lacks is written, and it can be removed.
    site.pve.stop_failing().await?;
    let number = operation.number.to_string();
    site.cli(&["ops", "resolve", &number, "--as", "done"])
        .await?;
    let ended = site.ended(operation.number).await?;
    ensure!(
        ended.state == enginehouse_api::OperationState::Succeeded,
        "{ended:#?}"
    );
    let made = site.pve.created().await?;
    ensure!(made.len() == 1 && made[0].status == "running", "{made:#?}");
    let description = made[0].value("description").unwrap_or_default();
    ensure!(description.contains("nothing secret"), "{description}");
    let definition: Value = json!({"description": "other"});
    site.order(OperationKind::Reconfigure, "/vm1", defined(definition))
        .await?;
    site.order(
        OperationKind::Undeploy,
        "/vm1",
        enginehouse_tests::confirmed(),
    )
    .await?;
    assert_eq!(site.pve.created().await?.len(), 0);
    Ok(())
}
