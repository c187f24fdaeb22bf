//! The files of an export in a directory: written one by one, each whole or not at all, and nothing
//! of somebody else overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use enginehouse_text::say_the_same;
use thiserror::Error;

/// Which files exports wrote, a line for each: only these are ever removed.
const LIST_FILE: &str = ".enginehouse/files";

const LIST_HEAD: &str = "# Files that `enginehouse export` wrote here.\n";

/// The beginning of every file of an export.
const OURS: &str = "# yaml-language-server: $schema=";

/// Files in the way that a message names.
const NAMED: usize = 10;

/// Why files cannot be written.
#[derive(Debug, Error)]
pub enum ExportFilesError {
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("files are in the way that no export wrote: {}", named(.0))]
    InTheWay(Vec<String>),
    #[error("{} is no directory of its own, and the export would write through it", .0.display())]
    NoDirectory(PathBuf),
    #[error("the server sent a file with the path `{0}`, which leads out of the directory")]
    Outside(String),
}

fn named(paths: &[String]) -> String {
    let mut text = paths
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > NAMED {
        text.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    text
}

/// What became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub written: usize,
    pub unchanged: usize,
    /// Files of earlier exports that this one does not have; removed where that was asked for.
    pub stale: usize,
}

/// Writes the files of an export. Those that say what they should are left alone, comments and all.
///
/// `prune`: remove files of earlier exports that are not among them. `force`: overwrite also what no
/// export wrote, and what says the same in other words.
///
/// # Errors
/// Before anything is written, when something is in the way; and when a file cannot be written: then
/// each file is the old or the new one.
pub fn write_files(
    dir: &Path,
    files: &BTreeMap<String, String>,
    prune: bool,
    force: bool,
) -> Result<Outcome, ExportFilesError> {
    for path in files.keys() {
        if !is_inside(path) {
            return Err(ExportFilesError::Outside(path.chars().take(200).collect()));
        }
    }
    let known = known_files(dir)?;
    let mut outcome = Outcome::default();
    let mut changed = Vec::new();
    let mut in_the_way = Vec::new();
    for (path, text) in files {
        match current(dir, path)? {
            Some(bytes) if bytes == text.as_bytes() => outcome.unchanged += 1,
            // A person's comments and order stay while the tree says the same.
            Some(bytes) if !force && say_the_same(&bytes, text.as_bytes()) => {
                outcome.unchanged += 1;
            }
            Some(bytes) => {
                let ours = known.contains(path) || bytes.starts_with(OURS.as_bytes());
                if !ours && !force {
                    in_the_way.push(path.clone());
                }
                changed.push((path, text));
            }
            None => changed.push((path, text)),
        }
    }
    if !in_the_way.is_empty() {
        return Err(ExportFilesError::InTheWay(in_the_way));
    }
    outcome.written = changed.len();
    let stale: BTreeSet<&String> = known
        .iter()
        .filter(|path| !files.contains_key(*path) && is_file_of_its_own(dir, path))
        .collect();
    outcome.stale = stale.len();
    // Listed before they are there: an export that breaks off leaves no file that nobody wrote.
    let listed: BTreeSet<&String> = files.keys().chain(stale.iter().copied()).collect();
    write_list(dir, &listed)?;
    for (path, text) in changed {
        write(dir, path, text)?;
    }
    if prune && !stale.is_empty() {
        for path in stale {
            let full = dir.join(path);
            fs::remove_file(&full)
                .map_err(|source| ExportFilesError::Write { path: full, source })?;
            remove_empty_folders(dir, path);
        }
        write_list(dir, &files.keys().collect())?;
    }
    Ok(outcome)
}

/// A relative path without ways out of the directory.
fn is_inside(path: &str) -> bool {
    !path.contains(['\\', ':', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn known_files(dir: &Path) -> Result<BTreeSet<String>, ExportFilesError> {
    let path = dir.join(LIST_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text
            .lines()
            .filter(|line| !line.starts_with('#') && is_inside(line))
            .map(str::to_owned)
            .collect()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(source) => Err(ExportFilesError::Read { path, source }),
    }
}

fn current(dir: &Path, path: &str) -> Result<Option<Vec<u8>>, ExportFilesError> {
    let full = dir.join(path);
    match fs::read(&full) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source)
            if matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(ExportFilesError::Read { path: full, source }),
    }
}

fn write_list(dir: &Path, files: &BTreeSet<&String>) -> Result<(), ExportFilesError> {
    let mut text = LIST_HEAD.to_owned();
    for path in files {
        text.push_str(path);
        text.push('\n');
    }
    if current(dir, LIST_FILE)?.is_some_and(|bytes| bytes == text.as_bytes()) {
        return Ok(());
    }
    write(dir, LIST_FILE, &text)
}

/// Under another name first, so that nobody sees half of it.
fn write(dir: &Path, path: &str, text: &str) -> Result<(), ExportFilesError> {
    let full = dir.join(path);
    let failed = |source| ExportFilesError::Write {
        path: full.clone(),
        source,
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut parent = dir.to_owned();
    if let Some((folders, _)) = path.rsplit_once('/') {
        for part in folders.split('/') {
            parent.push(part);
            match fs::symlink_metadata(&parent) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(ExportFilesError::NoDirectory(parent)),
                Err(_) => fs::create_dir(&parent).map_err(failed)?,
            }
        }
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".enginehouse-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(&parent).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(&full).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Whether a file is there, and not by way of a link: the list of files may come from elsewhere, as
/// with a repository, and what a link leads to is nobody's to remove.
fn is_file_of_its_own(dir: &Path, path: &str) -> bool {
    let mut full = dir.to_owned();
    for part in path.split('/') {
        full.push(part);
        match fs::symlink_metadata(&full) {
            Ok(found) if found.is_symlink() => return false,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    full.is_file()
}

/// Directories that a removed file leaves empty; what is in the way stays.
fn remove_empty_folders(dir: &Path, path: &str) {
    let mut rest = path;
    while let Some((folder, _)) = rest.rsplit_once('/') {
        if fs::remove_dir(dir.join(folder)).is_err() {
            return;
        }
        rest = folder;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> BTreeMap<String, String> {
        let text = |path: &&str| format!("{OURS}x\n# {path}\n");
        paths
            .iter()
            .map(|path| ((*path).to_owned(), text(path)))
            .collect()
    }

    #[test]
    fn an_export_writes_what_has_changed_and_says_what_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &dir.path().join("new");
        let first = files(&["_folder.yaml", "old/_folder.yaml", "old/vm.yaml"]);
        let outcome = write_files(dir, &first, false, false).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                written: 3,
                unchanged: 0,
                stale: 0
            }
        );
        fs::write(dir.join("mine.yaml"), "vcpu: 1\n").unwrap();
        fs::write(dir.join("old/notes.txt"), "mine").unwrap();

        let second = files(&["_folder.yaml", "new/vm.yaml"]);
        let outcome = write_files(dir, &second, false, false).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                written: 1,
                unchanged: 1,
                stale: 2
            }
        );
        assert!(dir.join("old/vm.yaml").exists());

        let outcome = write_files(dir, &second, true, false).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                written: 0,
                unchanged: 2,
                stale: 2
            }
        );
        assert!(!dir.join("old/vm.yaml").exists());
        assert!(dir.join("old/notes.txt").exists());
        assert!(dir.join("mine.yaml").exists());
        let outcome = write_files(dir, &second, true, false).unwrap();
        assert_eq!(outcome.stale, 0);
    }

    #[test]
    fn what_others_wrote_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("vm.yaml"), "vcpu: 1\n").unwrap();
        let same = [("vm.yaml".to_owned(), format!("{OURS}x\nvcpu: 1\n"))].into();
        let outcome = write_files(dir.path(), &same, false, false).unwrap();
        assert_eq!((outcome.written, outcome.unchanged), (0, 1));
        fs::remove_dir_all(dir.path().join(".enginehouse")).unwrap();

        let export = files(&["_folder.yaml", "vm.yaml"]);
        let error = write_files(dir.path(), &export, false, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "files are in the way that no export wrote: vm.yaml"
        );
        assert!(!dir.path().join("_folder.yaml").exists());
        write_files(dir.path(), &export, false, true).unwrap();
        write_files(dir.path(), &files(&["vm.yaml"]), false, false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_outside_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("web")).unwrap();
        let error = write_files(dir.path(), &files(&["web/vm.yaml"]), false, false).unwrap_err();
        assert!(matches!(error, ExportFilesError::NoDirectory(_)), "{error}");
        for path in [
            "../x.yaml",
            "/x.yaml",
            "a/../../x.yaml",
            "a//b",
            "C:/x",
            "a\\b",
        ] {
            let error = write_files(dir.path(), &files(&[path]), false, false).unwrap_err();
            assert!(matches!(error, ExportFilesError::Outside(_)), "{error}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_removed_by_way_of_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let theirs = outside.path().join("vm.yaml");
        fs::write(&theirs, "mine").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("web")).unwrap();
        std::os::unix::fs::symlink(&theirs, dir.path().join("link.yaml")).unwrap();
        fs::create_dir(dir.path().join(".enginehouse")).unwrap();
        fs::write(dir.path().join(LIST_FILE), "web/vm.yaml\nlink.yaml\n").unwrap();
        let outcome = write_files(dir.path(), &files(&["_folder.yaml"]), true, false).unwrap();
        assert_eq!(outcome.stale, 0);
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
        assert!(dir.path().join("link.yaml").is_symlink());
    }
}
