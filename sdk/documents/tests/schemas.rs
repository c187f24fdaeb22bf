//! The published schemas are those of the types.
//!
//! After a change of a document: `ENGINEHOUSE_WRITE_SCHEMAS=1 cargo test -p enginehouse-documents`,
//! and look at the difference before you commit it. A member that is gone or means something else
//! breaks engines that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/schemas");
    let rewrite = std::env::var_os("ENGINEHOUSE_WRITE_SCHEMAS").is_some();
    let mut known = BTreeSet::new();
    let mut stale = Vec::new();
    for (name, schema) in enginehouse_documents::schemas() {
        let file = format!("{name}.json");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if rewrite {
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(&file), &text).unwrap();
        }
        // A checkout may have turned the line ends.
        let published = fs::read_to_string(directory.join(&file)).unwrap_or_default();
        if published.replace("\r\n", "\n") != text {
            stale.push(file.clone());
        }
        known.insert(file);
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let file = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !known.contains(&file) {
            stale.push(file);
        }
    }
    assert!(
        stale.is_empty(),
        "not as the types are: {stale:?} in wit/schemas; see the top of this test"
    );
}

#[test]
fn every_document_that_the_contract_names_has_a_schema() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/engine.wit");
    let wit = fs::read_to_string(wit).unwrap();
    // Its lines are broken anywhere; a document is named in backticks after these words.
    let words: Vec<&str> = wit
        .split_whitespace()
        .filter(|word| *word != "///")
        .collect();
    let named: BTreeSet<&str> = words
        .windows(3)
        .filter(|words| words[0] == "JSON" && words[1].starts_with("document"))
        .filter_map(|words| words[2].strip_prefix('`')?.split('`').next())
        .collect();
    let schemas: BTreeSet<&str> = enginehouse_documents::schemas()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(named, schemas);
}
