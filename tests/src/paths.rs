//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The root of the workspace.
#[must_use]
pub fn workspace_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where `xtask` puts what it prepares: always `target` in the workspace, wherever cargo builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    workspace_dir().join("target")
}

/// Directory of the engines that `cargo xtask engines` built.
///
/// # Errors
/// When there are none.
pub fn engines_dir() -> Result<PathBuf> {
    let dir = target_dir().join("engines");
    ensure!(
        dir.join("fake.wasm").exists() && dir.join("proxmox.wasm").exists(),
        "no engines in {}: run `cargo xtask engines`",
        dir.display()
    );
    Ok(dir)
}

/// A test engine: `tests/engines/NAME` as a component.
///
/// # Errors
/// When it was not built.
pub fn test_engine(name: &str) -> Result<PathBuf> {
    let path = target_dir()
        .join("engines/test")
        .join(format!("{name}.wasm"));
    ensure!(
        path.exists(),
        "no engine {}: run `cargo xtask engines`",
        path.display()
    );
    Ok(path)
}
