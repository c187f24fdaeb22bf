//! A directory of YAML files, as an import reads it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use enginehouse_text::{FILE_MAX, FileProblem, read_files};
use thiserror::Error;

/// Bytes of all files together: what an import may have, with room for what JSON adds to it.
const TOTAL_MAX: u64 = 200 << 20;

/// Why a directory cannot be imported.
#[derive(Debug, Error)]
pub enum DirectoryError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is a symbolic link, and links are not followed", .0.display())]
    Link(PathBuf),
    #[error("{} is no name that can be a node's: it is no UTF-8", .0.display())]
    Name(PathBuf),
    #[error("the files of {} have more than {} MiB", .0.display(), TOTAL_MAX >> 20)]
    TooMuch(PathBuf),
    #[error("there is no YAML file in {}", .0.display())]
    Nothing(PathBuf),
    /// What is wrong with files that cannot even be sent.
    #[error("the files cannot be imported")]
    Files {
        problems: Vec<FileProblem>,
        more: usize,
    },
}

/// The files of a directory that can be nodes.
#[derive(Debug, Default)]
pub struct TreeFiles {
    /// Relative path, with `/` between its parts -> content.
    pub files: BTreeMap<String, String>,
    /// Other files, which are left alone. Those in hidden directories are not even counted.
    pub ignored: usize,
}

/// Reads all YAML files of a directory and those below it.
///
/// # Errors
/// When something cannot be read, is a link, is no text, or is more than an import may be.
pub fn read_directory(dir: &Path) -> Result<TreeFiles, DirectoryError> {
    let mut found = Found::default();
    found.walk(dir)?;
    if found.files.is_empty() {
        return Err(DirectoryError::Nothing(dir.to_owned()));
    }
    let mut texts = BTreeMap::new();
    let mut broken = false;
    for (path, bytes) in &found.files {
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= FILE_MAX => {
                texts.insert(path.clone(), text.to_owned());
            }
            Ok(_) | Err(_) => broken = true,
        }
    }
    if broken {
        // The server cannot be sent these; what else is wrong is said with it.
        let files = found.files.iter();
        let files = files.map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        let reading = read_files(&enginehouse_model::FullName::root(), files);
        return Err(DirectoryError::Files {
            problems: reading.problems,
            more: reading.more_problems,
        });
    }
    Ok(TreeFiles {
        files: texts,
        ignored: found.ignored,
    })
}

#[derive(Default)]
struct Found {
    files: BTreeMap<String, Vec<u8>>,
    ignored: usize,
    bytes: u64,
}

impl Found {
    fn walk(&mut self, top: &Path) -> Result<(), DirectoryError> {
        let mut next = vec![(top.to_owned(), String::new())];
        while let Some((dir, within)) = next.pop() {
            let unreadable = |source| DirectoryError::Read {
                path: dir.clone(),
                source,
            };
            for entry in fs::read_dir(&dir).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let path = entry.path();
                let name = entry.file_name();
                let is_yaml = is_yaml(&path);
                let Some(name) = name.to_str() else {
                    return Err(DirectoryError::Name(path));
                };
                if name.starts_with('.') {
                    continue;
                }
                // Of a link, not of what it points to.
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_symlink() {
                    if is_yaml || path.is_dir() {
                        return Err(DirectoryError::Link(path));
                    }
                    self.ignored += 1;
                } else if kind.is_dir() {
                    next.push((path, format!("{within}{name}/")));
                } else if kind.is_file() && is_yaml {
                    self.read(top, &path, format!("{within}{name}"))?;
                } else {
                    self.ignored += 1;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, top: &Path, path: &Path, name: String) -> Result<(), DirectoryError> {
        let unreadable = |source| DirectoryError::Read {
            path: path.to_owned(),
            source,
        };
        self.bytes += fs::metadata(path).map_err(unreadable)?.len();
        if self.bytes > TOTAL_MAX {
            return Err(DirectoryError::TooMuch(top.to_owned()));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        self.files.insert(name, bytes);
        Ok(())
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_files_are_found_wherever_they_are_and_others_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("_folder.yaml", b"vcpu: 1\n");
        write("web/vm1.yml", b"");
        write("README.md", b"\xff");
        write("web/notes", b"");
        write(".git/config.yaml", b"]");
        write(".hidden.yaml", b"]");
        let found = read_directory(dir.path()).unwrap();
        let names: Vec<_> = found.files.keys().collect();
        assert_eq!(names, ["_folder.yaml", "web/vm1.yml"]);
        assert_eq!(found.ignored, 2);

        write("web/bad.yaml", b"a: \xff");
        write("web/worse.yaml", b"vcpu: none");
        let DirectoryError::Files { problems, .. } = read_directory(dir.path()).unwrap_err() else {
            panic!("read");
        };
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "web/bad.yaml:1:4: no UTF-8: byte 0xFF",
                "web/worse.yaml:1:7: vcpu: expected a whole number, 1 or more, found the text \"none\""
            ]
        );
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_directory(dir.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::Nothing(_)), "{error}");
        let error = read_directory(&dir.path().join("none")).unwrap_err();
        assert!(matches!(error, DirectoryError::Read { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("vm.yaml"), "vcpu: 1").unwrap();
        fs::write(dir.path().join("_folder.yaml"), "").unwrap();
        for (name, target) in [
            ("web", outside.path().to_owned()),
            ("vm.yaml", outside.path().join("vm.yaml")),
            ("gone.yaml", outside.path().join("gone")),
        ] {
            let link = dir.path().join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            let error = read_directory(dir.path()).unwrap_err();
            assert!(matches!(error, DirectoryError::Link(_)), "{name}: {error}");
            fs::remove_file(link).unwrap();
        }
    }
}
