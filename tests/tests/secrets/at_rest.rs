//! Plain passwords in orders: they work, and no byte of them is anywhere.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, ClientError, OperationFilter, OperationKind, Params};
use enginehouse_tests::{FakePveOptions, HostOptions, Site, defined};
use serde_json::{Value, json};

const GUEST: &str = "guest-hunter2-Zx81";

/// Files below a directory that hold one of the texts.
fn files_with(dir: &Path, texts: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut read = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let content = fs::read(&path)?;
            read += 1;
            for text in texts {
                let holds = content
                    .windows(text.len())
                    .any(|window| window == text.as_bytes());
                if holds {
                    found.push(format!("{} has {text}", path.display()));
                }
            }
        }
    }
    ensure!(read > 3, "only {read} files were read");
    Ok(found)
}

async fn site() -> Result<Option<Site>> {
    let host = HostOptions {
        arguments: [
            "--log",
            "debug,hyper=info,h2=info,cranelift=info,wasmtime=info",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..HostOptions::default()
    };
    Site::start(FakePveOptions::default(), host).await
}

#[tokio::test]
async fn no_byte_of_a_password_is_in_the_data_directory_or_in_an_answer() -> Result<()> {
    let Some(mut site) = site().await? else {
        return Ok(());
    };
    let password = site.pve.secret().to_owned();
    let secrets = [password.as_str(), GUEST];

    // By a whole definition, by single keys, on a folder, on a new and on a deployed machine.
    site.set_root(site.entry_with(json!({"password": password})))
        .await?;
    let key = ["hypervisors", "other"].map(str::to_owned).to_vec();
    let value = site.entry_with(json!({"password": password}));
    let changes = vec![Change::Set { key, value }];
    let edit = Params {
        changes,
        ..Params::default()
    };
    site.order(OperationKind::Edit, "/", edit).await?;
    let guest = json!({"guest": {"users": [{"name": "a", "password": GUEST}]}});
    site.order(OperationKind::CreateFolder, "/web", defined(guest.clone()))
        .await?;
    site.provision("/web/vm1", guest.clone()).await?;
    site.order(OperationKind::Deploy, "/web/vm1", Params::default())
        .await?;
    let key = ["guest", "domain"].map(str::to_owned).to_vec();
    let value = json!({"domain": "example", "account": "join", "password": GUEST});
    let changes = vec![Change::Set { key, value }];
    let params = Params {
        changes,
        ..Params::default()
    };
    // Whether the engine can do that is not the question; what is stored of it is.
    site.end(OperationKind::Reconfigure, "/web/vm1", params)
        .await?;

    let client = site.host.client();
    let mut answers = String::new();
    let page = client.operations(&OperationFilter::default()).await?;
    ensure!(page.operations.len() >= 6);
    for operation in &page.operations {
        answers += &serde_json::to_string(&client.operation(operation.number).await?)?;
        answers += &serde_json::to_string(&client.log(operation.number, 0).await?)?;
        answers += &serde_json::to_string(&client.requests(operation.number).await?)?;
    }
    for path in ["/", "/web", "/web/vm1"] {
        answers += &serde_json::to_string(&site.node(path).await?)?;
        answers += &site.cli(&["show", path, "--origins"]).await?;
    }
    answers += &serde_json::to_string(&client.secrets().await?)?;
    answers += &site.cli(&["secret", "list"]).await?;
    for text in secrets {
        ensure!(!answers.contains(text), "an answer has {text}");
    }
    let root = site.node("/").await?.local_definition;
    ensure!(
        root["hypervisors"]["pve"]["password"] == json!({"secret": "pve.password"}),
        "{root:?}"
    );
    ensure!(
        answers.contains("web/vm1/guest.users.0.password"),
        "{answers}"
    );

    let found = files_with(site.host.data_dir(), &secrets)?;
    ensure!(found.is_empty(), "{found:?}");
    site.host.kill().await?;
    let found = files_with(site.host.data_dir(), &secrets)?;
    ensure!(found.is_empty(), "after a kill: {found:?}");

    // The next life opens them.
    site.host.restart().await?;
    site.cli(&["hypervisors", "check", "pve"]).await?;
    let found = files_with(site.host.data_dir(), &secrets)?;
    ensure!(found.is_empty(), "after a restart: {found:?}");
    Ok(())
}

async fn names(site: &Site) -> Result<Vec<String>> {
    let list = site.host.client().secrets().await?;
    Ok(list.secrets.iter().map(|s| s.name.to_string()).collect())
}

#[tokio::test]
async fn a_generated_secret_lives_as_long_as_a_definition_refers_to_it() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let folder = |password: &str| {
        defined(
            json!({"hypervisors": {"h": {"type": "proxmox", "host": "a", "password": password}}}),
        )
    };
    site.order(OperationKind::CreateFolder, "/web", folder("first"))
        .await?;
    ensure!(names(&site).await? == ["web/h.password"]);
    let revision = site.node("/web").await?.revision;

    // The same again changes nothing, so a script may send it each time.
    site.order(OperationKind::Edit, "/web", folder("first"))
        .await?;
    ensure!(names(&site).await? == ["web/h.password"]);
    ensure!(site.node("/web").await?.revision == revision);

    // Another one gets another name, and the first one goes.
    site.order(OperationKind::Edit, "/web", folder("second"))
        .await?;
    ensure!(names(&site).await? == ["web/h.password-2"]);

    // Two at once: one after the other, and one secret is left.
    let (one, two) = tokio::join!(
        site.order(OperationKind::Edit, "/web", folder("third")),
        site.order(OperationKind::Edit, "/web", folder("fourth")),
    );
    one?;
    two?;
    let left = names(&site).await?;
    ensure!(left.len() == 1, "{left:?}");
    let node = site.node("/web").await?.local_definition;
    ensure!(
        node["hypervisors"]["h"]["password"]["secret"] == left[0],
        "{node:?}"
    );

    // Sent back as it is shown, it stays; without the entry it goes.
    site.order(OperationKind::Edit, "/web", defined(Value::Object(node)))
        .await?;
    ensure!(names(&site).await? == left);
    site.order(OperationKind::Edit, "/web", defined(json!({})))
        .await?;
    ensure!(names(&site).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_refused_leaves_no_secret() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let long = "x".repeat(1 << 20);
    for (definition, hint) in [
        (json!({"settings": {"api_token": GUEST}}), "guest"),
        (
            json!({"hypervisors": {"h": {"settings": {"api_token": GUEST}}}}),
            "password",
        ),
        (json!({"hypervisors": {"h": {"password": long}}}), "65536"),
        (json!({"hypervisors": {"h": {"password": ""}}}), "password"),
        (
            json!({"hypervisors": {"h": {"password": GUEST}}, "use_hypervisor": "nope"}),
            "nope",
        ),
    ] {
        let refused = site
            .begin(OperationKind::CreateFolder, "/web", defined(definition))
            .await;
        let error = refused.err().context("it was accepted")?;
        let Some(ClientError::Refused(problem)) = error.downcast_ref() else {
            return Err(error);
        };
        let text = serde_json::to_string(problem)?;
        ensure!(text.contains(hint) && !text.contains(GUEST), "{text}");
        ensure!(text.len() < 5000, "{} characters", text.len());
    }
    ensure!(names(&site).await?.is_empty());
    let found = files_with(site.host.data_dir(), &[GUEST])?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}
