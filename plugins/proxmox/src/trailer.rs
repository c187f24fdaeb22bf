//! What Enginehouse writes below a guest's description.
//!
//! Proxmox VE has one free text for a guest and nothing else that a clone takes as a parameter, so the
//! mark and the labels stand there, each in a line of its own at the end. The web page renders the text as
//! Markdown, where a comment is not seen. People see, and the planner compares, the description
//! without them.

use std::collections::BTreeMap;

const MARK: &str = "<!-- enginehouse: ";
const LABELS: &str = "<!-- enginehouse labels: ";
const END: &str = " -->";

/// A guest's description, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub description: String,
    pub labels: BTreeMap<String, String>,
    /// Empty: none.
    pub mark: String,
}

impl Text {
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        let mut rest = text.trim_end();
        let mut found = false;
        loop {
            let (before, line) = match rest.rfind('\n') {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => ("", rest),
            };
            if let Some(mark) = inner(line, MARK) {
                mark.clone_into(&mut parsed.mark);
            } else if let Some(labels) =
                inner(line, LABELS).and_then(|json| serde_json::from_str(json).ok())
            {
                parsed.labels = labels;
            } else {
                break;
            }
            found = true;
            // Only the line break that `join` put there: the description's own stay.
            rest = before;
            if rest.is_empty() {
                break;
            }
        }
        let description = if found { rest } else { text };
        description.clone_into(&mut parsed.description);
        parsed
    }

    /// The text to write.
    pub fn join(&self) -> String {
        let mut text = self.description.clone();
        let mut line = |begin: &str, inner: &str| {
            if !text.is_empty() {
                text.push('\n');
            }
            text.extend([begin, inner, END]);
        };
        if !self.labels.is_empty()
            && let Ok(json) = serde_json::to_string(&self.labels)
        {
            // `-->` would end the comment early.
            line(LABELS, &json.replace('>', "\\u003e"));
        }
        if !self.mark.is_empty() {
            line(MARK, &self.mark);
        }
        text
    }
}

fn inner<'a>(line: &'a str, begin: &str) -> Option<&'a str> {
    line.trim_end().strip_prefix(begin)?.strip_suffix(END)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(description: &str, labels: &[(&str, &str)], mark: &str) -> Text {
        Text {
            description: description.to_owned(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            mark: mark.to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for description in ["", "x", "a\nb", "a\n", "a\n\nb\n\n", "<!-- x -->"] {
            for labels in [&[][..], &[("a", "b-->c"), ("ü", "")][..]] {
                for mark in ["", "eh:1:2:3"] {
                    let whole = text(description, labels, mark);
                    if labels.is_empty() && mark.is_empty() {
                        assert_eq!(whole.join(), description);
                    } else {
                        assert_eq!(Text::parse(&whole.join()), whole);
                        // Proxmox VE ends every text with a line break.
                        assert_eq!(Text::parse(&format!("{}\n", whole.join())), whole);
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_of_others_stays_as_it_is() {
        for other in ["", "a\n", "<!-- enginehouse: x --> here", "a\n\n"] {
            let parsed = Text::parse(other);
            assert_eq!(parsed, text(other, &[], ""), "{other:?}");
        }
    }

    #[test]
    fn labels_cannot_end_the_comment() {
        let joined = text("", &[("a", "--> x")], "").join();
        assert_eq!(joined.matches("-->").count(), 1);
    }
}
