//! `handfast replay` and `handfast operation …`: what is done to many deliveries at a time.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::stopped_within;
use super::deliveries::{FilterOptions, count_words};
use super::list::{self, Extent};
use super::table::{Column, Show, fields};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};

const LIST: [Column; 8] = [
    Column("ID", "id", Show::Text),
    Column("KIND", "kind", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("SEEN", "seen", Show::Text),
    Column("REPLAYED", "replayed", Show::Text),
    Column("STOPPED", "stopped", Show::Text),
    Column("GONE", "gone", Show::Text),
    Column("BEGUN", "created_at", Show::Time),
];
const ONE: [Column; 15] = [
    Column("ID", "id", Show::Text),
    Column("KIND", "kind", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("SENDER", "sender", Show::Text),
    Column("FILTER", "filter", Show::Text),
    Column("RATE", "rate", Show::Text),
    Column("MATCHING", "matching", Show::Text),
    Column("SEEN", "seen", Show::Text),
    Column("REPLAYED", "replayed", Show::Text),
    Column("SKIPPED", "skipped", Show::Text),
    Column("STOPPED", "stopped", Show::Text),
    Column("STOPPING", "stopping", Show::Text),
    Column("GONE", "gone", Show::Text),
    Column("BEGUN", "created_at", Show::Time),
    Column("ENDED", "finished_at", Show::Time),
];

/// How often a watched operation is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Send again all dead letters that a filter finds.
#[derive(Debug, Args)]
#[command(after_help = "\
Each gets its whole retry schedule and the life it had. Without --state: what failed or expired. What was cancelled \
on purpose and what may have arrived (unconfirmed) is replayed only when its state is named. It goes on in the node \
when this command ends; `handfast operation` pauses, resumes or cancels it.

Examples:
  handfast replay --destination orders --dry-run
  handfast replay --destination orders --status 5xx --since 1d \\
      --rate 200 --watch")]
pub struct ReplayCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: FilterOptions,
    /// Only count what would be replayed
    #[arg(long)]
    dry_run: bool,
    /// Deliveries a second, at the most
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Wait for the end and show how it goes; Ctrl-C ends the watching only
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
}

/// List, show, pause, resume and cancel replays and cancels by filter.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  handfast operation list
  handfast operation show 0192f0c1-5a3e-7b11-8f00-1234567890ab --watch
  handfast operation results 0192f0c1-5a3e-7b11-8f00-1234567890ab --all --json
  handfast operation pause 0192f0c1-5a3e-7b11-8f00-1234567890ab")]
pub struct OperationCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List operations, the newest first
    List {
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one
    Show {
        /// Its ID
        id: Uuid,
        /// Until it ends
        #[arg(long)]
        watch: bool,
    },
    /// List what became of each delivery
    Results {
        /// Its ID
        id: Uuid,
        #[command(flatten)]
        extent: Extent,
    },
    /// Hold it up
    Pause {
        /// Its ID
        id: Uuid,
    },
    /// Let it go on
    Resume {
        /// Its ID
        id: Uuid,
    },
    /// Give it up; what was done stays done
    Cancel {
        /// Its ID
        id: Uuid,
    },
}

impl ReplayCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        if self.filter.is_empty() {
            return Err(Failure::Usage("say which deliveries, such as --destination NAME or --since 1d".into()));
        }
        let mut body = json!({"filter": self.filter.body(), "dry_run": self.dry_run});
        if let Some(rate) = self.rate {
            body["rate"] = json!(rate);
        }
        let begun = begin(&session, "replays", body).await?;
        if self.watch { follow(&session, begun).await } else { Ok(()) }
    }
}

impl OperationCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::List { extent } => {
                list::print(&session, &extent, &LIST, || session.client.get(&["operations"])).await
            }
            What::Results { id, extent } => {
                let columns = [Column("ID", "id", Show::Text), Column("RESULT", "result", Show::Text)];
                let id = id.to_string();
                list::print(&session, &extent, &columns, || session.client.get(&["operations", &id, "results"])).await
            }
            What::Show { id, watch: true } => follow(&session, Some(id)).await,
            What::Show { id, watch: false } => show(&session, id).await,
            What::Pause { id } => steer(&session, id, "pause").await,
            What::Resume { id } => steer(&session, id, "resume").await,
            What::Cancel { id } => steer(&session, id, "cancel").await,
        }
    }
}

/// Begins an operation, or counts for one, and prints the answer; its id, if there is one now.
pub(super) async fn begin(session: &Session, path: &str, body: Value) -> Result<Option<Uuid>, Failure> {
    let answer = session.client.post(&[path]).json(body).send().await?;
    let begun: Value = answer.parse()?;
    let id = begun["id"].as_str().and_then(|id| id.parse().ok());
    let words = || if id.is_some() { fields(&ONE, &begun) } else { count_words(&begun, true) };
    session.out.answer(&answer.text, words)?;
    Ok(id)
}

async fn show(session: &Session, id: Uuid) -> Result<(), Failure> {
    let answer = session.client.get(&["operations", &id.to_string()]).send().await?;
    let operation: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&ONE, &operation))
}

async fn steer(session: &Session, id: Uuid, how: &str) -> Result<(), Failure> {
    let call = session.client.post(&["operations", &id.to_string(), how]).json(json!({})).idempotent();
    let answer = call.send().await?;
    let operation: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&ONE, &operation))
}

/// Shows on standard error how an operation goes until it ends, and its end on standard output.
pub(super) async fn follow(session: &Session, id: Option<Uuid>) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    let stop = stop_on_signal();
    loop {
        let operation: Value = session.client.get(&["operations", &id.to_string()]).parse().await?;
        let _ = write!(std::io::stderr(), "\r{:<78}", progress(&operation));
        if operation["state"] != "running" || stopped_within(Some(&stop), EVERY).await {
            let _ = writeln!(std::io::stderr());
            break;
        }
    }
    show(session, id).await
}

fn progress(operation: &Value) -> String {
    let n = |name: &str| operation[name].as_i64().unwrap_or(0);
    let state = operation["state"].as_str().unwrap_or_default();
    match operation["kind"].as_str() {
        Some("replay") => format!("{state}: {} of {} replayed, {} skipped", n("replayed"), n("matching"), n("skipped")),
        _ => format!("{state}: {} stopped, {} stopping, {} gone", n("stopped"), n("stopping"), n("gone")),
    }
}
