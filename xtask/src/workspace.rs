//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> &'static Path {
    // The parent of a package's directory is always there.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Where everything goes that is made here, also when cargo itself builds elsewhere: the tests look
/// for it here.
pub fn target() -> PathBuf {
    root().join("target")
}
