//! The key: made once, guarded, lost, exchanged, and given from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use enginehouse_api::SecretValue;
use enginehouse_tests::{Host, HostOptions, skip_or_fail};

async fn host() -> Result<Option<Host>> {
    if let Err(error) = enginehouse_tests::engines_dir() {
        skip_or_fail(&error.to_string());
        return Ok(None);
    }
    // Without engines it is there at once, and secrets need none.
    let engines = tempfile::tempdir()?.keep();
    let options = HostOptions {
        engines: Some(engines),
        ..HostOptions::default()
    };
    let host = Host::start(options).await?;
    let value = SecretValue {
        value: "hunter2".to_owned(),
    };
    host.client().set_secret(&"a/b".parse()?, &value).await?;
    Ok(Some(host))
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

async fn key_id(host: &Host) -> Result<String> {
    let list = host.client().secrets().await?;
    ensure!(list.secrets.len() == 1, "{list:?}");
    Ok(list.key)
}

#[tokio::test]
async fn the_key_is_guarded_and_a_wrong_or_lost_one_is_said_with_the_way_out() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    let key = host.data_dir().join("secret.key");
    ensure!(mode(&key)? == 0o600);
    let right = fs::read(&key)?;
    let id = key_id(&host).await?;
    host.kill().await?;

    fs::set_permissions(&key, fs::Permissions::from_mode(0o640))?;
    let error = host
        .restart()
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(
        error.contains("mode 0640") && error.contains("chmod 600"),
        "{error}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;

    fs::remove_file(&key)?;
    let error = host
        .restart()
        .await
        .err()
        .context("it started")?
        .to_string();
    for part in ["secret.key is missing", "1 secrets", "--forget-secrets"] {
        ensure!(error.contains(part), "{part} is not in {error}");
    }
    ensure!(!key.exists(), "a key was made in its place");

    fs::write(&key, "hunter2")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let error = host
        .restart()
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(error.contains("holds no key"), "{error}");

    fs::remove_file(&key)?;
    let made = host
        .run(&["secret", "new-key", &key.display().to_string()])
        .await?;
    ensure!(made.status.success());
    let error = host
        .restart()
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(error.contains(&id) && error.contains("`a/b`"), "{error}");
    let again = host
        .run(&["secret", "new-key", &key.display().to_string()])
        .await?;
    ensure!(!again.status.success(), "a key was overwritten");

    fs::write(&key, &right)?;
    host.restart().await?;
    ensure!(key_id(&host).await? == id);

    // For good.
    host.kill().await?;
    fs::remove_file(&key)?;
    host.restart_with(&["--forget-secrets"]).await?;
    ensure!(host.client().secrets().await?.secrets.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_new_key_opens_what_the_old_one_did_wherever_the_exchange_is_cut_off() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    let key = host.data_dir().join("secret.key");
    let next = host.data_dir().join("secret.key.next");
    let old = fs::read(&key)?;
    let first = key_id(&host).await?;

    // Killed after the next key was written, before anything was encrypted with it.
    host.kill().await?;
    let made = host
        .run(&["secret", "new-key", &next.display().to_string()])
        .await?;
    ensure!(made.status.success());
    let stranger = fs::read(&next)?;
    host.restart().await?;
    ensure!(key_id(&host).await? == first && !next.exists());

    let rotated = host.run(&["secret", "rotate-key"]).await?;
    ensure!(rotated.status.success(), "{rotated:?}");
    let second = key_id(&host).await?;
    ensure!(second != first && !next.exists() && mode(&key)? == 0o600);
    let new = fs::read(&key)?;
    ensure!(new != old && new != stranger);

    // Killed after the commit, before the new key has the old one's name.
    host.kill().await?;
    fs::rename(&key, &next)?;
    fs::write(&key, &old)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    host.restart().await?;
    ensure!(key_id(&host).await? == second && !next.exists());
    ensure!(fs::read(&key)? == new);

    // It goes on from there.
    let rotated = host.run(&["secret", "rotate-key"]).await?;
    ensure!(rotated.status.success());
    ensure!(key_id(&host).await? != second);
    host.kill().await?;
    host.restart().await?;
    Ok(())
}

#[tokio::test]
async fn a_kill_during_an_exchange_loses_no_secret() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    for round in 0..6_u64 {
        let client = host.client().clone();
        let rotation = tokio::spawn(async move { client.rotate_key().await });
        // From before the request arrives to after it is answered.
        tokio::time::sleep(std::time::Duration::from_millis(round * 3)).await;
        host.kill().await?;
        let _ = rotation.await?;
        host.restart().await?;
        key_id(&host).await?;
        ensure!(!host.log().contains("cannot be opened"), "{}", host.log());
        ensure!(!host.data_dir().join("secret.key.next").exists());
    }
    Ok(())
}

#[tokio::test]
async fn a_key_from_outside_is_used_and_its_predecessor_still_opens() -> Result<()> {
    let Some(mut host) = host().await? else {
        return Ok(());
    };
    let first = key_id(&host).await?;
    host.kill().await?;
    let dir = tempfile::tempdir()?;
    let given = dir.path().join("k");
    let argument = given.display().to_string();

    let error = host
        .restart_with(&["--secret-key", &argument])
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(error.contains("secret new-key"), "{error}");

    // The host's own key moves out of the data directory, and then is exchanged by hand.
    fs::rename(host.data_dir().join("secret.key"), &given)?;
    host.restart_with(&["--secret-key", &argument]).await?;
    ensure!(key_id(&host).await? == first);
    ensure!(!host.data_dir().join("secret.key").exists());
    let refused = host.run(&["secret", "rotate-key"]).await?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stderr)?;
    ensure!(said.contains(".old"), "{said}");
    host.kill().await?;

    fs::rename(&given, dir.path().join("k.old"))?;
    let made = host.run(&["secret", "new-key", &argument]).await?;
    ensure!(made.status.success());
    host.restart().await?;
    let second = key_id(&host).await?;
    ensure!(second != first);
    host.kill().await?;
    fs::remove_file(dir.path().join("k.old"))?;
    host.restart().await?;
    ensure!(key_id(&host).await? == second);
    Ok(())
}
