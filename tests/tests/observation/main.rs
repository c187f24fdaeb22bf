//! What is seen of hypervisors, how much it costs, and what is never concluded from it.

#[cfg(test)]
mod alone;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod found;
#[cfg(test)]
mod missing;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod unseen;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use enginehouse_api::{FoundMachine, MachinePage};
use enginehouse_model::FullName;
use enginehouse_tests::Host;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// The machines of a hypervisor as the host knows them.
async fn page(host: &Host, hypervisor: &str) -> Result<MachinePage> {
    let root = FullName::root();
    let client = host.client();
    Ok(client.machines(hypervisor, &root, None, Some(1000)).await?)
}

fn machine<'a>(page: &'a MachinePage, id: &str) -> Option<&'a FoundMachine> {
    page.machines.iter().find(|machine| machine.id == id)
}

/// Looks until it is so.
async fn until<F: Future<Output = Result<bool>>>(what: &str, is: impl Fn() -> F) -> Result<()> {
    let began = Instant::now();
    while !is().await? {
        if began.elapsed() > PATIENCE {
            bail!("it did not come to this: {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
