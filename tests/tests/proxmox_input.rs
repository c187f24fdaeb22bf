//! Bad input from a person: a definition that cannot be, an engine's file that is none.

use std::path::Path;

use anyhow::{Result, ensure};
use enginehouse_tests::{FakePveOptions, HostOptions, Site, engines_dir};

#[tokio::test]
async fn what_is_wrong_with_a_definition_is_said_with_node_key_expected_and_found() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    site.cli(&["folder", "create", "/web"]).await?;
    for (change, words) in [
        // An unknown key, and one that is nearly right.
        ("memroy=4GiB", &["memroy", "did you mean `memory`"][..]),
        ("disks.root.sise=4GiB", &["disks.root.sise", "size"]),
        ("colour=red", &["colour"]),
        // Wrong types.
        ("vcpu=many", &["vcpu", "number", "many"]),
        ("vcpu=-1", &["vcpu", "-1"]),
        ("protect=perhaps", &["protect", "true", "perhaps"]),
        ("disks=20GiB", &["disks", "20GiB"]),
        // Wrong units: a plain number says none.
        ("memory=4096", &["memory", "8GiB", "4096MiB"]),
        ("memory=4Gibi", &["memory", "4Gibi"]),
        ("disks.root.size=-1GiB", &["disks.root.size", "-1GiB"]),
        ("power=on", &["power", "running", "on"]),
        ("use_hypervisor=pev", &["pev", "pve"]),
        ("use_prototype=smal", &["smal", "small"]),
    ] {
        let (code, said) = site.cli_fails(&["provision", "/web/vm1", change]).await?;
        println!("{change}\n{said}");
        ensure!(code == 1 || code == 2, "{change}: {code}");
        ensure!(said.contains("/web/vm1"), "{change}: {said}");
        for word in words {
            ensure!(said.contains(word), "{change}: no {word:?} in {said}");
        }
    }
    // All that is wrong is said at once, and nothing came of it.
    let both = ["provision", "/web/vm1", "memory=1", "vcpu=x"];
    let (_, said) = site.cli_fails(&both).await?;
    ensure!(said.contains("memory") && said.contains("vcpu"), "{said}");
    let tree = site.cli(&["tree"]).await?;
    ensure!(!tree.contains("vm1"), "{tree}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_engine_is_refused_and_the_host_runs_on() -> Result<()> {
    let Ok(built) = engines_dir() else {
        enginehouse_tests::skip_or_fail("no engines are built");
        return Ok(());
    };
    let engines = tempfile::tempdir()?;
    let whole = std::fs::read(built.join("proxmox.wasm"))?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(engines.path().join(name), bytes);
    write("proxmox.wasm", &whole)?;
    write("truncated.wasm", &whole[..whole.len() / 2])?;
    let mut corrupt = whole.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 4096].fill(0xa5);
    write("corrupt.wasm", &corrupt)?;
    write("empty.wasm", b"")?;
    write("text.wasm", b"this is no engine\n")?;
    write("module.wasm", b"\0asm\x01\0\0\0")?;
    let options = HostOptions {
        engines: Some(engines.path().to_owned()),
        ..HostOptions::default()
    };
    let Some(site) = Site::start(FakePveOptions::default(), options).await? else {
        return Ok(());
    };
    let list = site.host.client().engines().await?;
    let loaded: Vec<&str> = list.engines.iter().map(|engine| &*engine.name).collect();
    assert_eq!(loaded, ["proxmox"]);
    let refused: Vec<&str> = list
        .refused
        .iter()
        .map(|refused| {
            println!("{}: {}", refused.file, refused.reason);
            let name = Path::new(&refused.file).file_name();
            name.and_then(|name| name.to_str()).unwrap_or_default()
        })
        .collect();
    let wrong = [
        "corrupt.wasm",
        "empty.wasm",
        "module.wasm",
        "text.wasm",
        "truncated.wasm",
    ];
    assert_eq!(refused, wrong);
    for refused in &list.refused {
        ensure!(!refused.reason.is_empty(), "{refused:?}");
    }
    let shown = site.cli(&["engines", "list"]).await?;
    for name in wrong {
        ensure!(shown.contains(name), "{shown}");
    }
    // The one that is good works.
    site.set_root(site.entry()).await?;
    site.deployed().await?;
    assert_eq!(site.pve.created().await?.len(), 1);
    Ok(())
}
