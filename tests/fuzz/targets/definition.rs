//! Any bytes as the document of a definition.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enginehouse_fuzz::definition(bytes));
