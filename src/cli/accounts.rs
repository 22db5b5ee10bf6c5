//! `handfast account …`: who can be written to at this node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::client::Call;
use super::list::{self, Extent};
use super::output::{harmless, time};
use super::password::Asking;
use super::table::{Column, Show, fields};
use super::target::{Session, Target};

const COLUMNS: [Column; 5] = [
    Column("ADDRESS", "address", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("RECEIVES", "accepts_messages", Show::Flag),
    Column("DISABLED", "disabled", Show::Flag),
    Column("CREATED", "created_at", Show::Time),
];

const PASSWORD: Asking = Asking {
    variable: "HANDFAST_ACCOUNT_PASSWORD",
    known: "Password: ",
    new: "New password: ",
    why: "strangers may try it",
};

/// Create, list, rename, disable and enable accounts; let people in to the mailbox.
#[derive(Debug, Args)]
#[command(after_help = "\
An address is an ID of 1 to 20 digits, a star and the node's domain: 1000*shop.example. For an account of \
this node the ID alone will do. Quote addresses: the shell has its own use for a star.

Examples:
  handfast account create 1000 --name 'The Shop'
  handfast account create 2000 --name 'Announcements' --no-messages
  handfast account list --all --json | jq -r .address
  handfast account disable '1000*shop.example'
  handfast account invite '1000*shop.example'
  handfast account password 1000 --password-file password.txt")]
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
    /// Set the password with which somebody signs in to the mailbox; who is signed in is signed out
    #[command(after_help = "\
The password is asked for at the terminal, unseen, or read from --password-file, HANDFAST_ACCOUNT_PASSWORD or \
standard input. The key needs every right that the mailbox gives: accounts, passcodes, connections, messages, inbox.")]
    Password {
        /// ID or whole address
        address: String,
        /// File with the password, in its first line
        #[arg(long, value_name = "FILE", conflicts_with = "clear")]
        password_file: Option<PathBuf>,
        /// Take the password away: nobody signs in to this account any more
        #[arg(long)]
        clear: bool,
    },
    /// Make a link under which somebody sets their own password, once; shown here and never again
    Invite {
        /// ID or whole address
        address: String,
    },
    /// End all sessions of accounts in the mailbox
    SignOut {
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
            What::Password { address, clear: true, .. } => {
                client.call(Method::DELETE, &["accounts", &address, "password"]).send().await?;
                say(&session, &format!("{}: the password is taken away", harmless(&address)))
            }
            What::Password { address, password_file, .. } => {
                let password = PASSWORD.fresh(password_file.as_deref())?;
                let call = client.call(Method::PUT, &["accounts", &address, "password"]);
                call.json(json!({"password": password.reveal()})).send().await?;
                say(&session, &format!("{}: the password is set", harmless(&address)))
            }
            What::Invite { address } => invite(&session, &address).await,
            What::SignOut { addresses } => sign_out(&session, &addresses).await,
        }
    }
}

/// What was done where the node answers nothing; to people only.
fn say(session: &Session, words: &str) -> Result<(), Failure> {
    if session.out.json { Ok(()) } else { session.out.line(words) }
}

async fn invite(session: &Session, address: &str) -> Result<(), Failure> {
    let answer = session.client.post(&["accounts", address, "invite"]).send().await?;
    let invitation: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let text = |field: &str| invitation[field].as_str().map(harmless).unwrap_or_default();
        format!("link   {}\nfor    {}\nuntil  {}", text("url"), text("address"), time(&text("expires_at")))
    })
}

async fn sign_out(session: &Session, addresses: &[String]) -> Result<(), Failure> {
    for address in addresses {
        let answer = session.client.post(&["accounts", address, "sign-out"]).idempotent().send().await?;
        let ended: Value = answer.parse()?;
        session.out.answer(&answer.text, || format!("{}: {} signed out", harmless(address), ended["ended"]))?;
    }
    Ok(())
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
