//! Where text and JSON go, and whether a person is looking.

use std::env;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Format;
use crate::error::CommandError;
use crate::style::Painter;

/// Standard output for results, standard error for progress and errors.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    out: Painter,
    err: Painter,
    progress_on_terminal: bool,
}

impl Output {
    #[must_use]
    pub fn new(format: Format) -> Self {
        // https://no-color.org: set and not empty means no colour, whatever the value.
        let allowed = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let painter = |terminal| Painter {
            colour: terminal && allowed,
        };
        let err_terminal = io::stderr().is_terminal();
        Self {
            format,
            out: painter(io::stdout().is_terminal()),
            err: painter(err_terminal),
            progress_on_terminal: err_terminal && env::var_os("TERM").is_none_or(|t| t != "dumb"),
        }
    }

    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// For text that goes to [`Output::text`].
    #[must_use]
    pub fn out(&self) -> Painter {
        self.out
    }

    /// For text that goes to [`Output::note`].
    #[must_use]
    pub fn err(&self) -> Painter {
        self.err
    }

    /// Whether a line of progress may be drawn over again.
    #[must_use]
    pub fn redraws(&self) -> bool {
        self.progress_on_terminal
    }

    /// Writes the result: `text` for people, or the answer as JSON.
    pub fn answer<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(Painter) -> String,
    ) -> Result<(), CommandError> {
        if self.is_json() {
            let mut json = serde_json::to_string_pretty(answer)?;
            json.push('\n');
            write_all(io::stdout().lock(), &json)
        } else {
            self.text(&text(self.out))
        }
    }

    /// Writes a text to standard output, with a line end if it has none.
    pub fn text(&self, text: &str) -> Result<(), CommandError> {
        if text.is_empty() {
            return Ok(());
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        write_all(io::stdout().lock(), &format!("{text}{end}"))
    }

    /// Writes a line to standard error; not in JSON.
    pub fn note(&self, line: &str) {
        if !self.is_json() {
            // Progress that nobody can see is no reason to stop.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }
}

fn write_all(mut to: impl Write, text: &str) -> Result<(), CommandError> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(CommandError::Write)
}
