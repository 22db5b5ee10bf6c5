//! A browser that comes back from the hub: the checks in their order, and what follows.
//!
//! The order is the protocol's: what costs nothing and proves most stands first. Whatever is wrong, the browser hears the same; the
//! reason is a word for the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::accounts::{self, Account, Found};
use super::site::{Site, state_hash};
use super::{Error, attempts, elsewhere, sessions};
use crate::App;
use crate::books::{Acceptor, Expiry, Lane, NewMessage, ToPublish, Way};
use crate::crypto::same;
use crate::db::Transaction;
use crate::homing::query::{Pairs, pairs};
use crate::homing::release::{Arrived, is_fresh};
use crate::homing::{fingerprint, values};
use crate::webhooks::{self, Content, Webhook};

/// How long a webhook that cannot be reached is told of a login.
const TOLD_FOR: std::time::Duration = std::time::Duration::from_secs(86_400);
/// Longest fingerprint of a hub that signs nothing, in bytes.
const LONGEST_FINGERPRINT: usize = 128;

/// A request to the endpoint.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The query's bytes as they were received.
    pub query: &'a str,
    /// The form that was posted.
    pub body: &'a str,
    /// The cookie of the browser that began, if it is this one.
    pub state: Option<&'a str>,
}

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A key that comes twice, or something missing.
    Form,
    /// Not the hub's signature over what came.
    Sig,
    /// Too late, or too early.
    Window,
    /// No such attempt, or it is not this one's.
    Unknown,
    /// Another one-time password.
    Otp,
    /// Another browser.
    State,
    /// The attempt was used before.
    Replay,
    /// Something mandatory is not there, or a value that cannot be taken.
    Scope,
    /// Other digits than the first device shows.
    Digits,
    /// Known under another persona, and the merchant lets nobody in twice.
    Policy,
}

/// What comes of an arrival that is in order.
pub enum Came {
    /// Somebody is signed in, in this browser.
    In(SignedIn),
    /// The login began on another device, which shows two digits: whoever types them here, with this, is the one who began.
    Elsewhere(Zeroizing<String>),
}

/// Somebody is signed in.
pub struct SignedIn {
    /// Who.
    pub account: Account,
    /// Whether the account was made just now.
    pub is_new: bool,
    /// The session cookie's value.
    pub session: Zeroizing<String>,
}

/// What the request itself says and proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checked {
    pub(super) username: String,
    pub(super) ts: i64,
    pub(super) n: String,
    pub(super) otp: String,
    pub(super) f_in_g: String,
    /// Names of what came.
    pub(super) granted: String,
    /// Checked values of what came and was asked for.
    pub(super) claims: Vec<(String, String)>,
    /// Whether everything mandatory is there, and everything can be taken.
    complete: bool,
}

impl Refusal {
    /// For the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Sig => "sig",
            Self::Window => "window",
            Self::Unknown => "unknown",
            Self::Otp => "otp",
            Self::State => "state",
            Self::Replay => "replay",
            Self::Scope => "scope",
            Self::Digits => "digits",
            Self::Policy => "policy",
        }
    }
}

/// Lets somebody in, or not.
pub async fn arrive(
    app: &App,
    acceptor: &Acceptor,
    site: &Site,
    arrival: Arrival<'_>,
) -> Result<Result<Came, Refusal>, Error> {
    let arrived = match check(site, arrival, app.clock.unix_seconds()) {
        Ok(arrived) => arrived,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let here = match is_ours(app, site, &arrived, arrival.state).await? {
        Ok(here) => here,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if arrived.complete && !here {
        let held = elsewhere::hold(app, &arrived).await?;
        return Ok(held.map(Came::Elsewhere).ok_or(Refusal::Replay));
    }
    let told = to_be_told(app).await;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let outcome = if arrived.complete { "in" } else { Refusal::Scope.word() };
    if !attempts::consume(&tx, app, &arrived.n, outcome).await? {
        return Ok(Err(Refusal::Replay));
    }
    if !arrived.complete {
        tx.commit().await?;
        return Ok(Err(Refusal::Scope));
    }
    Ok(let_in(app, acceptor, tx, told, &arrived).await?.map(Came::In))
}

/// Steps 7 and 8, for an attempt that this transaction has used up.
pub(super) async fn let_in(
    app: &App,
    acceptor: &Acceptor,
    mut tx: Transaction<'_>,
    told: Option<Webhook>,
    arrived: &Checked,
) -> Result<Result<SignedIn, Refusal>, Error> {
    let Found::Account(account, is_new) = accounts::sign_in(&tx, app, arrived).await? else {
        attempts::settle(&tx, &arrived.n, Refusal::Policy.word()).await?;
        tx.commit().await?;
        return Ok(Err(Refusal::Policy));
    };
    let session = sessions::begin(&tx, app, &account, arrived).await?;
    let to_publish = match told {
        Some(webhook) => tell(&mut tx, acceptor, webhook, &message(app, &account, is_new, arrived)).await?,
        None => None,
    };
    tx.commit().await?;
    if let Some(to_publish) = to_publish {
        acceptor.publish(to_publish);
    }
    tracing::info!(account = %account.id, is_new, "somebody signed in through Homing Space");
    Ok(Ok(SignedIn { account, is_new, session }))
}

/// Steps 1 to 3, and the reading of 7: what needs nothing but the request.
fn check(site: &Site, arrival: Arrival<'_>, now: i64) -> Result<Checked, Refusal> {
    let query = pairs(arrival.query).map_err(|_| Refusal::Form)?;
    let body = pairs(arrival.body).map_err(|_| Refusal::Form)?;
    let granted = site.scopes.granted(|name| body.contains_key(&format!("sc_{name}")));
    let window = i64::try_from(site.settings.replay_window.duration().as_secs()).unwrap_or_default();
    let (f_in_g, moment) = if site.settings.require_hub_signature {
        let arrived = Arrived::parse(arrival.query).ok_or(Refusal::Sig)?;
        if !arrived.is_signed_by(&site.hub_keys, &site.settings.site, &site.endpoint, &granted) {
            return Err(Refusal::Sig);
        }
        (arrived.f_in_g.to_owned(), Some(arrived.hs_ts))
    } else {
        (unsigned_fingerprint(&query)?, None)
    };
    let ts: i64 = parameter(&query, "ts")?.parse().map_err(|_| Refusal::Form)?;
    // A hub that signs nothing says no moment of release: the time of the request counts, as the original words it.
    if !is_fresh(now, moment.unwrap_or(ts), window) {
        return Err(Refusal::Window);
    }
    let claims = claims(site, &body);
    Ok(Checked {
        username: parameter(&query, "username")?.to_owned(),
        ts,
        n: parameter(&query, "n")?.to_owned(),
        otp: parameter(&query, "otp")?.to_owned(),
        f_in_g,
        granted,
        complete: claims.is_some(),
        claims: claims.unwrap_or_default(),
    })
}

/// Steps 4 and 5: the attempt, its one-time password, its browser. True: this is the browser that began; false: it is another device,
/// and that one may approve.
async fn is_ours(
    app: &App,
    site: &Site,
    arrived: &Checked,
    state: Option<&str>,
) -> Result<Result<bool, Refusal>, Error> {
    let Some(attempt) = attempts::find(app, &arrived.n).await? else { return Ok(Err(Refusal::Unknown)) };
    if attempt.username != arrived.username || attempt.ts != arrived.ts {
        return Ok(Err(Refusal::Unknown));
    }
    let otp = site.otp(&attempt.username, attempt.ts, &arrived.n);
    if !same(otp.as_bytes(), arrived.otp.as_bytes()) {
        return Ok(Err(Refusal::Otp));
    }
    let here = state.is_some_and(|state| same(&state_hash(state), &attempt.state_hash));
    Ok(if here || attempt.digits.is_some() { Ok(here) } else { Err(Refusal::State) })
}

fn parameter<'a>(query: &'a Pairs, name: &str) -> Result<&'a str, Refusal> {
    query.get(name).map(String::as_str).ok_or(Refusal::Form)
}

fn unsigned_fingerprint(query: &Pairs) -> Result<String, Refusal> {
    let text = parameter(query, "f_in_g")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let good = fingerprint::is_one(text) || (1..=LONGEST_FINGERPRINT).contains(&text.len()) && text.bytes().all(plain);
    if good { Ok(text.to_owned()) } else { Err(Refusal::Form) }
}

/// The values that were asked for; none where something mandatory is not there, or something cannot be taken. What was not asked for is
/// not looked at.
fn claims(site: &Site, body: &Pairs) -> Option<Vec<(String, String)>> {
    let mut claims = Vec::new();
    for name in site.scopes.names() {
        let value = body.get(&format!("sc_{name}")).map_or("", String::as_str);
        let value = values::take(name, value).ok()?;
        if !value.is_empty() {
            claims.push((name.to_owned(), value));
        } else if site.scopes.mandatory().any(|mandatory| mandatory == name) {
            return None;
        }
    }
    Some(claims)
}

/// The webhook of the settings. Asked for before the transaction begins: whoever holds one connection must not wait for a second.
pub(super) async fn to_be_told(app: &App) -> Option<Webhook> {
    let name = app.config.homing.gateway.webhook.parse().ok()?;
    match webhooks::find(app, &name).await {
        Ok(Some(webhook)) => Some(webhook),
        _ => {
            tracing::warn!(webhook = %name, "the webhook that is to be told of logins cannot be used");
            None
        }
    }
}

/// What the webhook is told.
fn message(app: &App, account: &Account, is_new: bool, arrived: &Checked) -> String {
    let granted: Vec<&str> = arrived.granted.split(';').filter(|name| !name.is_empty()).collect();
    let claims: BTreeMap<&str, &str> = arrived.claims.iter().map(|(scope, value)| (&**scope, &**value)).collect();
    json!({
        "type": "homing.login", "account": account.id, "username": arrived.username, "f_in_g": account.f_in_g, "new": is_new,
        "granted": granted, "claims": claims, "at": app.clock.now(),
    })
    .to_string()
}

/// Tells it: an ordinary delivery, accepted with the login. A login does not fail for it.
async fn tell(
    tx: &mut Transaction<'_>,
    acceptor: &Acceptor,
    webhook: Webhook,
    body: &str,
) -> Result<Option<ToPublish>, Error> {
    let message = NewMessage {
        sender: webhook.sender,
        way: Way::Webhook { name: webhook.name.to_string() },
        lane: Lane::Interactive,
        tag: None,
        content: Content::json(body.as_bytes()).encode(),
        expiry: Expiry::In(TOLD_FOR),
        deliver_at: None,
        order: None,
        campaign: None,
        held: false,
        key: None,
    };
    // A savepoint, so that books that cannot take it cost the message and not the login.
    let inner = tx.transaction().await?;
    match acceptor.accept_in(&inner, vec![message]).await {
        Ok((_, to_publish)) => {
            inner.commit().await?;
            Ok(Some(to_publish))
        }
        Err(error) => {
            inner.rollback().await?;
            tracing::warn!(%error, webhook = %webhook.name, "a webhook could not be told of a login");
            Ok(None)
        }
    }
}
