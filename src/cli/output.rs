//! Standard output, as text for people or as JSON for programs.

use std::io::{self, Write};

use super::Failure;

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// Whether programs read the answer.
    pub(super) json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// One line, flushed, so that what follows a pipe sees it at once.
    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Bytes as they are.
    pub(super) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(io::stdout().lock().write_all(bytes)?)
    }

    /// The API's answer as it came, or the words for it.
    pub(super) fn answer(self, api: &str, words: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.line(api) } else { self.line(&words()) }
    }
}

/// Text from elsewhere made harmless for a terminal: control characters and those that reorder a line are written out.
pub(super) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// As [`harmless`], but keeps line breaks and tabs.
pub(super) fn harmless_lines(text: &str) -> String {
    text.split('\n')
        .map(|line| line.split('\t').map(harmless).collect::<Vec<_>>().join("\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A time of the API to the second.
pub(super) fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => harmless(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\u{202e}\u{9b}ü😀\r"), "a\\u{1b}[2Jb\\u{202e}\\u{9b}ü😀\\r");
        assert_eq!(harmless_lines("one\r\n\ttwo\x07"), "one\\r\n\ttwo\\u{7}");
    }

    #[test]
    fn times_are_shortened() {
        assert_eq!(time("2026-01-02T03:04:05.678901Z"), "2026-01-02 03:04:05Z");
        assert_eq!(time("soon\x1b"), "soon\\u{1b}");
    }
}
