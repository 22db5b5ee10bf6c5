//! `handfast delivery …` and `handfast dead`: finding deliveries, and what became of them.

mod filter;

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use filter::FilterOptions;

use super::Failure;
use super::list::{self, Extent};
use super::operations::{begin, follow};
use super::output::harmless;
use super::table::{Column, Show, Table, fields};
use super::target::{Session, Target};

const LIST: [Column; 8] = [
    Column("ID", "id", Show::Text),
    Column("DESTINATION", "destination", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("STATUS", "last_status", Show::Text),
    Column("CODE", "last_code", Show::Text),
    Column("ACCEPTED", "created_at", Show::Time),
    Column("NEXT", "next_attempt_at", Show::Time),
    Column("TAG", "tag", Show::Text),
];
const ONE: [Column; 15] = [
    Column("ID", "id", Show::Text),
    Column("CHANNEL", "channel", Show::Text),
    Column("DESTINATION", "destination", Show::Text),
    Column("FROM", "from", Show::Text),
    Column("TO", "to", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("WAITS FOR", "waits_for", Show::Text),
    Column("REASON", "reason", Show::Text),
    Column("SENDER", "sender", Show::Text),
    Column("TAG", "tag", Show::Text),
    Column("CAMPAIGN", "campaign", Show::Text),
    Column("ORDERING KEY", "ordering_key", Show::Text),
    Column("ACCEPTED", "created_at", Show::Time),
    Column("EXPIRES", "expires_at", Show::Time),
    Column("NEXT", "next_attempt_at", Show::Time),
];
const ATTEMPTS: [Column; 7] = [
    Column("NO", "no", Show::Text),
    Column("AT", "at", Show::Time),
    Column("MS", "ms", Show::Text),
    Column("OUTCOME", "outcome", Show::Text),
    Column("STATUS", "status", Show::Text),
    Column("CODE", "code", Show::Text),
    Column("ANSWER", "answer", Show::Text),
];
const GROUPS: [Column; 5] = [
    Column("DELIVERIES", "n", Show::Text),
    Column("DESTINATION", "destination", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("STATUS", "status", Show::Text),
    Column("CODE", "code", Show::Text),
];

/// What `handfast dead` is about.
const DEAD: &str = "failed,expired,unconfirmed";

/// Find, count, replay and cancel deliveries.
#[derive(Debug, Args)]
#[command(after_help = "\
A message is one delivery: both have the same id. What ended undelivered can be replayed: it gets its whole retry \
schedule again. What has not gone can be cancelled; the answer says for each whether it was stopped or had gone.

Examples:
  handfast delivery list --destination orders --status 5xx --since 2h
  handfast delivery count --tag spring-sale
  handfast delivery replay 0192f0c1-5a3e-7b11-8f00-123456780003
  handfast delivery cancel --tag spring-sale")]
pub struct DeliveryCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List deliveries, the newest first
    List {
        #[command(flatten)]
        filter: FilterOptions,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one with every attempt
    Show {
        /// Its ID
        id: Uuid,
    },
    /// Count by state, and by destination and code
    Count {
        #[command(flatten)]
        filter: FilterOptions,
    },
    /// Send again what ended undelivered (by filter: `handfast replay`)
    Replay {
        /// IDs
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
    /// Stop what has not gone, by ID or by filter
    Cancel {
        /// IDs
        ids: Vec<Uuid>,
        #[command(flatten)]
        filter: FilterOptions,
        /// Only count what would be cancelled
        #[arg(long, conflicts_with = "ids")]
        dry_run: bool,
        /// Wait for the end and show how it goes
        #[arg(long, conflicts_with = "ids")]
        watch: bool,
    },
}

/// Show dead letters: what failed, expired, or may have arrived.
#[derive(Debug, Args)]
#[command(after_help = "\
First how many there are by destination and reason, then the newest ones. `handfast replay` with the same options \
sends them again.

Examples:
  handfast dead
  handfast dead --destination orders --status 404 --all --json
  handfast dead --since 1d --code connect")]
pub struct DeadCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    extent: Extent,
}

impl DeliveryCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::List { filter, extent } => list_them(&session, &filter, &extent).await,
            What::Show { id } => show(&session, id).await,
            What::Count { filter } => count(&session, &filter, true).await,
            What::Replay { ids } => by_id(&session, "replay", &ids, &["replayed"]).await,
            What::Cancel { ids, filter, dry_run, watch } => match (ids.is_empty(), filter.is_empty()) {
                (false, true) => by_id(&session, "cancel", &ids, &["stopped", "stopping"]).await,
                (true, false) => {
                    let body = json!({"filter": filter.body(), "dry_run": dry_run});
                    let begun = begin(&session, "cancellations", body).await?;
                    if watch { follow(&session, begun).await } else { Ok(()) }
                }
                _ => Err(Failure::Usage("give either IDs or a filter, such as --tag".into())),
            },
        }
    }
}

impl DeadCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let mut filter = self.filter;
        filter.state.get_or_insert_with(|| DEAD.into());
        if !session.out.json {
            count(&session, &filter, false).await?;
        }
        list_them(&session, &filter, &self.extent).await
    }
}

async fn list_them(session: &Session, filter: &FilterOptions, extent: &Extent) -> Result<(), Failure> {
    list::print(session, extent, &LIST, || filter.query(session.client.get(&["deliveries"]))).await
}

/// One with every attempt.
pub(super) async fn show(session: &Session, id: Uuid) -> Result<(), Failure> {
    let answer = session.client.get(&["deliveries", &id.to_string()]).send().await?;
    let delivery: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let mut text = fields(&ONE, &delivery);
        let attempts = delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !attempts.is_empty() {
            let mut table = Table::new(ATTEMPTS.map(|column| column.0));
            attempts.iter().for_each(|attempt| table.object(&ATTEMPTS, attempt));
            let _ = write!(text, "\n{}", table.page());
        }
        text
    })
}

/// How many, by state if wanted, and by destination and code.
async fn count(session: &Session, filter: &FilterOptions, states: bool) -> Result<(), Failure> {
    let answer = filter.query(session.client.get(&["deliveries", "count"])).send().await?;
    let count: Value = answer.parse()?;
    session.out.answer(&answer.text, || count_words(&count, states))
}

/// The words for a count.
pub(super) fn count_words(count: &Value, states: bool) -> String {
    let more = if count["complete"].as_bool() == Some(false) { " or more" } else { "" };
    let mut text = format!("{} deliveries{more}\n", count["matching"]);
    if states {
        let counted = count["states"].as_object().into_iter().flatten();
        let shown = counted.filter(|(name, n)| *name != "accepted" && *name != "doubles" && n.as_i64() != Some(0));
        for (name, n) in shown {
            let _ = writeln!(text, "{:<12}{:>12}", harmless(name), n.to_string());
        }
    }
    let groups = count["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !groups.is_empty() {
        let mut table = Table::new(GROUPS.map(|column| column.0));
        groups.iter().for_each(|group| table.object(&GROUPS, group));
        let _ = writeln!(text, "\n{}", table.page());
    }
    text
}

/// Replays or cancels by id, a thousand at a time; the exit code is 1 unless all got a good word.
async fn by_id(session: &Session, what: &str, ids: &[Uuid], good: &[&str]) -> Result<(), Failure> {
    let mut all_good = true;
    for part in ids.chunks(1000) {
        let call = session.client.post(&["deliveries", what]).json(json!({"ids": part})).idempotent();
        let answer = call.send().await?;
        let results: Value = answer.parse()?;
        let results = results["results"].as_array().cloned().unwrap_or_default();
        let word = |result: &Value, field: &str| result[field].as_str().map(harmless).unwrap_or_default();
        all_good &= results.iter().all(|result| good.contains(&result["result"].as_str().unwrap_or_default()));
        session.out.answer(&answer.text, || {
            results.iter().map(|result| format!("{}  {}\n", word(result, "id"), word(result, "result"))).collect()
        })?;
    }
    if all_good { Ok(()) } else { Err(Failure::Silent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_by_state_and_by_reason() {
        let count = json!({
            "matching": 12, "complete": false, "next": null,
            "states": {"accepted": 12, "failed": 9, "expired": 3, "pending": 0, "doubles": 0},
            "groups": [{"destination": "orders", "state": "failed", "status": 404, "code": "http-404", "n": 9},
                       {"destination": "stock", "state": "expired", "status": null, "code": "timeout", "n": 3}],
        });
        insta::assert_snapshot!(count_words(&count, true), @r"
        12 deliveries or more
        expired                3
        failed                 9

        DELIVERIES  DESTINATION  STATE    STATUS  CODE
        9           orders       failed   404     http-404
        3           stock        expired          timeout
        ");
    }
}
