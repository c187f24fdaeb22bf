//! A disk that is full, cannot be written, or has lost something of the database.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::{ClientError, ErrorCode, OperationKind, Params, Problem};
use enginehouse_model::OperationId;
use enginehouse_tests::{Host, HostOptions, request};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A file system of its own, of 8 MiB; only root may make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Result<Option<Self>> {
        let dir = TempDir::new()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Ok(Some(Self(dir)));
        }
        eprintln!("skipped: no right to mount a tmpfs; the store's own tests bound the database");
        Ok(None)
    }

    fn remount(&self, how: &str) -> Result<()> {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(self.0.path())
            .status()?;
        ensure!(status.success(), "remount,{how}: {status}");
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Leaves no byte.
    fn fill(&self) -> Result<()> {
        let mut file = fs::File::create(self.ballast())?;
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the host may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A host without engines: these tests are about what it keeps.
async fn host(data_in: Option<&Path>) -> Result<(Host, TempDir)> {
    let engines = TempDir::new()?;
    let host = Host::start(HostOptions {
        engines: Some(engines.path().to_owned()),
        data_in: data_in.map(Path::to_owned),
        ..HostOptions::default()
    })
    .await?;
    Ok((host, engines))
}

/// Makes a folder: its number, or the refusal.
async fn folder(host: &Host, path: &str) -> Result<Result<OperationId, Problem>> {
    let mut params = Params::default();
    let long = serde_json::json!({"description": "x".repeat(4000)});
    if let serde_json::Value::Object(definition) = long {
        params.definition = Some(definition);
    }
    let order = request(OperationKind::CreateFolder, path, params)?;
    match host.client().order(&order, None, None).await {
        Ok(operation) => Ok(Ok(operation.number)),
        Err(ClientError::Refused(problem)) => Ok(Err(*problem)),
        Err(error) => Err(error.into()),
    }
}

async fn folders(host: &Host) -> Result<usize> {
    let tree = host.client().tree(&"/".parse()?, Some(1)).await?;
    Ok(tree.children.len())
}

#[tokio::test]
async fn a_full_disk_refuses_before_a_number_is_given_and_works_again_when_there_is_room()
-> Result<()> {
    let Some(disk) = SmallDisk::new()? else {
        return Ok(());
    };
    let (mut host, _engines) = host(Some(disk.0.path())).await?;
    let first = folder(&host, "/first").await?;
    ensure!(first.is_ok(), "{first:?}");
    disk.fill()?;
    let mut last = first.unwrap_or(OperationId(0));
    let mut made = 1;
    let refused = loop {
        match folder(&host, &format!("/f{made}")).await? {
            Ok(number) => (last, made) = (number, made + 1),
            Err(problem) => break problem,
        }
        ensure!(made < 5_000, "the disk is never full");
    };
    ensure!(
        refused.code == ErrorCode::Busy
            && refused.detail.contains("the disk is full")
            && refused
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("free some space")),
        "{refused:?}"
    );

    fs::remove_file(disk.ballast())?;
    let began = Instant::now();
    let next = loop {
        if let Ok(number) = folder(&host, "/after").await? {
            break number;
        }
        ensure!(began.elapsed() < PATIENCE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(next.0, last.0 + 1, "no number was given away");
    assert_eq!(folders(&host).await?, made + 1, "nothing is lost");
    host.kill().await?;
    host.restart().await?;
    assert_eq!(folders(&host).await?, made + 1);
    Ok(())
}

#[tokio::test]
async fn a_file_system_that_cannot_be_written_is_named() -> Result<()> {
    let Some(disk) = SmallDisk::new()? else {
        return Ok(());
    };
    let (mut host, _engines) = host(Some(disk.0.path())).await?;
    ensure!(folder(&host, "/first").await?.is_ok());
    host.kill().await?;
    disk.remount("ro")?;
    let refused = host.run(&["serve", "--listen", "127.0.0.1:0"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1), "{said}");
    ensure!(said.contains("can be read but not written"), "{said}");
    disk.remount("rw")?;
    host.restart().await?;
    assert_eq!(folders(&host).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_gone_or_cut_is_never_replaced_by_a_new_one() -> Result<()> {
    let (mut host, _engines) = host(None).await?;
    ensure!(folder(&host, "/first").await?.is_ok());
    host.kill().await?;
    let data = host.data_dir().to_owned();
    let (database, aside) = (data.join("enginehouse.db"), data.join("aside"));
    ensure!(data.join("enginehouse.db-wal").exists(), "no log was left");
    fs::rename(&database, &aside)?;
    let error = host.restart().await.unwrap_err().to_string();
    ensure!(
        error.contains("is missing but") && error.contains("restore"),
        "{error}"
    );
    ensure!(!database.exists(), "a new one was made");

    fs::rename(&aside, &database)?;
    host.restart().await?;
    assert_eq!(folders(&host).await?, 1, "nothing was lost by trying");
    host.kill().await?;

    let whole = fs::read(&database)?;
    for side in ["enginehouse.db-wal", "enginehouse.db-shm"] {
        fs::remove_file(data.join(side))?;
    }
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    fs::write(&database, half)?;
    let error = host.restart().await.unwrap_err().to_string();
    ensure!(error.contains("restore a backup"), "{error}");
    assert_eq!(fs::read(&database)?, half, "it was left alone");
    Ok(())
}
