//! Bodies of any length, taken as they arrive and answered line by line (NDJSON) as they are committed.
//!
//! Promises: memory stays flat (one group of rows and the row being read at a time; who does not read the answers is not read from);
//! gzip is opened in small steps, so a bomb is only a long row. Leaves out what the rows mean.

mod inflate;

use std::io;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::reply::Response;

use crate::config::Period;
use crate::listen::{Body, BodyError};
use crate::rows::{Cut, Cutter};

use super::call::{Shared, broken_body};
use super::problem::{Kind, Problem};
use inflate::Parts;

/// The content type of rows a line each, and of the answers.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// Rows that go to the books together.
pub(super) const GROUP: usize = 500;
/// Or that are so long together, in bytes.
pub(super) const LARGEST_GROUP: usize = 4 * 1024 * 1024;
/// Answers made and not yet sent, in groups.
const UNSENT: usize = 4;

/// How the body ended, if it did.
pub(super) type End = Option<Result<(), BodyError>>;

/// The rows of a body, counted from 0.
pub(super) struct Rows {
    parts: Parts,
    cutter: Cutter,
    part: Bytes,
    next_index: u64,
}

impl Rows {
    pub(super) fn over(body: Body, gzip: bool, cutter: Cutter) -> Self {
        Self { parts: Parts::of(body, gzip), cutter, part: Bytes::new(), next_index: 0 }
    }

    /// What has arrived, up to a group: waits for the first row only.
    pub(super) async fn next_group(&mut self, timeout: Period) -> (Vec<(u64, Cut)>, End) {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        loop {
            while rows.len() < GROUP && bytes < LARGEST_GROUP && self.part.has_remaining() {
                let (taken, row) = self.cutter.take(&self.part);
                self.part.advance(taken);
                bytes += row.as_ref().map_or(0, Cut::length);
                rows.extend(row.map(|row| self.counted(row)));
            }
            if rows.len() == GROUP || bytes >= LARGEST_GROUP {
                return (rows, None);
            }
            let part = if rows.is_empty() {
                self.parts.next(timeout).await
            } else {
                match self.parts.next(timeout).now_or_never() {
                    Some(part) => part,
                    None => return (rows, None),
                }
            };
            match part {
                Ok(Some(part)) => self.part = part,
                Ok(None) => {
                    while let Some(row) = self.cutter.rest() {
                        rows.push(self.counted(row));
                    }
                    return (rows, Some(Ok(())));
                }
                Err(error) => return (rows, Some(Err(error))),
            }
        }
    }

    fn counted(&mut self, row: Cut) -> (u64, Cut) {
        self.next_index += 1;
        (self.next_index - 1, row)
    }
}

/// Who takes rows, group by group.
pub(super) trait Intake: Send {
    /// Takes a group; when this fails, everything has been said.
    fn take(&mut self, rows: Vec<(u64, Cut)>) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// Hands all rows to `intake`, until the body ends well; every other end is said in a last line.
pub(super) async fn run(
    mut rows: Rows,
    shared: &Shared,
    answers: &Answers,
    intake: &mut impl Intake,
) -> Result<(), Gone> {
    let timeout = shared.serve.app.config.private.read_timeout;
    loop {
        // Only the wait for a group's first row can be cut off here, so nothing that arrived is lost.
        let (group, end) = tokio::select! {
            group = rows.next_group(timeout) => group,
            () = shared.serve.stopping.cancelled() => {
                let stopped = Problem::new(Kind::Unavailable, "This process is stopping; send the rest again.");
                answers.lines(&[json!({"error": stopped})]).await?;
                return Err(Gone);
            }
        };
        if !group.is_empty() {
            intake.take(group).await?;
        }
        match end {
            None => {}
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => {
                answers.lines(&[json!({"error": broken_body(error)})]).await?;
                return Err(Gone);
            }
        }
    }
}

/// The asker has gone, or has not read for too long.
#[derive(Debug)]
pub(super) struct Gone;

/// Where answers go while the body is still being read. Cheap to clone.
#[derive(Clone)]
pub(super) struct Answers {
    unsent: mpsc::Sender<io::Result<Bytes>>,
    /// How long one who does not read is waited for.
    patience: Period,
}

impl Answers {
    /// Both ends: what the one is sent, the other says.
    pub(super) fn new(patience: Period, content_type: &'static str) -> (Self, Response) {
        let (unsent, sent) = mpsc::channel(UNSENT);
        let mut response = warp::reply::stream(ReceiverStream::new(sent)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (Self { unsent, patience }, response)
    }

    /// A line each.
    pub(super) async fn lines(&self, answers: &[impl Serialize]) -> Result<(), Gone> {
        let mut bytes = Vec::with_capacity(answers.len() * 80);
        for answer in answers {
            serde_json::to_writer(&mut bytes, answer).map_err(|_| Gone)?;
            bytes.push(b'\n');
        }
        self.bytes(bytes).await
    }

    /// As they are.
    pub(super) async fn bytes(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.unsent.send_timeout(Ok(bytes.into()), self.patience.duration()).await.map_err(|_| Gone)
    }

    /// Ends the answer so that nobody takes it for a whole one.
    pub(super) async fn break_off(self, error: io::Error) {
        let _ = self.unsent.send_timeout(Err(error), self.patience.duration()).await;
    }
}
