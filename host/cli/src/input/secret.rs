//! A secret as a person gives it: on standard input, in a file, or typed without being shown.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::CommandError;

/// Bytes that are read at most; the server says what a secret may have.
const LONGEST: u64 = 4 << 20;

/// All of standard input, without line ends at its end.
///
/// # Errors
/// When it cannot be read, or is no text.
pub fn secret_stdin() -> Result<String, CommandError> {
    read(io::stdin().lock()).map_err(CommandError::Ask)
}

/// All of a file, without line ends at its end.
///
/// # Errors
/// When it cannot be read, or is no text.
pub fn secret_file(path: &Path) -> Result<String, CommandError> {
    File::open(path)
        .and_then(read)
        .map_err(|source| CommandError::SecretFile {
            path: path.to_owned(),
            source,
        })
}

fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(LONGEST).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// One line typed on the terminal, which does not show it.
///
/// # Errors
/// When there is no terminal, and when the person pressed Ctrl-C.
pub fn hidden_line(question: &str) -> Result<String, CommandError> {
    let mut terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(CommandError::Ask)?;
    terminal
        .write_all(question.as_bytes())
        .map_err(CommandError::Ask)?;
    let mut line = String::new();
    let read = {
        let _silent = Silent::new(&terminal).map_err(CommandError::Ask)?;
        BufReader::new(&terminal).take(LONGEST).read_line(&mut line)
    };
    // The line end that was typed was not shown either.
    terminal.write_all(b"\n").map_err(CommandError::Ask)?;
    read.map_err(CommandError::Ask)?;
    if line.contains('\u{3}') {
        return Err(CommandError::Declined);
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// A terminal that shows nothing of what is typed, as long as this lives. It makes no signals
/// meanwhile: one would end the program and leave the terminal so.
struct Silent<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silent<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_after_a_secret_are_not_part_of_it() {
        for (given, secret) in [
            ("p\n", "p"),
            ("p\r\n", "p"),
            (" p q \n\n", " p q "),
            ("a\nb\n", "a\nb"),
            ("\n", ""),
            ("ü🔑", "ü🔑"),
        ] {
            assert_eq!(read(given.as_bytes()).unwrap(), secret);
        }
        assert!(read(&b"\xff\xfe"[..]).is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = secret_file(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
