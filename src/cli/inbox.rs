//! `handfast inbox …`: what was received.

use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{ClientError, growing, stopped_within};
use super::list::{self, Extent};
use super::output::{harmless, harmless_lines, time};
use super::sse;
use super::table::{Column, Show};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};

const COLUMNS: [Column; 5] = [
    Column("ID", "id", Show::Text),
    Column("RECEIVED", "received_at", Show::Time),
    Column("FROM", "from", Show::Text),
    Column("READ", "acknowledged_at", Show::Time),
    Column("TEXT", "text", Show::Text),
];

/// The node sends a comment every 15 s; three missing ones mean that the connection is dead.
const SILENCE: Duration = Duration::from_secs(50);

/// Read, acknowledge and follow what was received.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "\
`handfast inbox ADDRESS` is short for `handfast inbox list ADDRESS`. Tables cut long texts: `read` and --json show all.

`follow` prints messages as they come until Ctrl-C, and goes on where it was when the connection breaks. With \
--ack each message is acknowledged once it was printed; what was not printed stays unread.

Examples:
  handfast inbox 1000 --unread
  handfast inbox read 0192f0c1-5a3e-7b11-8f00-1234567890ab
  handfast inbox follow '1000*shop.example' --json \\
      | while read -r entry; do …; done
  handfast inbox count"
)]
pub struct InboxCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: Option<What>,
    /// ID or whole address of the account
    #[arg(required = true)]
    address: Option<String>,
    /// Only what was not acknowledged yet
    #[arg(long)]
    unread: bool,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Args)]
struct ListCommand {
    /// ID or whole address of the account
    address: String,
    /// Only what was not acknowledged yet
    #[arg(long)]
    unread: bool,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List an account's messages, oldest first
    List(ListCommand),
    /// Show one message in full
    Read {
        /// Its ID
        id: Uuid,
        /// Acknowledge it as well
        #[arg(long)]
        ack: bool,
    },
    /// Mark messages as dealt with
    Ack {
        /// Their IDs
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
    /// Print messages as they come
    Follow(FollowCommand),
    /// Count messages
    Count {
        /// ID or whole address of the account [default: all accounts]
        address: Option<String>,
    },
}

#[derive(Debug, Args)]
struct FollowCommand {
    /// ID or whole address of the account
    address: String,
    /// Start behind this entry [default: with what arrives from now on]
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
    /// Acknowledge each message once it was printed
    #[arg(long)]
    ack: bool,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl InboxCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.wanted()? {
            What::List(what) => list_entries(&session, &what).await,
            What::Read { id, ack } => read(&session, id, ack).await,
            What::Ack { ids } => acknowledge_all(&session, &ids).await,
            What::Follow(follow) => Follow::new(&session, follow).run(&stop_on_signal()).await,
            What::Count { address } => count(&session, address.as_deref()).await,
        }
    }

    /// What the short form means.
    fn wanted(self) -> Result<What, Failure> {
        let Self { what, address, unread, extent, .. } = self;
        let list = address.map(|address| What::List(ListCommand { address, unread, extent }));
        what.or(list).ok_or_else(|| Failure::Usage("whose inbox? See `handfast inbox --help`".into()))
    }
}

async fn list_entries(session: &Session, what: &ListCommand) -> Result<(), Failure> {
    let call = || {
        let call = session.client.get(&["inbox"]).query("account", &what.address);
        call.query_maybe("unacknowledged", what.unread.then_some(true))
    };
    list::print(session, &what.extent, &COLUMNS, call).await
}

async fn read(session: &Session, id: Uuid, ack: bool) -> Result<(), Failure> {
    let answer = session.client.get(&["inbox", &id.to_string()]).send().await?;
    let entry: Value = answer.parse()?;
    session.out.answer(&answer.text, || words(&entry))?;
    if ack {
        session.client.post(&["inbox", &id.to_string(), "ack"]).json(json!({})).idempotent().send().await?;
    }
    Ok(())
}

async fn acknowledge_all(session: &Session, ids: &[Uuid]) -> Result<(), Failure> {
    let mut acknowledged = 0;
    for ids in ids.chunks(1000) {
        let call = session.client.post(&["inbox", "ack"]).json(json!({"ids": ids})).idempotent();
        acknowledged += call.parse::<Value>().await?["acknowledged"].as_u64().unwrap_or(0);
    }
    session.out.answer(&json!({"acknowledged": acknowledged}).to_string(), || format!("{acknowledged} acknowledged"))
}

async fn count(session: &Session, address: Option<&str>) -> Result<(), Failure> {
    let answer = session.client.get(&["inbox", "count"]).query_maybe("account", address).send().await?;
    let counts: Value = answer.parse()?;
    session.out.answer(&answer.text, || format!("{} messages, {} unread", counts["total"], counts["unacknowledged"]))
}

/// One entry in full, for people.
fn words(entry: &Value) -> String {
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    let name = match text("from_name") {
        "" => String::new(),
        name => format!(" ({})", harmless(name)),
    };
    let head = format!("{}  {}  {}{name}", harmless(text("id")), time(text("received_at")), harmless(text("from")));
    format!("{head}\n{}\n", harmless_lines(text("text")))
}

/// A stream that survives its connections.
struct Follow<'a> {
    session: &'a Session,
    address: String,
    after: Option<String>,
    began: Uuid,
    ack: bool,
    left: Option<u64>,
    broken: u32,
}

impl<'a> Follow<'a> {
    fn new(session: &'a Session, command: FollowCommand) -> Self {
        let FollowCommand { address, after, ack, limit } = command;
        Self {
            session,
            address,
            after: after.map(|id| id.to_string()),
            began: Uuid::now_v7(),
            ack,
            left: limit,
            broken: 0,
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let mut was_connected = false;
        loop {
            let end = tokio::select! {
                end = self.connection(&mut was_connected) => end,
                () = stop.cancelled() => return Ok(()),
            };
            let why = match end {
                Ok(()) if self.left == Some(0) => return Ok(()),
                Ok(()) => "the node ended the stream".to_owned(),
                Err(Failure::Client(error)) if was_connected && may_pass(&error) => error.to_string(),
                Err(error) => return Err(error),
            };
            self.broken += 1;
            let wait = growing(self.broken);
            eprintln!("{why}; connecting again");
            if stopped_within(Some(stop), wait).await {
                return Ok(());
            }
        }
    }

    /// One connection, to its end. Cancelled at an await it loses nothing: `after` moves with every printed entry.
    async fn connection(&mut self, was_connected: &mut bool) -> Result<(), Failure> {
        let mut call = self.session.client.get(&["inbox", "stream"]).query("account", &self.address);
        // A stream that broke before its first entry would begin anew with "now" and miss what came between. Ids sort by time, so
        // the moment we began is a place to resume at, as exact as the two clocks agree.
        let began = was_connected.then(|| self.began.to_string());
        if let Some(after) = self.after.as_ref().or(began.as_ref()) {
            let value = HeaderValue::try_from(after).map_err(|e| Failure::Refused(e.to_string()))?;
            call = call.header(HeaderName::from_static("last-event-id"), value);
        }
        let mut pieces = std::pin::pin!(call.stream(SILENCE).await?);
        *was_connected = true;
        let mut reader = sse::Reader::default();
        while let Some(piece) = pieces.next().await {
            let events = reader.take(&piece?).map_err(|e| Failure::Refused(e.to_string()))?;
            for event in events {
                self.broken = 0;
                self.entry(event).await?;
                if self.left == Some(0) {
                    return Ok(());
                }
            }
            if let Some(id) = reader.last_id() {
                self.after = Some(id.to_owned());
            }
        }
        Ok(())
    }

    async fn entry(&mut self, event: sse::Event) -> Result<(), Failure> {
        if !matches!(event.name.as_str(), "" | "message") {
            return Ok(());
        }
        let entry: Value = serde_json::from_str(&event.data).map_err(|e| Failure::Refused(e.to_string()))?;
        self.session.out.answer(&event.data, || words(&entry))?;
        let id = event.id.or_else(|| entry["id"].as_str().map(str::to_owned));
        self.left = self.left.map(|left| left.saturating_sub(1));
        if let Some(id) = &id {
            self.after = Some(id.clone());
        }
        if let (true, Some(id)) = (self.ack, &id) {
            self.session.client.post(&["inbox", id, "ack"]).json(json!({})).idempotent().send().await?;
        }
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
    use clap::Parser;

    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        inbox: InboxCommand,
    }

    #[test]
    fn an_address_alone_asks_for_the_list() {
        for line in
            [&["1000"][..], &["1000", "--unread", "--limit", "5"], &["list", "1000"], &["--json", "list", "1000"]]
        {
            let wanted = Line::try_parse_from(line).unwrap().inbox.wanted();
            assert!(matches!(wanted, Ok(What::List(list)) if list.address == "1000"), "{line:?}");
        }
    }

    #[test]
    fn an_entry_is_shown_in_full_and_harmless() {
        let entry = json!({"id": "0192", "from": "2*b.example", "from_name": "Bob\u{1b}[1m",
            "received_at": "2026-01-02T03:04:05Z", "text": "one\ntwo\u{7}"});
        insta::assert_snapshot!(words(&entry), @r"
        0192  2026-01-02 03:04:05Z  2*b.example (Bob\u{1b}[1m)
        one
        two\u{7}
        ");
    }
}
