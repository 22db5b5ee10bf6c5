//! `handfast homing inbox`, `show-welcome`, `approve`, `deny` and `login`.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::session::{Session, list};
use super::{AgentError, Browser, Entrance, Gift, Landing, Welcome};
use crate::cli::Failure;
use crate::cli::output::harmless;
use crate::cli::table::{Column, Show, fields};
use crate::config::Period;

const WAITING: [Column; 4] = [
    Column("ID", "challenge", Show::Text),
    Column("PERSONA", "persona", Show::Text),
    Column("CAME", "created_at", Show::Time),
    Column("UNTIL", "expires_at", Show::Time),
];

const WELCOME: [Column; 8] = [
    Column("MERCHANT", "merchant", Show::Text),
    Column("SITE", "site_name", Show::Text),
    Column("LEADS TO", "origin", Show::Text),
    Column("PERSONA", "persona", Show::Text),
    Column("MUST GIVE", "mandatory", Show::Text),
    Column("MAY GIVE", "optional", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("UNTIL", "expires_at", Show::Time),
];

/// The hub holds an answer back this long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// List welcomes that wait for an answer.
#[derive(Debug, Args)]
pub(super) struct Inbox {
    /// Wait for one, at most this long [default when given: 5m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5m")]
    wait: Option<Period>,
}

/// Approve a welcome.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Its ID, hsc_…
    id: String,
    #[command(flatten)]
    giving: Giving,
}

/// Sign in at a merchant's site.
#[derive(Debug, Args)]
#[command(after_help = "\
Walks the way of a browser: the merchant's form, its way to your hub, the welcome, your approval, the merchant's \
endpoint with its cookies, the page behind it. The welcome must lead to the site whose form was filled in. \
The exit code is 1 when the merchant does not let you in.")]
pub(super) struct Login {
    /// The page with the merchant's form
    url: Url,
    /// Who signs in
    #[arg(long)]
    persona: String,
    #[command(flatten)]
    giving: Giving,
    /// Accept a welcome that leads there, instead of to the form's own site: https://login.shop.example
    #[arg(long, value_name = "URL")]
    origin: Option<Url>,
    /// Accept a welcome of this merchant's persona only
    #[arg(long, value_name = "PERSONA")]
    merchant: Option<String>,
    /// Print the value of the session's cookie, too: whoever has it is signed in
    #[arg(long)]
    show_session: bool,
}

#[derive(Debug, Args)]
struct Giving {
    /// What to give beside what must be given: names of scopes, or name=value for a value for this once
    #[arg(long, value_name = "SCOPE[=VALUE],…", value_delimiter = ',')]
    give: Vec<String>,
}

impl Inbox {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (begun, patience) = (Instant::now(), self.wait.map_or(Duration::ZERO, Period::duration));
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            let asked = Instant::now();
            let waiting = session.agent.inbox(left.min(LONGEST_WAIT), &[]).await?;
            if !waiting.is_empty() || begun.elapsed() >= patience {
                let items: Vec<Value> = waiting.iter().map(|welcome| timed(json!(welcome))).collect();
                return list(session.out, &WAITING, &items);
            }
            // A hub that does not hold its answer is not asked in a tight loop.
            tokio::time::sleep(Duration::from_millis(500).saturating_sub(asked.elapsed())).await;
        }
    }
}

impl Approve {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session.refresh().await?;
        let welcome = session.agent.welcome(&self.id).await?;
        let approval = session.agent.approve(&welcome, &self.giving.gift()).await?;
        let fields: serde_json::Map<String, Value> =
            approval.fields.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        let said = json!({"action": approval.action_text, "method": "POST", "fields": fields});
        session.out.answer(&said.to_string(), || {
            let mut text =
                format!("approved; post within seconds, from where the login began:\n{}", approval.action_text);
            approval.fields.iter().for_each(|(name, value)| text.push_str(&format!("\n  {name}={}", harmless(value))));
            text
        })
    }
}

impl Login {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session.refresh().await?;
        let agent = &session.agent;
        let browser = Browser::new(agent.hub().web().clone());
        let entrance = Entrance::open(browser, &self.url).await?;
        // Before the merchant asks: a welcome that cannot be approved would lie in the inbox.
        agent.can_give(&entrance.scopes()?, &self.giving.gift())?;
        let mut visit = entrance.enter(&self.persona, agent.hub().base()).await?;
        let welcome = agent.welcome(&visit.challenge).await?;
        self.expected(&welcome)?;
        let approval = agent.approve(&welcome, &self.giving.gift()).await?;
        let landing = visit.arrive(&approval).await?;
        self.report(session, &welcome, &landing)
    }

    /// The welcome must be what the person at the form expects: a merchant could have another's welcome shown.
    fn expected(&self, welcome: &Welcome) -> Result<(), Failure> {
        let origin = self.origin.as_ref().unwrap_or(&self.url).origin().ascii_serialization();
        let shown = &welcome.envelope;
        let strange = if shown.origin != origin {
            format!("the form is at {origin}, and the welcome leads to {}", harmless(&shown.origin))
        } else if !shown.username.eq_ignore_ascii_case(&self.persona) {
            format!("the welcome is for {}", harmless(&shown.username))
        } else if self.merchant.as_ref().is_some_and(|name| !shown.merchant.eq_ignore_ascii_case(name)) {
            format!("the merchant is {}", harmless(&shown.merchant))
        } else {
            return Ok(());
        };
        Err(AgentError::Suspicious(strange).into())
    }

    fn report(&self, session: &Session, welcome: &Welcome, landing: &Landing) -> Result<(), Failure> {
        if !landing.is_in() {
            let status = if landing.endpoint_status >= 400 { landing.endpoint_status } else { landing.status };
            return Err(Failure::Refused(format!("the merchant does not let {} in (status {status})", self.persona)));
        }
        let (name, value) = landing.session.clone().unzip();
        let mut said = json!({
            "merchant": welcome.envelope.merchant, "landed": landing.url.as_str(), "status": landing.status, "session": name,
        });
        if self.show_session {
            said["session_value"] = json!(value);
        }
        session.out.answer(&said.to_string(), || {
            let mut text =
                format!("signed in at {} as {}", harmless(&welcome.envelope.merchant), harmless(&self.persona));
            text.push_str(&format!("\nlanded at  {} ({})", landing.url, landing.status));
            match (name, value.filter(|_| self.show_session)) {
                (Some(name), Some(value)) => text.push_str(&format!("\nsession    {name}={value}")),
                (Some(name), None) => text.push_str(&format!("\nsession    {name}")),
                (None, _) => {}
            }
            text
        })
    }
}

impl Giving {
    fn gift(&self) -> Gift {
        let mut gift = Gift::default();
        for part in self.give.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, value)) => drop(gift.values.insert(name.to_owned(), value.to_owned())),
                None => gift.names.push(part.to_owned()),
            }
        }
        gift
    }
}

/// `show-welcome`.
pub(super) async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    let welcome = session.agent.welcome(id).await?;
    let shown = described(&welcome);
    session.out.answer(&shown.to_string(), || fields(&WELCOME, &shown))
}

/// `deny`.
pub(super) async fn deny(session: &Session, id: &str) -> Result<(), Failure> {
    let welcome = session.agent.welcome(id).await?;
    session.agent.deny(&welcome).await?;
    session.out.answer(&json!({"challenge": id, "denied": true}).to_string(), || format!("{} denied", harmless(id)))
}

fn described(welcome: &Welcome) -> Value {
    let shown = &welcome.envelope;
    timed(json!({
        "challenge": shown.challenge, "merchant": shown.merchant, "site_name": shown.site_name,
        "origin": shown.origin, "persona": shown.username, "scopes": shown.scopes,
        "mandatory": welcome.scopes.mandatory().collect::<Vec<_>>(),
        "optional": welcome.scopes.optional().collect::<Vec<_>>(),
        "state": welcome.state, "created_at": shown.iat, "expires_at": shown.exp,
    }))
}

/// Times that are numbers, as times of the API are written.
fn timed(mut value: Value) -> Value {
    for name in ["created_at", "expires_at"] {
        let time = value[name].as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
        if let Some(time) = time {
            value[name] = json!(time);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::homing::scopes::Scopes;
    use crate::homing::welcome::Envelope;

    fn welcome() -> Welcome {
        let envelope = Envelope {
            v: 1,
            challenge: "hsc_x".into(),
            merchant: "shopkeeper".into(),
            site_name: "Shop\u{1b}".into(),
            origin: "https://shop.example".into(),
            username: "alice".into(),
            scopes: "email|phone1".into(),
            iat: 1_700_000_000,
            exp: 1_700_000_300,
        };
        Welcome { envelope, scopes: Scopes::parse("email|phone1").unwrap(), state: "pending".into() }
    }

    fn login(url: &str, merchant: Option<&str>, origin: Option<&str>) -> Login {
        Login {
            url: url.parse().unwrap(),
            persona: "Alice".into(),
            giving: Giving { give: vec![" email".into(), "phone1=+4930123456".into(), String::new()] },
            origin: origin.map(|url| url.parse().unwrap()),
            merchant: merchant.map(Into::into),
            show_session: false,
        }
    }

    #[test]
    fn a_welcome_is_shown_and_cannot_drive_the_terminal() {
        insta::assert_snapshot!(fields(&WELCOME, &described(&welcome())), @r"
        merchant   shopkeeper
        site       Shop\u{1b}
        leads to   https://shop.example
        persona    alice
        must give  email
        may give   phone1
        state      pending
        until      2023-11-14 22:18:20Z
        ");
    }

    #[test]
    fn a_welcome_that_leads_elsewhere_is_not_approved() {
        let (page, other) = ("https://shop.example/homing/login", "https://evil.example/homing/login");
        assert!(login(page, None, None).expected(&welcome()).is_ok());
        assert!(login(page, Some("Shopkeeper"), None).expected(&welcome()).is_ok());
        assert!(login(other, None, Some("https://shop.example")).expected(&welcome()).is_ok());
        for wrong in [login(other, None, None), login(page, Some("sh0pkeeper"), None)] {
            assert!(wrong.expected(&welcome()).is_err());
        }
    }

    #[test]
    fn what_is_given_is_names_or_values() {
        let gift = login("https://a.example", None, None).giving.gift();
        assert_eq!(gift.names, ["email"]);
        assert_eq!(gift.values["phone1"], "+4930123456");
    }
}
