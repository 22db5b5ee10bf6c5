//! `GET /campaigns/{id}/report`: what became of every row, as CSV of any length in flat memory.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use crate::books::{self, ReportRow};
use crate::senders::Standing;

use super::super::call::{Answer, Call, Shared};
use super::super::streamed::{Answers, Gone};

const HEADER: [&str; 9] = ["row", "key", "id", "to", "state", "reason", "attempts", "accepted_at", "last_attempt_at"];

/// `GET /campaigns/{id}/report`
pub(in super::super) async fn report(call: Call) -> Answer {
    call.no_query()?;
    let campaign = super::find(&call).await?;
    let (answers, response) = Answers::new(call.app().config.private.read_timeout, "text/csv; charset=utf-8");
    let report = Report { shared: Arc::clone(&call.shared), standing: Standing::of(call.app(), &call.key), answers };
    tokio::spawn(report.run(campaign.id));
    Ok(response)
}

struct Report {
    shared: Arc<Shared>,
    standing: Standing,
    answers: Answers,
}

impl Report {
    async fn run(mut self, campaign: Uuid) {
        // A report that ends early must not look like a whole one: the connection breaks.
        if let Err(error) = self.write(campaign).await {
            tracing::warn!(%error, "a report broke off");
            self.answers.break_off(error).await;
        }
    }

    async fn write(&mut self, campaign: Uuid) -> io::Result<()> {
        self.send(vec![HEADER.map(str::to_owned)]).await?;
        let mut after = None;
        loop {
            if !self.standing.holds().await.map_err(io::Error::other)? {
                return Err(io::Error::other("the key was revoked"));
            }
            let app = &self.shared.serve.app;
            let rows = books::report_campaign(app, campaign, after).await.map_err(io::Error::other)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id.chunk);
            self.send(rows.into_iter().map(record).collect()).await?;
        }
    }

    async fn send(&self, records: Vec<[String; 9]>) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for record in records {
            csv.write_record(record).map_err(io::Error::other)?;
        }
        let bytes = csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.answers.bytes(bytes).await.map_err(|Gone| io::Error::other("nobody reads"))
    }
}

fn record(row: ReportRow) -> [String; 9] {
    [
        row.row.to_string(),
        row.key.unwrap_or_default(),
        row.id.to_string(),
        row.to.unwrap_or(row.destination),
        row.state.name().to_owned(),
        row.reason.unwrap_or_default(),
        row.attempts.to_string(),
        row.accepted_at.to_string(),
        row.last_attempt_at.map(|at| at.to_string()).unwrap_or_default(),
    ]
}
