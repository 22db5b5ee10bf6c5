//! Who is signed in to the console: the holder of an API key, or somebody whom a proxy names.
//!
//! Promises: a key that was revoked, and a person whom the proxy or the settings no longer name, is signed out with the next request; a
//! header that names somebody is believed of trusted proxies only, and only if it comes once. Tries with keys are limited before the
//! key is looked at. Keys that are bound to one account do not open the console: its pages are about the whole node.

use std::net::IpAddr;

use http::HeaderMap;
use uuid::Uuid;

use super::call::Turned;
use crate::App;
use crate::doors::site::session::Session;
use crate::guessing::network;
use crate::limits::{self, Spent};
use crate::senders::{self, Authenticator, Scopes};

/// What tells the two kinds of sessions apart.
const BY_KEY: &str = "key ";
const BY_PROXY: &str = "proxy ";
/// Longest name that a proxy may give somebody.
const LONGEST_NAME: usize = 200;
const LIMIT: &str = "console-wrong-key";

/// Who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    /// The sender of the key, or the name that the proxy gives.
    pub(super) name: String,
    /// What they may see and do.
    pub(super) scopes: Scopes,
    /// Their key.
    pub(super) key: Option<Uuid>,
}

/// What came of a try to sign in with a key.
pub(super) enum Tried {
    /// What the session is to hold.
    Welcome(String),
    /// No key of ours, or one that was revoked.
    Unknown,
    /// A key of one account.
    Bound,
    /// Too many tries from there.
    TooMany,
}

/// Looks at a key.
pub(super) async fn try_key(app: &App, ip: IpAddr, key: &str) -> Result<Tried, Turned> {
    let bucket = app.config.console.wrong_keys_per_ip;
    let source = network(ip);
    if limits::spend(app, LIMIT, &source, bucket, 1).await? != Spent::Within {
        return Ok(Tried::TooMany);
    }
    let Some(found) = senders::authenticate(app, key).await? else { return Ok(Tried::Unknown) };
    limits::give_back(app, LIMIT, &source, 1).await?;
    if found.account.is_some() {
        return Ok(Tried::Bound);
    }
    Ok(Tried::Welcome(format!("{BY_KEY}{key}")))
}

/// The name that a trusted proxy gives whoever asks, if the settings let it.
pub(super) fn named<'a>(app: &App, headers: &'a HeaderMap, from_proxy: bool) -> Option<&'a str> {
    let wanted = app.config.console.trusted_header.as_str();
    if wanted.is_empty() || !from_proxy {
        return None;
    }
    // Twice: one of the two was there before the proxy's own.
    let mut values = headers.get_all(wanted).iter();
    let name = values.next().filter(|_| values.next().is_none())?.to_str().ok()?.trim();
    (!name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(',')).then_some(name)
}

/// What a session holds of somebody whom the proxy names.
pub(super) fn of_proxy(name: &str) -> String {
    format!("{BY_PROXY}{name}")
}

/// Whose session this is, if it still opens anything. `named` is what the proxy says now.
pub(super) async fn of(
    app: &App,
    keys: &Authenticator,
    session: &Session,
    named: Option<&str>,
) -> Result<Option<Operator>, Turned> {
    if let Some(name) = session.secret().strip_prefix(BY_PROXY) {
        let scopes = app.config.console.scopes_of(name).filter(|_| named == Some(name));
        return Ok(scopes.map(|scopes| Operator { name: name.to_owned(), scopes, key: None }));
    }
    let Some(key) = session.secret().strip_prefix(BY_KEY) else { return Ok(None) };
    let key = keys.authenticate(key).await?.filter(|key| key.account.is_none());
    Ok(key.map(|key| Operator { name: key.sender, scopes: key.scopes, key: Some(key.id) }))
}
