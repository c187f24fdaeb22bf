//! Takes secrets out of texts.
//!
//! A secret is looked for as it is and in the forms in which it travels: percent-encoded, in JSON,
//! in base64 at each of the three places where it can begin. Texts for people (logs, problems,
//! traps, paths) lose every secret. Documents that decide something (a machine's name, an answer in
//! the journal) lose long ones only: a password such as `test` must not rename the machine `test-1`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use parking_lot::RwLock;
use serde_json::Value;

/// What stands in place of a secret.
const MASK: &str = "[redacted]";
/// Shorter secrets are looked for as whole words only.
const WORD_BELOW: usize = 4;
/// Secrets of this length do not occur by chance.
const LONG: usize = 12;
/// An encoded form shorter than this is no sign of anything.
const FORM_MIN: usize = 6;
/// Session secrets that are remembered: the newest ones.
const SESSION_SECRETS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    whole_word: bool,
    long: bool,
}

/// The secrets of one hypervisor.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Longest first.
    fixed: Vec<Pattern>,
    /// Of the newest sessions, oldest first.
    session: RwLock<Vec<Vec<Pattern>>>,
}

impl Redactor {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut fixed: Vec<Pattern> = secrets.into_iter().flat_map(patterns).collect();
        sort(&mut fixed);
        Self {
            fixed,
            session: RwLock::default(),
        }
    }

    /// A secret that came later: a ticket, a session's token.
    pub(crate) fn add(&self, secret: &str) {
        let mut session = self.session.write();
        session.push(patterns(secret));
        if session.len() > SESSION_SECRETS {
            session.remove(0);
        }
    }

    /// A text for people.
    pub(crate) fn text(&self, text: &str) -> String {
        self.apply(text, |_| true)
    }

    /// A text that decides something.
    pub(crate) fn document_text(&self, text: &str) -> String {
        self.apply(text, |pattern| pattern.long)
    }

    /// Every string of a document that decides something.
    pub(crate) fn document(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if self.touches(text) {
                    *text = self.document_text(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.document(item)),
            Value::Object(members) => {
                members
                    .values_mut()
                    .for_each(|member| self.document(member));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether any long secret occurs: spares large documents the walk.
    pub(crate) fn touches(&self, text: &str) -> bool {
        let hit = |pattern: &Pattern| pattern.long && text.contains(&pattern.text);
        self.fixed.iter().any(hit) || self.session.read().iter().flatten().any(hit)
    }

    fn apply(&self, text: &str, wanted: impl Fn(&Pattern) -> bool) -> String {
        let session = self.session.read();
        let mut patterns: Vec<&Pattern> = (self.fixed.iter())
            .chain(session.iter().flatten())
            .filter(|pattern| wanted(pattern) && text.contains(&pattern.text))
            .collect();
        if patterns.is_empty() {
            return text.to_owned();
        }
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.text.len()));
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while let Some(next) = rest.chars().next() {
            let found = patterns.iter().find(|pattern| {
                rest.strip_prefix(pattern.text.as_str())
                    .is_some_and(|after| {
                        !pattern.whole_word || (!is_word(before) && !is_word(after.chars().next()))
                    })
            });
            let taken = if let Some(pattern) = found {
                out.push_str(MASK);
                pattern.text.len()
            } else {
                out.push(next);
                next.len_utf8()
            };
            before = rest[..taken].chars().next_back();
            rest = &rest[taken..];
        }
        out
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(char::is_alphanumeric)
}

fn sort(patterns: &mut Vec<Pattern>) {
    patterns.sort_by(|a, b| (b.text.len(), &a.text).cmp(&(a.text.len(), &b.text)));
    patterns.dedup();
}

fn patterns(secret: &str) -> Vec<Pattern> {
    if secret.is_empty() {
        return Vec::new();
    }
    let long = secret.len() >= LONG;
    let mut texts = vec![secret.to_owned()];
    texts.extend(
        [
            percent_encoded(secret, "%20", false),
            percent_encoded(secret, "+", false),
            percent_encoded(secret, "%20", true),
            percent_encoded(secret, "+", true),
            json_escaped(secret),
            secret.escape_default().to_string(),
        ]
        .into_iter()
        .chain(base64_forms(secret))
        .filter(|form| form.len() >= FORM_MIN),
    );
    texts.sort();
    texts.dedup();
    (texts.into_iter())
        .map(|text| Pattern {
            whole_word: text.len() < WORD_BELOW,
            text,
            long,
        })
        .collect()
}

pub(crate) fn percent_encoded(text: &str, space: &str, lower: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push_str(space),
            _ if lower => out.push_str(&format!("%{byte:02x}")),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn json_escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The characters of base64 that depend on the secret alone, for each offset at which it may begin.
fn base64_forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for offset in 0..3 {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(secret.as_bytes());
        // An offset of one byte leaves its mark on two characters, of two bytes on three; a last
        // group that is not full shares its last character with what follows.
        let head = [0, 2, 3][offset];
        let tail = usize::from(!bytes.len().is_multiple_of(3));
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let end = encoded.len() - tail;
            if head < end {
                forms.push(encoded[head..end].to_owned());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn every_form_of_a_secret_is_taken_out() {
        let secret = "p w/+\"ä!";
        let redactor = Redactor::new([secret]);
        for text in [
            secret.to_owned(),
            percent_encoded(secret, "%20", false),
            percent_encoded(secret, "+", true),
            serde_json::to_string(secret).unwrap(),
            format!("{secret:?}"),
        ] {
            let out = redactor.text(&format!("before {text} after"));
            assert!(out.contains("before ") && out.contains(" after"), "{out}");
            assert!(out.contains(MASK), "{text} -> {out}");
            assert!(
                !out.contains("p w") && !out.contains("%2B") && !out.contains("%2b"),
                "{out}"
            );
        }
    }

    #[test]
    fn base64_is_found_wherever_the_secret_begins() {
        let redactor = Redactor::new(["correct horse"]);
        for prefix in ["", "u", "us", "usr", "root@pam:"] {
            for suffix in ["", "x", "xy", "xyz"] {
                let encoded = STANDARD.encode(format!("{prefix}correct horse{suffix}"));
                let out = redactor.text(&encoded);
                assert!(out.contains(MASK), "{prefix} {suffix}: {out}");
                // What is left is the prefix, the suffix, and at most a group at each seam.
                let left = out.len() - MASK.len();
                let around = (prefix.len() + suffix.len()) * 4 / 3 + 8;
                assert!(left <= around, "{encoded} -> {out}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_a_whole_word() {
        let redactor = Redactor::new(["abc"]);
        assert_eq!(
            redactor.text("abc abcd xabc (abc)"),
            "[redacted] abcd xabc ([redacted])"
        );
        assert_eq!(redactor.text("abcabc"), "abcabc");
    }

    #[test]
    fn documents_lose_long_secrets_only() {
        let redactor = Redactor::new(["test", "0a1b2c3d-4e5f"]);
        let mut value = serde_json::json!({"name": "test-1", "log": ["key 0a1b2c3d-4e5f"], "n": 1});
        redactor.document(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"name": "test-1", "log": ["key [redacted]"], "n": 1})
        );
        assert_eq!(redactor.text("test-1"), "[redacted]-1");
    }

    #[test]
    fn session_secrets_are_known_until_newer_ones_come() {
        let redactor = Redactor::new([]);
        assert_eq!(redactor.text("ticket-0"), "ticket-0");
        for n in 0..=SESSION_SECRETS {
            redactor.add(&format!("ticket-{n}"));
        }
        assert_eq!(redactor.text("ticket-0 ticket-1"), "ticket-0 [redacted]");
    }

    #[test]
    fn the_longest_secret_wins_and_the_mask_is_left_alone() {
        let redactor = Redactor::new(["redacted", "redacted-more"]);
        assert_eq!(
            redactor.text("redacted-more redacted"),
            "[redacted] [redacted]"
        );
        assert_eq!(Redactor::new([""]).text("text"), "text");
    }
}
