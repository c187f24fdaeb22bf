//! What reading a document may cost, whatever it says.

use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options};

/// Largest document that is read, in bytes: as large as a request that writes a definition.
pub const FILE_MAX: usize = 8 << 20;

/// Levels of lists and mappings within each other: as many as JSON may have.
const DEPTH_MAX: usize = 127;

/// What a document may expand to by aliases, beside its own length: nodes, and bytes of text.
const NODES_FREE: usize = 1_000;
const BYTES_FREE: usize = 16 << 10;

/// YAML 1.2 without surprises: `no` is a text, a key written twice is an error.
///
/// Limits grow with the document, so that what many files cost together stays within a few times of
/// their length.
pub(super) fn options(length: usize) -> Options {
    let nodes = NODES_FREE + length;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // A node has at most an event for its beginning and one for its end.
            max_events: 16 + 2 * nodes,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 2 * nodes,
            max_recorded_anchor_bytes: BYTES_FREE + 4 * length,
            max_depth: DEPTH_MAX + 1,
            flow_nesting_limit: DEPTH_MAX + 1,
            max_documents: 1,
            max_nodes: nodes,
            max_total_scalar_bytes: BYTES_FREE + 2 * length,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 2 * nodes,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}
