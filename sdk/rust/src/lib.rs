//! Write an Enginehouse engine in Rust: a struct, a trait and one macro.
