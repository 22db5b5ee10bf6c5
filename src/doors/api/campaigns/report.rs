//! `GET /campaigns/{id}/report`: what became of every row, as CSV of any length in flat memory.

use std::io;
use std::sync::Arc;

use crate::campaigns::{REPORT_TYPE, Report};
use crate::senders::Standing;

use super::super::call::{Answer, Call, Shared};
use super::super::streamed::{Answers, Gone};

/// `GET /campaigns/{id}/report`
pub(in super::super) async fn report(call: Call) -> Answer {
    call.no_query()?;
    let campaign = super::find(&call).await?;
    let (answers, response) = Answers::new(call.app().config.private.read_timeout, REPORT_TYPE);
    let writing = Writing { shared: Arc::clone(&call.shared), standing: Standing::of(call.app(), &call.key), answers };
    tokio::spawn(writing.run(Report::of(campaign.id)));
    Ok(response)
}

struct Writing {
    shared: Arc<Shared>,
    standing: Standing,
    answers: Answers,
}

impl Writing {
    async fn run(mut self, report: Report) {
        // A report that ends early must not look like a whole one: the connection breaks.
        if let Err(error) = self.write(report).await {
            tracing::warn!(%error, "a report broke off");
            self.answers.break_off(error).await;
        }
    }

    async fn write(&mut self, mut report: Report) -> io::Result<()> {
        while let Some(lines) = report.next(&self.shared.serve.app).await.map_err(io::Error::other)? {
            if !self.standing.holds().await.map_err(io::Error::other)? {
                return Err(io::Error::other("the key was revoked"));
            }
            self.answers.bytes(lines).await.map_err(|Gone| io::Error::other("nobody reads"))?;
        }
        Ok(())
    }
}
