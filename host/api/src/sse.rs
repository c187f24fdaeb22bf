//! Server-Sent Events as they are read (WHATWG HTML, section 9.2.6).

/// An event as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    pub event: String,
    pub data: String,
    pub id: Option<String>,
}

/// Makes events of bytes, which come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    event: Raw,
    has_data: bool,
}

/// Most bytes of a line: what is longer is none of ours.
const LINE_MAX: usize = 64 << 20;

/// A line is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Parser {
    /// Takes bytes in; answers the events that are complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Raw>, TooLong> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.buffer.get(begin..).and_then(line_length) {
            let line = self.buffer.get(begin..begin + length).unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            begin += length + 1;
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.buffer.drain(..begin);
        if self.buffer.len() > LINE_MAX {
            return Err(TooLong);
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Raw> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" => self.event.id = Some(value.to_owned()),
            // Comments, which keep the connection alive, and what later versions add.
            _ => {}
        }
        None
    }
}

/// Bytes of the first line, without its end.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_come_in() {
        let text = ": alive\n\nid: 1-2\nevent: log\ndata: {\"a\":\ndata: \"ä\"}\n\r\nevent: end\ndata:{}\r\n\r\nid: 3\n\ndata: cut";
        let whole = Parser::default().feed(text.as_bytes()).unwrap();
        let of = |event: &str, data: &str, id: Option<&str>| Raw {
            event: event.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        };
        assert_eq!(
            whole,
            [
                of("log", "{\"a\":\n\"ä\"}", Some("1-2")),
                of("end", "{}", None)
            ]
        );
        for size in [1, 2, 3, 7] {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let events: Vec<Raw> = pieces
                .flat_map(|piece| parser.feed(piece).unwrap())
                .collect();
            assert_eq!(events, whole, "pieces of {size}");
        }
    }
}
