//! The engine is replaced or removed while a task of its runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationState, Params};
use enginehouse_model::{InstallationId, OperationId};
use enginehouse_sim::{Knobs, Sim, SimConfig};
use enginehouse_store::{Opening, Store};
use enginehouse_tests::{Host, HostOptions, Stage, defined, engines_dir, skip_or_fail};
use serde_json::{Value, json};

use crate::scene::{waits_for_task, when};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the provider works on the creation: the host is killed and started meanwhile.
const CREATE_MS: u64 = 8_000;

struct Scene {
    stage: Stage,
    /// The host's engines directory.
    engines: tempfile::TempDir,
    /// Hashes of the two versions.
    old: String,
    new: String,
}

/// The same engine as another file: what follows its last section is a section that nobody reads.
fn another_version(wasm: &[u8]) -> Vec<u8> {
    let name = b"note";
    let payload = b"another build";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(payload);
    let mut wasm = wasm.to_vec();
    wasm.extend_from_slice(&[0, section.len() as u8]);
    wasm.extend_from_slice(&section);
    wasm
}

impl Scene {
    /// A host whose deployment of `/a` waits for the creation; `None` where nothing is built.
    async fn start() -> Result<Option<(Self, OperationId)>> {
        let built = match engines_dir() {
            Ok(dir) => dir.join("fake.wasm"),
            Err(error) => {
                skip_or_fail(&error.to_string());
                return Ok(None);
            }
        };
        let wasm = fs::read(built)?;
        let engines = tempfile::tempdir()?;
        fs::write(engines.path().join("fake.wasm"), &wasm)?;
        let knobs = Knobs {
            task_ms: 10,
            task_ms_of: [("create".to_owned(), CREATE_MS)].into(),
            ..Knobs::default()
        };
        let sim = Sim::start(SimConfig {
            knobs,
            ..SimConfig::default()
        })
        .await?;
        let host = Host::start(HostOptions {
            engines: Some(engines.path().to_owned()),
            ..HostOptions::default()
        })
        .await?;
        let stage = Stage { sim, host };
        let root = json!({
            "hypervisors": {"sim": {"type": "fake", "host": stage.sim.url()}},
            "use_hypervisor": "sim",
            "base_image": "d12", "vcpu": 1, "memory": "1GiB",
        });
        stage.order(OperationKind::Edit, "/", defined(root)).await?;
        stage.provision("/a", json!({})).await?;
        let number = stage
            .begin(OperationKind::Deploy, "/a", Params::default())
            .await?
            .number;
        when(&stage, number, waits_for_task).await?;
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let scene = Self {
            stage,
            engines,
            old: hash(&wasm),
            new: hash(&another_version(&wasm)),
        };
        Ok(Some((scene, number)))
    }

    fn wasm(&self) -> PathBuf {
        self.engines.path().join("fake.wasm")
    }

    fn copies_dir(&self) -> PathBuf {
        self.stage.host.data_dir().join("engine-copies")
    }

    fn copies(&self) -> Result<BTreeSet<String>> {
        let mut copies = BTreeSet::new();
        for entry in fs::read_dir(self.copies_dir())? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            copies.insert(stem.context("no name")?.to_owned());
        }
        Ok(copies)
    }

    async fn copies_become(&self, expected: &[&str]) -> Result<()> {
        let expected: BTreeSet<String> = expected.iter().map(|one| (*one).to_owned()).collect();
        let began = Instant::now();
        while self.copies()? != expected {
            ensure!(began.elapsed() < PATIENCE, "{:?}", self.copies()?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn says_what_it_waits_for(&self, number: OperationId) -> Result<Operation> {
        let said = |operation: &Operation| {
            let reason = operation.waiting_for.as_deref().unwrap_or_default();
            reason.contains("engine fake")
        };
        when(&self.stage, number, said).await
    }
}

/// The engines that the steps of an operation were begun with, in their order.
async fn engines_of_steps(data: &Path, number: OperationId) -> Result<Vec<String>> {
    let opening = Opening {
        host: "test".to_owned(),
        first_installation: InstallationId::from_uuid(uuid::Uuid::nil()),
        max_pages: None,
    };
    let (store, _) = Store::open(data, &opening)?;
    let mut engines = Vec::new();
    for row in store.journal(number).await? {
        let row: Value = row.document.read()?;
        if let Some(hash) = row["engine"]["hash"].as_str() {
            engines.push(hash.to_owned());
        }
    }
    Ok(engines)
}

#[tokio::test]
async fn a_step_is_ended_by_the_engine_that_began_it_and_the_next_begun_by_the_new_one()
-> Result<()> {
    let Some((mut scene, number)) = Scene::start().await? else {
        return Ok(());
    };
    let wasm = fs::read(scene.wasm())?;
    // Replaced while the host runs, as an operator would.
    fs::write(scene.wasm(), another_version(&wasm))?;
    ensure!(scene.copies()? == BTreeSet::from([scene.old.clone()]));
    scene.stage.host.kill().await?;
    scene.stage.host.restart().await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(
        scene.stage.host.log().contains("a former engine"),
        "{}",
        scene.stage.host.log()
    );
    ensure!(scene.stage.sim.world().named("a").len() == 1);
    // Nothing names the old one any more.
    scene.copies_become(&[&scene.new]).await?;
    scene.stage.host.kill().await?;
    let engines = engines_of_steps(scene.stage.host.data_dir(), number).await?;
    ensure!(engines.len() > 1, "{engines:?}");
    ensure!(engines[0] == scene.old, "{engines:?}");
    ensure!(
        engines[1..].iter().all(|engine| *engine == scene.new),
        "{engines:?}"
    );
    Ok(())
}

#[tokio::test]
async fn without_its_engine_a_step_waits_and_goes_on_when_it_is_put_back() -> Result<()> {
    let Some((mut scene, number)) = Scene::start().await? else {
        return Ok(());
    };
    let wasm = fs::read(scene.wasm())?;
    scene.stage.host.kill().await?;
    fs::write(scene.wasm(), another_version(&wasm))?;
    fs::remove_dir_all(scene.copies_dir())?;
    scene.stage.host.restart().await?;
    let waiting = scene.says_what_it_waits_for(number).await?;
    ensure!(!waiting.state.has_ended(), "{waiting:#?}");
    let shown = scene
        .stage
        .cli(&["ops", "show", &number.to_string()])
        .await?;
    ensure!(shown.contains(&scene.old[..12]), "{shown}");

    scene.stage.host.kill().await?;
    fs::write(scene.wasm(), &wasm)?;
    scene.stage.host.restart().await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.stage.sim.world().named("a").len() == 1);
    Ok(())
}

#[tokio::test]
async fn an_engine_that_is_lost_for_good_leaves_the_decision_to_a_person() -> Result<()> {
    let Some((mut scene, number)) = Scene::start().await? else {
        return Ok(());
    };
    scene.stage.host.kill().await?;
    fs::remove_file(scene.wasm())?;
    fs::remove_dir_all(scene.copies_dir())?;
    scene.stage.host.restart().await?;
    scene.says_what_it_waits_for(number).await?;
    let text = number.to_string();
    let cancelled = scene.stage.run(&["ops", "cancel", &text]).await?;
    let doubted = scene.stage.host.client().operation(number).await?;
    ensure!(
        doubted.state == OperationState::InDoubt,
        "{cancelled:?} {doubted:#?}"
    );
    scene
        .stage
        .run(&["ops", "resolve", &text, "--as", "failed"])
        .await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    Ok(())
}
