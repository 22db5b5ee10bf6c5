//! `handfast destination …`: pace and health of what messages are delivered to.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::Failure;
use super::client::Call;
use super::list::{self, Extent};
use super::table::{Column, Show, fields};
use super::target::{Session, Target};
use crate::config::Period;

const COLUMNS: [Column; 7] = [
    Column("NAME", "name", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("WHY", "why", Show::Text),
    Column("UNTIL", "closed_until", Show::Time),
    Column("AT ONCE", "concurrency_now", Show::Text),
    Column("WAITING", "waiting", Show::Text),
    Column("OLDEST", "oldest_waiting", Show::Time),
];

const DETAILS: [Column; 14] = [
    Column("NAME", "name", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("WHY", "why", Show::Text),
    Column("CLOSED UNTIL", "closed_until", Show::Time),
    Column("FAILURES IN A ROW", "failures_in_a_row", Show::Text),
    Column("AT ONCE, SET", "concurrency", Show::Text),
    Column("AT ONCE, IN EFFECT", "concurrency_in_effect", Show::Text),
    Column("AT ONCE, NOW", "concurrency_now", Show::Text),
    Column("CALLS A SECOND", "rate", Show::Text),
    Column("SECONDS BETWEEN TRIES", "schedule_in_effect", Show::Text),
    Column("WAITING", "waiting", Show::Text),
    Column("OLDEST WAITING", "oldest_waiting", Show::Time),
    Column("IN HAND", "in_hand", Show::Text),
    Column("CHANGED", "changed_at", Show::Time),
];

/// See how destinations are, set their pace, pause and resume them.
#[derive(Debug, Args)]
#[command(after_help = "\
A destination is the domain of a peer, the name of a webhook, or what the node itself sends (sms:codes, push:fcm, \
relay:partner). States: well, slowed (it refused, or was slow: fewer calls at once), retry_after (it asked for a pause), \
open (it failed: nothing goes until closed_until), half_open (one call probes), paused (by an operator). Everything waits \
meanwhile, and goes on by itself.

Examples:
  handfast destination list --state open
  handfast destination set orders --at-once 50 --rate 200 \\
      --schedule 5s,30s,2m,10m
  handfast destination set orders --rate default
  handfast destination pause orders
  handfast destination resume orders")]
pub struct DestinationCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List destinations
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one destination
    Show {
        /// Domain or name of a webhook
        name: String,
    },
    /// Set its pace; `default` gives a setting back to the node
    Set {
        /// Domain or name of a webhook
        name: String,
        #[command(flatten)]
        pace: Pace,
    },
    /// Send nothing more for now; everything waits
    Pause {
        /// Domains or names of webhooks
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Go on at once, also where the node itself had stopped
    Resume {
        /// Domains or names of webhooks
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Pace {
    /// Calls at once, over all processes
    #[arg(long, value_name = "N|default")]
    at_once: Option<String>,
    /// Calls a second
    #[arg(long, value_name = "N|default")]
    rate: Option<String>,
    /// Waits between the tries, such as 5s,30s,2m; the last one repeats
    #[arg(long, value_name = "TIMES|default")]
    schedule: Option<String>,
}

impl DestinationCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::List { state, extent } => {
                let call = || client.get(&["destinations"]).query_maybe("state", state.as_ref());
                list::print(&session, &extent, &COLUMNS, call).await
            }
            What::Show { name } => show(&session, client.get(&["destinations", &name])).await,
            What::Set { name, pace } => {
                let call = client.call(Method::PATCH, &["destinations", &name]).idempotent();
                show(&session, call.json(pace.body()?)).await
            }
            What::Pause { names } => switch(&session, &names, "pause").await,
            What::Resume { names } => switch(&session, &names, "resume").await,
        }
    }
}

impl Pace {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = Map::new();
        if let Some(text) = &self.at_once {
            body.insert("concurrency".into(), setting(text, |text| text.parse::<u32>().ok().map(Value::from))?);
        }
        if let Some(text) = &self.rate {
            body.insert("rate".into(), setting(text, |text| text.parse::<f64>().ok().map(Value::from))?);
        }
        if let Some(text) = &self.schedule {
            body.insert("schedule".into(), setting(text, schedule)?);
        }
        Ok(body.into())
    }
}

/// `default` is null to the API.
fn setting(text: &str, read: impl FnOnce(&str) -> Option<Value>) -> Result<Value, Failure> {
    if text == "default" {
        return Ok(Value::Null);
    }
    read(text).ok_or_else(|| Failure::Usage(format!("\"{text}\" is neither a value nor `default`")))
}

fn schedule(text: &str) -> Option<Value> {
    let wait = |text: &str| text.trim().parse::<Period>().ok().map(|wait| wait.duration().as_secs());
    text.split(',').map(wait).collect::<Option<Vec<u64>>>().map(Value::from)
}

async fn switch(session: &Session, names: &[String], what: &str) -> Result<(), Failure> {
    for name in names {
        show(session, session.client.post(&["destinations", name, what]).idempotent()).await?;
    }
    Ok(())
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let destination: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&DETAILS, &destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pace_is_written_in_words_and_times() {
        let text = |text: &str| Some(text.to_owned());
        let pace = Pace { at_once: text("50"), rate: text("default"), schedule: text("5s, 2m") };
        assert_eq!(pace.body().unwrap(), json!({"concurrency": 50, "rate": null, "schedule": [5, 120]}));
        for wrong in ["", "many", "-1"] {
            assert!(Pace { at_once: text(wrong), rate: None, schedule: None }.body().is_err(), "{wrong}");
        }
        assert!(Pace { at_once: None, rate: None, schedule: text("5") }.body().is_err());
    }
}
