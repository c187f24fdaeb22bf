//! Colour, and text that comes from elsewhere.

use std::borrow::Cow;

/// What a piece of text means; the colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
}

/// Puts colour on text, or not.
#[derive(Clone, Copy, Debug)]
pub struct Painter {
    pub colour: bool,
}

impl Painter {
    /// The text with its control characters made visible, in the style's colour.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        let text = clean(text);
        let code = match style {
            Style::Plain => "",
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.into_owned()
        }
    }
}

/// Whether a character changes how those around it are shown: a control character, or one of the
/// marks with which text that is read from left to right is shown from right to left.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n' && c != '\t')
}

/// The text without what could steer a terminal. A provider's message is shown in its own words,
/// not with its own escape sequences.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) {
        let visible = |c| if steers(c) { '\u{fffd}' } else { c };
        Cow::Owned(text.chars().map(visible).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same in one line.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let painter = Painter { colour: false };
        assert_eq!(
            painter.paint(Style::Bad, "a\u{1b}[2Jb\r\n\tc\u{7}"),
            "a\u{fffd}[2Jb\u{fffd}\n\tc\u{fffd}"
        );
        assert_eq!(clean("a\u{202e}b\u{2066}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(one_line("a\n  b\tc"), "a b c");
    }

    #[test]
    fn colour_is_put_on_only_where_wanted() {
        let on = Painter { colour: true };
        let off = Painter { colour: false };
        assert_eq!(on.paint(Style::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(on.paint(Style::Plain, "ok"), "ok");
        assert_eq!(on.paint(Style::Good, ""), "");
        assert_eq!(off.paint(Style::Good, "ok"), "ok");
    }
}
