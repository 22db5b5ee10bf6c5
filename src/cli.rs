//! The command line's side of the API: every command here speaks to a running node, and only over `/api/v1`; [`homing`] alone is a
//! user's agent, and speaks to a hub and to merchants as a browser does.
//!
//! A command is a clap struct with one `run`; the binary embeds [`Command`] and does nothing else. Answers go to standard output,
//! everything said about the work (progress, waiting, mistakes) to standard error, so that output can be piped.
//! What runs a node, or works on its database and files, is in [`crate::arguments`].

mod accounts;
mod apikeys;
mod apps;
mod audit;
mod campaign;
mod client;
mod connections;
mod deliveries;
mod destinations;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod homing;
mod hub;
mod inbox;
mod list;
mod operations;
mod output;
mod passcodes;
mod password;
mod phones;
mod problem;
mod send;
mod sse;
mod status;
mod table;
mod target;
mod top;
mod webhooks;

pub use accounts::AccountCommand;
pub use apikeys::ApiKeyCommand;
pub use apps::{AppCommand, SessionCommand};
pub use audit::AuditCommand;
pub use campaign::CampaignCommand;
pub use client::{Client, ClientError};
pub use connections::{ConnectCommand, ConnectionCommand};
pub use deliveries::{DeadCommand, DeliveryCommand};
pub use destinations::DestinationCommand;
pub use events::EventsCommand;
pub use homing::HomingCommand;
pub use hub::HubCommand;
pub use inbox::InboxCommand;
pub use operations::{OperationCommand, ReplayCommand};
pub use passcodes::PassCodeCommand;
pub use phones::{PeerCommand, PhoneCommand};
pub use problem::{FieldError, Problem};
pub use send::SendCommand;
pub use status::{CancelCommand, StatusCommand};
pub use target::{Target, TargetError};
pub use top::TopCommand;
pub use webhooks::WebhookCommand;

// The demonstration works through the same client.
pub(crate) use client::Patience;
pub(crate) use send::progress;
pub(crate) use status::Summary;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

/// The commands that talk to a running node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, list, rename, disable and enable accounts
    #[command(visible_alias = "accounts")]
    Account(AccountCommand),
    /// Issue, list and revoke pass codes: what a stranger needs to connect
    #[command(visible_alias = "passcodes")]
    Passcode(PassCodeCommand),
    /// Shake hands with an address elsewhere, so that messages may be sent to it
    Connect(ConnectCommand),
    /// List, show, block, unblock and delete connections
    #[command(visible_alias = "connections")]
    Connection(ConnectionCommand),
    /// Send one message, or a message for every row of a file
    Send(SendCommand),
    /// One template, rows in any number: create, upload, watch, pause, slow down, cancel, report
    #[command(visible_alias = "campaigns")]
    Campaign(CampaignCommand),
    /// Read, acknowledge and follow what was received
    Inbox(InboxCommand),
    /// List and follow what happens: deliveries that ended, messages received, destinations
    Events(EventsCommand),
    /// Show how the node is, what became of a message, or count a whole campaign
    Status(StatusCommand),
    /// Stop messages that have not gone out yet
    Cancel(CancelCommand),
    /// Find, count, replay and cancel deliveries
    #[command(visible_alias = "deliveries")]
    Delivery(DeliveryCommand),
    /// Show dead letters: what failed, expired, or may have arrived
    Dead(DeadCommand),
    /// Send again all dead letters that a filter finds
    Replay(ReplayCommand),
    /// List, show, pause, resume and cancel replays and cancels by filter
    #[command(visible_alias = "operations")]
    Operation(OperationCommand),
    /// Create, list, rotate, try out, disable and delete webhooks
    #[command(visible_alias = "webhooks")]
    Webhook(WebhookCommand),
    /// See how destinations are, set their pace, pause and resume them
    #[command(visible_alias = "destinations")]
    Destination(DestinationCommand),
    /// List, show, disable, enable and unregister phone numbers, and try out how they are pushed to
    #[command(visible_alias = "phone")]
    Phones(PhoneCommand),
    /// See how the directories of federated nodes were last read
    Peers(PeerCommand),
    /// Look after a Homing Space hub: sites, their trials, the hub's keys
    Hub(HubCommand),
    /// Create, list, show, change and delete applications that people sign in to by code
    #[command(visible_alias = "app")]
    Apps(AppCommand),
    /// List and revoke sessions, and let somebody sign in again who was wrong too often
    #[command(visible_alias = "session")]
    Sessions(SessionCommand),
    /// A user of Homing Space: a space, its personas, what waits for them, logins
    Homing(Box<HomingCommand>),
    /// Create, list and revoke API keys
    #[command(visible_alias = "apikeys")]
    Apikey(ApiKeyCommand),
    /// Show live what the node is doing
    Top(TopCommand),
    /// See who changed what
    Audit(AuditCommand),
}

impl Command {
    /// Runs the command to its end. Mistakes have been printed to standard error when this returns.
    pub async fn run(self) -> ExitCode {
        let done = match self {
            Self::Account(command) => command.run().await,
            Self::Passcode(command) => command.run().await,
            Self::Connect(command) => command.run().await,
            Self::Connection(command) => command.run().await,
            Self::Send(command) => command.run().await,
            Self::Campaign(command) => command.run().await,
            Self::Inbox(command) => command.run().await,
            Self::Events(command) => command.run().await,
            Self::Status(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Delivery(command) => command.run().await,
            Self::Dead(command) => command.run().await,
            Self::Replay(command) => command.run().await,
            Self::Operation(command) => command.run().await,
            Self::Webhook(command) => command.run().await,
            Self::Destination(command) => command.run().await,
            Self::Phones(command) => command.run().await,
            Self::Peers(command) => command.run().await,
            Self::Hub(command) => command.run().await,
            Self::Apps(command) => command.run().await,
            Self::Sessions(command) => command.run().await,
            Self::Homing(command) => command.run().await,
            Self::Apikey(command) => command.run().await,
            Self::Top(command) => command.run().await,
            Self::Audit(command) => command.run().await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }
}

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The node could not be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It is not known where the node is, or with which key to ask.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The command line or the file given makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node answered, and the answer is not what was asked for.
    #[error("{0}")]
    Refused(String),
    /// Everything was said already; only the exit code is left.
    #[error("failed")]
    Silent,
    /// Standard output could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// Prints the failure and gives the exit code. A reader that went away (`… | head`) is no failure.
    fn report(&self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Silent => return ExitCode::from(1),
            _ => eprintln!("handfast: {self}"),
        }
        ExitCode::from(if matches!(self, Self::Usage(_)) { 2 } else { 1 })
    }
}

/// A token that is cancelled by the first Ctrl-C (or SIGTERM); the second one ends the process at once with code 1.
fn stop_on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        one_signal().await;
        stop.cancel();
        one_signal().await;
        std::process::exit(1);
    });
    token
}

async fn one_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};
    use uuid::Uuid;

    #[derive(Debug, Parser)]
    #[command(name = "handfast", no_binary_name = true)]
    struct Whole {
        #[command(subcommand)]
        _command: Command,
    }

    fn accepts(line: &str) -> bool {
        let words = line.split_whitespace().map(|word| word.trim_matches('\''));
        Whole::try_parse_from(words).inspect_err(|e| eprintln!("{e}")).is_ok()
    }

    #[test]
    fn the_definitions_are_sound() {
        Whole::command().debug_assert();
    }

    #[test]
    fn what_the_help_shows_is_accepted() {
        let id = "0192f0c1-5a3e-7b11-8f00-1234567890ab";
        for line in [
            "account create 1000 --name Shop --no-messages",
            "account list --all --json",
            "account --json list",
            "account disable 1000 2000",
            "account password 1000 --password-file p",
            "account password 1000 --clear",
            "account invite 1000*shop.example --json",
            "account sign-out 1000 2000",
            "passcode issue 1000*shop.example --life 1h",
            "passcode revoke 1000 --all",
            "passcode revoke 1000 7",
            "connect 1000 0012345*other.example --code 042137 --one-way --no-wait",
            "connection list --account 1000 --limit 5",
            &format!("connection handshake {id} --wait 30s"),
            "send --from 1000 --to 1*b.example --text Hello --follow --idempotency-key x",
            "send orders.csv --from 1000 --to {id}*b.example --text Hello --errors refused.csv",
            "send - --format ndjson --delimiter ; --run again --api http://127.0.0.1:1 --key-file k",
            "campaign create spring --template {} --rate 50 --lane bulk --tag t",
            "campaign run orders.csv --template @t.json --key-field id --name spring --no-wait",
            &format!("campaign run orders.csv --campaign {id}"),
            &format!("campaign rows {id} orders.jsonl.gz --close --patience 1h"),
            &format!("campaign rate {id} none"),
            &format!("campaign errors {id} --all --json"),
            &format!("campaign report {id} -o report.csv"),
            "inbox 1000 --unread",
            "inbox 1000 --json",
            "inbox --json list 1000",
            "inbox list 1000 --all --json",
            &format!("inbox read {id} --ack"),
            "inbox follow 1000 --ack --limit 3",
            "inbox count",
            "events list --kinds delivery.failed,message.* --limit 5 --json",
            "events list --all --after start",
            "events follow --after now --limit 3",
            &format!("status {id}"),
            "status --summary --tag t",
            "status --state failed --all --json",
            &format!("cancel {id} {id}"),
            "webhook create orders https://shop.example/hook --signing both --header x-a:b --final 404,410 --timeout 5s",
            "webhook create orders https://shop.example/hook --bearer-file t --secret-file s --events delivery.failed",
            "webhook list --json",
            "webhook show orders",
            "webhook rotate orders --overlap 1h",
            "webhook test orders",
            "webhook disable a b",
            "webhook delete a",
            "destination list --state open --all",
            "destination show other.example",
            "destination set orders --at-once 5 --rate default --schedule 5s,2m",
            "destination pause a b",
            "destination resume a",
            "phones list --all --json",
            "phones show +14155550101",
            "phone disable +14155550101 +14155550102",
            "phones enable +14155550101 --json",
            "phones unregister +14155550101 +14155550102",
            "phones test-push +14155550101 --device 2 --wait 30s",
            "peers --json",
            "apps create com.example.app --name Example --ways sms,voice --countries 49,43 --result string",
            "apps create com.example.app --backend mesibo --backend-token-file t --token-life 365d --makes-codes true",
            "apps update com.example.app --verifier https://auth.example/login --verifier-secret-file s --enabled false",
            "apps list --all --json",
            "app show com.example.app",
            "apps delete a b",
            "sessions list --app com.example.app --address 18005551234 --limit 5",
            &format!("sessions revoke {id} {id}"),
            "session unlock com.example.app 18005551234",
            "top --once --view workers --interval 5s",
            "audit list --since 1d --action webhooks --via cli --subject orders --all --json",
            "audit follow --actor shop --limit 1",
            "deliveries list --state failed",
            "destinations list",
            "campaigns list",
            "apikey create shop --scope messages,inbox:read --scope keys --account 1000",
            "homing create --hub https://hub.example/homing/hub --space s.json --password-file p",
            "homing open --hub https://hub.example/homing/hub --code hsp_x",
            "homing show --json",
            "homing set email a@b.example",
            "homing set email --clear",
            "homing persona add alice",
            "homing keys alice --to /etc/handfast",
            "homing inbox --wait",
            "homing inbox --wait 30s --json",
            "homing show-welcome hsc_x",
            "homing approve hsc_x --give email,phone1=+4930123456",
            "homing deny hsc_x",
            "homing login https://shop.example/homing/login --persona alice --give phone1 --show-session",
            "homing login https://shop.test/ --persona a --ca-file ca.pem --resolve shop.test=127.0.0.1:8443",
            "homing site add --persona shop --name Shop --endpoint https://shop.example/e --otp md5 --fingerprint global",
            "homing site list",
            "homing site rotate hst_x --at-once",
            "homing site stats hst_x",
            "homing site delete hst_x",
            "homing notice add email a@b.example",
            "homing notice confirm 1 123456",
            "homing notice list",
            "homing notice delete 1",
        ] {
            assert!(accepts(line), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "account",
            "campaign",
            "campaign create spring",
            &format!("campaign run orders.csv --template {{}} --campaign {}", Uuid::nil()),
            "inbox",
            "passcode revoke 1000",
            "passcode revoke 1000 7 --all",
            "send",
            "send --from 1000 --to 2*b.example",
            "send --from 1 --to 2 --text x --errors e.csv",
            "send f.csv --idempotency-key x",
            "status nonsense",
            "account list --limit 0",
            "cancel",
            "apikey create shop",
            "webhook create orders",
            "webhook create orders https://a.example --bearer-file a --basic-file b",
            "webhook delete",
            "audit",
            "audit list --via mail",
            "top --interval soon",
            "destination set orders",
            "phones",
            "phones unregister",
            "phones test-push +14155550101 --device 0",
            "apps create",
            "apps delete",
            "sessions list --address 18005551234",
            "sessions revoke",
            "sessions unlock com.example.app",
            "homing",
            "homing create",
            "homing open --hub https://hub.example",
            "homing set email",
            "homing set email a@b.example --clear",
            "homing login https://shop.example",
            "homing site add --persona shop --name Shop",
            "homing notice add fax 123",
            "homing show --resolve hub.test",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let line = ["account", "list", "--key", "hf_secret"];
        assert!(!format!("{:?}", Whole::try_parse_from(line).unwrap()).contains("hf_secret"));
    }
}
