//! The engines as WebAssembly components.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{cargo, command, output, run, works};
use crate::workspace;

const WASM: &str = "wasm32-wasip2";

/// An engine's crate and the name that its component gets.
struct Engine {
    package: String,
    component: PathBuf,
}

/// The engines that this repository ships: `target/engines/NAME.wasm`.
pub fn build_ours() -> Result<()> {
    target_installed()?;
    build(&engines_below(
        "plugins",
        &workspace::target().join("engines"),
    )?)
}

/// And those of the tests: `target/engines/test/NAME.wasm`.
pub fn build_all() -> Result<()> {
    build_ours()?;
    let tests = workspace::target().join("engines/test");
    build(&engines_below("tests/engines", &tests)?)
}

/// The crates in a directory; each component is called like its crate's directory.
fn engines_below(dir: &str, into: &Path) -> Result<Vec<Engine>> {
    let dir = workspace::root().join(dir);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut engines = Vec::new();
    for package in packages {
        let (Some(name), Some(manifest)) =
            (package["name"].as_str(), package["manifest_path"].as_str())
        else {
            bail!("cargo metadata names no package where one should be");
        };
        let Some(home) = Path::new(manifest).parent() else {
            continue;
        };
        if let (Some(parent), Some(called)) = (home.parent(), home.file_name())
            && parent == dir
        {
            engines.push(Engine {
                package: name.to_owned(),
                component: into.join(called).with_extension("wasm"),
            });
        }
    }
    Ok(engines)
}

fn build(engines: &[Engine]) -> Result<()> {
    for engine in engines {
        println!("engine {}", engine.package);
        let mut build = cargo();
        // One package at a time: together they would get each other's features.
        build
            .args(["build", "--package", &engine.package, "--lib"])
            .args(["--target", WASM, "--profile", "engine", "--target-dir"])
            .arg(workspace::target().join("wasm"))
            .args(["--message-format", "json-render-diagnostics"]);
        let built = output(&mut build)?;
        let built = component(&built, &engine.package)?;
        replace(&built, &engine.component)?;
    }
    Ok(())
}

/// The `.wasm` that cargo says it made.
fn component(messages: &str, package: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| {
            let files = message["filenames"].as_array().cloned();
            files.unwrap_or_default()
        })
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .rfind(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .with_context(|| format!("{package} makes no component: its crate type must have `cdylib`"))
}

/// A host may be reading the old file: the new one takes its name at once.
fn replace(built: &Path, component: &Path) -> Result<()> {
    let same = fs::read(component).is_ok_and(|old| fs::read(built).is_ok_and(|new| new == old));
    if same {
        return Ok(());
    }
    let into = component.parent().context("an engine has no directory")?;
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let unfinished = component.with_extension("new");
    fs::copy(built, &unfinished)
        .and_then(|_| fs::rename(&unfinished, component))
        .with_context(|| format!("cannot write {}", component.display()))
}

/// Adds the target with rustup where it is missing.
fn target_installed() -> Result<()> {
    let mut ask = command("rustc");
    ask.args(["--print", "target-libdir", "--target", WASM]);
    let libraries = output(&mut ask).unwrap_or_default();
    if !libraries.is_empty() && Path::new(libraries.trim()).exists() {
        return Ok(());
    }
    if !works(command("rustup").arg("--version")) {
        bail!(
            "the Rust target {WASM} is missing and there is no rustup to add it: install rustup \
             (https://rustup.rs), or your distribution's package of that target"
        );
    }
    println!("adding the Rust target {WASM}");
    run(command("rustup").args(["target", "add", WASM])).with_context(|| {
        format!("cannot add the Rust target {WASM}: without network, install it beforehand")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_one_that_cargo_names() {
        let messages = r#"
            {"reason":"compiler-artifact","filenames":["/t/libserde.rlib"]}
            not json
            {"reason":"compiler-artifact","filenames":["/t/libfake.rlib","/t/fake.wasm"]}
            {"reason":"build-finished","success":true}"#;
        let found = component(messages, "fake").unwrap();
        assert_eq!(found, Path::new("/t/fake.wasm"));
        let error = component("", "fake").unwrap_err().to_string();
        assert!(error.contains("cdylib"), "{error}");
    }
}
