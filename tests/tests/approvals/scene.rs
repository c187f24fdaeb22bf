//! A host with a folder that asks for approvals, and people with SSH keys.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use enginehouse_api::{
    Access, ApproveRequest, AuditFilter, Client, ClientError, Operation, OperationKind,
    OperationState, Problem, TokenRequest,
};
use enginehouse_model::OperationId;
use enginehouse_tests::{Stage, confirmed, skip_or_fail};
use serde_json::json;
use tempfile::TempDir;

/// A person with a key and a token.
pub struct Person {
    pub name: &'static str,
    key: PathBuf,
    pub public: String,
}

pub struct Scene {
    pub stage: Stage,
    pub files: TempDir,
    pub ann: Person,
    pub bob: Person,
}

/// Whether `ssh-keygen` is there that can sign.
fn has_ssh_keygen() -> bool {
    let ran = Command::new("ssh-keygen").arg("-?").output();
    ran.is_ok()
}

impl Person {
    fn new(name: &'static str, kind: &[&str], dir: &Path) -> Result<Self> {
        let key = dir.join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", &format!("{name}@desk"), "-t"])
            .args(kind)
            .arg("-f")
            .arg(&key)
            .status()?;
        ensure!(made.success(), "ssh-keygen makes no key");
        let public = std::fs::read_to_string(key.with_extension("pub"))?;
        Ok(Self {
            name,
            key,
            public: public.trim().to_owned(),
        })
    }

    /// Signs a file as a person does; answers the signature's path.
    pub fn sign(&self, file: &Path) -> Result<PathBuf> {
        let signature = file.with_extension("txt.sig");
        if signature.exists() {
            std::fs::remove_file(&signature)?;
        }
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", "enginehouse", "-f"])
            .arg(&self.key)
            .arg(file)
            .status()?;
        ensure!(signed.success(), "ssh-keygen does not sign");
        Ok(signature)
    }
}

impl Scene {
    /// `/web` asks for `need` approvals of ann and bob, and `/web/vm1` is deployed. `None` where
    /// something is missing and that is no error.
    pub async fn start(need: u32) -> Result<Option<Self>> {
        if !has_ssh_keygen() {
            skip_or_fail("there is no ssh-keygen (openssh-client)");
            return Ok(None);
        }
        let Some(stage) = Stage::start().await? else {
            return Ok(None);
        };
        let files = tempfile::tempdir()?;
        let ann = Person::new("ann", &["ed25519"], files.path())?;
        let bob = Person::new("bob", &["ecdsa", "-b", "256"], files.path())?;
        let keys = [&ann.public, &bob.public];
        let approvals = json!({"need": need, "keys": keys});
        stage
            .folder("/web", json!({"approvals": approvals}))
            .await?;
        for person in [&ann, &bob] {
            stage
                .cli(&["grant", "/web", person.name, "approver"])
                .await?;
        }
        stage.provision("/web/vm1", json!({})).await?;
        stage.deploy("/web/vm1").await?;
        Ok(Some(Self {
            stage,
            files,
            ann,
            bob,
        }))
    }

    /// Orders an undeploy, which comes to wait for approval.
    pub async fn undeploy(&self, path: &str) -> Result<OperationId> {
        let begun = self
            .stage
            .begin(OperationKind::Undeploy, path, confirmed())
            .await?;
        let waits = self.stage.host.stopped(begun.number).await?;
        ensure!(
            waits.state == OperationState::WaitingApproval,
            "{waits:#?}\n{}",
            self.stage.host.log()
        );
        Ok(begun.number)
    }

    /// A client for what a person may do.
    pub async fn client_of(&self, name: &str) -> Result<Client> {
        let request = TokenRequest {
            subject: name.to_owned(),
            expires_in_s: None,
            note: None,
        };
        let made = self.stage.host.client().create_token(&request).await?;
        let access = Access::of_data_dir(self.stage.host.data_dir())?;
        Ok(Client::new(&Access {
            token: made.token,
            ..access
        })?)
    }

    /// What is to be signed, as a file.
    pub async fn text(&self, number: OperationId) -> Result<PathBuf> {
        let text = self
            .stage
            .cli(&["approvals", "text", &number.to_string()])
            .await?;
        let file = self.files.path().join(format!("{number}.txt"));
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// A person signs what waits now, and hands it in.
    pub async fn approve(
        &self,
        person: &Person,
        number: OperationId,
    ) -> Result<Result<Operation, Problem>> {
        let file = self.text(number).await?;
        self.hand_in(person.name, &person.sign(&file)?, &file, number)
            .await
    }

    /// `who` hands in a signature under a text.
    pub async fn hand_in(
        &self,
        who: &str,
        signature: &Path,
        text: &Path,
        number: OperationId,
    ) -> Result<Result<Operation, Problem>> {
        let request = ApproveRequest {
            signature: std::fs::read_to_string(signature)?,
            text: Some(std::fs::read_to_string(text)?),
        };
        match self.client_of(who).await?.approve(number, &request).await {
            Ok(operation) => Ok(Ok(operation)),
            Err(ClientError::Refused(problem)) => Ok(Err(*problem)),
            Err(error) => Err(error.into()),
        }
    }

    /// What the audit log tells of approvals about a node, the oldest first.
    pub async fn decisions(&self, path: &str) -> Result<Vec<String>> {
        let filter = AuditFilter {
            path: Some(path.parse()?),
            action: Some("approval".to_owned()),
            after: Some(0),
            ..AuditFilter::default()
        };
        let page = self.stage.host.client().audit(&filter).await?;
        let entries = page.entries.into_iter().map(|line| {
            let detail = line.entry.detail;
            let owner = detail.get("owner").map(|owner| format!(" by {owner}"));
            format!("{}{}", detail["decision"], owner.unwrap_or_default())
        });
        Ok(entries.collect())
    }

    /// How many machines the hypervisor has.
    pub fn machines(&self) -> usize {
        self.stage.sim.world().machines.len()
    }
}
