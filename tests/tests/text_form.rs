//! The tree as a directory of YAML files, through the real binary.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_api::{ImportAnswer, ImportRequest, OperationKind, OperationState, Params};
use enginehouse_model::FullName;
use enginehouse_tests::{FakePveOptions, Host, HostOptions, Site};
use serde_json::json;
use tempfile::TempDir;

/// A host without engines: these tests are about the tree.
async fn host() -> Result<(Host, TempDir)> {
    let engines = tempfile::tempdir()?;
    let host = Host::start(HostOptions {
        engines: Some(engines.path().to_owned()),
        ..HostOptions::default()
    })
    .await?;
    Ok((host, engines))
}

/// Runs a command that must go well; what it printed.
async fn run(host: &Host, arguments: &[&str]) -> Result<String> {
    let output = host.run(arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "{arguments:?}: {said}\n{}",
        host.log()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command that must be refused; what it said, without the directory.
async fn refused(host: &Host, dir: &Path, arguments: &[&str]) -> Result<String> {
    let output = host.run(arguments).await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "{arguments:?} was not refused");
    Ok(said.replace(&dir.display().to_string(), "DIR"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn write(dir: &Path, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().context("no parent")?)?;
    Ok(std::fs::write(path, content)?)
}

/// Relative path -> content, of all files of a directory.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut next = vec![dir.to_owned()];
    while let Some(here) = next.pop() {
        for entry in std::fs::read_dir(here)? {
            let path = entry?.path();
            if path.is_dir() {
                next.push(path);
            } else {
                let name = text(path.strip_prefix(dir)?).to_owned();
                found.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// 250 folders with 40 descriptors each.
fn write_estate(dir: &Path) -> Result<()> {
    write(
        dir,
        "_folder.yaml",
        "hypervisors:\n  pve1: {type: proxmox, host: 'https://pve1.example:8006', user: u@pve, password: {env: PVE_PASSWORD}}\nprototypes:\n  small: {vcpu: 2, memory: 4GiB}\nuse_hypervisor: pve1\n",
    )?;
    for folder in 0..250 {
        let definition = format!("use_prototype: small\nlabels: {{folder: '{folder}'}}\n");
        write(dir, &format!("f{folder}/_folder.yaml"), definition)?;
        for vm in 0..40 {
            let definition = format!(
                "memory: {}GiB\ndescription: \"machine {vm}\\nof folder {folder}\"\nlabels: {{on: 'off', code: '0{vm}'}}\ndisks: {{root: {{size: {}GiB}}}}\n",
                vm + 1,
                vm + 10
            );
            write(dir, &format!("f{folder}/vm{vm}.yaml"), definition)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_descriptors_come_back_byte_for_byte_through_two_hosts() -> Result<()> {
    let written = tempfile::tempdir()?;
    write_estate(written.path())?;
    let exports = tempfile::tempdir()?;
    let (first, second) = (exports.path().join("first"), exports.path().join("second"));

    let (host, _engines) = host().await?;
    let began = Instant::now();
    let said = run(&host, &["import", text(written.path())]).await?;
    let imported = began.elapsed();
    ensure!(
        said == "imported /: 10250 made, 1 edited (operation 1)\n",
        "{said}"
    );
    let began = Instant::now();
    run(&host, &["export", text(&first)]).await?;
    let exported = began.elapsed();

    let (other, _engines) = self::host().await?;
    run(&other, &["import", text(&first)]).await?;
    run(&other, &["export", text(&second)]).await?;
    let (a, b) = (files(&first)?, files(&second)?);
    assert_eq!(
        a.len(),
        10_251 + 2,
        "nodes, the schema and the list of files"
    );
    ensure!(a == b, "the second export differs");
    println!("10,251 files: import {imported:?}, export {exported:?}");

    // Nothing to do is no operation.
    let said = run(&other, &["import", text(&second)]).await?;
    ensure!(said == "/ is as the files say: 10251 unchanged\n", "{said}");
    let operations = other.client().operations(&Default::default()).await?;
    assert_eq!(operations.operations.len(), 1);
    let import = operations.operations.first().context("no operation")?;
    assert_eq!(import.kind, OperationKind::Import);
    assert_eq!(import.state, OperationState::Succeeded);
    // A descriptor knows who wrote it.
    let vm = other.client().node(&"/f7/vm3".parse()?).await?;
    let last = vm.last_operation.context("no last operation")?;
    assert_eq!(
        (last.kind, last.number),
        (OperationKind::Import, import.number)
    );
    Ok(())
}

#[tokio::test]
async fn a_kill_during_an_import_leaves_all_of_it_or_nothing() -> Result<()> {
    let written = tempfile::tempdir()?;
    write_estate(written.path())?;
    let (mut host, _engines) = host().await?;
    let mut files = BTreeMap::new();
    for (path, content) in self::files(written.path())? {
        files.insert(path, String::from_utf8(content)?);
    }
    let mut outcomes = Vec::new();
    // Before it is read, while it is worked on, and about when it is written: how long that takes
    // depends on the machine, so the moments are spread.
    for pause in [20, 200, 600, 1_000, 1_500, 2_500, 4_000, 60_000] {
        let client = host.client().clone();
        let request = ImportRequest {
            path: FullName::root(),
            files: files.clone(),
            prune: false,
            dry_run: false,
            no_reconfigure: false,
            confirm_lowered: false,
            confirm_destructive: false,
            digest: None,
        };
        let import = tokio::spawn(async move { client.import(&request).await });
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = async { while !import.is_finished() { tokio::task::yield_now().await; tokio::time::sleep(Duration::from_millis(2)).await; } } => {}
        }
        let answered = import.is_finished();
        host.kill().await?;
        host.restart().await?;
        let tree = host.client().tree(&FullName::root(), Some(2)).await?;
        let folders = tree.children.len();
        let below: usize = tree
            .children
            .iter()
            .map(|folder| folder.children.len())
            .sum();
        ensure!(
            (folders, below) == (0, 0) || (folders, below) == (250, 10_000),
            "after {pause} ms: {folders} folders, {below} descriptors"
        );
        let operations = host.client().operations(&Default::default()).await?;
        assert_eq!(operations.operations.len(), usize::from(folders > 0));
        ensure!(!answered || folders > 0, "an answered import was lost");
        outcomes.push((pause, folders > 0));
        if folders > 0 {
            break;
        }
    }
    println!("{outcomes:?}");
    ensure!(outcomes.last().is_some_and(|(_, all)| *all), "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn whatever_is_wrong_is_said_with_file_line_and_column_and_nothing_changes() -> Result<()> {
    let (host, _engines) = host().await?;
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    write(
        dir,
        "_folder.yaml",
        "memory: 4GiB\nhypervisors: {h: {type: fake, host: a, user: u, password: {env: P}}}\n",
    )?;
    write(
        dir,
        "web/vm1.yaml",
        "vcpu: 2\ndisks:\n  root:\n    size: 8192\n",
    )?;
    write(dir, "web/vm2.yaml", "vcpu: 2\nvcpu: 3\n")?;
    write(dir, "web/vm2 copy.yaml", "vcpu: 2\n")?;
    let said = refused(&host, dir, &["import", text(dir)]).await?;
    insta::assert_snapshot!(said, @r#"
    error: the import is refused for 3 reasons, nothing was changed
      web/vm1.yaml:4:11: disks.root.size: expected a size with a unit, such as 8GiB, found the number 8192
        write 8192MiB or 8192GiB for one of these
      web/vm2 copy.yaml: `vm2 copy` cannot be the name of a node: ` ` is not allowed in a name: use letters, digits, `-`, `_` and `.`, beginning with a letter or digit
      web/vm2.yaml:2:1: duplicate mapping key `vcpu` is not allowed here
    "#);

    // What is right for each file, and wrong together.
    std::fs::remove_file(dir.join("web/vm2 copy.yaml"))?;
    write(dir, "web/vm1.yaml", "use_prototype: smal\n")?;
    write(dir, "web/vm2.yaml", "\nuse_hypervisor: g\n")?;
    write(dir, "web/_folder.yaml", "prototypes: {small: {vcpu: 1}}\n")?;
    let said = refused(&host, dir, &["import", text(dir), "--yes"]).await?;
    insta::assert_snapshot!(said, @r#"
    error: the import is refused for 2 reasons, nothing was changed
      web/vm1.yaml:1:16: use_prototype: `/web/vm1`: `use_prototype` names `smal`, which is not defined there or above; did you mean `small`?
      web/vm2.yaml:2:17: use_hypervisor: `/web/vm2`: `use_hypervisor` names `g`, which is not defined there or above; did you mean `h`?
    "#);

    // What cannot even be sent.
    write(dir, "web/vm1.yaml", b"vcpu: \xff\n")?;
    let said = refused(&host, dir, &["import", text(dir)]).await?;
    insta::assert_snapshot!(said, @r#"
    error: the files cannot be imported
      web/vm1.yaml:1:7: no UTF-8: byte 0xFF
    "#);

    let tree = host.client().tree(&FullName::root(), None).await?;
    assert_eq!(tree.children, []);
    assert_eq!(
        host.client()
            .operations(&Default::default())
            .await?
            .operations,
        []
    );
    Ok(())
}

#[tokio::test]
async fn a_dry_run_shows_the_difference_and_changes_nothing() -> Result<()> {
    let (host, _engines) = host().await?;
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    write(
        dir,
        "web/_folder.yaml",
        "memory: 4GiB\nlabels: {team: web}\n",
    )?;
    write(dir, "web/vm1.yaml", "vcpu: 2\n")?;
    write(dir, "web/old/vm2.yaml", "vcpu: 2\n")?;
    run(&host, &["import", text(dir)]).await?;
    write(
        dir,
        "web/_folder.yaml",
        "memory: 8GiB\ndescription: all of web\n",
    )?;
    write(dir, "web/vm3.yaml", "vcpu: 2\n")?;
    write(dir, "notes.txt", "")?;
    std::fs::remove_dir_all(dir.join("web/old"))?;

    let said = run(&host, &["import", text(dir), "--dry-run"]).await?;
    insta::assert_snapshot!(said, @r#"
    make        /web/vm3
    edit        /web/
      memory: "4 GiB" -> "8 GiB"
      labels: {"team":"web"} -> nothing
      description: nothing -> "all of web"
    1 made, 1 edited, 2 unchanged, 2 in no file and left alone, 1 other files ignored
    "#);
    let said = run(&host, &["import", text(dir), "--dry-run", "--prune"]).await?;
    insta::assert_snapshot!(said, @r#"
    make        /web/vm3
    edit        /web/
      memory: "4 GiB" -> "8 GiB"
      labels: {"team":"web"} -> nothing
      description: nothing -> "all of web"
    remove      /web/old/
    remove      /web/old/vm2
    1 made, 1 edited, 2 removed, 2 unchanged, 1 other files ignored
    "#);
    let json = run(
        &host,
        &[
            "import",
            text(dir),
            "--dry-run",
            "--prune",
            "--output",
            "json",
        ],
    )
    .await?;
    let answer: ImportAnswer = serde_json::from_str(&json)?;
    assert_eq!((answer.made.len(), answer.removed.len()), (1, 2));
    assert_eq!(host.client().node(&"/web".parse()?).await?.revision, 1);

    // Nobody is there to be asked.
    let said = refused(&host, dir, &["import", text(dir), "--prune"]).await?;
    ensure!(said.contains("--yes"), "{said}");
    run(&host, &["import", text(dir), "--prune", "--yes"]).await?;
    let tree = host.client().tree(&"/web".parse()?, None).await?;
    let names: Vec<_> = tree
        .children
        .iter()
        .map(|node| node.full_name.name().to_owned())
        .collect();
    assert_eq!(names, ["vm1", "vm3"]);
    Ok(())
}

#[tokio::test]
async fn what_was_looked_at_is_what_is_imported() -> Result<()> {
    let (host, _engines) = host().await?;
    let mut request = ImportRequest {
        path: FullName::root(),
        files: [("vm1.yaml".to_owned(), "vcpu: 2\n".to_owned())].into(),
        prune: false,
        dry_run: true,
        no_reconfigure: false,
        confirm_lowered: false,
        confirm_destructive: false,
        digest: None,
    };
    let seen = host.client().import(&request).await?;
    request.dry_run = false;
    request.digest = Some(seen.digest);
    let other = ImportRequest {
        files: [("vm1.yaml".to_owned(), "vcpu: 3\n".to_owned())].into(),
        digest: None,
        ..request.clone()
    };
    host.client().import(&other).await?;
    let error = host
        .client()
        .import(&request)
        .await
        .unwrap_err()
        .to_string();
    ensure!(
        error.contains("changed since the import was looked at"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn a_folder_goes_into_another_one() -> Result<()> {
    let (host, _engines) = host().await?;
    let dir = tempfile::tempdir()?;
    write(dir.path(), "web/_folder.yaml", "memory: 4GiB\n")?;
    write(dir.path(), "web/front/vm1.yaml", "vcpu: 2\n")?;
    run(&host, &["import", text(dir.path())]).await?;
    let web = dir.path().join("export");
    run(&host, &["export", text(&web), "--path", "/web"]).await?;
    run(&host, &["import", text(&web), "--into", "/lab"]).await?;
    let vm = host.client().node(&"/lab/front/vm1".parse()?).await?;
    let memory = vm
        .computed_definition
        .iter()
        .find(|value| value.key == "memory");
    assert_eq!(
        memory.map(|value| value.origin.node.to_string()),
        Some("/lab".to_owned())
    );

    let said = refused(
        &host,
        dir.path(),
        &["export", text(&web), "--path", "/web/front/vm1"],
    )
    .await?;
    ensure!(said.contains("is a descriptor"), "{said}");
    let said = refused(&host, dir.path(), &["import", text(&web), "--into", "/a/b"]).await?;
    ensure!(said.contains("there is no `/a`"), "{said}");
    // What is a folder does not become a machine.
    let other = tempfile::tempdir()?;
    write(other.path(), "web.yaml", "vcpu: 1\n")?;
    let said = refused(&host, other.path(), &["import", text(other.path())]).await?;
    ensure!(
        said.contains("web.yaml: makes /web a descriptor, and it is a folder"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn deployed_machines_are_reconfigured_and_never_removed() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let host = &site.host;
    site.order(OperationKind::Provision, "/vm1", Params::default())
        .await?;
    site.order(OperationKind::Provision, "/vm2", Params::default())
        .await?;
    site.order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    site.order(OperationKind::Deploy, "/vm2", Params::default())
        .await?;
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    run(host, &["export", text(dir)]).await?;

    // A secret stays a reference.
    let root = std::fs::read_to_string(dir.join("_folder.yaml"))?;
    ensure!(
        root.contains("file:") && !root.contains(site.pve.secret()),
        "{root}"
    );

    write(dir, "vm1.yaml", "vcpu: 2\n")?;
    let root = root.replace("memory: 1 GiB", "memory: 2 GiB");
    write(dir, "_folder.yaml", root)?;
    let said = run(host, &["import", text(dir), "--dry-run"]).await?;
    ensure!(
        said.contains("reconfigure /vm1")
            && said.contains("vcpu: nothing -> 2")
            && said.contains("/vm2 (pending until it is reconfigured)"),
        "{said}"
    );
    let (_, plan) = said.split_once("plan,").context("no plan")?;
    insta::assert_snapshot!(plan, @r"
     were all of them reconfigured:
      /
        vm1 on pve, machine 100
          ~ configure: cores 1 -> 2, memory 1024 MiB -> 2048 MiB   disruptive
              pending, from /vm1: cores
              pending, from / via small (/): memory
          ~ restart: restart, for cores, memory to take effect   disruptive
        vm2 on pve, machine 101
          ~ configure: memory 1024 MiB -> 2048 MiB   disruptive
              pending, from / via small (/): memory
          ~ restart: restart, for memory to take effect   disruptive

      4 actions on 2 machines: 4 disruptive
      pending changes on 2 machines
    1 edited, 1 reconfigured, 1 unchanged
    ");
    let said = refused(
        host,
        dir,
        &["import", text(dir), "--no-reconfigure", "--yes"],
    )
    .await?;
    ensure!(said.contains("vm1.yaml: /vm1 is deployed"), "{said}");
    let said = refused(host, dir, &["import", text(dir)]).await?;
    ensure!(said.contains("--yes"), "{said}");

    let json = run(host, &["import", text(dir), "--yes", "--output", "json"]).await?;
    let answer: ImportAnswer = serde_json::from_str(&json)?;
    let operation = answer.operation.context("no operation")?;
    assert_eq!(operation.state, OperationState::Succeeded);
    let parts: Vec<_> = operation
        .children
        .iter()
        .map(|part| (part.kind, part.path.to_string(), part.state))
        .collect();
    assert_eq!(
        parts,
        [(
            OperationKind::Reconfigure,
            "/vm1".to_owned(),
            OperationState::Succeeded
        )]
    );
    let vm1 = host.client().node(&"/vm1".parse()?).await?;
    assert_eq!(vm1.local_definition.get("vcpu"), Some(&json!(2)));
    assert_eq!(vm1.pending_changes, Vec::<String>::new());
    let vm2 = host.client().node(&"/vm2".parse()?).await?;
    assert_eq!(vm2.pending_changes.len(), 1, "{:?}", vm2.pending_changes);

    // What is deployed is not removed, and then nothing is.
    site.order(OperationKind::Provision, "/vm3", Params::default())
        .await?;
    std::fs::remove_file(dir.join("vm2.yaml"))?;
    let said = refused(host, dir, &["import", text(dir), "--prune", "--yes"]).await?;
    ensure!(
        said.contains("/vm2 is deployed and is in no file: it is not removed")
            && said.contains("undeploy the machine first"),
        "{said}"
    );
    host.client().node(&"/vm3".parse()?).await?;
    Ok(())
}
