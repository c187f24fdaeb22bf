//! Texts in YAML: plain where every reader sees a text in it, quoted where one might not.

use std::fmt::Write;

/// A text on one line, for a key or a value.
pub(super) fn push_text(to: &mut String, text: &str) {
    if is_plain(text) {
        to.push_str(text);
    } else {
        push_quoted(to, text);
    }
}

/// Whether the text can stand without quotes, and is no number, date or truth value for readers of
/// YAML 1.1 either.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let begins = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.') || is_letter(c));
    begins
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|c| {
            is_letter(c)
                || c.is_ascii_alphanumeric()
                || matches!(
                    c,
                    ' ' | '_'
                        | '.'
                        | '/'
                        | '-'
                        | '+'
                        | '@'
                        | ':'
                        | '('
                        | ')'
                        | '='
                        | '~'
                        | '%'
                        | '#'
                        | ';'
                        | '$'
                )
        })
        && !text.starts_with("...")
        && !is_word_of_yaml(text)
        && !is_like_a_number(text)
}

fn is_letter(c: char) -> bool {
    !c.is_ascii() && c.is_alphabetic()
}

/// What some version of YAML takes for null or a truth value.
fn is_word_of_yaml(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "null"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | "nan"
            | "inf"
            | "infinity"
    )
}

/// Whether some version of YAML may take it for a number, a time or a date. It may say so of a text
/// that is none; an address of a network it does not.
fn is_like_a_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return true;
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let digits = |text: &str, allowed: &str| {
        text.chars()
            .all(|c| c.is_ascii_digit() || allowed.contains(c))
    };
    let lower = unsigned.to_ascii_lowercase();
    let based = ["0x", "0o", "0b"]
        .iter()
        .find_map(|base| lower.strip_prefix(base))
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit() || c == '_'));
    let decimal = digits(&lower, "_.e+-:") && lower.matches('.').count() <= 1;
    let date = text.len() >= 8
        && text
            .get(..5)
            .is_some_and(|year| digits(year, "-") && year.ends_with('-'));
    based || decimal || date
}

/// In double quotes, everything else than printable text escaped.
pub(super) fn push_quoted(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            c if is_printable(c) => to.push(c),
            c => {
                let code = u32::from(c);
                // Writing into a String does not fail.
                let _ = match code {
                    0..=0xff => write!(to, "\\x{code:02X}"),
                    0x100..=0xffff => write!(to, "\\u{code:04X}"),
                    _ => write!(to, "\\U{code:08X}"),
                };
            }
        }
    }
    to.push('"');
}

/// What stands in a document as it is: printable for YAML, no line break for any reader, and nothing
/// that shows what follows in another order than it stands in: people review these files.
pub(super) fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            false
        }
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => true,
        c => c >= '\u{10000}',
    }
}

/// Whether a text of several lines can stand as a block, `|` or `|-`: then it is read as it is
/// written.
pub(super) fn is_block(text: &str) -> bool {
    let Some(body) = text.strip_suffix('\n').or(Some(text)) else {
        return false;
    };
    body.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !body.ends_with('\n')
        && text
            .chars()
            .all(|c| c == '\n' || c == '\t' || is_printable(c))
        && body.split('\n').all(|line| !line.ends_with([' ', '\t']))
}
