//! What a test needs and may not find.

use std::env;

/// Set by `cargo xtask test`, which has prepared the peers.
const REQUIRED: &str = "ENGINEHOUSE_PEERS";

/// Says that a test is skipped and why; the caller returns. In CI (`CI=true`) and under
/// `cargo xtask test` everything has to be there, so the test fails.
///
/// # Panics
/// In CI and under `cargo xtask test`.
pub fn skip_or_fail(why: &str) {
    let set = |name: &str, value: &str| env::var_os(name).is_some_and(|found| found == value);
    assert!(
        !(set("CI", "true") || set(REQUIRED, "required")),
        "{why}; `cargo xtask peers` and `cargo xtask engines` prepare what tests need"
    );
    eprintln!("skipped: {why}");
}
