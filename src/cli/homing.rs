//! `handfast homing …`: a user of Homing Space without a browser. A space, its personas, what waits for them, and logins.
//!
//! The commands are for people and scripts; programs that link this crate use [`Agent`] and [`Visit`] as the commands do.
//! Promises: see [`agent`] for what leaves this machine (no password, no key, no value but to the merchant it was
//! approved for), and `space_file` for what stays on it.

// Help texts show addresses as they are typed.
#![allow(rustdoc::bare_urls)]

mod agent;
mod browser;
mod form;
mod hub;
mod notices;
mod personas;
mod refusal;
mod session;
mod sites;
mod space_file;
mod visit;
mod welcomes;

pub use super::client::web::{Reach, Web, WebAnswer, WebError, WebRequest};
pub use agent::{Agent, Approval, Gift, Welcome};
pub use browser::{Browser, From as ComesFrom};
pub use form::{Form, forms};
pub use hub::{Hub, NewSite, Persona, Release, Sealed, Waiting};
pub use refusal::{AgentError, Refusal};
pub use visit::{Entrance, Landing, Visit};

use clap::{Args, Subcommand};
use url::Url;

use super::Failure;
use crate::config::Secret;
use session::Options;

/// A user of Homing Space: a space, its personas, what waits for them, logins
#[derive(Debug, Args)]
#[command(after_help = "\
A space is made at a hub, opened by a password, and has up to seven personas: names to sign in with at merchants' \
sites. This machine keeps one file of it (--space), which is of no use without the password. The password is asked \
for at the terminal, or read from --password-file, HANDFAST_HOMING_PASSWORD or standard input.

Examples:
  handfast homing create --hub https://hub.example/homing/hub
  handfast homing persona add alice
  handfast homing set email alice@mail.example
  handfast homing login https://shop.example/homing/login \\
      --persona alice --give phone1
  handfast homing inbox --wait 5m
  handfast homing approve hsc_… --give phone1

For merchants:
  handfast homing keys shopkeeper --to /etc/handfast
  handfast homing site add --persona shopkeeper --name Shop \\
      --endpoint https://shop.example/homing/endpoint")]
pub struct HomingCommand {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a space at a hub
    Create {
        /// The hub's address, as its pages have it: https://hub.example/homing/hub
        #[arg(long, value_name = "URL")]
        hub: Url,
    },
    /// Bring a space that the hub keeps to this machine
    Open {
        /// The hub's address
        #[arg(long, value_name = "URL")]
        hub: Url,
        /// The space's code, hsp_…; other users of this machine can see options: HANDFAST_HOMING_CODE is another way
        #[arg(long, env = "HANDFAST_HOMING_CODE", hide_env_values = true, value_name = "CODE")]
        code: Secret,
    },
    /// Show hub, code, personas and what is written down in the space
    Show,
    /// Write something down, by its scope's name, such as email, fullname or phone1
    Set {
        /// The scope's name
        name: String,
        /// Its value
        #[arg(required_unless_present = "clear", conflicts_with = "clear")]
        value: Option<String>,
        /// Take it away instead
        #[arg(long)]
        clear: bool,
    },
    /// Add, list and delete personas
    #[command(subcommand)]
    Persona(personas::What),
    /// Write a persona's secret keys to files, for a merchant's server
    Keys(personas::Keys),
    /// List welcomes that wait for an answer
    Inbox(welcomes::Inbox),
    /// Open a welcome: who asks, where it leads, what must and may be given
    ShowWelcome {
        /// Its ID, hsc_…
        id: String,
    },
    /// Approve a welcome, and show what is to be posted where, within seconds
    Approve(welcomes::Approve),
    /// Deny a welcome
    Deny {
        /// Its ID
        id: String,
    },
    /// Sign in at a merchant's site, from its form to its page behind it
    Login(welcomes::Login),
    /// A merchant's sites at the hub, their sauces and statistics
    #[command(subcommand)]
    Site(sites::What),
    /// Where the hub says that a welcome waits: webhooks, Web Push, mail
    #[command(subcommand)]
    Notice(notices::What),
}

impl HomingCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { options, what } = self;
        match what {
            What::Create { hub } => return session::create(&options, hub).await,
            What::Open { hub, code } => return session::open(&options, hub, &code).await,
            _ => {}
        }
        let mut session = options.unlock().await?;
        let done = match what {
            What::Create { .. } | What::Open { .. } => Ok(()),
            What::Show => session.show().await,
            What::Set { name, value, .. } => session.set(&name, value.as_deref()).await,
            What::Persona(what) => what.run(&session).await,
            What::Keys(keys) => keys.run(&session).await,
            What::Inbox(inbox) => inbox.run(&session).await,
            What::ShowWelcome { id } => welcomes::show(&session, &id).await,
            What::Approve(approve) => approve.run(&mut session).await,
            What::Deny { id } => welcomes::deny(&session, &id).await,
            What::Login(login) => login.run(&mut session).await,
            What::Site(what) => what.run(&session).await,
            What::Notice(what) => what.run(&session).await,
        };
        // A session that cannot be ended ends by itself; what was asked for is done, or has failed, already.
        let _ = session.agent.sign_out().await;
        done
    }
}

impl std::convert::From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Wrong(words) => Self::Usage(words),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(text: &str) {
    browser::fuzzed(text);
}
