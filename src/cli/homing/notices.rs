//! `handfast homing notice …`: where the hub says that a welcome waits.

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::session::{Session, list};
use crate::cli::Failure;
use crate::cli::output::harmless;
use crate::cli::table::{Column, Show};

const COLUMNS: [Column; 4] = [
    Column("ID", "id", Show::Text),
    Column("KIND", "kind", Show::Text),
    Column("ADDRESS", "address", Show::Text),
    Column("CONFIRMED", "confirmed", Show::Flag),
];

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Add a place; mail is confirmed with a code that is sent there
    Add {
        /// What kind of place
        #[arg(value_enum)]
        kind: Kind,
        /// https://… of a webhook, a Web Push subscription (JSON), or a mail address
        address: String,
    },
    /// Confirm a mail address with the code that came there
    Confirm {
        /// The place's ID
        id: String,
        /// The code
        code: String,
    },
    /// List the places
    List,
    /// Take a place away
    Delete {
        /// The place's ID
        id: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    Webhook,
    Webpush,
    Email,
}

impl What {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (hub, out) = (session.agent.hub(), session.out);
        match self {
            Self::Add { kind, address } => {
                let kind = kind.to_possible_value().map(|value| value.get_name().to_owned());
                let body = json!({"kind": kind, "address": address});
                let answer = hub.call(Method::POST, &["notices"], Some(body)).await?;
                out.answer(&answer.to_string(), || {
                    let id = answer["id"].as_str().map_or_else(|| answer["id"].to_string(), harmless);
                    match (kind.as_deref(), answer["secret"].as_str()) {
                        (Some("email"), _) => format!("{id}: confirm it with the code that comes by mail"),
                        (_, Some(secret)) => format!("{id}\nsigned with  {}  (shown this once)", harmless(secret)),
                        _ => id,
                    }
                })
            }
            Self::Confirm { id, code } => {
                hub.call(Method::POST, &["notices", &id, "confirm"], Some(json!({"code": code}))).await?;
                out.answer(&json!({"id": id, "confirmed": true}).to_string(), || format!("{} confirmed", harmless(&id)))
            }
            Self::List => {
                let answer = hub.call(Method::GET, &["notices"], None).await?;
                list(out, &COLUMNS, answer["notices"].as_array().map(Vec::as_slice).unwrap_or_default())
            }
            Self::Delete { id } => {
                hub.call(Method::DELETE, &["notices", &id], None).await?;
                out.answer(&json!({"id": id, "deleted": true}).to_string(), || format!("{} taken away", harmless(&id)))
            }
        }
    }
}
