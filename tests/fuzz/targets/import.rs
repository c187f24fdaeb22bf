//! Any bytes as the files of an import.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enginehouse_fuzz::import(bytes));
