//! Which file is which node.
//!
//! A folder is a directory with its definition in `_folder.yaml`, a descriptor `vm1` is `vm1.yaml`.
//! No node can be called `_folder`, and none begins with a dot. Names of nodes are letters, digits,
//! `-`, `_` and `.`; some of them are no good as names of files everywhere, and are written with `~`,
//! which no node's name has:
//!
//! - `~` and a small letter is the capital letter: written so where two names in one folder differ
//!   only in case, which file systems of macOS and Windows do not tell apart;
//! - any other `~` is nothing: it stands behind what Windows reserves (`con~.yaml`), behind a dot at
//!   the end, and behind the name of a folder that looks like a descriptor's file.

use std::collections::HashMap;

use enginehouse_model::FullName;
use enginehouse_tree::LEVELS_MAX;
use thiserror::Error;

/// File with the definition of the folder whose directory it is in.
pub const FOLDER_FILE: &str = "_folder.yaml";

/// File with the JSON Schema of definitions, below the directory of an export.
pub const SCHEMA_FILE: &str = ".enginehouse/definition.schema.json";

/// Longest text of a path that a message repeats, in characters.
const SHOWN: usize = 120;

/// A file that belongs to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    pub node: FullName,
    pub is_folder: bool,
}

/// Why a path is no file of a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    #[error("`{part}` cannot be the name of a node: {reason}")]
    Name { part: String, reason: String },
    #[error("nodes are nested more than {LEVELS_MAX} deep")]
    TooDeep,
    #[error("a path must not begin with `/`; it is relative to the directory")]
    Absolute,
}

/// The node below `top` that a relative path with `/` between its parts belongs to; none for a file
/// that is no YAML or is hidden.
///
/// # Errors
/// When the path would be a node's, and names what cannot be a node.
pub fn node_of(top: &FullName, path: &str) -> Result<Option<NodeFile>, LayoutError> {
    if path.starts_with('/') {
        return Err(LayoutError::Absolute);
    }
    let (directory, file) = match path.rsplit_once('/') {
        Some((directory, file)) => (Some(directory), file),
        None => (None, path),
    };
    let Some(stem) = yaml_stem(file) else {
        return Ok(None);
    };
    let directories = || directory.into_iter().flat_map(|path| path.split('/'));
    // `..` is no hidden directory; it is refused below as a name.
    let is_hidden = |part: &str| part.starts_with('.') && !matches!(part, "." | "..");
    if is_hidden(file) || directories().any(is_hidden) {
        return Ok(None);
    }
    // Before the names of all of them are made.
    if directories().count() > LEVELS_MAX {
        return Err(LayoutError::TooDeep);
    }
    let mut node = top.clone();
    for part in directories() {
        node = child(&node, part)?;
    }
    let is_folder = stem == "_folder";
    if !is_folder {
        node = child(&node, stem)?;
    }
    if node.levels() > LEVELS_MAX {
        return Err(LayoutError::TooDeep);
    }
    Ok(Some(NodeFile { node, is_folder }))
}

/// The name of a YAML file without its ending.
fn yaml_stem(file: &str) -> Option<&str> {
    file.strip_suffix(".yaml")
        .or_else(|| file.strip_suffix(".yml"))
}

fn child(parent: &FullName, part: &str) -> Result<FullName, LayoutError> {
    parent
        .child(&decoded(part))
        .map_err(|reason| LayoutError::Name {
            part: shown_path(part),
            reason: reason.to_string(),
        })
}

fn decoded(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    let mut chars = part.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '~' {
            name.push(c);
        } else if let Some(letter) = chars.next_if(char::is_ascii_lowercase) {
            name.push(letter.to_ascii_uppercase());
        }
    }
    name
}

/// A path as messages repeat it: short, and without control characters.
pub(crate) fn shown_path(path: &str) -> String {
    let mut shown: String = path
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if path.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

/// The children of one folder: what their files are called depends on which others there are.
#[derive(Debug, Default)]
pub struct Siblings {
    /// Name of the file without regard to case -> how many have it.
    taken: HashMap<String, usize>,
}

impl Siblings {
    /// Of these names; `true` for a folder.
    pub fn of<'a>(children: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let mut taken = HashMap::new();
        for (name, is_folder) in children {
            let file = plain(name, is_folder).to_ascii_lowercase();
            *taken.entry(file).or_insert(0) += 1;
        }
        Self { taken }
    }

    /// Name of the directory of a folder, or of the file of a descriptor.
    #[must_use]
    pub fn file_name(&self, name: &str, is_folder: bool) -> String {
        let file = plain(name, is_folder);
        let shared = self.taken.get(&file.to_ascii_lowercase());
        if shared.is_some_and(|count| *count > 1) {
            escape_capitals(&file)
        } else {
            file
        }
    }
}

/// The name of the file where no sibling is in the way.
fn plain(name: &str, is_folder: bool) -> String {
    // Windows reserves these with anything behind a dot, too.
    let base = name.split('.').next().unwrap_or_default();
    let mut file = if is_reserved(base) {
        let rest = name.get(base.len()..).unwrap_or_default();
        format!("{base}~{rest}")
    } else {
        name.to_owned()
    };
    if is_folder {
        let lower = file.to_ascii_lowercase();
        if file.ends_with('.') || yaml_stem(&lower).is_some() {
            file.push('~');
        }
    } else {
        file.push_str(".yaml");
    }
    file
}

fn escape_capitals(file: &str) -> String {
    let mut escaped = String::with_capacity(file.len() + 4);
    for c in file.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('~');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

fn is_reserved(base: &str) -> bool {
    let base = base.to_ascii_lowercase();
    let numbered = |device: &str| {
        base.strip_prefix(device)
            .is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
    };
    matches!(base.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FullName {
        text.parse().unwrap()
    }

    fn read(path: &str) -> Result<Option<(String, bool)>, LayoutError> {
        node_of(&FullName::root(), path)
            .map(|file| file.map(|file| (file.node.to_string(), file.is_folder)))
    }

    #[test]
    fn folders_are_directories_and_descriptors_files() {
        for (path, node, is_folder) in [
            ("_folder.yaml", "/", true),
            ("web/_folder.yaml", "/web", true),
            ("web/vm1.yaml", "/web/vm1", false),
            ("web/vm1.yml", "/web/vm1", false),
            ("a.b/c.d.yaml", "/a.b/c.d", false),
        ] {
            assert_eq!(
                read(path).unwrap(),
                Some((node.to_owned(), is_folder)),
                "{path}"
            );
        }
        let lab = node_of(&name("/lab"), "web/vm1.yaml").unwrap().unwrap();
        assert_eq!(lab.node, name("/lab/web/vm1"));
    }

    #[test]
    fn hidden_files_and_what_is_no_yaml_belong_to_no_node() {
        for path in [
            "README.md",
            "web/notes.txt",
            ".git/config.yaml",
            "web/.cache/a.yaml",
            ".hidden.yaml",
            SCHEMA_FILE,
            "yaml",
            "vm1.YAML",
        ] {
            assert_eq!(read(path).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_a_node_is_refused_with_the_reason() {
        let long = format!("{}.yaml", "x".repeat(10_000));
        let deep = format!("{}vm.yaml", "a/".repeat(64));
        let deeper = format!("{}vm.yaml", "a/".repeat(1_000_000));
        for (path, part) in [
            ("../vm1.yaml", "`.` is not allowed"),
            ("web/../vm1.yaml", "`.` is not allowed"),
            ("./vm1.yaml", "`.` is not allowed"),
            ("web//vm1.yaml", "must not be empty"),
            ("/etc/vm1.yaml", "relative"),
            ("vm 1.yaml", "` ` is not allowed"),
            ("vm\u{7}.yaml", "is not allowed"),
            ("a\\b.yaml", "is not allowed"),
            ("_other.yaml", "`_` is not allowed"),
            ("web/_folder/vm.yaml", "`_` is not allowed"),
            ("~.yaml", "must not be empty"),
            ("vm\u{e9}.yaml", "is not allowed"),
            (&long, "at most 63 characters"),
            (&deep, "64 deep"),
            (&deeper, "64 deep"),
        ] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains(part), "{path:.40}: {error}");
            assert!(error.len() < 600, "{}", error.len());
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn names_that_file_systems_confuse_have_files_of_their_own() {
        let children = [
            ("Web", true),
            ("web", true),
            ("VM1", false),
            ("vm1", false),
            ("x", false),
            ("x.yaml", true),
            ("con", true),
            ("NUL.x", false),
            ("com3", false),
            ("a.", true),
            ("Alone", false),
        ];
        let siblings = Siblings::of(children);
        let files: Vec<String> = children
            .iter()
            .map(|(name, is_folder)| siblings.file_name(name, *is_folder))
            .collect();
        assert_eq!(
            files,
            [
                "~web",
                "web",
                "~v~m1.yaml",
                "vm1.yaml",
                "x.yaml",
                "x.yaml~",
                "con~",
                "NUL~.x.yaml",
                "com3~.yaml",
                "a.~",
                "Alone.yaml"
            ]
        );
        for ((name, is_folder), file) in children.iter().zip(&files) {
            let path = if *is_folder {
                format!("{file}/{FOLDER_FILE}")
            } else {
                file.clone()
            };
            assert_eq!(read(&path).unwrap(), Some((format!("/{name}"), *is_folder)));
        }
        let lower: std::collections::HashSet<String> =
            files.iter().map(|file| file.to_ascii_lowercase()).collect();
        assert_eq!(lower.len(), files.len());
    }
}
