//! `backup`, `restore`, `resume`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use enginehouse_api::{Backup, Client, Resumed};
use enginehouse_model::FullName;
use enginehouse_server::Restored;
use serde::Serialize;

use crate::args::Global;
use crate::connection::data_dir;
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style};

/// What a backup does not have, and what it is needed for.
const NOT_IN_IT: [(&str, &str); 3] = [
    (
        "the key of the secrets",
        "`secret.key` in the data directory, or the file of --secret-key or the systemd credential: \
         without it the passwords that the host keeps cannot be read",
    ),
    (
        "the installation's token",
        "`token` in the data directory: a host without it makes a new one",
    ),
    (
        "the engines",
        "the .wasm files: put them into the engines directory again",
    ),
];

#[derive(Debug, Args)]
#[command(after_help = "\
The host goes on meanwhile; the file has everything that was acknowledged before the command. It is as
secret as the data directory: it holds the tree, hashes of tokens and encrypted passwords.
It does not hold the key of the secrets, the installation's token or the engines: keep those too.
Needs the role admin on /.

Examples:
  enginehouse backup /backup/enginehouse-monday.db
  enginehouse restore /backup/enginehouse-monday.db --data /var/lib/enginehouse")]
pub struct BackupArgs {
    /// The file to write, mode 0600
    file: PathBuf,
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The host must not run. The file is checked whole before anything is touched; the present database is
moved into a directory before-restore-N, not removed.

After a restore the host is on hold: it takes orders, and carries none of them out. What was done after
the backup is unknown to it, so look first at what the hypervisors have, then say `enginehouse resume`.
Numbers of operations skip ahead: none that was given after the backup is given again.

Examples:
  enginehouse restore /backup/enginehouse-monday.db --data /var/lib/enginehouse
  enginehouse serve --data /var/lib/enginehouse
  enginehouse whoami
  enginehouse resume")]
pub struct RestoreArgs {
    /// A file that `backup` made
    file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With a path: what `pause` said there is over. Without one: the hold after a restore is over.
Operations that had begun when the backup was made begin again by looking at their machines; those that
waited go on waiting for their turn; those in doubt wait for `ops resolve`. Needs the role admin on /.")]
pub struct ResumeArgs {
    /// A folder or a machine that is paused
    pub path: Option<FullName>,
}

/// What `backup --output json` writes.
#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
    #[serde(flatten)]
    backup: &'a Backup,
    not_in_it: Vec<&'static str>,
}

pub async fn backup(
    client: &Client,
    args: BackupArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let unfinished = unfinished(&args.file);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::BackupFile { path, source }
    };
    if args.force {
        refuse_no_file(&args.file)?;
    } else {
        // Taken now, so that nobody else makes it meanwhile.
        create(&args.file).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => CommandError::BackupInTheWay(args.file.clone()),
            _ => failed(&args.file)(source),
        })?;
    }
    let written = write(client, &unfinished).await;
    let backup = match written {
        Ok(backup) => backup,
        Err(error) => {
            // What was there before stays.
            let _ = fs::remove_file(&unfinished);
            if !args.force {
                let _ = fs::remove_file(&args.file);
            }
            return Err(error);
        }
    };
    fs::rename(&unfinished, &args.file).map_err(failed(&args.file))?;
    let parent = args.file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(failed(parent))?;
    let written = Written {
        file: &args.file,
        backup: &backup,
        not_in_it: NOT_IN_IT.iter().map(|(what, _)| *what).collect(),
    };
    output.answer(&written, |paint| backed_up(&written, paint))
}

async fn write(client: &Client, to: &Path) -> Result<Backup, CommandError> {
    let failed = |source| CommandError::BackupFile {
        path: to.to_owned(),
        source,
    };
    let mut stream = client.backup().await?;
    // Of a command that was killed.
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file = create(to).map_err(failed)?;
    let mut bytes = 0;
    while let Some(piece) = stream.piece().await? {
        file.write_all(&piece).map_err(failed)?;
        bytes += piece.len() as u64;
    }
    if bytes != stream.info.bytes {
        return Err(CommandError::BackupCut {
            bytes,
            of: stream.info.bytes,
        });
    }
    file.sync_all().map_err(failed)?;
    Ok(stream.info)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Only a file is overwritten.
fn refuse_no_file(path: &Path) -> Result<(), CommandError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(CommandError::BackupInTheWay(path.to_owned())),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Beside the file, so that it can be renamed.
fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

fn backed_up(written: &Written<'_>, paint: Painter) -> String {
    let mut text = format!(
        "{} {}: {} bytes, operations up to {}\nnot in it, keep it too:\n",
        paint.paint(Style::Good, "backed up to"),
        written.file.display(),
        written.backup.bytes,
        written.backup.last_operation
    );
    for (what, why) in NOT_IN_IT {
        text.push_str(&format!("  {what}: {why}\n"));
    }
    text
}

/// What `restore --output json` writes.
#[derive(Serialize)]
struct RestoredView<'a> {
    data_dir: &'a Path,
    installation: String,
    epoch: u64,
    last_operation: u64,
    next_operation: u64,
    unfinished: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_aside: Option<&'a Path>,
    on_hold: bool,
}

pub async fn restore(
    global: &Global,
    args: RestoreArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let data_dir = data_dir(global.data.as_deref())?;
    let (dir, file) = (data_dir.clone(), args.file.clone());
    let restoring = move || enginehouse_server::restore(&dir, &file);
    let restored = tokio::task::spawn_blocking(restoring)
        .await
        .map_err(|error| CommandError::Temporary(io::Error::other(error)))?
        .map_err(CommandError::Restore)?;
    let view = RestoredView {
        data_dir: &data_dir,
        installation: restored.installation.to_string(),
        epoch: restored.epoch.0,
        last_operation: restored.last_operation.0,
        next_operation: restored.next_operation.0,
        unfinished: restored.unfinished,
        kept_aside: restored.aside.as_deref(),
        on_hold: true,
    };
    output.answer(&view, |paint| put_back(&data_dir, &restored, paint))
}

fn put_back(data_dir: &Path, restored: &Restored, paint: Painter) -> String {
    let mut text = format!(
        "{} {}: operations up to {}, {} of them unfinished\n",
        paint.paint(Style::Good, "restored into"),
        data_dir.display(),
        restored.last_operation,
        restored.unfinished
    );
    if let Some(aside) = &restored.aside {
        text.push_str(&format!(
            "  the database that was there is in {}\n",
            aside.display()
        ));
    }
    text.push_str(&format!(
        "  new operations begin at {}\n  the host will be on hold: start it with `enginehouse serve`, compare with the hypervisors, then `enginehouse resume`\n",
        restored.next_operation
    ));
    text
}

pub async fn resume(client: &Client, output: &Output) -> Result<(), CommandError> {
    let resumed = client.resume().await?;
    output.answer(&resumed, |paint| went_on(&resumed, paint))
}

fn went_on(resumed: &Resumed, paint: Painter) -> String {
    if !resumed.was_on_hold {
        return "the host was not on hold\n".to_owned();
    }
    let mut text = format!(
        "{}: {} operations that had begun begin again by looking\n",
        paint.paint(Style::Good, "goes on"),
        resumed.begun_anew
    );
    if resumed.in_doubt > 0 {
        text.push_str(&format!(
            "  {} are in doubt: `enginehouse ops list --state in_doubt`, then `enginehouse ops resolve`\n",
            resumed.in_doubt
        ));
    }
    text
}
