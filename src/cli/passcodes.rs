//! `handfast passcode …`: the six digits that let a stranger connect, once.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::output::{harmless, time};
use super::table::{Column, Show, Table};
use super::target::{Session, Target};
use crate::config::Period;

const COLUMNS: [Column; 3] = [
    Column("ID", "id", Show::Text),
    Column("ISSUED", "created_at", Show::Time),
    Column("EXPIRES", "expires_at", Show::Time),
];

/// Issue, list and revoke pass codes.
#[derive(Debug, Args)]
#[command(after_help = "\
A pass code opens one connection to one account, once, and dies soon (10 minutes unless told otherwise, an hour \
at most). Tell it to the other side by a way you trust; the code is shown here once and never again.

Examples:
  handfast passcode issue '1000*shop.example'
  handfast passcode issue 1000 --life 1h --json | jq -r .pass_code
  handfast passcode revoke 1000 --all")]
pub struct PassCodeCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a pass code and show it, this once
    Issue {
        /// ID or whole address of the account that may be connected to
        address: String,
        /// How long it lives, such as 90s, 10m or 1h; at most 1h [default: the node's setting, 10m]
        #[arg(long, value_name = "TIME")]
        life: Option<Period>,
    },
    /// List the live pass codes of an account, without the codes
    List {
        /// ID or whole address
        address: String,
    },
    /// Withdraw pass codes before their time
    Revoke {
        /// ID or whole address of the account
        address: String,
        /// Which one (see `list`)
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of the account
        #[arg(long)]
        all: bool,
    },
}

impl PassCodeCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::Issue { address, life } => issue(&session, &address, life).await,
            What::List { address } => print_live(&session, &address).await,
            What::Revoke { address, id, .. } => revoke(&session, &address, id.as_deref()).await,
        }
    }
}

async fn issue(session: &Session, address: &str, life: Option<Period>) -> Result<(), Failure> {
    let body = match life {
        Some(life) if life.duration().as_secs() == 0 => {
            return Err(Failure::Usage("--life is less than a second".into()));
        }
        Some(life) => json!({"life_seconds": life.duration().as_secs()}),
        None => json!({}),
    };
    let answer = session.client.post(&["accounts", address, "passcodes"]).json(body).send().await?;
    let issued: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let text = |field: &str| issued[field].as_str().map(harmless).unwrap_or_default();
        format!(
            "pass code  {}\nfor        {}\nuntil      {}",
            text("pass_code"),
            text("address"),
            time(&text("expires_at"))
        )
    })
}

async fn print_live(session: &Session, address: &str) -> Result<(), Failure> {
    let answer = session.client.get(&["accounts", address, "passcodes"]).send().await?;
    let page: Value = answer.parse()?;
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if session.out.json {
        return items.iter().try_for_each(|item| session.out.line(&item.to_string()));
    }
    if items.is_empty() {
        eprintln!("(none)");
        return Ok(());
    }
    let mut table = Table::new(COLUMNS.map(|c| c.0));
    items.iter().for_each(|item| table.object(&COLUMNS, item));
    session.out.line(&table.page())
}

async fn revoke(session: &Session, address: &str, id: Option<&str>) -> Result<(), Failure> {
    let path: Vec<&str> = ["accounts", address, "passcodes"].into_iter().chain(id).collect();
    let answer = session.client.call(Method::DELETE, &path).send().await?;
    let withdrawn: Value = answer.parse()?;
    session.out.answer(&answer.text, || format!("{} withdrawn", withdrawn["withdrawn"]))
}
