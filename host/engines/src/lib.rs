//! Loads and runs engines: wasmtime, limits, egress, credentials.
