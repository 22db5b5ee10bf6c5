//! Senders and their API keys.
//!
//! Promises: a key is shown once and kept as a keyed hash; every presented text costs the same hash and look-up, whatever is wrong
//! with it; a revoked key is refused within [`Authenticator`]'s two seconds. A key of a disabled account opens nothing. Leaves out
//! HTTP and what a scope is asked for.

mod scopes;

pub use scopes::{Scope, ScopeError, Scopes};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::App;
use crate::accounts::Account;
use crate::clock::Instant;
use crate::config::Secret;
use crate::crypto::{self, Purpose};
use crate::db::{DbError, Row};
use crate::openmsg::Address;

/// How long a key that was just looked up is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// Keys remembered at most.
const REMEMBERED: usize = 4096;
/// Longest name of a sender, in characters.
const LONGEST_SENDER: usize = 64;

/// A key, without its secret part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// The name under which limits and idempotency keys are counted.
    pub sender: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Set: it may act for this account only.
    pub account: Option<KeyAccount>,
}

/// The account a key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccount {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub address: Address,
}

/// Why a key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Not a name for a sender.
    #[error("a sender's name has 1 to 64 characters and no control characters")]
    Sender,
}

const CREATE: &str = "/* senders::create */
insert into api_keys (id, sender, scopes, account_id, key_hash, created_at) values ($1, $2, $3, $4, $5, $6)";

const AUTHENTICATE: &str = "/* senders::authenticate */
select k.id, k.sender, k.scopes, k.account_id, a.address
from api_keys k left join accounts a on a.id = k.account_id
where k.key_hash = any ($1) and k.revoked_at is null and a.disabled_at is null";

const HOLDS: &str = "/* senders::holds */
select from api_keys k left join accounts a on a.id = k.account_id
where k.id = $1 and k.revoked_at is null and a.disabled_at is null";

const LIST: &str = "/* senders::list */
select k.id, k.sender, k.scopes, k.account_id, a.address
from api_keys k left join accounts a on a.id = k.account_id
where k.id > $1 and k.revoked_at is null order by k.id limit $2";

const GET: &str = "/* senders::get */
select k.id, k.sender, k.scopes, k.account_id, a.address
from api_keys k left join accounts a on a.id = k.account_id
where k.id = $1 and k.revoked_at is null";

const REVOKE: &str = "/* senders::revoke */
update api_keys set revoked_at = $2 where id = $1 and revoked_at is null";

/// Makes a key; the text, `hf_…`, is to be had only now.
pub async fn create(
    app: &App,
    sender: &str,
    scopes: &Scopes,
    account: Option<&Account>,
) -> Result<(Key, Secret), Error> {
    let length = sender.chars().count();
    if sender.trim().is_empty() || length > LONGEST_SENDER || sender.chars().any(char::is_control) {
        return Err(Error::Sender);
    }
    let random = Zeroizing::new(crypto::random::<32>());
    let text = Secret::from(format!("hf_{}", URL_SAFE_NO_PAD.encode(*random)));
    let hash = app.keys.hash(Purpose::ApiKey, &[text.reveal().as_bytes()]);
    let id = app.new_id();
    let account_id = account.map(|account| account.id);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&id, &sender, &scopes.names(), &account_id, &hash.as_slice(), &app.clock.now()];
    app.db.execute(CREATE, &parameters).await?;
    let account = account.map(|account| KeyAccount { id: account.id, address: account.address.clone() });
    Ok((Key { id, sender: sender.into(), scopes: scopes.clone(), account }, text))
}

/// Whose key this is; `None`: nobody's, revoked, or its account is disabled.
pub async fn authenticate(app: &App, text: &str) -> Result<Option<Key>, Error> {
    let hashes = app.keys.hashes(Purpose::ApiKey, &[text.as_bytes()]);
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    Ok(app.db.row(AUTHENTICATE, &[&hashes]).await?.map(|row| read(&row)).transpose()?)
}

/// Up to `limit` keys that were not revoked, oldest first, those after the id `after`.
pub async fn list(app: &App, after: Option<Uuid>, limit: i64) -> Result<Vec<Key>, Error> {
    let rows = app.db.rows(LIST, &[&after.unwrap_or(Uuid::nil()), &limit]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The key with this id, unless it was revoked.
pub async fn get(app: &App, id: Uuid) -> Result<Option<Key>, Error> {
    Ok(app.db.row(GET, &[&id]).await?.map(|row| read(&row)).transpose()?)
}

/// Revokes a key; false: there is none, or it was revoked before.
pub async fn revoke(app: &App, id: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(REVOKE, &[&id, &app.clock.now()]).await? == 1)
}

/// [`authenticate`] with a memory of two seconds, so that a busy sender does not cost a look-up a request. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    app: App,
    known: Arc<Mutex<Known>>,
}

/// By the keyed hash of a key: since when it is known, and what it is.
type Known = HashMap<[u8; 32], (Timestamp, Key)>;

impl Authenticator {
    /// Knows nobody yet.
    pub fn new(app: App) -> Self {
        Self { app, known: Arc::default() }
    }

    /// As the function of this name, at most two seconds old.
    pub async fn authenticate(&self, text: &str) -> Result<Option<Key>, Error> {
        let hash = self.app.keys.hash(Purpose::ApiKey, &[text.as_bytes()]);
        let now = self.app.clock.now();
        if let Some(key) = self.remembered(&hash, now) {
            return Ok(Some(key));
        }
        let key = authenticate(&self.app, text).await?;
        if let Some(key) = &key {
            self.remember(hash, now, key.clone());
        }
        Ok(key)
    }

    fn remembered(&self, hash: &[u8; 32], now: Timestamp) -> Option<Key> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(since, _)| is_fresh(*since, now)).map(|(_, key)| key.clone())
    }

    fn remember(&self, hash: [u8; 32], now: Timestamp, key: Key) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (since, _)| is_fresh(*since, now));
        }
        if known.len() < REMEMBERED {
            known.insert(hash, (now, key));
        }
    }
}

/// A key that one request uses for longer than [`BELIEVED`]: a stream must not outlive it.
pub struct Standing {
    app: App,
    key: Uuid,
    until: Instant,
}

impl Standing {
    /// Of a key that was just authenticated.
    pub fn of(app: &App, key: &Key) -> Self {
        Self::of_id(app, key.id)
    }

    /// The same by its id.
    pub fn of_id(app: &App, key: Uuid) -> Self {
        Self { app: app.clone(), key, until: Instant::now().after(BELIEVED) }
    }

    /// Whether the key still opens anything, as known at most two seconds ago.
    pub async fn holds(&mut self) -> Result<bool, Error> {
        if !self.until.is_past() {
            return Ok(true);
        }
        let holds = self.app.db.row(HOLDS, &[&self.key]).await?.is_some();
        if holds {
            self.until = Instant::now().after(BELIEVED);
        }
        Ok(holds)
    }
}

/// A clock that was set back makes nothing fresh.
fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    since <= now && now < since + BELIEVED
}

fn read(row: &Row) -> Result<Key, DbError> {
    let scopes = Scopes::parse(row.get::<_, Vec<&str>>("scopes")).map_err(|_| DbError::Stored("scope"))?;
    let account = match (row.get::<_, Option<Uuid>>("account_id"), row.get::<_, Option<&str>>("address")) {
        (Some(id), Some(address)) => {
            Some(KeyAccount { id, address: address.parse().map_err(|_| DbError::Stored("address"))? })
        }
        _ => None,
    };
    Ok(Key { id: row.get("id"), sender: row.get("sender"), scopes, account })
}
