//! All that the fuzzer begins with, and all that it ever found: on every `cargo test`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;

#[path = "../../../tests/fuzz/src/lib.rs"]
mod checks;

fn each(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        check(&bytes);
        seen += 1;
    }
    assert!(seen > 10, "{target}: {seen} files");
}

#[test]
fn every_file_of_the_import_corpus_is_read_without_harm() {
    each("import", checks::import);
}

#[test]
fn every_file_of_the_definition_corpus_is_read_without_harm() {
    each("definition", checks::definition);
}
