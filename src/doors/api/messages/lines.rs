//! Rows a line each (NDJSON), any number, taken as they arrive and answered as they are committed.
//!
//! Promises: memory stays flat (one group of rows and one line at a time; who does not read the answers is not read from);
//! a line that is too long or wrong is that row's error and nothing else's; what was answered is committed. Ends with a last line
//! `{"error":{problem}}` when the request itself broke off or stalled, or its key was revoked.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;

use crate::listen::{Body, BodyError};
use crate::senders::{Key, Standing};

use super::super::call::{Answer, Call, Shared, broken_body, revoked};
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::batch::{Desk, Outcome, read_row};
use super::row::Row;

/// The content type of such a body.
pub(super) const TYPE: &str = "application/x-ndjson";
/// Longest line, in bytes.
const LONGEST: usize = 512 * 1024;
/// Rows that go to the books together.
const GROUP: usize = 500;
/// Answers made and not yet sent, in groups.
const UNSENT: usize = 4;

/// Starts the stream of answers; it ends with the request's body.
pub(super) fn accept(call: Call) -> Answer {
    if call.headers.contains_key("idempotency-key") {
        let detail = "A streamed batch has no Idempotency-Key: give each row a `key`.";
        return Err(Problem::field("Idempotency-Key", detail));
    }
    let body = call.body.take()?;
    let (answers, unsent) = mpsc::channel(UNSENT);
    let standing = Standing::of(call.app(), &call.key);
    let intake = Intake { shared: call.shared, key: call.key, standing, answers };
    tokio::spawn(intake.run(Lines::over(body)));
    let mut response = warp::reply::stream(ReceiverStream::new(unsent)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The asker has gone, or has not read for too long.
struct Gone;

struct Intake {
    shared: Arc<Shared>,
    key: Key,
    standing: Standing,
    answers: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
}

impl Intake {
    async fn run(mut self, mut lines: Lines) {
        let timeout = self.shared.serve.app.config.private.read_timeout;
        loop {
            // Only the wait for a group's first row can be cut off here, so nothing that arrived is lost.
            let (rows, end) = tokio::select! {
                group = lines.next_group(timeout) => group,
                () = self.shared.serve.stopping.cancelled() => {
                    let stopped = Problem::new(Kind::Unavailable, "This process is stopping; send the rest again.");
                    let _ = self.send(&[json!({"error": stopped})]).await;
                    return;
                }
            };
            if !rows.is_empty() && self.take(rows).await.is_err() {
                return;
            }
            match end {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    let _ = self.send(&[json!({"error": broken_body(error)})]).await;
                    return;
                }
            }
        }
    }

    async fn take(&mut self, rows: Vec<(u64, Line)>) -> Result<(), Gone> {
        let read = |(index, line): (u64, Line)| (index, self.read(line));
        let rows: Vec<_> = rows.into_iter().map(read).collect();
        let indices: Vec<u64> = rows.iter().map(|(index, _)| *index).collect();
        let desk = Desk { serve: &self.shared.serve, ways: &self.shared.ways, key: &self.key };
        let taken = match self.standing.holds().await {
            Ok(true) => desk.accept(rows).await,
            Ok(false) => {
                let _ = self.send(&[json!({"error": revoked()})]).await;
                return Err(Gone);
            }
            Err(error) => Err(error.into()),
        };
        let outcomes = taken.unwrap_or_else(|problem| {
            let refused = |index| Outcome::Refused { index, error: problem.clone() };
            indices.into_iter().map(refused).collect()
        });
        self.send(&outcomes).await
    }

    fn read(&self, line: Line) -> Result<Row, Problem> {
        let Line::Whole(line) = line else {
            return Err(Problem::new(Kind::TooLarge, format!("A line has at most {LONGEST} bytes.")));
        };
        read_row(Fields::parse_with_raw(&line), &self.shared.serve)
    }

    async fn send(&self, answers: &[impl Serialize]) -> Result<(), Gone> {
        let mut bytes = Vec::with_capacity(answers.len() * 80);
        for answer in answers {
            serde_json::to_writer(&mut bytes, answer).map_err(|_| Gone)?;
            bytes.push(b'\n');
        }
        let patience = self.shared.serve.app.config.private.read_timeout.duration();
        self.answers.send_timeout(Ok(bytes.into()), patience).await.map_err(|_| Gone)
    }
}

/// A line of the body.
#[derive(Debug, PartialEq)]
enum Line {
    Whole(Bytes),
    TooLong,
}

/// Cuts what arrives into lines; holds at most one part of the body and one unfinished line.
struct Lines {
    body: Body,
    cutter: Cutter,
    next_index: u64,
}

/// How the body ended, if it did.
type End = Option<Result<(), BodyError>>;

impl Lines {
    fn over(body: Body) -> Self {
        Self { body, cutter: Cutter::default(), next_index: 0 }
    }

    /// What has arrived, up to a group: waits for the first row only.
    async fn next_group(&mut self, timeout: crate::config::Period) -> (Vec<(u64, Line)>, End) {
        let mut rows = Vec::new();
        loop {
            while rows.len() < GROUP
                && let Some(line) = self.cutter.next()
            {
                rows.push((self.next_index, line));
                self.next_index += 1;
            }
            if rows.len() == GROUP {
                return (rows, None);
            }
            let part = if rows.is_empty() {
                self.body.next(timeout).await
            } else {
                match self.body.next(timeout).now_or_never() {
                    Some(part) => part,
                    None => return (rows, None),
                }
            };
            match part {
                Ok(Some(part)) => self.cutter.add(&part),
                Ok(None) => {
                    if let Some(line) = self.cutter.rest() {
                        rows.push((self.next_index, line));
                    }
                    return (rows, Some(Ok(())));
                }
                Err(error) => return (rows, Some(Err(error))),
            }
        }
    }
}

/// Bytes into lines. Blank lines are skipped, a carriage return before the line feed is dropped.
#[derive(Default)]
struct Cutter {
    bytes: BytesMut,
    /// How far `bytes` is known to have no line feed.
    searched: usize,
    /// Inside a line that is already known to be too long.
    skipping: bool,
}

impl Cutter {
    fn add(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    fn next(&mut self) -> Option<Line> {
        loop {
            let Some(found) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                if self.skipping || self.bytes.len() > LONGEST {
                    self.skipping = true;
                    self.bytes.clear();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.bytes.split_to(self.searched + found).freeze();
            self.bytes.advance(1);
            self.searched = 0;
            if let Some(line) = self.judge(line) {
                return Some(line);
            }
        }
    }

    /// What is left when the body has ended without a line feed.
    fn rest(&mut self) -> Option<Line> {
        let line = self.bytes.split().freeze();
        self.searched = 0;
        self.judge(line)
    }

    fn judge(&mut self, line: Bytes) -> Option<Line> {
        if std::mem::take(&mut self.skipping) || line.len() > LONGEST {
            return Some(Line::TooLong);
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Line::Whole(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(parts: &[&[u8]]) -> Vec<Line> {
        let mut cutter = Cutter::default();
        let mut lines = Vec::new();
        for part in parts {
            cutter.add(part);
            lines.extend(std::iter::from_fn(|| cutter.next()));
        }
        lines.extend(cutter.rest());
        lines
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_are_cut_wherever_the_parts_end() {
        assert_eq!(
            cut(&[&b"a\nb\r\n\n"[..], b"c", b"d\n", b" \n", b"e"]),
            [whole("a"), whole("b\r"), whole("cd"), whole("e")]
        );
        assert_eq!(cut(&[&b""[..]]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_error_and_the_next_is_read() {
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(cut(&[&long[..], &long[..], b"\nnext\n"]), [Line::TooLong, whole("next")]);
        assert_eq!(cut(&[&long[..]]), [Line::TooLong]);
        let exact = "y".repeat(LONGEST);
        assert_eq!(cut(&[exact.as_bytes(), &b"\nz"[..]]), [whole(&exact), whole("z")]);
    }

    proptest! {
        #[test]
        fn parts_do_not_change_the_lines(body in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), at in 0usize..200) {
            let at = at.min(body.len());
            prop_assert_eq!(cut(&[&body[..]]), cut(&[&body[..at], &body[at..]]));
        }
    }
}
