//! `handfast status` and `handfast cancel`: what became of messages, and stopping them.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Failure;
use super::client::{Client, ClientError, Patience, stopped_within};
use super::list::{self, Extent};
use super::output::{harmless, time};
use super::table::{Column, Show, Table, fields};
use super::target::{Session, Target};
use super::top::Overview;

const LIST: [Column; 6] = [
    Column("ID", "id", Show::Text),
    Column("FROM", "from", Show::Text),
    Column("TO", "to|destination", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("ACCEPTED", "created_at", Show::Time),
    Column("TAG", "tag", Show::Text),
];
const ONE: [Column; 7] = [
    Column("ID", "id", Show::Text),
    Column("FROM", "from", Show::Text),
    Column("TO", "to|destination", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("ACCEPTED", "created_at", Show::Time),
    Column("EXPIRES", "expires_at", Show::Time),
    Column("TAG", "tag", Show::Text),
];
const ATTEMPTS: [Column; 8] = [
    Column("NO", "no", Show::Text),
    Column("AT", "at", Show::Time),
    Column("MS", "ms", Show::Text),
    Column("OUTCOME", "outcome", Show::Text),
    Column("STATUS", "status", Show::Text),
    Column("CODE", "code", Show::Text),
    Column("LATE", "late", Show::Flag),
    Column("ANSWER", "answer", Show::Text),
];

/// Show how the node is, what became of a message, or count a whole campaign.
#[derive(Debug, Args)]
#[command(after_help = "\
With an ID: the message, its deliveries and every attempt. With --summary: how many messages are in which state. \
With --from, --to, --state or --tag: the newest messages of that kind. With nothing: how the node is, and the newest messages \
(with --json these alone; for the node, `handfast top --once --json`).

States: pending (accepted, not tried), sending, retrying (waits for its next attempt), delivered, failed (the \
peer said no for good), cancelled, expired, unconfirmed (sent, but the answer was lost: it may have arrived).

Examples:
  handfast status
  handfast status 0192f0c1-5a3e-7b11-8f00-1234567890ab
  handfast status --summary --tag spring-sale
  handfast status --state failed --tag spring-sale --all --json")]
pub struct StatusCommand {
    #[command(flatten)]
    target: Target,
    /// ID of the message
    #[arg(conflicts_with_all = ["summary", "from", "to", "state", "tag"])]
    id: Option<Uuid>,
    /// Count messages by state
    #[arg(long, conflicts_with_all = ["from", "to", "state"])]
    summary: bool,
    /// Only messages with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only messages from this account
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Only messages to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Only messages in this state
    #[arg(long)]
    state: Option<State>,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Pending,
    Sending,
    Retrying,
    Delivered,
    Failed,
    Cancelled,
    Expired,
    Unconfirmed,
}

/// Stop messages that have not gone out yet.
#[derive(Debug, Args)]
#[command(after_help = "\
stopped: it will not be sent. stopping: a worker holds it and drops it within a second, unless it has just gone. \
gone: too late, or over already; the exit code is then 1.

Example:
  handfast cancel 0192f0c1-5a3e-7b11-8f00-1234567890ab")]
pub struct CancelCommand {
    #[command(flatten)]
    target: Target,
    /// IDs of the messages
    #[arg(required = true)]
    ids: Vec<Uuid>,
}

/// How many messages are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Summary {
    pub(crate) accepted: u64,
    pub(crate) pending: u64,
    pub(crate) sending: u64,
    pub(crate) retrying: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) doubles: u64,
}

impl Summary {
    /// Asks for the messages with this tag, or for all.
    pub(crate) async fn of(client: &Client, tag: Option<&str>, patience: Patience) -> Result<(Self, String), Failure> {
        let answer = client.get(&["messages", "summary"]).query_maybe("tag", tag).patience(patience).send().await?;
        Ok((answer.parse()?, answer.text))
    }

    /// Messages that may still change by themselves.
    pub(crate) fn open(&self) -> u64 {
        self.pending + self.sending + self.retrying
    }

    /// Messages that ended in another way than delivered.
    pub(crate) fn missed(&self) -> u64 {
        self.failed + self.cancelled + self.expired + self.unconfirmed
    }

    /// One line a state, aligned; states without messages are left out, but for delivered and failed.
    pub(crate) fn words(&self) -> String {
        let always = ["accepted", "delivered", "failed"];
        let counts = [
            ("accepted", self.accepted),
            ("pending", self.pending),
            ("sending", self.sending),
            ("retrying", self.retrying),
            ("delivered", self.delivered),
            ("failed", self.failed),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("unconfirmed", self.unconfirmed),
            ("doubles", self.doubles),
        ];
        let shown = counts.iter().filter(|(name, n)| *n > 0 || always.contains(name));
        shown.map(|(name, n)| format!("{name:<12}{n:>12}\n")).collect()
    }
}

impl StatusCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        if let Some(id) = self.id {
            return show_message(&session, id).await;
        }
        if self.summary {
            let (summary, text) = Summary::of(&session.client, self.tag.as_deref(), Patience::SHORT).await?;
            return session.out.answer(&text, || summary.words());
        }
        let narrowed = self.from.is_some() || self.to.is_some() || self.state.is_some() || self.tag.is_some();
        if !narrowed && !session.out.json {
            show_node(&session).await?;
        }
        let state = self.state.and_then(|s| s.to_possible_value().map(|v| v.get_name().to_owned()));
        let call = || {
            let call = session.client.get(&["messages"]).query_maybe("from", self.from.as_ref());
            let call = call.query_maybe("to", self.to.as_ref()).query_maybe("state", state.as_ref());
            call.query_maybe("tag", self.tag.as_ref())
        };
        list::print(&session, &self.extent, &LIST, call).await
    }
}

impl CancelCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let mut all_stopped = true;
        for id in &self.ids {
            let call = session.client.post(&["messages", &id.to_string(), "cancel"]).json(json!({})).idempotent();
            let answer = call.send().await?;
            let result: Value = answer.parse()?;
            let result = result["result"].as_str().unwrap_or_default();
            all_stopped &= result != "gone";
            session.out.answer(&answer.text, || format!("{id}  {}", harmless(result)))?;
        }
        if all_stopped { Ok(()) } else { Err(Failure::Silent) }
    }
}

/// Prints how the node is. A key without that scope sees its messages only.
async fn show_node(session: &Session) -> Result<(), Failure> {
    match session.client.get(&["overview"]).parse::<Overview>().await {
        Ok(overview) => session.out.line(&format!("{}\n", overview.words())),
        Err(ClientError::Refused(problem)) if matches!(problem.status, 403 | 404) => {
            eprintln!("how the node is: {problem}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints one message with its deliveries and attempts.
pub(super) async fn show_message(session: &Session, id: Uuid) -> Result<(), Failure> {
    let answer = session.client.get(&["messages", &id.to_string()]).send().await?;
    let message: Value = answer.parse()?;
    session.out.answer(&answer.text, || message_words(&message))
}

/// Asks again and again until the message is settled or `stop` is cancelled; gives its last state.
pub(super) async fn settled(client: &Client, id: Uuid, stop: &CancellationToken) -> Result<String, Failure> {
    let patience = Patience::long(Duration::from_secs(120));
    loop {
        let message: Value = client.get(&["messages", &id.to_string()]).patience(patience).parse().await?;
        let state = message["state"].as_str().unwrap_or_default().to_owned();
        let open = matches!(state.as_str(), "pending" | "sending" | "retrying");
        if !open || stopped_within(Some(stop), Duration::from_millis(500)).await {
            return Ok(state);
        }
    }
}

fn message_words(message: &Value) -> String {
    let mut text = fields(&ONE, message);
    for delivery in message["deliveries"].as_array().into_iter().flatten() {
        let part = |field: &str| delivery[field].as_str().map(harmless).unwrap_or_default();
        let _ = write!(text, "\n{} to {}: {}", part("channel"), part("destination"), part("state"));
        if let Some(next) = delivery["next_attempt_at"].as_str() {
            let _ = write!(text, ", next attempt {}", time(next));
        }
        text.push('\n');
        let attempts = delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !attempts.is_empty() {
            let mut table = Table::new(ATTEMPTS.map(|c| c.0));
            attempts.iter().for_each(|attempt| table.object(&ATTEMPTS, attempt));
            text.push_str(&table.page());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_with_its_attempts() {
        let message = json!({
            "id": "0192", "from": "1*a.example", "to": "2*b.example", "state": "retrying", "tag": null,
            "created_at": "2026-01-02T03:04:05Z", "expires_at": "2026-01-05T03:04:05Z",
            "deliveries": [{"channel": "openmsg", "destination": "b.example", "state": "retrying",
                "next_attempt_at": "2026-01-02T03:05:05Z",
                "attempts": [{"no": 1, "at": "2026-01-02T03:04:06Z", "ms": 21, "outcome": "retry", "status": 503,
                    "code": null, "late": false, "answer": "busy"}]}],
        });
        insta::assert_snapshot!(message_words(&message), @r"
        id        0192
        from      1*a.example
        to        2*b.example
        state     retrying
        accepted  2026-01-02 03:04:05Z
        expires   2026-01-05 03:04:05Z
        tag

        openmsg to b.example: retrying, next attempt 2026-01-02 03:05:05Z
        NO  AT                    MS  OUTCOME  STATUS  CODE  LATE  ANSWER
        1   2026-01-02 03:04:06Z  21  retry    503                 busy
        ");
    }

    #[test]
    fn where_a_message_goes_is_told_for_webhooks_too() {
        let message =
            json!({"id": "0192", "from": null, "to": null, "destination": "orders", "state": "failed", "tag": null});
        assert!(message_words(&message).contains("to        orders\n"));
    }

    #[test]
    fn a_summary_leaves_out_what_did_not_happen() {
        let summary = Summary { accepted: 12, delivered: 10, retrying: 1, unconfirmed: 1, ..Summary::default() };
        insta::assert_snapshot!(summary.words(), @r"
        accepted              12
        retrying               1
        delivered             10
        failed                 0
        unconfirmed            1
        ");
        assert_eq!((summary.open(), summary.missed()), (1, 1));
    }
}
