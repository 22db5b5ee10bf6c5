//! `handfast hub …`: a Homing Space hub's sites, trials and keys.

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Failure;
use super::client::Call;
use super::list::{self, Extent};
use super::table::{Column, Show, Table, fields};
use super::target::{Session, Target};
use crate::config::Period;

const SITES: [Column; 6] = [
    Column("SITE", "id", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("PERSONA", "persona", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("TRIAL ENDS", "trial_ends_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
];

const DETAILS: [Column; 9] = [
    Column("SITE", "id", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("PERSONA", "persona", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("TRIAL ENDS", "trial_ends_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
    Column("REVOKED", "revoked_at", Show::Time),
    Column("FINGERPRINTS", "fingerprint_mode", Show::Text),
    Column("OTP", "otp_alg", Show::Text),
];

/// What a hub counts of a site, day by day; its operator and the site's owner see the same.
pub(super) const DAYS: [Column; 7] = [
    Column("DAY", "day", Show::Text),
    Column("REQUESTS", "requests", Show::Text),
    Column("APPROVED", "approved", Show::Text),
    Column("DENIED", "denied", Show::Text),
    Column("EXPIRED", "expired", Show::Text),
    Column("FAILED", "failed", Show::Text),
    Column("PEOPLE", "unique_fing", Show::Text),
];

const KEYS: [Column; 5] = [
    Column("KEY", "id", Show::Text),
    Column("USE", "use", Show::Text),
    Column("FROM", "not_before", Show::Time),
    Column("UNTIL", "not_after", Show::Time),
    Column("PUBLIC", "public", Show::Text),
];

/// Look after a Homing Space hub: sites, their trials, the hub's keys
#[derive(Debug, Args)]
#[command(after_help = "\
A site whose trial is over, or that is revoked, is welcomed nowhere: merchants hear TRIAL_ENDED or SITE_REVOKED. \
A new key is shown to merchants at once and signs later, so that they have time to pin it; the old one stays shown.

Examples:
  handfast hub sites --all --json \\
      | jq -r 'select(.state == \"trial-ended\") | .id'
  handfast hub site hst_0123456789abcdef --no-trial
  handfast hub keys rotate --after 7d")]
pub struct HubCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List sites
    Sites(Extent),
    /// Show a site with its days, or change its trial and state
    Site {
        /// Its id, hst_…
        id: String,
        #[command(flatten)]
        change: Change,
    },
    /// Show the hub's keys, or make new ones
    Keys {
        #[command(subcommand)]
        what: Option<KeysWhat>,
    },
}

#[derive(Debug, Args)]
struct Change {
    /// Its trial ends then, such as 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "no_trial")]
    trial_ends: Option<Timestamp>,
    /// It may be used without end
    #[arg(long)]
    no_trial: bool,
    /// Nobody is welcomed there from now on
    #[arg(long, conflicts_with = "restore")]
    revoke: bool,
    /// Undo `--revoke`
    #[arg(long)]
    restore: bool,
}

#[derive(Debug, Subcommand)]
enum KeysWhat {
    /// Make a new signing key and a new box key
    Rotate {
        /// How long they are only shown before they are used
        #[arg(long, value_name = "TIME", default_value = "24h")]
        after: Period,
    },
}

impl HubCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::Sites(extent) => list::print(&session, &extent, &SITES, || client.get(&["homing", "sites"])).await,
            What::Site { id, change } => {
                let path = ["homing", "sites", &id];
                let call = match change.body() {
                    None => client.get(&path),
                    Some(body) => client.call(Method::PATCH, &path).idempotent().json(body),
                };
                show(&session, call).await
            }
            What::Keys { what: None } => keys(&session, client.get(&["homing", "keys"])).await,
            What::Keys { what: Some(KeysWhat::Rotate { after }) } => {
                let body = json!({ "after": after.duration().as_secs() });
                keys(&session, client.post(&["homing", "keys", "rotate"]).json(body)).await
            }
        }
    }
}

impl Change {
    /// None: nothing is to change.
    fn body(&self) -> Option<Value> {
        let mut body = json!({});
        if let Some(end) = self.trial_ends {
            body["trial_ends_at"] = end.to_string().into();
        }
        if self.no_trial {
            body["trial_ends_at"] = Value::Null;
        }
        match (self.revoke, self.restore) {
            (true, _) => body["state"] = "revoked".into(),
            (_, true) => body["state"] = "active".into(),
            _ => {}
        }
        body.as_object().is_some_and(|fields| !fields.is_empty()).then_some(body)
    }
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let site: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let mut table = Table::new(DAYS.iter().map(|column| column.0));
        let days = site["days"].as_array().map(Vec::as_slice).unwrap_or_default();
        days.iter().for_each(|day| table.object(&DAYS, day));
        let endpoints = site["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        let endpoints: Vec<&str> = endpoints.iter().filter_map(Value::as_str).collect();
        let days = if days.is_empty() { "(no days yet)".to_owned() } else { table.page().trim_end().to_owned() };
        format!("{}\nendpoints: {}\n\n{days}", fields(&DETAILS, &site).trim_end(), endpoints.join(" "))
    })
}

async fn keys(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let page: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let mut table = Table::new(KEYS.iter().map(|column| column.0));
        page["items"].as_array().into_iter().flatten().for_each(|key| table.object(&KEYS, key));
        table.page().trim_end().to_owned()
    })
}
