//! `handfast apikey …`: keys for applications, made over the API by someone who holds a key with the scope `keys`.
//! The very first key is made at the database, by `handfast key create`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Failure;
use super::list::{self, Extent};
use super::output::harmless;
use super::table::{Column, Show};
use super::target::{Session, Target};
use crate::senders::Scope;

const COLUMNS: [Column; 5] = [
    Column("ID", "id", Show::Text),
    Column("SENDER", "sender", Show::Text),
    Column("SCOPES", "scopes", Show::Text),
    Column("ACCOUNT", "account", Show::Text),
    Column("CREATED", "created_at", Show::Time),
];

/// Create, list and revoke API keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Each scope also as NAME:read, which allows only reading; * is everything. \
A key bound to an account cannot act for another. The key is shown here once: the node keeps only its hash.

Examples:
  handfast apikey create shop --scope messages --account '1000*shop.example'
  handfast apikey create dashboard --scope messages:read,inbox:read
  handfast apikey create shop --scope messages --json \\
      | jq -r .key > /run/secrets/handfast")]
pub struct ApiKeyCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key and show it, this once
    Create {
        /// Name under which limits and idempotency keys are counted; several keys may share it
        sender: String,
        #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',', help = Scope::help())]
        scope: Vec<String>,
        /// The only account the key may act for
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
    },
    /// List keys, without the keys themselves
    List(Extent),
    /// Make keys useless at once
    Revoke {
        /// Their IDs (see `list`)
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

impl ApiKeyCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        match self.what {
            What::Create { sender, scope, account } => create(&session, &sender, &scope, account.as_deref()).await,
            What::List(extent) => list::print(&session, &extent, &COLUMNS, || session.client.get(&["keys"])).await,
            What::Revoke { ids } => revoke(&session, &ids).await,
        }
    }
}

async fn create(session: &Session, sender: &str, scopes: &[String], account: Option<&str>) -> Result<(), Failure> {
    let mut body = json!({"sender": sender, "scopes": scopes});
    if let Some(account) = account {
        body["account"] = account.into();
    }
    let answer = session.client.post(&["keys"]).json(body).send().await?;
    let made: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let text = |field: &str| made[field].as_str().map(harmless).unwrap_or_default();
        format!("key     {}\nid      {}\nsender  {}", text("key"), text("id"), text("sender"))
    })
}

async fn revoke(session: &Session, ids: &[Uuid]) -> Result<(), Failure> {
    for id in ids {
        session.client.call(Method::DELETE, &["keys", &id.to_string()]).send().await?;
        session.out.answer(&json!({"id": id, "revoked": true}).to_string(), || format!("{id} revoked"))?;
    }
    Ok(())
}
