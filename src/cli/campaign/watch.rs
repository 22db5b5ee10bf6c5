//! A campaign as it stands, and following it to its end.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cli::client::{Patience, stopped_within};
use crate::cli::progress::{Progress, count};
use crate::cli::target::Session;
use crate::cli::{Failure, Summary};

/// How long following outlasts a node that is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the API says of a campaign.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Campaign {
    pub(super) id: Uuid,
    state: String,
    pub(super) closed: bool,
    pub(super) taken: u64,
    accepted: u64,
    repeated: u64,
    pub(super) refused: u64,
    /// How many of its messages are in which state.
    #[serde(default)]
    pub(super) counts: Summary,
}

impl Campaign {
    pub(super) async fn of(session: &Session, id: Uuid, patience: Patience) -> Result<Self, Failure> {
        let call = session.client.get(&["campaigns", &id.to_string()]).patience(patience);
        Ok(call.parse::<Self>().await?.counted())
    }

    /// With what was accepted among the counts, where the API does not say it twice.
    pub(super) fn counted(mut self) -> Self {
        self.counts.accepted = self.accepted;
        self
    }

    /// Whether nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "finished" | "cancelled")
    }

    /// What became of the rows.
    pub(super) fn rows_words(&self) -> String {
        let lines = [
            ("rows", self.taken, true),
            ("accepted", self.accepted, true),
            ("repeated", self.repeated, self.repeated > 0),
            ("refused", self.refused, true),
        ];
        let shown = lines.iter().filter(|(_, _, shown)| *shown);
        shown.map(|(name, n, _)| format!("{name:<12}{:>12}\n", count(*n))).collect()
    }
}

/// No more rows follow.
pub(super) async fn close(session: &Session, id: Uuid) -> Result<(), Failure> {
    let call = session.client.post(&["campaigns", &id.to_string(), "close"]).json(json!({}));
    call.idempotent().patience(Patience::long(PATIENCE)).send().await?;
    Ok(())
}

/// Follows it until it is over (or closed and all is through), and says what became of it.
pub(super) async fn watch(session: &Session, id: Uuid, stop: &CancellationToken) -> Result<(), Failure> {
    let progress = Progress::new(Some(0), "messages");
    let end = loop {
        let campaign = Campaign::of(session, id, Patience::long(PATIENCE)).await?;
        let counts = campaign.counts;
        progress.total(campaign.accepted);
        progress.at(campaign.accepted.saturating_sub(counts.open()), |_| {
            let (delivered, missed, open) = (count(counts.delivered), count(counts.missed()), count(counts.open()));
            format!("{}: {delivered} delivered, {missed} not, {open} open", campaign.state)
        });
        if campaign.is_over() {
            break campaign;
        }
        if stopped_within(Some(stop), Duration::from_secs(1)).await {
            progress.end();
            let how = format!("handfast campaign watch {id}");
            return Err(Failure::Refused(format!("{} messages are still open: {how}", count(counts.open()))));
        }
    };
    progress.end();
    let words = format!("{}\n{}", end.rows_words(), end.counts.words());
    if session.out.json {
        eprint!("{words}")
    } else {
        session.out.line(&words)?
    }
    if end.counts.missed() == 0 && end.refused == 0 { Ok(()) } else { Err(Failure::Silent) }
}
