//! `handfast phones …` and `handfast peers`: numbers of the TextSecure door, and the nodes they are shared with.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Failure;
use super::client::Call;
use super::deliveries;
use super::list::{self, Extent};
use super::output::harmless;
use super::table::{Column, Show, Table, fields};
use super::target::{Session, Target};
use crate::config::Period;

const COLUMNS: [Column; 5] = [
    Column("NUMBER", "number", Show::Text),
    Column("ACTIVE", "active", Show::Flag),
    Column("DISABLED", "disabled_at", Show::Time),
    Column("REGISTERED", "registered_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
];

const DETAILS: [Column; 7] = [
    Column("NUMBER", "number", Show::Text),
    Column("ACTIVE", "active", Show::Flag),
    Column("DISABLED", "disabled_at", Show::Time),
    Column("REGISTERED", "registered_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
    Column("DIRECTORY", "directory", Show::Text),
    Column("PEER", "peer", Show::Text),
];

const DEVICES: [Column; 8] = [
    Column("DEVICE", "id", Show::Text),
    Column("ACTIVE", "active", Show::Flag),
    Column("LISTENS", "fetches_messages", Show::Flag),
    Column("PUSH", "push", Show::Text),
    Column("PUSH FAILED", "push_failed_at", Show::Time),
    Column("SEEN", "seen_on", Show::Text),
    Column("PREKEYS", "prekeys", Show::Text),
    Column("WAITING", "waiting", Show::Text),
];

const PEERS: [Column; 7] = [
    Column("NAME", "name", Show::Text),
    Column("URL", "url", Show::Text),
    Column("CONTACTS", "contacts", Show::Text),
    Column("READ", "synced_at", Show::Time),
    Column("NEXT", "due_at", Show::Time),
    Column("FAILURES", "failures", Show::Text),
    Column("ERROR", "error", Show::Text),
];

/// Between two looks at what became of a test.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// List, show, disable, enable and unregister phone numbers, and try out how they are pushed to.
#[derive(Debug, Args)]
#[command(after_help = "\
A number is written +14155550101. A disabled one answers like one that does not exist and keeps what it has; an \
unregistered one has nothing left, and can register again at once, also where a peer had listed it. A peer that \
still has it lists it again when its directory is read next.

Examples:
  handfast phones list --all --json | jq -r .number
  handfast phones show +14155550101
  handfast phones unregister +14155550101
  handfast phones test-push +14155550101 --wait 30s")]
pub struct PhoneCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

/// See how the directories of federated nodes were last read.
#[derive(Debug, Args)]
#[command(after_help = "\
What a peer lists can be written to from here, and cannot register here. Each directory is read every \
textsecure.sync_every, and sooner after a failure; ERROR says why the last try failed.

Examples:
  handfast peers
  handfast peers --json | jq 'select(.failures > 0)'")]
pub struct PeerCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List numbers that are registered here
    List(Extent),
    /// Show a number with its devices, and where it stands in the directory
    Show {
        /// The number, +14155550101
        number: String,
    },
    /// Make numbers answer as if they did not exist, keeping what they hold
    Disable {
        /// The numbers
        #[arg(required = true)]
        numbers: Vec<String>,
    },
    /// Undo `disable`; what waits is pushed
    Enable {
        /// The numbers
        #[arg(required = true)]
        numbers: Vec<String>,
    },
    /// Forget numbers everywhere: devices, keys, messages that wait, codes, directory
    Unregister {
        /// The numbers
        #[arg(required = true)]
        numbers: Vec<String>,
    },
    /// Wake a device through its push service, with something that it shows nobody
    TestPush {
        /// The number
        number: String,
        /// Which device [default: the first one that can be woken]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        device: Option<i16>,
        /// Wait for what the push service says, at most this long
        #[arg(long, value_name = "TIME")]
        wait: Option<Period>,
    },
}

/// A test on its way.
#[derive(Deserialize)]
struct Test {
    id: Uuid,
    device: i16,
    destination: String,
}

impl PhoneCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::List(extent) => list::print(&session, &extent, &COLUMNS, || client.get(&["phones"])).await,
            What::Show { number } => show(&session, client.get(&["phones", &number])).await,
            What::Disable { numbers } => switch(&session, &numbers, "disable").await,
            What::Enable { numbers } => switch(&session, &numbers, "enable").await,
            What::Unregister { numbers } => unregister(&session, &numbers).await,
            What::TestPush { number, device, wait } => test_push(&session, &number, device, wait).await,
        }
    }
}

impl PeerCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        list::print(&session, &self.extent, &PEERS, || session.client.get(&["peers"])).await
    }
}

async fn switch(session: &Session, numbers: &[String], what: &str) -> Result<(), Failure> {
    for number in numbers {
        show(session, session.client.post(&["phones", number, what]).idempotent()).await?;
    }
    Ok(())
}

async fn unregister(session: &Session, numbers: &[String]) -> Result<(), Failure> {
    for number in numbers {
        session.client.call(Method::DELETE, &["phones", number]).send().await?;
        let said = json!({"number": number, "unregistered": true}).to_string();
        session.out.answer(&said, || format!("{} unregistered", harmless(number)))?;
    }
    Ok(())
}

async fn test_push(session: &Session, number: &str, device: Option<i16>, wait: Option<Period>) -> Result<(), Failure> {
    let body = device.map_or_else(|| json!({}), |device| json!({ "device": device }));
    let answer = session.client.post(&["phones", number, "test-push"]).json(body).send().await?;
    let Test { id, device, destination } = answer.parse()?;
    match wait {
        Some(wait) => outcome(session, id, wait.duration()).await,
        None => session.out.answer(&answer.text, || {
            let by = harmless(&destination);
            format!("{id}  device {device} by {by}\nsee what became of it: handfast delivery show {id}")
        }),
    }
}

/// Waits until the push service has answered, and shows what it said; the exit code is 1 unless it took it.
async fn outcome(session: &Session, id: Uuid, patience: Duration) -> Result<(), Failure> {
    let started = Instant::now();
    let path = id.to_string();
    loop {
        let delivery: Value = session.client.get(&["deliveries", &path]).parse().await?;
        let state = delivery["state"].as_str().unwrap_or_default();
        let answered = !matches!(state, "pending" | "sending");
        if answered || started.elapsed() >= patience {
            deliveries::show(session, id).await?;
            return if state == "delivered" { Ok(()) } else { Err(Failure::Silent) };
        }
        tokio::time::sleep(LOOK_EVERY.min(patience)).await;
    }
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let phone: Value = answer.parse()?;
    session.out.answer(&answer.text, || words(&phone))
}

fn words(phone: &Value) -> String {
    let mut text = fields(&DETAILS, phone);
    let devices = phone["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !devices.is_empty() {
        let mut table = Table::new(DEVICES.map(|column| column.0));
        devices.iter().for_each(|device| table.object(&DEVICES, device));
        text.push('\n');
        text.push_str(&table.page());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_with_its_devices() {
        let device = json!({
            "id": 1, "active": true, "fetches_messages": false, "push": "google", "push_failed_at": null,
            "created_at": "2026-01-02T03:04:05Z", "seen_on": "2026-01-03", "prekeys": 99, "waiting": 2,
        });
        let phone = json!({
            "number": "+14155550101", "active": true, "disabled": false, "disabled_at": null,
            "created_at": "2026-01-02T03:04:05Z", "registered_at": "2026-01-02T03:04:05Z", "directory": "local",
            "peer": null, "devices": [device],
        });
        insta::assert_snapshot!(words(&phone), @r"
        number      +14155550101
        active      yes
        disabled
        registered  2026-01-02 03:04:05Z
        created     2026-01-02 03:04:05Z
        directory   local
        peer

        DEVICE  ACTIVE  LISTENS  PUSH    PUSH FAILED  SEEN        PREKEYS  WAITING
        1       yes              google               2026-01-03  99       2
        ");
        let elsewhere = json!({"number": "+14155550102", "directory": "peer", "peer": "other", "devices": []});
        insta::assert_snapshot!(words(&elsewhere), @r"
        number      +14155550102
        active
        disabled
        registered
        created
        directory   peer
        peer        other
        ");
    }
}
