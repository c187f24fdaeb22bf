//! What to tell of a guest that died.

use wasmtime::{Error, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::error::Failure;
use crate::host::one_line;
use crate::redact::Redactor;

/// Frames that are told.
const FRAMES_MAX: usize = 20;
const REASON_MAX: usize = 1 << 10;
/// The panic's own machinery says nothing about the engine.
const NOISE: &[&str] = &[
    "std::", "std[", "core::", "core[", "alloc::", "alloc[", "__rust", "rust_", "_RN", "abort",
];

/// The guest's end as a failure: the panic's message where it printed one.
pub(crate) fn failure(error: &Error, printed: &str, redactor: &Redactor) -> Failure {
    let reason = panic_message(printed).unwrap_or_else(|| {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            format!("it exited with status {}", exit.0)
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            trap.to_string()
        } else {
            error.root_cause().to_string()
        }
    });
    let frames = (error.downcast_ref::<WasmBacktrace>())
        .map(backtrace)
        .unwrap_or_default();
    Failure::Trap {
        reason: redactor.text(&one_line(&reason, REASON_MAX)),
        backtrace: frames.iter().map(|frame| redactor.text(frame)).collect(),
    }
}

/// `src/lib.rs:10:5: message` out of what Rust prints when it panics.
fn panic_message(printed: &str) -> Option<String> {
    let at = printed.rfind("panicked at ")?;
    let mut lines = printed[at..].lines();
    let place = lines.next()?.trim_end_matches(':');
    let message: Vec<&str> = lines
        .take_while(|line| !line.starts_with("note: ") && !line.starts_with("stack backtrace:"))
        .filter(|line| !line.trim().is_empty())
        .take(5)
        .collect();
    Some(format!("{place}: {}", message.join(" ")))
}

/// Function names, innermost first, as wasmtime demangles them.
fn backtrace(backtrace: &WasmBacktrace) -> Vec<String> {
    let text = backtrace.to_string();
    let names: Vec<String> = (text.lines())
        .filter_map(|line| line.split_once(" - "))
        .map(|(_, place)| place.split_once('!').map_or(place, |(_, name)| name))
        .map(|name| one_line(without_hash(name), 200))
        .collect();
    let is_noise = |name: &String| NOISE.iter().any(|noise| name.starts_with(noise));
    let telling: Vec<String> = names
        .iter()
        .filter(|name| !is_noise(name))
        .cloned()
        .collect();
    let mut frames = if telling.is_empty() { names } else { telling };
    frames.truncate(FRAMES_MAX);
    frames
}

/// The name without what makes it unique: `::h66ffb5758d052bd8`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            before
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let printed = "hello\n\nthread '<unnamed>' panicked at src/lib.rs:10:5:\nno such disk\n\
            note: run with `RUST_BACKTRACE=1`";
        assert_eq!(
            panic_message(printed).unwrap(),
            "panicked at src/lib.rs:10:5: no such disk"
        );
        assert_eq!(panic_message("hello"), None);
    }

    #[test]
    fn a_name_loses_its_hash_and_nothing_else() {
        assert_eq!(without_hash("a::run::h66ffb5758d052bd8"), "a::run");
        assert_eq!(without_hash("a::hello"), "a::hello");
    }

    #[test]
    fn an_error_without_trap_gives_its_root_cause() {
        let error = Error::msg("inner").context("outer");
        let failure = failure(&error, "", &Redactor::new(["inner"]));
        assert_eq!(
            failure,
            Failure::Trap {
                reason: "[redacted]".into(),
                backtrace: Vec::new()
            }
        );
    }
}
