//! Logins that a hub made a welcome for.

use crate::App;
use crate::db::{DbError, Transaction};
use crate::gateway::Begun;
use crate::homing::decode_exact;

use super::site::state_hash;

/// An attempt that has not expired.
pub(super) struct Attempt {
    pub(super) username: String,
    pub(super) ts: i64,
    pub(super) state_hash: Vec<u8>,
    /// Where another device may approve: what it has to type.
    pub(super) digits: Option<String>,
    /// Set once it is used.
    pub(super) outcome: Option<String>,
}

const KEEP: &str = "/* gateway::attempts::keep */
insert into hs_attempts (n, username, ts, state_hash, challenge, created_at, expires_at, digits) values ($1, $2, $3, $4, $5, $6, $7, $8)";

const FIND: &str = "/* gateway::attempts::find */
select username, ts, state_hash, digits, outcome from hs_attempts where n = $1 and expires_at > $2";

const CONSUME: &str = "/* gateway::attempts::consume */
update hs_attempts set consumed_at = $2, outcome = $3 where n = $1 and consumed_at is null and expires_at > $2 returning true";

const SETTLE: &str = "/* gateway::attempts::settle */
update hs_attempts set outcome = $2 where n = $1";

const PURGE: &str = "/* gateway::attempts::purge */
delete from hs_attempts where n = any (array(select n from hs_attempts where expires_at < $1 order by expires_at limit 1000))";

/// Keeps an attempt, now that the hub has made its welcome.
pub async fn keep(app: &App, begun: &Begun, challenge: &str) -> Result<(), DbError> {
    let (now, hash) = (app.clock.now(), state_hash(&begun.state));
    let expires_at = now + app.config.homing.gateway.attempt_life.duration();
    let (n, username) = (&begun.n, begun.username.as_str());
    app.db.execute(KEEP, &[n, &username, &begun.ts, &&hash[..], &challenge, &now, &expires_at, &begun.digits]).await?;
    Ok(())
}

/// The attempt of this name, used or not. What cannot be a name is asked of nobody: it may be long, or have what the database refuses.
pub(super) async fn find(app: &App, n: &str) -> Result<Option<Attempt>, DbError> {
    if decode_exact::<16>(n).is_none() {
        return Ok(None);
    }
    let row = app.db.row(FIND, &[&n, &app.clock.now()]).await?;
    Ok(row.map(|row| Attempt {
        username: row.get(0),
        ts: row.get(1),
        state_hash: row.get(2),
        digits: row.get(3),
        outcome: row.get(4),
    }))
}

/// Uses it up; false when somebody else was first. Whoever comes at the same time waits for this transaction's end.
pub(super) async fn consume(tx: &Transaction<'_>, app: &App, n: &str, outcome: &str) -> Result<bool, DbError> {
    Ok(tx.query_opt(CONSUME, &[&n, &app.clock.now(), &outcome]).await?.is_some())
}

/// What became of an attempt that this transaction has used up.
pub(super) async fn settle(tx: &Transaction<'_>, n: &str, outcome: &str) -> Result<(), DbError> {
    tx.execute(SETTLE, &[&n, &outcome]).await?;
    Ok(())
}

pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}
