//! Rows a line each (NDJSON), any number, taken as they arrive and answered as they are committed.
//!
//! Promises: memory stays flat (one group of rows and one line at a time; who does not read the answers is not read from);
//! a line that is too long or wrong is that row's error and nothing else's; what was answered is committed. Ends with a last line
//! `{"error":{problem}}` when the request itself broke off or stalled, or its key was revoked.

use std::sync::Arc;

use serde_json::json;

use crate::rows::{Cut, Cutter};
use crate::senders::{Key, Standing};

use super::super::call::{Answer, Call, Shared, broken_body, revoked};
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::super::streamed::{Answers, Gone, NDJSON, Rows};
use super::batch::{Desk, Outcome, read_row};
use super::row::Row;

/// Longest line, in bytes.
const LONGEST: usize = 512 * 1024;

/// Starts the stream of answers; it ends with the request's body.
pub(super) fn accept(call: Call) -> Answer {
    if call.headers.contains_key("idempotency-key") {
        let detail = "A streamed batch has no Idempotency-Key: give each row a `key`.";
        return Err(Problem::field("Idempotency-Key", detail));
    }
    let body = call.body.take()?;
    let (answers, response) = Answers::new(call.app().config.private.read_timeout, NDJSON);
    let standing = Standing::of(call.app(), &call.key);
    let intake = Intake { shared: call.shared, key: call.key, standing, answers };
    tokio::spawn(intake.run(Rows::over(body, false, Cutter::lines(LONGEST))));
    Ok(response)
}

struct Intake {
    shared: Arc<Shared>,
    key: Key,
    standing: Standing,
    answers: Answers,
}

impl Intake {
    async fn run(mut self, mut lines: Rows) {
        let timeout = self.shared.serve.app.config.private.read_timeout;
        loop {
            // Only the wait for a group's first row can be cut off here, so nothing that arrived is lost.
            let (rows, end) = tokio::select! {
                group = lines.next_group(timeout) => group,
                () = self.shared.serve.stopping.cancelled() => {
                    let stopped = Problem::new(Kind::Unavailable, "This process is stopping; send the rest again.");
                    let _ = self.answers.lines(&[json!({"error": stopped})]).await;
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
                    let _ = self.answers.lines(&[json!({"error": broken_body(error)})]).await;
                    return;
                }
            }
        }
    }

    async fn take(&mut self, rows: Vec<(u64, Cut)>) -> Result<(), Gone> {
        let read = |(index, line): (u64, Cut)| (index, self.read(line));
        let rows: Vec<_> = rows.into_iter().map(read).collect();
        let indices: Vec<u64> = rows.iter().map(|(index, _)| *index).collect();
        let desk = Desk { serve: &self.shared.serve, ways: &self.shared.ways, key: &self.key };
        let taken = match self.standing.holds().await {
            Ok(true) => desk.accept(rows).await,
            Ok(false) => {
                let _ = self.answers.lines(&[json!({"error": revoked()})]).await;
                return Err(Gone);
            }
            Err(error) => Err(error.into()),
        };
        let outcomes = taken.unwrap_or_else(|problem| {
            let refused = |index| Outcome::Refused { index, error: problem.clone() };
            indices.into_iter().map(refused).collect()
        });
        self.answers.lines(&outcomes).await
    }

    fn read(&self, line: Cut) -> Result<Row, Problem> {
        let Cut::Line(line) = line else {
            return Err(Problem::new(Kind::TooLarge, format!("A line has at most {LONGEST} bytes.")));
        };
        read_row(Fields::parse_with_raw(&line), &self.shared.serve)
    }
}
