//! Twenty engines from the compile cache to ready.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_engines::{Runtime, RuntimeConfig};
use enginehouse_tests::engines_dir;
use tempfile::TempDir;

use super::sample::{Samples, Table};

const ENGINES: usize = 20;
const STARTS: usize = 10;

pub fn measure() -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(loads())
}

async fn loads() -> Result<Table> {
    let dir = tempfile::tempdir()?;
    let files = engines(&dir)?;
    let compiled = ready(&dir, &files).await?;
    let mut cached = Samples::default();
    for _ in 0..STARTS {
        cached.add(ready(&dir, &files).await?);
    }
    let mut table = Table::default();
    table.line(
        "20 engines, compiled",
        format!("{:.0} ms", 1e3 * compiled.as_secs_f64()),
    );
    table.line("20 engines, from the cache", &cached);
    let ms = 1e3 * cached.quantile(0.5).as_secs_f64();
    table.line(
        "median",
        format!("{ms:.0} ms (must be 100 or less on a quiet machine)"),
    );
    table.line(
        "compiled / cached",
        format!(
            "{:.0}",
            compiled.as_secs_f64() / cached.quantile(0.5).as_secs_f64()
        ),
    );
    Ok(table)
}

/// A new runtime, and all engines loaded by it as the host does: one after another.
async fn ready(dir: &TempDir, files: &[PathBuf]) -> Result<Duration> {
    let began = Instant::now();
    let runtime = Runtime::new(RuntimeConfig::new(dir.path().join("cache")))?;
    for file in files {
        let engine = runtime.load_file(file).await;
        engine.with_context(|| format!("{} is refused", file.display()))?;
    }
    Ok(began.elapsed())
}

/// The two engines of this repository, ten times each: a custom section makes each file another one.
fn engines(dir: &TempDir) -> Result<Vec<PathBuf>> {
    let ours = engines_dir()?;
    let mut files = Vec::new();
    for n in 0..ENGINES {
        let of = if n % 2 == 0 { "proxmox" } else { "fake" };
        let mut wasm = fs::read(ours.join(of).with_extension("wasm"))?;
        let name = format!("bench{n:02}");
        ensure!(name.len() < 100, "one byte says the length");
        // Section 0: size, length of the name, name.
        wasm.extend([0, name.len() as u8 + 1, name.len() as u8]);
        wasm.extend(name.as_bytes());
        let file = dir.path().join(name).with_extension("wasm");
        fs::write(&file, wasm)?;
        files.push(file);
    }
    Ok(files)
}
