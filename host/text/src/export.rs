//! Nodes to files.

use std::collections::{BTreeMap, HashMap};

use enginehouse_model::FullName;
use enginehouse_tree::Definition;
use serde_json::Value;

use crate::layout::{FOLDER_FILE, SCHEMA_FILE, Siblings};
use crate::yaml::write_yaml;

/// What of a node is written into its file.
#[derive(Clone, Debug)]
pub struct Exported {
    pub node: FullName,
    pub is_folder: bool,
    pub definition: Definition,
}

impl Exported {
    /// Relative path -> content, for `top` and all below it. Equal nodes give equal bytes, in
    /// whichever order they come. Secrets are references; one that is none is written as
    /// `(secret)`, which says on import: leave it as it is.
    #[must_use]
    pub fn files(top: &FullName, nodes: &[Self]) -> BTreeMap<String, String> {
        let mut below: HashMap<&[String], Vec<(&str, bool)>> = HashMap::new();
        for exported in nodes {
            if let Some((name, parent)) = exported.node.segments().split_last() {
                below
                    .entry(parent)
                    .or_default()
                    .push((name, exported.is_folder));
            }
        }
        let siblings: HashMap<&[String], Siblings> = below
            .into_iter()
            .map(|(parent, children)| (parent, Siblings::of(children)))
            .collect();
        let file_name = |path: &[String], is_folder: bool| {
            let (name, parent) = path.split_last()?;
            siblings
                .get(parent)
                .map(|siblings| siblings.file_name(name, is_folder))
        };
        let skipped = top.segments().len();
        nodes
            .iter()
            .map(|exported| {
                let path = exported.node.segments();
                let mut parts: Vec<String> = (skipped + 1..path.len())
                    .filter_map(|length| file_name(path.get(..length)?, true))
                    .collect();
                if path.len() > skipped {
                    parts.extend(file_name(path, exported.is_folder));
                }
                if exported.is_folder {
                    parts.push(FOLDER_FILE.to_owned());
                }
                let depth = parts.len().saturating_sub(1);
                (
                    parts.join("/"),
                    file_of_definition(&exported.definition, depth),
                )
            })
            .collect()
    }
}

/// The content of a file, `depth` directories below that of the export.
#[must_use]
pub fn file_of_definition(definition: &Definition, depth: usize) -> String {
    let up = "../".repeat(depth);
    // Editors take the schema from this line.
    let mut text = format!("# yaml-language-server: $schema={up}{SCHEMA_FILE}\n");
    if let Value::Object(members) = definition.redacted() {
        text.push_str(&write_yaml(&members));
    }
    text
}
