//! The host as a process: starting, being refused, being killed.

use anyhow::{Context, Result, ensure};
use enginehouse_tests::{Host, HostOptions, skip_or_fail};

/// A host with the engines of this repository; `None` where they are not built.
async fn host() -> Result<Option<Host>> {
    if let Err(error) = enginehouse_tests::engines_dir() {
        skip_or_fail(&error.to_string());
        return Ok(None);
    }
    Host::start(HostOptions::default()).await.map(Some)
}

#[tokio::test]
async fn a_second_host_on_one_data_directory_is_refused_with_the_process_id() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    let pid = host.pid().context("no process")?;
    let second = host.run(&["serve", "--listen", "127.0.0.1:0"]).await?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success(), "{said}");
    ensure!(said.contains(&format!("process {pid}")), "{said}");
    // The first one is not touched by it.
    host.client().healthz().await?;

    // A lock whose holder was killed is none.
    host.kill().await?;
    host.restart().await?;
    ensure!(host.pid() != Some(pid));
    host.client().healthz().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_shown_without_the_token() -> Result<()> {
    let Some(host) = host().await? else {
        return Ok(());
    };
    let url = host.client().url().to_owned();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let health = http.get(format!("{url}/healthz")).send().await?;
    assert_eq!(health.status(), 200);
    for path in ["/v1/tree", "/v1/operations", "/v1/engines", "/v1/info"] {
        let answer = http.get(format!("{url}{path}")).send().await?;
        assert_eq!(answer.status(), 401, "{path}");
        let wrong = http.get(format!("{url}{path}")).bearer_auth("guess");
        assert_eq!(wrong.send().await?.status(), 401, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_alone() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    host.kill().await?;
    let database = host.data_dir().join("enginehouse.db");
    for side in ["enginehouse.db-wal", "enginehouse.db-shm"] {
        std::fs::remove_file(host.data_dir().join(side))?;
    }
    std::fs::write(&database, b"this was a database")?;
    let error = host.restart().await.unwrap_err().to_string();
    ensure!(error.contains("restore a backup"), "{error}");
    assert_eq!(std::fs::read(&database)?, b"this was a database");
    Ok(())
}
