//! What is loaded and what is refused, and why.

use std::path::Path;

use enginehouse_engines::{LoadError, Runtime, RuntimeConfig};

use crate::setup::{config, engines, wasm};

async fn refused(bytes: &[u8]) -> LoadError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.wasm");
    std::fs::write(&path, bytes).unwrap();
    let runtime = Runtime::new(RuntimeConfig::new(dir.path().join("cache"))).unwrap();
    runtime.load_file(&path).await.unwrap_err()
}

async fn refused_wat(text: &str) -> String {
    refused(&wat::parse_str(text).unwrap()).await.to_string()
}

fn copy(dir: &Path, name: &str) {
    std::fs::copy(wasm(), dir.join(name)).unwrap();
}

#[tokio::test]
async fn an_engine_says_what_it_is() {
    let runtime = Runtime::new(config()).unwrap();
    let engine = runtime.load_file(&wasm()).await.unwrap();
    assert_eq!((engine.name(), engine.hash().len()), ("abuse", 64));
    assert!(engine.is_called("ABUSE") && engine.is_called("Mischief") && !engine.is_called("fake"));
}

#[tokio::test]
async fn the_engines_of_this_repository_fit_the_contract() {
    let runtime = Runtime::new(config()).unwrap();
    for name in ["fake", "proxmox"] {
        let path = engines().join(name).with_extension("wasm");
        let engine = runtime.load_file(&path).await.unwrap();
        assert_eq!(engine.name(), name);
    }
}

#[tokio::test]
async fn what_is_no_component_is_refused_for_what_it_is() {
    let good = std::fs::read(wasm()).unwrap();
    for length in [0, 3, 8, 100, good.len() / 2, good.len() - 1] {
        let error = refused(&good[..length]).await;
        let text = error.to_string();
        // Eight bytes are a component, only an empty one.
        if length == 8 {
            assert!(matches!(&error, LoadError::Missing(_)), "{length}: {text}");
        } else {
            assert!(
                text.starts_with("not a WebAssembly component: "),
                "{length}: {text}"
            );
        }
    }
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    for byte in &mut corrupt[middle..middle + 64] {
        *byte = 0xff;
    }
    assert!(!matches!(refused(&corrupt).await, LoadError::Describe(_)));
    assert!(matches!(
        refused(b"\0asm\x01\0\0\0").await,
        LoadError::CoreModule
    ));
    assert!(matches!(refused(b"MZ").await, LoadError::NotAComponent(_)));
}

#[tokio::test]
async fn a_missing_or_different_function_is_named() {
    assert_eq!(
        refused_wat("(component)").await,
        "exports no `enginehouse:engine/meta@0.1.0`: every engine must have it; see wit/engine.wit"
    );
    let meta = |version: &str, functions: &str| {
        format!(
            r#"(component
                (core module $m (func (export "d") (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func $d (result u32) (canon lift (core func $i "d")))
                (instance $meta {functions})
                (export "enginehouse:engine/meta@{version}" (instance $meta)))"#
        )
    };
    assert_eq!(
        refused_wat(&meta("0.1.0", r#"(export "describe" (func $d))"#)).await,
        "exports `meta.describe` with another type: expected `func() -> string`, found `func() -> u32`"
    );
    assert_eq!(
        refused_wat(&meta("0.1.0", "")).await,
        "exports no `meta.describe`: every engine must have it; see wit/engine.wit"
    );
    assert_eq!(
        refused_wat(&meta("0.2.0", "")).await,
        "was built for contract 0.2.0 of enginehouse:engine; this host speaks 0.1.0"
    );
}

#[tokio::test]
async fn a_directory_loads_what_fits_and_names_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path(), "b-first.wasm");
    copy(dir.path(), "c-second.wasm");
    std::fs::write(dir.path().join("a-broken.wasm"), "x").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    let runtime = Runtime::new(config()).unwrap();
    let loaded = runtime.load_dir(dir.path()).await;
    assert_eq!(loaded.engines.len(), 1);
    assert!(loaded.engines[0].path().ends_with("b-first.wasm"));
    let refused: Vec<String> = (loaded.refused.iter())
        .map(|(path, error)| format!("{}: {error}", path.file_name().unwrap().display()))
        .collect();
    assert_eq!(refused.len(), 2);
    assert!(
        refused[0].starts_with("a-broken.wasm: not a WebAssembly component"),
        "{refused:?}"
    );
    assert!(
        refused[1].starts_with("c-second.wasm: the name `abuse` is taken by"),
        "{refused:?}"
    );
    assert!(
        runtime
            .load_dir(&dir.path().join("none"))
            .await
            .engines
            .is_empty()
    );
}

#[tokio::test]
async fn a_tampered_cache_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let load = async || {
        let runtime = Runtime::new(RuntimeConfig::new(&cache)).unwrap();
        runtime.load_file(&wasm()).await.unwrap().hash().to_owned()
    };
    let hash = load().await;
    let compiled = std::fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cwasm")
        })
        .unwrap();
    let mut bytes = std::fs::read(&compiled).unwrap();
    let good = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&compiled, &bytes).unwrap();
    assert_eq!(load().await, hash);
    assert_ne!(std::fs::read(&compiled).unwrap(), bytes);
    assert_eq!(std::fs::read(&compiled).unwrap().len(), good.len());
}
