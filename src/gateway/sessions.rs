//! Browsers that are signed in. The cookie's value is kept as a keyed hash only.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::accounts::{self, Account};
use super::{Error, arrival};
use crate::App;
use crate::crypto::{Purpose, random};
use crate::db::{DbError, Transaction};
use crate::homing::encode;

/// A session that holds.
#[derive(Debug)]
pub struct Session {
    /// Whose.
    pub account: Account,
    /// Under which persona.
    pub username: String,
    /// What was given at this login, names with semicolons between.
    pub granted: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

const BEGIN: &str = "/* gateway::sessions::begin */
insert into hs_sessions (id_hash, account_id, username, granted, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)";

const FIND: &str = "/* gateway::sessions::find */
select s.account_id, a.f_in_g, a.created_at, s.username, s.granted, s.created_at, s.expires_at
from hs_sessions s join hs_accounts a on a.id = s.account_id where s.id_hash = any ($1) and s.expires_at > $2";

const END: &str = "/* gateway::sessions::end */
delete from hs_sessions where id_hash = any ($1)";

const PURGE: &str = "/* gateway::sessions::purge */
delete from hs_sessions where id_hash = any (array(select id_hash from hs_sessions where expires_at < $1 order by expires_at limit 1000))";

/// Begins one; the cookie's value.
pub(super) async fn begin(
    tx: &Transaction<'_>,
    app: &App,
    account: &Account,
    arrived: &arrival::Checked,
) -> Result<Zeroizing<String>, DbError> {
    let token = Zeroizing::new(encode(&random::<32>()));
    let hash = app.keys.hash(Purpose::Homing, &parts(&token));
    let now = app.clock.now();
    let until = now + app.config.homing.gateway.session_life.duration();
    let (username, granted) = (&arrived.username, &arrived.granted);
    tx.execute(BEGIN, &[&&hash[..], &account.id, username, granted, &now, &until]).await?;
    Ok(token)
}

/// Whose session this is, if it holds.
pub async fn find(app: &App, token: &str) -> Result<Option<Session>, Error> {
    let Some(row) = app.db.row(FIND, &[&hashes(app, token), &app.clock.now()]).await? else { return Ok(None) };
    let mut account = Account { id: row.get(0), f_in_g: row.get(1), created_at: row.get(2), claims: Vec::new() };
    account.claims = accounts::claims(app, account.id).await?;
    let (username, granted) = (row.get(3), row.get(4));
    Ok(Some(Session { account, username, granted, created_at: row.get(5), expires_at: row.get(6) }))
}

/// Ends it; false: there is none.
pub async fn end(app: &App, token: &str) -> Result<bool, DbError> {
    Ok(app.db.execute(END, &[&hashes(app, token)]).await? > 0)
}

pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}

fn hashes(app: &App, token: &str) -> Vec<Vec<u8>> {
    app.keys.hashes(Purpose::Homing, &parts(token)).into_iter().map(|hash| hash.to_vec()).collect()
}

fn parts(token: &str) -> [&[u8]; 2] {
    [b"gateway session", token.as_bytes()]
}
