//! Settings against the schemas of the engines in the repository, through the real binary.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{ErrorCode, OperationKind, OperationRequest, Params, PlanRequest, Problem};
use enginehouse_tests::{
    FakePveOptions, Host, HostOptions, Site, defined, engines_dir, skip_or_fail,
};
use serde_json::{Value, json};

/// A host whose root defines a hypervisor of each engine; nothing listens there. `None` where the
/// engines are not built.
async fn host(options: HostOptions) -> Result<Option<Host>> {
    if let Err(error) = engines_dir() {
        skip_or_fail(&error.to_string());
        return Ok(None);
    }
    let host = Host::start(options).await?;
    order(&host, OperationKind::Edit, "/", root(json!({}))).await?;
    Ok(Some(host))
}

fn root(more: Value) -> Params {
    let mut root = json!({
        "hypervisors": {
            "f": {"type": "fake", "host": "http://127.0.0.1:9", "password": {"env": "NONE"}},
            "p": {"type": "proxmox", "host": "https://127.0.0.1:9", "password": {"env": "NONE"}},
        },
        "prototypes": {"small": {"memory": "1GiB", "settings": {"firmware": "uefy"}}},
    });
    if let (Value::Object(root), Value::Object(more)) = (&mut root, more) {
        root.extend(more);
    }
    defined(root)
}

async fn order(
    host: &Host,
    kind: OperationKind,
    path: &str,
    params: Params,
) -> Result<Vec<String>> {
    let request = OperationRequest {
        kind,
        path: path.parse()?,
        params,
    };
    let operation = host.client().order(&request, None, None).await?;
    Ok(operation.result.unwrap_or_default().warnings)
}

async fn refused(host: &Host, kind: OperationKind, path: &str, params: Params) -> Result<Problem> {
    let error = order(host, kind, path, params)
        .await
        .err()
        .with_context(|| format!("{kind} of {path} was accepted"))?;
    problem(error)
}

fn problem(error: anyhow::Error) -> Result<Problem> {
    match error.downcast::<enginehouse_api::ClientError>()? {
        enginehouse_api::ClientError::Refused(problem) => Ok(*problem),
        other => Err(other.into()),
    }
}

/// `NODE KEY: MESSAGE expected X found Y`, for each error.
fn lines(problem: &Problem) -> Vec<String> {
    let line = |error: &enginehouse_api::FieldError| {
        let mut line = format!("{} {}", error.node, error.key);
        let parts = [
            error.message.clone(),
            error
                .expected
                .as_ref()
                .map(|text| format!("expected {text}")),
            error.found.as_ref().map(|text| format!("found {text}")),
            error.hint.clone(),
        ];
        for part in parts.into_iter().flatten() {
            line.push_str(&format!("; {part}"));
        }
        line
    };
    problem.errors.iter().map(line).collect()
}

#[tokio::test]
async fn a_wrong_setting_is_refused_with_what_its_engine_says_of_it() -> Result<()> {
    let Some(host) = host(HostOptions::default()).await? else {
        return Ok(());
    };
    let definition = json!({
        "use_hypervisor": "p",
        "settings": {"onboot": "perhaps", "onbot": true, "tags": ["a", 1]},
    });
    let problem = refused(
        &host,
        OperationKind::CreateFolder,
        "/pve",
        defined(definition),
    )
    .await?;
    assert_eq!(problem.code, ErrorCode::Invalid);
    assert_eq!(problem.detail, "the settings of /pve have 3 errors");
    assert_eq!(
        lines(&problem),
        [
            "/pve settings.onboot; expected true or false; found the text \"perhaps\"",
            "/pve settings.onbot; proxmox has no such setting; did you mean `onboot`?",
            "/pve settings.tags.1; expected a text; found the number 1; write it in quotes: \"1\"",
        ]
    );
    let described: Vec<Option<&str>> = (problem.errors.iter())
        .map(|error| error.description.as_deref())
        .collect();
    assert_eq!(described[0], Some("Start with the node."));
    assert_eq!(
        described[2],
        Some("Tags, lower case. Their order is nothing.")
    );

    // As a person reads it, with the way out; and nothing came of it.
    let output = host
        .run(&[
            "provision",
            "/vm1",
            "use_hypervisor=f",
            "settings.firmware=uefy",
        ])
        .await?;
    let said = String::from_utf8(output.stderr)?;
    println!("{said}");
    for words in [
        "/vm1: settings.firmware: expected `bios`, `uefi` or `uefi-secure`, found the text \"uefy\"",
        "How the machine boots.",
        "did you mean `uefi`?",
        "`enginehouse engines show fake` lists the settings there are",
    ] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    ensure!(!output.status.success());
    ensure!(host.client().node(&"/vm1".parse()?).await.is_err());

    // Of a hypervisor: where it is defined. What stands for a secret is never repeated.
    let entry = json!({
        "type": "proxmox", "host": "https://127.0.0.1:9",
        "settings": {"lowest_vmid": 7, "nodes": "pve1"},
    });
    let definition = json!({"hypervisors": {"mine": entry}});
    let problem = refused(
        &host,
        OperationKind::CreateFolder,
        "/web",
        defined(definition),
    )
    .await?;
    assert_eq!(
        lines(&problem),
        [
            "/web hypervisors.mine.settings.lowest_vmid; expected a whole number, 100 to 999999999; found the number 7",
            "/web hypervisors.mine.settings.nodes; proxmox has no such setting; did you mean `node`?",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_a_prototype_or_a_folder_gives_is_checked_with_the_engine_it_comes_to() -> Result<()> {
    let Some(host) = host(HostOptions::default()).await? else {
        return Ok(());
    };
    let uses = json!({"use_hypervisor": "f", "use_prototype": "small"});
    let problem = refused(&host, OperationKind::Provision, "/vm1", defined(uses)).await?;
    assert_eq!(
        lines(&problem),
        [
            "/ prototypes.small.settings.firmware; in effect at /vm1; expected `bios`, `uefi` or `uefi-secure`; found the text \"uefy\"; did you mean `uefi`?"
        ]
    );

    // A folder with two engines below: what one takes, the other may not.
    order(
        &host,
        OperationKind::CreateFolder,
        "/lab",
        defined(json!({})),
    )
    .await?;
    for (path, name) in [("/lab/sim", "f"), ("/lab/pve", "p")] {
        let definition = json!({"use_hypervisor": name});
        order(
            &host,
            OperationKind::CreateFolder,
            path,
            defined(definition),
        )
        .await?;
        for vm in ["vm1", "vm2"] {
            let path = format!("{path}/{vm}");
            order(&host, OperationKind::Provision, &path, defined(json!({}))).await?;
        }
    }
    let definition = json!({"settings": {"firmware": "uefi"}});
    let problem = refused(
        &host,
        OperationKind::Edit,
        "/lab",
        defined(definition.clone()),
    )
    .await?;
    let [line] = &lines(&problem)[..] else {
        anyhow::bail!("{problem:?}");
    };
    ensure!(
        line.starts_with(
            "/lab settings.firmware; proxmox has no such setting (in effect at /lab/pve and 2 more); known: "
        ),
        "{line}"
    );
    order(&host, OperationKind::Edit, "/lab/sim", {
        let mut definition = definition;
        definition["use_hypervisor"] = json!("f");
        defined(definition)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_engine_that_comes_later_is_asked_by_plan_and_deploy() -> Result<()> {
    let Ok(built) = engines_dir() else {
        skip_or_fail("no engines are built");
        return Ok(());
    };
    let engines = tempfile::tempdir()?;
    std::fs::copy(
        built.join("proxmox.wasm"),
        engines.path().join("proxmox.wasm"),
    )?;
    let options = HostOptions {
        engines: Some(engines.path().to_owned()),
        ..HostOptions::default()
    };
    let Some(mut host) = host(options).await? else {
        return Ok(());
    };
    // Nobody knows yet what it takes.
    let definition = json!({"use_hypervisor": "f", "settings": {"firmware": "coreboot"}});
    let said = order(
        &host,
        OperationKind::Provision,
        "/vm1",
        defined(definition.clone()),
    )
    .await?;
    assert_eq!(said, [""; 0]);
    host.kill().await?;
    std::fs::copy(built.join("fake.wasm"), engines.path().join("fake.wasm"))?;
    host.restart().await?;

    // What was stored is there, and what else is on it can be changed; but no machine is made of it.
    let mut more = definition.clone();
    more["memory"] = json!("2GiB");
    let warnings = order(&host, OperationKind::Edit, "/vm1", defined(more)).await?;
    ensure!(
        warnings.len() == 1
            && warnings[0]
                .starts_with("a deploy would be refused: `/vm1`: `settings.firmware`: expected"),
        "{warnings:?}"
    );
    let expected = "/vm1 settings.firmware; expected `bios`, `uefi` or `uefi-secure`; found the text \"coreboot\"";
    let plan = PlanRequest {
        kind: OperationKind::Deploy,
        path: "/vm1".parse()?,
        params: Params::default(),
        limit: None,
        refresh: false,
    };
    let error = host.client().plan(&plan).await.err().context("planned")?;
    assert_eq!(lines(&problem(error.into())?), [expected]);
    for path in ["/vm1", "/"] {
        let problem = refused(&host, OperationKind::Deploy, path, Params::default()).await?;
        assert_eq!(lines(&problem), [expected], "{path}");
    }
    let right = json!({"use_hypervisor": "f", "settings": {"firmware": "uefi"}});
    let warnings = order(&host, OperationKind::Edit, "/vm1", defined(right)).await?;
    assert_eq!(warnings, [""; 0]);
    host.client()
        .plan(&plan)
        .await
        .err()
        .context("nothing listens there")?;
    Ok(())
}

#[tokio::test]
async fn a_reconfigure_is_refused_before_it_is_queued() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    site.deployed().await?;
    let (_, said) = site
        .cli_fails(&[
            "reconfigure",
            "/vm1",
            "settings.onboot=perhaps",
            "memory=2GiB",
        ])
        .await?;
    ensure!(
        said.contains("settings.onboot: expected true or false, found the text \"perhaps\""),
        "{said}"
    );
    let node = site.node("/vm1").await?;
    ensure!(!node.local_definition.contains_key("memory"), "{node:?}");
    site.cli(&["reconfigure", "/vm1", "settings.onboot=true"])
        .await?;
    Ok(())
}

#[tokio::test]
async fn settings_are_listed_with_what_they_take() -> Result<()> {
    let Some(host) = host(HostOptions::default()).await? else {
        return Ok(());
    };
    for (engine, words) in [
        (
            "fake",
            &[
                "firmware",
                "`bios`, `uefi` or `uefi-secure`; for example \"uefi\"",
                "How the machine boots.",
                "page_size",
                "a whole number, 1 to 1000",
            ][..],
        ),
        (
            "proxmox",
            &[
                "settings of a machine",
                "onboot",
                "true or false",
                "Start with the node.",
                "settings of a hypervisor",
                "lowest_vmid",
                "a whole number, 100 to 999999999",
            ],
        ),
    ] {
        let output = host.run(&["engines", "show", engine]).await?;
        let shown = String::from_utf8(output.stdout)?;
        println!("{shown}");
        for word in words {
            ensure!(shown.contains(word), "no {word:?} in {shown}");
        }
    }
    Ok(())
}
