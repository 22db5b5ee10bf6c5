//! Reading `text/event-stream` (WHATWG HTML, "Server-sent events") as far as the inbox speaks it: `id`, `event`, `data`, comments.

/// Largest event that is kept; an inbox entry is a few KiB.
const LARGEST: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Name; empty means `message`.
    pub(super) name: String,
    /// The id to resume behind, if the event had one.
    pub(super) id: Option<String>,
    /// The data lines, joined.
    pub(super) data: String,
}

/// The stream sent more than an event may hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than 1 MiB")]
pub(super) struct TooLarge;

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    has_data: bool,
    last_id: Option<String>,
}

impl Reader {
    /// The events that these bytes complete.
    ///
    /// # Errors
    /// If a line or an event outgrows 1 MiB; the stream is then of no more use.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > LARGEST {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    /// The last id the stream named, with an event or alone: where to resume.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if event.id.is_some() {
                self.last_id.clone_from(&event.id);
            }
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "event" => self.event.name = value.to_owned(),
            // Comments (an empty field name) keep the connection alive; other fields are not ours.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, id: Option<&str>, data: &str) -> Event {
        Event { name: name.into(), id: id.map(Into::into), data: data.into() }
    }

    #[test]
    fn events_comments_and_line_ends() {
        let mut reader = Reader::default();
        let stream =
            ": hello\n\nid: 1\nevent: message\ndata: {\"a\":1}\n\nid:2\r\ndata:x\r\ndata: y\r\n\r\ndata\r\r: bye\n";
        let events = reader.take(stream.as_bytes()).unwrap();
        let expected = [event("message", Some("1"), "{\"a\":1}"), event("", Some("2"), "x\ny"), event("", None, "")];
        assert_eq!(events, expected);
    }

    #[test]
    fn an_id_without_data_is_a_place_to_resume() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(b"id: 7\n\n"), Ok(Vec::new()));
        assert_eq!(reader.last_id(), Some("7"));
        assert_eq!(reader.take(b"id: 8\n"), Ok(Vec::new()));
        assert_eq!(reader.last_id(), Some("7"), "an event that is not whole does not count");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        assert!((0..2000).any(|_| reader.take(line.as_bytes()).is_err()));
        assert_eq!(Reader::default().take(&vec![b'x'; LARGEST + 1]), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..300), cut in 1_usize..20) {
            let whole = Reader::default().take(&bytes).unwrap();
            let mut reader = Reader::default();
            let pieces: Vec<Event> = bytes.chunks(cut).flat_map(|piece| reader.take(piece).unwrap()).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}
