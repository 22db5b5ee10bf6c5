//! `handfast audit …`: who changed what.

use std::collections::HashSet;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Call, Patience, stopped_within};
use super::list::{self, Extent};
use super::output::{harmless, time};
use super::table::{Column, Show};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};
use crate::config::Period;

const COLUMNS: [Column; 6] = [
    Column("AT", "at", Show::Time),
    Column("VIA", "via", Show::Text),
    Column("ACTOR", "actor", Show::Text),
    Column("ACTION", "action", Show::Text),
    Column("SUBJECT", "subject", Show::Text),
    Column("OUTCOME", "outcome", Show::Text),
];

/// How often a followed record is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A change that has not ended after this long is shown as it is: requests that wait do so for a minute at the most.
const OPEN_AT_MOST: Duration = Duration::from_secs(75);

/// See who changed what: over the API, on the command line, in the console, on the machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Every change somebody asks for is written down before it is done; refused ones too. The outcome is the status that was \
answered; none means that it is not known whether it was done. Kept for audit.keep (365 days).

Examples:
  handfast audit list --since 1d
  handfast audit list --action webhooks --subject orders --all --json
  handfast audit list --actor shop --via console
  handfast audit follow")]
pub struct AuditCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List changes, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Only those asked for since a time, or for so long: 2026-01-31T10:00:00Z, 90m, 2d
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only those asked for before a time, or so long ago
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show changes as they happen, until Ctrl-C
    Follow {
        #[command(flatten)]
        filter: Filter,
        /// End after this many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
}

#[derive(Debug, Clone, Args)]
struct Filter {
    /// Only by this sender, user of the console or of the machine
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only actions that this is part of, such as webhooks, DELETE or "key rotate"
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// Only those that came this way
    #[arg(long)]
    via: Option<Way>,
    /// Only what this is part of: an id, a name, an address
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// An application
    Api,
    /// This program
    Cli,
    /// A browser
    Console,
    /// A command on the node's own machine
    Local,
}

impl Filter {
    fn call<'a>(&self, session: &'a Session) -> Call<'a> {
        let via = self.via.and_then(|via| via.to_possible_value()).map(|value| value.get_name().to_owned());
        let call = session.client.get(&["audit"]).query_maybe("actor", self.actor.as_ref());
        let call = call.query_maybe("action", self.action.as_ref()).query_maybe("subject", self.subject.as_ref());
        call.query_maybe("via", via)
    }
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::List { filter, since, until, extent } => {
                let (since, until) = (moment(since.as_deref())?, moment(until.as_deref())?);
                let call =
                    || filter.call(&session).query_maybe("since", since.as_ref()).query_maybe("until", until.as_ref());
                list::print(&session, &extent, &COLUMNS, call).await
            }
            What::Follow { filter, limit } => follow(&session, &filter, limit).await,
        }
    }
}

/// A time as it is, or so long ago.
fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(moment) = text.parse() {
        return Ok(Some(moment));
    }
    let ago: Period = text.parse().map_err(|_| {
        Failure::Usage(format!("{text} is neither a time such as 2026-01-31T10:00:00Z nor a length of time such as 2d"))
    })?;
    Timestamp::now()
        .checked_sub(ago.duration())
        .map(Some)
        .map_err(|_| Failure::Usage(format!("{text} is too long ago")))
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
}

async fn follow(session: &Session, filter: &Filter, limit: Option<u64>) -> Result<(), Failure> {
    let stop = stop_on_signal();
    let begun = Timestamp::now();
    let (mut told, mut left) = (HashSet::new(), limit);
    loop {
        let from = (Timestamp::now() - OPEN_AT_MOST - EVERY * 5).max(begun);
        let call = filter.call(session).query("since", from).query("limit", 1000);
        let page: Page = call.patience(Patience::long(Duration::from_secs(120))).stop_with(&stop).parse().await?;
        for item in page.items.iter().rev() {
            let entry: Value = serde_json::from_str(item.get()).unwrap_or_default();
            if !is_over(&entry) || !told.insert(entry["id"].to_string()) {
                continue;
            }
            session.out.answer(item.get(), || line(&entry))?;
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(());
            }
        }
        if stopped_within(Some(&stop), EVERY).await {
            return Ok(());
        }
    }
}

/// Ended, or nobody knows how.
fn is_over(entry: &Value) -> bool {
    let at = entry["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    !entry["outcome"].is_null() || at.is_some_and(|at| at + OPEN_AT_MOST < Timestamp::now())
}

fn line(entry: &Value) -> String {
    let text = |field: &str| entry[field].as_str().map(harmless).unwrap_or_default();
    let outcome = entry["outcome"].as_u64().map_or("unknown".to_owned(), |outcome| outcome.to_string());
    let at = time(entry["at"].as_str().unwrap_or_default());
    format!("{at}  {}  {}  {}  {}  {outcome}", text("via"), text("actor"), text("action"), text("subject"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_one_line_and_an_open_one_waits() {
        let now = Timestamp::now();
        let entry = |at: Timestamp, outcome: Value| json!({"id": "1", "at": at, "via": "cli", "actor": "ada\u{1b}", "action": "POST keys", "subject": "shop", "outcome": outcome});
        assert!(is_over(&entry(now, json!(201))) && !is_over(&entry(now, Value::Null)));
        let old = entry("2026-01-02T03:04:05Z".parse().unwrap(), Value::Null);
        assert!(is_over(&old));
        assert_eq!(line(&old), "2026-01-02 03:04:05Z  cli  ada\\u{1b}  POST keys  shop  unknown");
    }

    #[test]
    fn times_are_moments_or_so_long_ago() {
        assert_eq!(moment(Some("2026-01-02T03:04:05Z")).unwrap(), Some("2026-01-02T03:04:05Z".parse().unwrap()));
        let before = Timestamp::now();
        let moment_then = moment(Some("2h")).unwrap().unwrap();
        let two_hours = jiff::SignedDuration::from_hours(2);
        assert!(before <= moment_then + two_hours && moment_then + two_hours <= Timestamp::now());
        assert!(matches!(moment(Some("yesterday")), Err(Failure::Usage(_))));
    }
}
