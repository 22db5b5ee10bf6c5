//! `handfast events …`: what became of deliveries, what arrived, what destinations do.

use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::client::{ClientError, growing, stopped_within};
use super::output::{harmless, time};
use super::sse;
use super::table::Table;
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};

const TITLES: [&str; 5] = ["AT", "EVENT", "OF", "WITH", "WHY"];
const PAGE: u64 = 500;

/// The node sends a comment every 15 s; three missing ones mean that the connection is dead.
const SILENCE: Duration = Duration::from_secs(50);

/// List and follow status events.
#[derive(Debug, Args)]
#[command(after_help = "\
`follow` prints events as they happen until Ctrl-C, and goes on where it was when the connection breaks. The `id` of \
an event is the cursor behind it: give it to --after and nothing is missed in between.

Examples:
  handfast events list --kinds 'delivery.failed,delivery.expired' --limit 20
  handfast events list --all --json > events.ndjson
  handfast events follow --kinds message.received --json \\
      | while read -r event; do …; done")]
pub struct EventsCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List events, oldest first
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Everything that is kept, instead of --limit
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Print events as they happen
    Follow {
        #[command(flatten)]
        wanted: Wanted,
        /// End after this many events
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Wanted {
    /// Begin behind this event: its id, a cursor, `start` or `now` [default: list: start, follow: now]
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only these kinds, with commas between them; `delivery.*` is a group
    #[arg(long, value_name = "KINDS")]
    kinds: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: String,
}

impl EventsCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::List { wanted, limit, all } => list(&session, wanted, if all { u64::MAX } else { limit }).await,
            What::Follow { wanted, limit } => {
                let follow = Follow { session: &session, wanted, left: limit, broken: 0, was_connected: false };
                follow.run(&stop_on_signal()).await
            }
        }
    }
}

async fn list(session: &Session, wanted: Wanted, limit: u64) -> Result<(), Failure> {
    let (mut after, mut left) = (wanted.after, limit);
    let mut table = Table::new(TITLES);
    loop {
        let call = session.client.get(&["events"]).query("limit", left.min(PAGE));
        let call = call.query_maybe("after", after.as_ref()).query_maybe("kinds", wanted.kinds.as_ref());
        let page: Page = call.parse().await?;
        left = left.saturating_sub(page.items.len() as u64);
        if session.out.json {
            let lines: String = page.items.iter().map(|item| format!("{}\n", item.get())).collect();
            session.out.line(&lines)?;
        } else if !page.items.is_empty() {
            page.items.iter().for_each(|item| table.row(cells(&serde_json::from_str(item.get()).unwrap_or_default())));
            session.out.line(&table.page())?;
        }
        let end = page.items.is_empty() && after.as_ref() == Some(&page.next);
        if end || left == 0 {
            eprintln!("to go on from here: --after {}", page.next);
            return Ok(());
        }
        after = Some(page.next);
    }
}

/// One event as a row, for people.
fn cells(event: &Value) -> [String; 5] {
    let text = |field: &str| event[field].as_str().map(str::to_owned);
    let of = text("delivery").or_else(|| text("entry")).or_else(|| text("campaign")).unwrap_or_default();
    let with = text("to").or_else(|| text("destination")).or_else(|| text("from")).or_else(|| text("name"));
    [
        time(event["at"].as_str().unwrap_or_default()),
        text("type").unwrap_or_default(),
        of,
        with.unwrap_or_default(),
        text("reason").or_else(|| text("text")).unwrap_or_default(),
    ]
}

/// A stream that survives its connections.
struct Follow<'a> {
    session: &'a Session,
    wanted: Wanted,
    left: Option<u64>,
    broken: u32,
    was_connected: bool,
}

impl Follow<'_> {
    async fn run(mut self, stop: &CancellationToken) -> Result<(), Failure> {
        loop {
            let end = tokio::select! {
                end = self.connection() => end,
                () = stop.cancelled() => return Ok(()),
            };
            let why = match end {
                Ok(()) if self.left == Some(0) => return Ok(()),
                Ok(()) => "the node ended the stream".to_owned(),
                Err(Failure::Client(error)) if self.was_connected && may_pass(&error) => error.to_string(),
                Err(error) => return Err(error),
            };
            self.broken += 1;
            eprintln!("{why}; connecting again");
            if stopped_within(Some(stop), growing(self.broken)).await {
                return Ok(());
            }
        }
    }

    /// One connection, to its end. Cancelled at an await it loses nothing: the place moves with every printed event, and the
    /// node tells it at the beginning, before anything happens.
    async fn connection(&mut self) -> Result<(), Failure> {
        let mut call = self.session.client.get(&["events", "stream"]).query_maybe("kinds", self.wanted.kinds.as_ref());
        if let Some(after) = &self.wanted.after {
            let value = HeaderValue::try_from(after).map_err(|e| Failure::Usage(format!("--after: {e}")))?;
            call = call.header(HeaderName::from_static("last-event-id"), value);
        }
        let mut pieces = std::pin::pin!(call.stream(SILENCE).await?);
        self.was_connected = true;
        let mut reader = sse::Reader::default();
        while let Some(piece) = pieces.next().await {
            for event in reader.take(&piece?).map_err(|e| Failure::Refused(e.to_string()))? {
                self.broken = 0;
                self.print(event)?;
                if self.left == Some(0) {
                    return Ok(());
                }
            }
            if let Some(place) = reader.last_id() {
                self.wanted.after = Some(place.to_owned());
            }
        }
        Ok(())
    }

    fn print(&mut self, event: sse::Event) -> Result<(), Failure> {
        let told: Value = serde_json::from_str(&event.data).map_err(|e| Failure::Refused(e.to_string()))?;
        self.session.out.answer(&event.data, || {
            let words = cells(&told).map(|cell| harmless(&cell));
            format!("{}\n", words.join("  ").trim_end())
        })?;
        self.left = self.left.map(|left| left - 1);
        self.wanted.after = event.id.or(self.wanted.after.take());
        Ok(())
    }
}

/// Whether a stream that was well before may be so again.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Lost { .. } => true,
        ClientError::Refused(problem) => problem.status == 429 || problem.status >= 500,
        ClientError::Odd { .. } | ClientError::Stopped(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_row() {
        let failed = json!({"at": "2026-01-02T03:04:05Z", "type": "delivery.failed", "delivery": "0192", "destination": "orders",
            "to": null, "reason": "http-404"});
        assert_eq!(cells(&failed), ["2026-01-02 03:04:05Z", "delivery.failed", "0192", "orders", "http-404"]);
        let received =
            json!({"at": "", "type": "message.received", "entry": "7", "from": "2*b.example", "text": "Hello"});
        assert_eq!(cells(&received)[2..], ["7", "2*b.example", "Hello"]);
    }
}
