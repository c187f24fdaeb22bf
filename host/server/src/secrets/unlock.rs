//! The key at start: found, compared with what it is to open, and an exchange of keys finished that
//! a kill interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use enginehouse_model::{SecretName, Timestamp};
use enginehouse_secrets::{KeyFile, KeyFileError, KeyId, Keyring, RandomError, Sealed};
use enginehouse_store::{Row, Table, Write};
use enginehouse_tree::{Node, Tree, name_keys};
use thiserror::Error;

use crate::ServeConfig;
use crate::house::Staged;
use crate::secrets::Kept;

/// The secrets cannot be opened.
#[derive(Debug, Error)]
pub enum SecretKeyError {
    #[error("the key of the secrets cannot be used")]
    File(#[from] KeyFileError),
    #[error("there is no key in {}", .0.display())]
    NoKey(PathBuf),
    #[error("the key {} is missing, and {secrets} secrets were encrypted with it", .path.display())]
    Missing { path: PathBuf, secrets: usize },
    #[error(
        "{} holds the key {found}, and {secrets} secrets (first `{first}`) were encrypted with {needed}",
        .path.display()
    )]
    Wrong {
        path: PathBuf,
        found: KeyId,
        needed: KeyId,
        secrets: usize,
        first: SecretName,
    },
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl SecretKeyError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> String {
        const LOST: &str = "restore it from the backup; if it is lost for good, `enginehouse serve --forget-secrets` drops what it encrypted, to be set again";
        match self {
            Self::File(KeyFileError::Open { path, .. }) => format!(
                "whoever has read it can open the secrets; `chmod 600 {}`, and `enginehouse secret rotate-key` once the host runs",
                path.display()
            ),
            Self::File(_) => LOST.to_owned(),
            Self::NoKey(path) => format!(
                "make one with `enginehouse secret new-key {}`",
                path.display()
            ),
            Self::Missing { .. } | Self::Wrong { .. } => LOST.to_owned(),
            Self::Random(_) => "see what is wrong with the machine's random device".to_owned(),
        }
    }
}

/// Where the key of a host is.
pub(super) fn key_file(config: &ServeConfig) -> KeyFile {
    if let Some(path) = &config.secret_key {
        return KeyFile::given(path.clone());
    }
    if let Some(directory) = &config.credentials_dir {
        let credential = KeyFile::credential(directory);
        if credential.path().exists() {
            return credential;
        }
    }
    KeyFile::of_data_dir(&config.data_dir)
}

/// Secrets and keys, and what is to be written before the host goes on.
pub(crate) struct Unlocked {
    pub keys: Keyring,
    pub kept: BTreeMap<SecretName, Kept>,
    pub writes: Vec<Write>,
    exchange: Exchange,
    file: KeyFile,
}

/// What becomes of the key beside the present one.
#[derive(PartialEq, Eq)]
enum Exchange {
    None,
    Finish,
    Drop,
}

impl Unlocked {
    /// To be called once [`Unlocked::writes`] are on disk.
    pub(crate) fn committed(&self) -> Result<(), SecretKeyError> {
        match self.exchange {
            Exchange::None => Ok(()),
            Exchange::Finish => {
                tracing::info!("an exchange of the secrets' key was finished");
                Ok(self.file.finish()?)
            }
            Exchange::Drop => Ok(self.file.drop_next()?),
        }
    }
}

/// Finds the key of the secrets in `rows`; makes one where there are none yet. `other`: what else is
/// encrypted with it, and worth less than they.
pub(crate) fn unlock(
    config: &ServeConfig,
    rows: Vec<Row>,
    other: Option<&Sealed>,
) -> Result<Unlocked, crate::RebuildError> {
    let mut kept: BTreeMap<SecretName, Kept> = crate::start::rows(Table::Secret, rows)?;
    let file = key_file(config);
    let (keys, exchange) = keys(config, &file, &kept, other)?;
    let mut staged = Staged::default();
    if config.forget_secrets {
        kept.retain(|name, kept| {
            let opens = keys.has(&kept.sealed.key);
            if !opens {
                tracing::warn!(secret = %name, "forgotten: its key is lost");
                staged.writes.push(Write::Delete {
                    table: Table::Secret,
                    key: name.to_string(),
                });
            }
            opens
        });
    }
    let unopened: Vec<(&SecretName, &Kept)> = kept
        .iter()
        .filter(|(_, kept)| !keys.has(&kept.sealed.key))
        .collect();
    if let Some((first, of)) = unopened.first() {
        return Err(SecretKeyError::Wrong {
            path: file.path().to_owned(),
            found: keys.current(),
            needed: of.sealed.key.clone(),
            secrets: unopened.len(),
            first: (*first).clone(),
        }
        .into());
    }
    let current = keys.current();
    for (name, kept) in &mut kept {
        match keys.open(name, &kept.sealed) {
            Ok(text) if kept.sealed.key != current => {
                kept.sealed = keys.seal(name, &text).map_err(SecretKeyError::from)?;
                staged.put(
                    Table::Secret,
                    name.to_string(),
                    super::kept::SECRET_VERSION,
                    kept,
                );
            }
            Ok(_) => {}
            // What needs it says so when it is needed.
            Err(error) => tracing::error!(secret = %name, "cannot be opened: {error}"),
        }
    }
    Ok(Unlocked {
        keys,
        kept,
        writes: staged.writes,
        exchange,
        file,
    })
}

fn keys(
    config: &ServeConfig,
    file: &KeyFile,
    kept: &BTreeMap<SecretName, Kept>,
    other: Option<&Sealed>,
) -> Result<(Keyring, Exchange), SecretKeyError> {
    let secrets = kept.values().map(|kept| &kept.sealed);
    let used: BTreeSet<&KeyId> = secrets.chain(other).map(|sealed| &sealed.key).collect();
    let beside = file.read_beside()?;
    let present = file.read()?;
    Ok(match (present, beside) {
        (Some(key), Some(next)) if file.is_ours() && used.contains(&next.id()) => {
            (Keyring::new(next, vec![key]), Exchange::Finish)
        }
        (Some(key), Some(_)) if file.is_ours() => (Keyring::new(key, Vec::new()), Exchange::Drop),
        (Some(key), old) => (Keyring::new(key, old.into_iter().collect()), Exchange::None),
        (None, _) if !file.is_ours() => return Err(SecretKeyError::NoKey(file.path().to_owned())),
        // The present one was removed, and the next one is all that is needed.
        (None, Some(next)) if used.iter().all(|id| **id == next.id()) => {
            (Keyring::new(next, Vec::new()), Exchange::Finish)
        }
        (None, _) if kept.is_empty() || config.forget_secrets => {
            tracing::info!(file = %file.path().display(), "a key for secrets was made: keep a copy of it apart from the database");
            (Keyring::new(file.make()?, Vec::new()), Exchange::None)
        }
        (None, _) => {
            return Err(SecretKeyError::Missing {
                path: file.path().to_owned(),
                secrets: kept.len(),
            });
        }
    })
}

/// Seals the plain passwords of a database that an older version wrote, in place.
pub(crate) fn seal_nodes(
    nodes: &mut [Node],
    unlocked: &mut Unlocked,
    now: Timestamp,
) -> Result<(), crate::RebuildError> {
    if !nodes.iter().any(|node| node.local.has_literals()) {
        return Ok(());
    }
    // Only a tree knows the full names.
    let tree = Tree::load(nodes.to_vec()).map_err(crate::RebuildError::Tree)?;
    let mut staged = Staged::default();
    let mut failed = None;
    for node in nodes.iter_mut().filter(|node| node.local.has_literals()) {
        let Ok(full_name) = tree.full_name(node.uid) else {
            continue;
        };
        node.local.seal(&mut |way, text| {
            let mut number = 1;
            let name = loop {
                let name = SecretName::generated(full_name, name_keys(way), number);
                if !unlocked.kept.contains_key(&name) {
                    break name;
                }
                number += 1;
            };
            match unlocked.keys.seal(&name, text) {
                Ok(sealed) => {
                    let kept = Kept {
                        sealed,
                        generated: true,
                        created_at: now,
                        changed_at: now,
                        by: "upgrade".to_owned(),
                    };
                    staged.put(
                        Table::Secret,
                        name.to_string(),
                        super::kept::SECRET_VERSION,
                        &kept,
                    );
                    unlocked.kept.insert(name.clone(), kept);
                }
                Err(error) => failed = Some(error),
            }
            name
        });
        tracing::warn!(
            node = %full_name,
            "passwords that an older version kept as plain text are encrypted now; copies of the database from before still hold them: change them at the provider"
        );
        staged.put(
            Table::Node,
            node.uid.to_string(),
            crate::house::NODE_VERSION,
            node,
        );
    }
    if let Some(error) = failed {
        return Err(SecretKeyError::Random(error).into());
    }
    unlocked.writes.extend(staged.writes);
    Ok(())
}
