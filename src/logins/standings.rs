//! The table of how addresses stand: one row of an address, locked while it is looked at and changed.

use std::time::Duration;

use jiff::Timestamp;

use super::Address;
use super::ladder::Standing;
use crate::App;
use crate::crypto::Purpose;
use crate::db::{DbError, Row, Transaction};

/// A row says nothing any more when nobody used it for so long.
const KEPT: Duration = Duration::from_secs(2 * 86_400);
/// The same where the last code was wrong. What is locked is kept until an operator unlocks it.
const KEPT_IF_WRONG: Duration = Duration::from_secs(90 * 86_400);

const OPEN: &str = "/* logins::standings::open */
insert into login_addresses (appid, subject, used_at)
select $1, $2, $4 where not exists (select from login_addresses where appid = $1 and subject = any ($3))
on conflict do nothing";

const LOCK: &str = "/* logins::standings::lock */
select subject, sent, failed, in_a_row, blocked_until, locked_at from login_addresses
where appid = $1 and subject = any ($2) order by subject limit 1 for update";

const SAVE: &str = "/* logins::standings::save */
update login_addresses set sent = $3, failed = $4, in_a_row = $5, blocked_until = $6, locked_at = $7, used_at = $8
where appid = $1 and subject = $2";

const PURGE: &str = "/* logins::standings::purge */
delete from login_addresses where ctid = any (array(
    (select ctid from login_addresses where used_at < $1 and in_a_row = 0 and locked_at is null
     order by used_at limit 500)
    union all
    (select ctid from login_addresses where used_at < $2 and in_a_row > 0 and locked_at is null
     order by used_at limit 500)))";

/// A locked row; without one, where an address is not known.
pub(super) struct Locked {
    appid: String,
    subject: Vec<u8>,
    /// How it stands. Changes are lost unless [`Locked::save`]d.
    pub(super) standing: Standing,
}

/// Keyed hashes of an address with an application, the current key's first.
pub(super) fn subjects(app: &App, appid: &str, address: &Address) -> Vec<[u8; 32]> {
    app.keys
        .hashes(Purpose::Login, &[b"address", appid.as_bytes(), address.kind().as_bytes(), address.as_str().as_bytes()])
}

/// Locks the row of an address. One that is not known gets one if `open`, else it stands as if nothing had ever been.
pub(super) async fn lock(
    tx: &Transaction<'_>,
    app: &App,
    appid: &str,
    address: &Address,
    open: bool,
) -> Result<Locked, DbError> {
    let subjects = subjects(app, appid, address);
    let all: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let current = all.first().copied().unwrap_or_default();
    if open {
        let statement = tx.prepare_cached(OPEN).await?;
        tx.execute(&statement, &[&appid, &current, &all, &app.clock.now()]).await?;
    }
    let statement = tx.prepare_cached(LOCK).await?;
    let row = tx.query_opt(&statement, &[&appid, &all]).await?;
    Ok(row.map_or_else(
        || Locked { appid: appid.to_owned(), subject: current.to_vec(), standing: Standing::default() },
        |row| read(appid, &row),
    ))
}

impl Locked {
    /// Writes it back.
    pub(super) async fn save(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<(), DbError> {
        let Standing { sent, failed, in_a_row, blocked_until, locked_at } = &self.standing;
        let statement = tx.prepare_cached(SAVE).await?;
        tx.execute(&statement, &[&self.appid, &self.subject, sent, failed, in_a_row, blocked_until, locked_at, &now])
            .await?;
        Ok(())
    }
}

/// Removes up to 1,000 rows that say nothing any more; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    let now = app.clock.now();
    app.db.execute(PURGE, &[&(now - KEPT), &(now - KEPT_IF_WRONG)]).await
}

fn read(appid: &str, row: &Row) -> Locked {
    let standing = Standing {
        sent: row.get(1),
        failed: row.get(2),
        in_a_row: row.get(3),
        blocked_until: row.get(4),
        locked_at: row.get(5),
    };
    Locked { appid: appid.to_owned(), subject: row.get(0), standing }
}
