//! `handfast audit …`: who changed what.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
/// A row may be written by another process than the newest, and be there a little later.
const LATE_AT_MOST: Duration = Duration::from_secs(5);

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
    next: Option<String>,
}

/// A row, as far as following needs it.
#[derive(Deserialize)]
struct Row {
    id: Uuid,
    outcome: Option<u16>,
}

impl Row {
    /// What `since` is compared with: the time in its id, to the millisecond.
    fn at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.id.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    }
}

async fn follow(session: &Session, filter: &Filter, limit: Option<u64>) -> Result<(), Failure> {
    let stop = stop_on_signal();
    let mut followed = Followed::behind(newest(session, &stop).await?);
    let mut left = limit;
    loop {
        // Before the rows: what comes while they are read is found by the next look.
        let newest = newest(session, &stop).await?;
        for item in rows_since(session, filter, followed.from, &stop).await? {
            let row: Row = serde_json::from_str(item.get()).map_err(odd)?;
            if !followed.is_news(&row, Instant::now()) {
                continue;
            }
            let entry: Value = serde_json::from_str(item.get()).unwrap_or_default();
            session.out.answer(item.get(), || line(&entry))?;
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(());
            }
        }
        followed.go_on(newest.and_then(|row| row.at()));
        if stopped_within(Some(&stop), EVERY).await {
            return Ok(());
        }
    }
}

fn odd(error: serde_json::Error) -> Failure {
    Failure::Refused(format!("the record holds a row that cannot be read: {error}"))
}

/// The newest row of all.
async fn newest(session: &Session, stop: &CancellationToken) -> Result<Option<Row>, Failure> {
    #[derive(Deserialize)]
    struct Newest {
        items: Vec<Row>,
    }
    let call = session.client.get(&["audit"]).query("limit", 1).patience(patience()).stop_with(stop);
    let newest: Newest = call.parse().await?;
    Ok(newest.items.into_iter().next())
}

/// All rows that are wanted from a time on, the oldest first.
async fn rows_since(
    session: &Session,
    filter: &Filter,
    from: Option<Timestamp>,
    stop: &CancellationToken,
) -> Result<Vec<Box<RawValue>>, Failure> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let call = filter.call(session).query("limit", 1000).query_maybe("since", from);
        let call = call.query_maybe("after", after.as_ref()).patience(patience()).stop_with(stop);
        let page: Page = call.parse().await?;
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            rows.reverse();
            return Ok(rows);
        }
    }
}

fn patience() -> Patience {
    Patience::long(Duration::from_secs(120))
}

/// What was told already. All times are the node's: the clock of this machine may be wrong.
struct Followed {
    /// From here on rows are looked at.
    from: Option<Timestamp>,
    told: HashMap<Uuid, Option<Timestamp>>,
    /// Rows that have not ended, with when they were first seen here.
    open: HashMap<Uuid, (Option<Timestamp>, Instant)>,
}

impl Followed {
    /// Behind this row, which is the newest one.
    fn behind(newest: Option<Row>) -> Self {
        let from = newest.as_ref().and_then(Row::at);
        Self { from, told: newest.into_iter().map(|row| (row.id, row.at())).collect(), open: HashMap::new() }
    }

    /// Whether a row is to be told now: it has ended, or for so long not that nobody will know how.
    fn is_news(&mut self, row: &Row, now: Instant) -> bool {
        if self.told.contains_key(&row.id) {
            return false;
        }
        if row.outcome.is_none() {
            let (_, seen) = *self.open.entry(row.id).or_insert((row.at(), now));
            if now.duration_since(seen) < OPEN_AT_MOST {
                return false;
            }
        }
        self.open.remove(&row.id);
        self.told.insert(row.id, row.at());
        true
    }

    /// Goes on behind what was seen, as far as nothing is open, and forgets what will not be looked at again.
    fn go_on(&mut self, newest: Option<Timestamp>) {
        let behind = newest.map(|at| at - LATE_AT_MOST);
        let open = self.open.values().filter_map(|(at, _)| *at);
        self.from = self.from.max(open.chain(behind).min());
        let from = self.from;
        self.told.retain(|_, at| *at >= from);
    }
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
    fn a_change_is_one_line() {
        let entry = json!({"id": "1", "at": "2026-01-02T03:04:05Z", "via": "cli", "actor": "ada\u{1b}", "action": "POST keys", "subject": "shop", "outcome": null});
        assert_eq!(line(&entry), "2026-01-02 03:04:05Z  cli  ada\\u{1b}  POST keys  shop  unknown");
    }

    /// Times lie far from this machine's clock: it does not matter.
    #[test]
    fn changes_are_told_once_when_they_have_ended_and_open_ones_wait() {
        let row = |second: u64, outcome| {
            // The same id for the same second.
            let id = uuid::Builder::from_unix_timestamp_millis(second * 1000, &[0; 10]).into_uuid();
            Row { id, outcome }
        };
        let now = Instant::now();
        let mut followed = Followed::behind(Some(row(100, Some(200))));
        assert!(!followed.is_news(&row(100, Some(200)), now), "what was before is not told");
        assert!(followed.is_news(&row(101, Some(403)), now) && !followed.is_news(&row(101, Some(403)), now));
        assert!(!followed.is_news(&row(102, None), now));
        followed.go_on(row(500, None).at());
        assert_eq!(followed.from.map(Timestamp::as_second), Some(102), "it waits for what is open");
        assert!(!followed.is_news(&row(102, None), now + OPEN_AT_MOST / 2));
        assert!(followed.is_news(&row(102, None), now + OPEN_AT_MOST), "nobody knows how it ended");
        followed.go_on(row(500, None).at());
        assert_eq!((followed.from.map(Timestamp::as_second), followed.told.len()), (Some(495), 0));
        followed.go_on(None);
        assert_eq!(followed.from.map(Timestamp::as_second), Some(495), "never back");
        assert!(Followed::behind(None).is_news(&row(1, Some(200)), now));
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
