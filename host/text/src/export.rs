//! Nodes to files.

use std::collections::{BTreeMap, HashMap};
use std::iter::successors;

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
        let mut below: HashMap<FullName, Vec<(&str, bool)>> = HashMap::new();
        for exported in nodes {
            if let Some(parent) = exported.node.parent() {
                below
                    .entry(parent)
                    .or_default()
                    .push((exported.node.name(), exported.is_folder));
            }
        }
        let siblings: HashMap<FullName, Siblings> = below
            .into_iter()
            .map(|(parent, children)| (parent, Siblings::of(children)))
            .collect();
        let file_name = |node: &FullName, is_folder: bool| {
            siblings
                .get(&node.parent()?)
                .map(|siblings| siblings.file_name(node.name(), is_folder))
        };
        nodes
            .iter()
            .map(|exported| {
                // From the node upwards, as far as below the top.
                let way = successors(Some(exported.node.clone()), FullName::parent)
                    .take_while(|node| node != top);
                let mut parts: Vec<String> = way
                    .filter_map(|node| {
                        file_name(&node, exported.is_folder || node != exported.node)
                    })
                    .collect();
                parts.reverse();
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
