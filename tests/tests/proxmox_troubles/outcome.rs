//! What an operation that failed has to say.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Operation, OperationState, Status};
use enginehouse_tests::Site;

/// It failed with this code, these words in its message and this in its hint.
pub fn failed(operation: &Operation, code: &str, words: &[&str], hint: &str) -> Result<()> {
    ensure!(
        operation.state == OperationState::Failed,
        "it did not fail: {operation:#?}"
    );
    let error = operation.error.as_ref().context("no error")?;
    ensure!(error.code == code, "{error:#?}");
    for word in words {
        ensure!(error.message.contains(word), "no {word:?} in {error:#?}");
    }
    let found = error.hint.as_deref().unwrap_or_default();
    ensure!(found.contains(hint), "no {hint:?} in {error:#?}");
    Ok(())
}

/// The descriptor is in this state, and its last error is that of the operation.
pub async fn left(site: &Site, path: &str, status: Status, operation: &Operation) -> Result<()> {
    let node = site.node(path).await?;
    ensure!(node.status == Some(status), "{node:#?}");
    ensure!(node.busy.is_none(), "{node:#?}");
    let last = node.last_error.context("no last error")?;
    let error = operation.error.as_ref().context("no error")?;
    ensure!(last.operation == Some(operation.number), "{last:#?}");
    ensure!(
        last.code == error.code && last.message == error.message,
        "{last:#?}"
    );
    Ok(())
}

/// No request that could change anything has reached fakepve since they were last cleared.
pub async fn nothing_changed(site: &Site) -> Result<()> {
    for seen in site.pve.exchanges().await? {
        let reads = seen.method == "GET" || seen.path.ends_with("/access/ticket");
        ensure!(reads, "{seen:#?}");
    }
    Ok(())
}
