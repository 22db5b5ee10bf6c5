//! Rows a line each (NDJSON), any number, taken as they arrive and answered as they are committed.
//!
//! Promises: memory stays flat (one group of rows and one line at a time; who does not read the answers is not read from);
//! a line that is too long or wrong is that row's error and nothing else's; what was answered is committed. Ends with a last line
//! `{"error":{problem}}` when the request itself broke off or stalled, or its key was revoked.

use std::sync::Arc;

use serde_json::json;

use crate::books::Lane;
use crate::rows::{Cut, Cutter};
use crate::senders::{Key, Standing};

use super::super::call::{Answer, Call, Shared, revoked};
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::super::streamed::{self, Answers, Gone, Intake, NDJSON, Rows};
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
    let lines = Lines { shared: call.shared, key: call.key, standing, answers };
    tokio::spawn(lines.run(Rows::over(body, false, Cutter::lines(LONGEST))));
    Ok(response)
}

struct Lines {
    shared: Arc<Shared>,
    key: Key,
    standing: Standing,
    answers: Answers,
}

impl Intake for Lines {
    async fn take(&mut self, rows: Vec<(u64, Cut)>) -> Result<(), Gone> {
        let read = |(index, line): (u64, Cut)| (index, self.read(line));
        let rows: Vec<_> = rows.into_iter().map(read).collect();
        // Who streams can be held up; who asks once is refused.
        self.shared.serve.acceptor.room(Lane::Bulk).await;
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
}

impl Lines {
    async fn run(mut self, rows: Rows) {
        let (shared, answers) = (Arc::clone(&self.shared), self.answers.clone());
        // Everything was said.
        let _ = streamed::run(rows, &shared, &answers, &mut self).await;
    }

    fn read(&self, line: Cut) -> Result<Row, Problem> {
        let Cut::Line(line) = line else {
            return Err(Problem::new(Kind::TooLarge, format!("A line has at most {LONGEST} bytes.")));
        };
        read_row(Fields::parse_with_raw(&line), &self.shared.serve)
    }
}
