//! `handfast connect` and `handfast connection …`: handshakes and what they leave.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Failure;
use super::client::{Answer, Call};
use super::list::{self, Extent};
use super::output::harmless;
use super::table::{Column, Show, fields};
use super::target::{Session, Target};
use crate::config::{Period, Secret};

const COLUMNS: [Column; 7] = [
    Column("ID", "id", Show::Text),
    Column("ACCOUNT", "account", Show::Text),
    Column("OTHER", "other", Show::Text),
    Column("NAME", "other_name", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("RECEIVES", "accepts_messages", Show::Flag),
    Column("UPDATED", "updated_at", Show::Time),
];

/// The API holds an answer for at most this long.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Shake hands with an address elsewhere.
#[derive(Debug, Args)]
#[command(after_help = "\
The other side makes a pass code for TO and tells it to you. Without --code it is asked for at the terminal, \
or read from standard input when that is a pipe; so it appears in no list of processes.

Examples:
  handfast connect '1000*shop.example' '0012345*other.example'
  echo 042137 | handfast connect 1000 '0012345*other.example'
  handfast connect 1000 '0012345*other.example' --code 042137 --no-wait")]
pub struct ConnectCommand {
    #[command(flatten)]
    target: Target,
    /// Our account, ID or whole address
    from: String,
    /// The other address
    to: String,
    /// The pass code that the other side gave out. Other users of this machine can see options
    #[arg(long)]
    code: Option<Secret>,
    /// Tell the other side that our account takes no messages over this connection
    #[arg(long)]
    one_way: bool,
    /// Do not wait for the handshake to end
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the handshake
    #[arg(long, value_name = "TIME", default_value = "2m", conflicts_with = "no_wait")]
    timeout: Period,
}

/// List, show, block, unblock and delete connections.
#[derive(Debug, Args)]
#[command(after_help = "\
A blocked connection stays, but nothing passes either way. A deleted one is gone for good: the other side learns \
it with its next message and needs a new pass code.

Examples:
  handfast connection list --account 1000
  handfast connection block 0192f0c1-5a3e-7b11-8f00-1234567890ab
  handfast connection handshake 0192f0c1-5a3e-7b11-8f00-1234567890ab --wait 30s")]
pub struct ConnectionCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List connections
    List {
        /// Only those of this account
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one connection
    Show {
        /// Its ID
        id: Uuid,
    },
    /// Let nothing pass
    Block {
        /// Its ID
        id: Uuid,
    },
    /// Undo `block`
    Unblock {
        /// Its ID
        id: Uuid,
    },
    /// Forget the connection for good
    Delete {
        /// Its ID
        id: Uuid,
    },
    /// Show how a handshake stands that `connect --no-wait` started
    Handshake {
        /// ID of the handshake
        id: Uuid,
        /// Wait for its end, at most this long
        #[arg(long, value_name = "TIME")]
        wait: Option<Period>,
    },
}

#[derive(Deserialize)]
struct Handshake {
    id: Uuid,
    from: String,
    to: String,
    state: String,
    error: Option<String>,
    connection: Option<Uuid>,
}

impl Handshake {
    fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "pending" | "running")
    }
}

impl ConnectCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let code = match self.code {
            Some(code) => code,
            None => ask_for_code(&self.to)?,
        };
        let mut body = json!({"from": self.from, "to": self.to, "pass_code": code.reveal().trim()});
        if self.one_way {
            body["allow_replies"] = Value::Bool(false);
        }
        let patience = if self.no_wait { Duration::ZERO } else { self.timeout.duration() };
        let started = Instant::now();
        let call = session.client.post(&["connections"]).json(body);
        let answer = held(call, patience).send().await?;
        follow(&session, answer, started, patience, self.no_wait).await
    }
}

impl ConnectionCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::List { account, extent } => {
                let call = || client.get(&["connections"]).query_maybe("account", account.as_ref());
                list::print(&session, &extent, &COLUMNS, call).await
            }
            What::Show { id } => show(&session, client.get(&["connections", &id.to_string()])).await,
            What::Block { id } => {
                show(&session, client.post(&["connections", &id.to_string(), "block"]).idempotent()).await
            }
            What::Unblock { id } => {
                show(&session, client.post(&["connections", &id.to_string(), "unblock"]).idempotent()).await
            }
            What::Delete { id } => {
                client.call(Method::DELETE, &["connections", &id.to_string()]).send().await?;
                session.out.answer(&json!({"id": id, "deleted": true}).to_string(), || format!("{id} deleted"))
            }
            What::Handshake { id, wait } => {
                let (started, patience) = (Instant::now(), wait.map_or(Duration::ZERO, Period::duration));
                let answer = held(client.get(&["handshakes", &id.to_string()]), patience).send().await?;
                follow(&session, answer, started, patience, wait.is_none()).await
            }
        }
    }
}

/// Asks until the handshake is over or the time is up. `satisfied`: an unfinished handshake is a good end, too.
async fn follow(
    session: &Session,
    mut answer: Answer<'_>,
    started: Instant,
    patience: Duration,
    satisfied: bool,
) -> Result<(), Failure> {
    let mut handshake: Handshake = answer.parse()?;
    while !handshake.is_over() && started.elapsed() < patience {
        let asked = Instant::now();
        let call = session.client.get(&["handshakes", &handshake.id.to_string()]);
        answer = held(call, patience.saturating_sub(started.elapsed())).send().await?;
        handshake = answer.parse()?;
        // A node that does not hold its answer is not asked in a tight loop.
        if !handshake.is_over() && asked.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    session.out.answer(&answer.text, || words(&handshake))?;
    if handshake.state == "connected" || (satisfied && !handshake.is_over()) { Ok(()) } else { Err(Failure::Silent) }
}

fn words(handshake: &Handshake) -> String {
    let Handshake { id, from, to, state, error, connection } = handshake;
    let (from, to) = (harmless(from), harmless(to));
    match (state.as_str(), connection) {
        ("connected", Some(connection)) => format!("connected: {from} may write to {to}\nconnection  {connection}"),
        ("connected", None) => format!("connected: {from} may write to {to}"),
        ("failed", _) => format!("not connected: {}", harmless(error.as_deref().unwrap_or("no reason was given"))),
        (state, _) => format!("{}: see `handfast connection handshake {id}`", harmless(state)),
    }
}

fn held(call: Call<'_>, patience: Duration) -> Call<'_> {
    let wait = patience.min(LONGEST_WAIT);
    if wait.as_secs() == 0 { call } else { call.held(wait).query("wait", wait.as_secs()) }
}

fn ask_for_code(to: &str) -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("Pass code for {}: ", harmless(to));
        std::io::stderr().flush()?;
    }
    let mut line = zeroize::Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).map_err(|source| Failure::File { path: "standard input".into(), source })?;
    match line.trim() {
        "" => Err(Failure::Usage("no pass code: give it at the prompt, by standard input or with --code".into())),
        code => Ok(Secret::from(code.to_owned())),
    }
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let connection: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&COLUMNS, &connection))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(state: &str, error: Option<&str>) -> Handshake {
        let (id, connection) = (Uuid::nil(), (state == "connected").then_some(Uuid::max()));
        Handshake {
            id,
            from: "1*a.example".into(),
            to: "2*b.example".into(),
            state: state.into(),
            error: error.map(Into::into),
            connection,
        }
    }

    #[test]
    fn every_end_of_a_handshake_has_words() {
        insta::assert_snapshot!(words(&handshake("connected", None)), @r"
        connected: 1*a.example may write to 2*b.example
        connection  ffffffff-ffff-ffff-ffff-ffffffffffff
        ");
        let failed = words(&handshake("failed", Some("the pass code is wrong\u{1b}")));
        insta::assert_snapshot!(failed, @r"not connected: the pass code is wrong\u{1b}");
        assert!(!handshake("running", None).is_over());
        assert!(words(&handshake("running", None)).contains("handfast connection handshake 0000"));
    }
}
