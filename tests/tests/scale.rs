//! What an edit of a large tree costs, counted: times are for `cargo xtask bench tree`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use enginehouse_model::NodeUid;
use enginehouse_tests::Estate;
use enginehouse_tree::{Definition, Tree};
use serde_json::json;
use uuid::Uuid;

/// How many definitions an edit of this node computes.
fn computed_by_edit(tree: &mut Tree, node: NodeUid) -> u64 {
    let mut document = tree.node(node).unwrap().local.to_json();
    document["description"] = json!("changed");
    let definition = Definition::from_json(&document).unwrap();
    let before = tree.computations();
    let change = tree
        .set_definition(node, definition, None, &mut Uuid::nil)
        .unwrap();
    assert_eq!(change.written, [node], "one document for one edit");
    tree.computations() - before
}

#[test]
fn an_edit_among_a_hundred_thousand_descriptors_computes_what_is_below_it_and_nothing_else() {
    let estate = Estate::LARGE;
    let mut tree = Tree::load(estate.stored().unwrap()).unwrap();
    let descriptors = tree.descriptors(tree.root()).unwrap().count();
    assert_eq!(descriptors, 100_000);
    assert_eq!(tree.len() - descriptors, 2_000 + 1);
    let bottom = tree.full_name(estate.bottom()).unwrap();
    assert_eq!(bottom.segments().len(), 12);
    let all = u64::from(estate.nodes());
    assert_eq!(tree.computations(), all, "loading computes each once");

    assert_eq!(computed_by_edit(&mut tree, estate.bottom()), 1);
    let middle = u64::from(estate.nodes_from(32));
    assert_eq!(computed_by_edit(&mut tree, estate.folder(32)), middle);
    assert!(middle < all / 30, "{middle}");
    assert_eq!(computed_by_edit(&mut tree, estate.root()), all);
}
