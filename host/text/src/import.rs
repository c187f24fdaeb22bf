//! Files to nodes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use enginehouse_model::FullName;
use enginehouse_tree::{Definition, KeyPath, Problem, ProblemKind};
use serde_json::{Map, Value};

use crate::difference::{hidden_paths, hides_secrets, keep_secrets};
use crate::layout::{NodeFile, node_of};
use crate::problem::{FileProblem, Place, shown};
use crate::yaml::{YamlDocument, YamlError, read_yaml};

/// More problems than this are counted, not kept.
const PROBLEMS_KEPT: usize = 1_000;

/// What files say the tree should be.
#[derive(Debug, Default)]
pub struct Reading {
    /// Each folder before what it holds, siblings by name.
    pub wanted: Vec<Wanted>,
    /// Files that belong to no node: no YAML, or hidden.
    pub ignored: usize,
    /// What is wrong, by file and place. Where there is anything, `wanted` is not whole.
    pub problems: Vec<FileProblem>,
    /// How many problems more there are.
    pub more_problems: usize,
}

/// A node that files speak of.
#[derive(Debug)]
pub struct Wanted {
    pub node: FullName,
    pub is_folder: bool,
    /// Its file; absent for a folder that is only there because something is in its directory.
    pub file: Option<String>,
    pub says: Source,
}

/// What a node's file says of its definition.
#[derive(Debug)]
pub enum Source {
    /// There is no file: the definition stays as it is.
    Nothing,
    Definition(Box<Definition>),
    /// Some secrets are to stay as they are, so this is none yet: see [`secrets_missing`].
    Hidden(Map<String, Value>),
}

impl Reading {
    fn note(&mut self, problem: FileProblem) {
        if self.problems.len() < PROBLEMS_KEPT {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }
}

/// Reads files, given as relative paths and contents, as the nodes of `top` and below it.
pub fn read_files<'f>(
    top: &FullName,
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
) -> Reading {
    let mut reading = Reading::default();
    let mut nodes: BTreeMap<FullName, Wanted> = BTreeMap::new();
    for (path, bytes) in files {
        match node_of(top, path) {
            Ok(None) => reading.ignored += 1,
            Ok(Some(file)) => read_file(&mut reading, &mut nodes, path, file, bytes),
            Err(error) => reading.note(FileProblem::of_file(path, error.to_string())),
        }
    }
    add_directories(&mut reading, &mut nodes, top);
    reading.wanted = nodes.into_values().collect();
    reading.problems.sort();
    reading
}

fn read_file(
    reading: &mut Reading,
    nodes: &mut BTreeMap<FullName, Wanted>,
    path: &str,
    NodeFile { node, is_folder }: NodeFile,
    bytes: &[u8],
) {
    let says = match read_definition(path, bytes) {
        Ok(says) => says,
        Err(problems) => {
            for problem in problems {
                reading.note(problem);
            }
            // The node is spoken of all the same, for what its other files say.
            Source::Nothing
        }
    };
    match nodes.entry(node) {
        Entry::Vacant(free) => {
            let node = free.key().clone();
            free.insert(Wanted {
                node,
                is_folder,
                file: Some(path.to_owned()),
                says,
            });
        }
        Entry::Occupied(taken) => {
            let other = taken.get().file.as_deref().unwrap_or_default();
            let message = format!(
                "says what `{}` is, and `{}` does so too",
                taken.key(),
                crate::layout::shown_path(other)
            );
            let problem =
                FileProblem::of_file(path, message).with_hint("keep one of the two files");
            reading.note(problem);
        }
    }
}

/// Folders that are only there because something is in their directories.
fn add_directories(reading: &mut Reading, nodes: &mut BTreeMap<FullName, Wanted>, top: &FullName) {
    let mut above: Vec<FullName> = Vec::new();
    for name in nodes.keys() {
        let mut name = name.clone();
        while let Some(parent) = name.parent().filter(|parent| parent.is_within(top)) {
            // Siblings come one after the other, so what was just seen is not looked at again.
            if above.last() == Some(&parent) {
                break;
            }
            above.push(parent.clone());
            name = parent;
        }
    }
    for folder in above {
        match nodes.entry(folder) {
            Entry::Vacant(free) => {
                let node = free.key().clone();
                free.insert(Wanted {
                    node,
                    is_folder: true,
                    file: None,
                    says: Source::Nothing,
                });
            }
            Entry::Occupied(mut taken) => {
                let wanted = taken.get_mut();
                if !wanted.is_folder {
                    let file = wanted.file.take().unwrap_or_default();
                    wanted.is_folder = true;
                    let message = format!(
                        "makes `{}` a descriptor, and there is a directory that makes it a folder",
                        wanted.node
                    );
                    reading.note(
                        FileProblem::of_file(&file, message)
                            .with_hint("rename one of them, or move what is in the directory"),
                    );
                }
            }
        }
    }
}

fn read_definition(path: &str, bytes: &[u8]) -> Result<Source, Vec<FileProblem>> {
    let document = read_yaml(bytes).map_err(|error| vec![of_yaml(path, error)])?;
    let value = document.to_value();
    let members = match value {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        other => {
            let mut problem = FileProblem::of_file(
                path,
                format!(
                    "expected a mapping of keys to values, found {}",
                    kind_of(&other)
                ),
            );
            problem.place = document.place_of_value(&[]);
            return Err(vec![problem]);
        }
    };
    if members.values().any(hides_secrets) {
        return Ok(Source::Hidden(members));
    }
    parsed(path, &document, &Value::Object(members))
        .map(|definition| Source::Definition(Box::new(definition)))
}

fn parsed(
    path: &str,
    document: &YamlDocument,
    value: &Value,
) -> Result<Definition, Vec<FileProblem>> {
    let parsed = Definition::from_json(value).and_then(|definition| {
        let problems = definition.refused_literals();
        if problems.is_empty() {
            Ok(definition)
        } else {
            Err(problems)
        }
    });
    parsed.map_err(|problems| of_definition(path, document, &problems))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn of_yaml(path: &str, error: YamlError) -> FileProblem {
    FileProblem {
        place: error.place,
        ..FileProblem::of_file(path, error.message)
    }
}

fn of_definition(path: &str, document: &YamlDocument, problems: &[Problem]) -> Vec<FileProblem> {
    problems
        .iter()
        .map(|problem| {
            let keys = problem.key.keys();
            let (place, message, hint) = match &problem.kind {
                ProblemKind::UnknownKey { nearest, known } => (
                    document.place_of_key(keys),
                    match nearest {
                        Some(nearest) => format!("unknown key, did you mean `{nearest}`?"),
                        None => "unknown key".to_owned(),
                    },
                    nearest
                        .is_none()
                        .then(|| format!("known here: {}", known.join(", "))),
                ),
                ProblemKind::Expected {
                    expected,
                    found,
                    hint,
                } => (
                    document.place_of_value(keys),
                    format!("expected {expected}, found {found}"),
                    hint.clone(),
                ),
                ProblemKind::Twice { other } => (
                    document.place_of_key(keys),
                    format!("says the same as `{other}`"),
                    Some("keep one of the two".to_owned()),
                ),
                ProblemKind::Edit(reason) => (document.place_of_key(keys), reason.clone(), None),
            };
            FileProblem {
                place,
                key: shown(&problem.key.to_string()),
                hint,
                ..FileProblem::of_file(path, shown(&message))
            }
        })
        .collect()
}

/// The definition of a file in which secrets are hidden, with those of `before` in their places.
///
/// # Errors
/// With what is wrong in it, and every place at which `before` has no secret that could stay.
pub fn secrets_missing(
    file: &str,
    bytes: &[u8],
    members: &Map<String, Value>,
    before: Option<&Definition>,
) -> Result<Definition, Vec<FileProblem>> {
    let mut value = Value::Object(members.clone());
    if let Some(before) = before {
        keep_secrets(&mut value, &before.to_json());
    }
    let document = read_yaml(bytes).map_err(|error| vec![of_yaml(file, error)])?;
    let left = value.as_object().map(hidden_paths).unwrap_or_default();
    if !left.is_empty() {
        let problems = left.into_iter().map(|path| FileProblem {
            place: document.place_of_value(&path),
            key: shown(&KeyPath::from_keys(path).to_string()),
            hint: Some("write it, or where it is found: {env: NAME} or {file: PATH}".to_owned()),
            ..FileProblem::of_file(
                file,
                "`(secret)` keeps a secret as it is, and the tree has none here",
            )
        });
        return Err(problems.collect());
    }
    parsed(file, &document, &value)
}

/// Whether two files are the same definition, however they are written.
#[must_use]
pub fn say_the_same(a: &[u8], b: &[u8]) -> bool {
    let definition = |bytes| match read_definition("", bytes) {
        Ok(Source::Definition(definition)) => Some(definition),
        Ok(Source::Nothing | Source::Hidden(_)) | Err(_) => None,
    };
    definition(a).is_some_and(|a| definition(b).is_some_and(|b| a == b))
}

/// Where a key stands in a file, by its path as people write it.
#[must_use]
pub fn place_of(bytes: &[u8], key: &KeyPath) -> Option<Place> {
    read_yaml(bytes).ok()?.place_of_value(key.keys())
}
