//! `handfast account …`: who can be written to at this node.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::client::Call;
use super::list::{self, Extent};
use super::table::{Column, Show, fields};
use super::target::{Session, Target};

const COLUMNS: [Column; 5] = [
    Column("ADDRESS", "address", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("RECEIVES", "accepts_messages", Show::Flag),
    Column("DISABLED", "disabled", Show::Flag),
    Column("CREATED", "created_at", Show::Time),
];

/// Create, list, rename, disable and enable accounts.
#[derive(Debug, Args)]
#[command(after_help = "\
An address is an ID of 1 to 20 digits, a star and the node's domain: 1000*shop.example. For an account of
this node the ID alone will do. Quote addresses: the shell has its own use for a star.

Examples:
  handfast account create 1000 --name 'The Shop'
  handfast account create 2000 --name 'Announcements' --no-messages
  handfast account list --all --json | jq -r .address
  handfast account disable '1000*shop.example'")]
pub struct AccountCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a new account
    Create {
        /// ID (1-20 digits) or whole address
        address: String,
        /// Name that peers are shown, 1-40 characters [default: the ID]
        #[arg(long)]
        name: Option<String>,
        /// Only sends: peers are told that replies are not read
        #[arg(long)]
        no_messages: bool,
    },
    /// List accounts
    List(Extent),
    /// Show one account
    Show {
        /// ID or whole address
        address: String,
    },
    /// Give an account another name
    Rename {
        /// ID or whole address
        address: String,
        /// The new name, 1-40 characters
        name: String,
    },
    /// Make accounts answer as if they did not exist, keeping what they hold
    Disable {
        /// IDs or whole addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// Undo `disable`
    Enable {
        /// IDs or whole addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
}

impl AccountCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::Create { address, name, no_messages } => {
                let name = name.unwrap_or_else(|| address.split('*').next().unwrap_or_default().to_owned());
                let body = json!({"address": address, "name": name, "accepts_messages": !no_messages});
                show(&session, client.post(&["accounts"]).json(body)).await
            }
            What::List(extent) => list::print(&session, &extent, &COLUMNS, || client.get(&["accounts"])).await,
            What::Show { address } => show(&session, client.get(&["accounts", &address])).await,
            What::Rename { address, name } => {
                let call = client.call(Method::PATCH, &["accounts", &address]).idempotent();
                show(&session, call.json(json!({"name": name}))).await
            }
            What::Disable { addresses } => switch(&session, &addresses, "disable").await,
            What::Enable { addresses } => switch(&session, &addresses, "enable").await,
        }
    }
}

async fn switch(session: &Session, addresses: &[String], what: &str) -> Result<(), Failure> {
    for address in addresses {
        show(session, session.client.post(&["accounts", address, what]).idempotent()).await?;
    }
    Ok(())
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let account: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&COLUMNS, &account))
}
