//! Feeds: how far events have been handed over to each webhook that wants them.
//!
//! A feed's cursor moves in the transaction that accepts the batch for delivery: each event goes into one batch, whoever dies.

use jiff::Timestamp;

use super::{Cursor, Error, Kind};
use crate::App;
use crate::db::{DbError, Transaction};

/// Batches of one line: see [`Feed::unsettled`].
pub const LINE: &str = "events";
/// More are not counted.
const COUNTED: i64 = 10;
/// Names this lock among PostgreSQL's advisory ones.
const LOCK: i32 = 4_860_447;

/// One webhook's feed.
#[derive(Debug)]
pub struct Feed {
    /// Handed over up to here.
    pub cursor: Cursor,
    /// What it wants.
    pub kinds: Vec<Kind>,
    /// Who made the webhook.
    pub sender: String,
    /// Batches that were accepted and have not ended, 10 at the most.
    pub unsettled: i64,
}

/// The webhooks that want events and are not disabled.
pub async fn subscribed(app: &App) -> Result<Vec<String>, Error> {
    let sql = "/* events::subscribed */
        select w.name from feeds f join webhooks w on w.name = f.webhook
        where w.disabled_at is null and w.events <> '{}' order by 1";
    Ok(app.db.rows(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// A webhook's feed, for this transaction alone; `None`: another process has it, or nothing is wanted any more.
pub async fn feed(tx: &Transaction<'_>, webhook: &str) -> Result<Option<Feed>, Error> {
    // Not the row's lock: that would give this transaction a number, which held back the events it is about to read.
    let sql = "/* events::feed lock */ select pg_try_advisory_xact_lock($1, hashtext($2))";
    if !tx.query_one(&tx.prepare_cached(sql).await?, &[&LOCK, &webhook]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "/* events::feed */
        select f.xid::text, f.n, f.part, f.at, w.events, w.sender,
               (select count(*) from (select from turns t where t.destination = $1 and t.key = $2 limit $3) as waiting)
        from feeds f join webhooks w on w.name = f.webhook
        where f.webhook = $1 and w.disabled_at is null and w.events <> '{}'";
    let row = tx.query_opt(&tx.prepare_cached(sql).await?, &[&webhook, &LINE, &COUNTED]).await?;
    let Some(row) = row else { return Ok(None) };
    let cursor =
        Cursor::stored(row.get(0), row.get(1), row.get(2), row.get(3)).map_err(|_| DbError::Stored("cursor"))?;
    let names: Vec<&str> = row.get(4);
    Ok(Some(Feed {
        cursor,
        // What a newer program knows is not this one's to send.
        kinds: names.iter().filter_map(|name| Kind::list(name).ok()).flatten().collect(),
        sender: row.get(5),
        unsettled: row.get(6),
    }))
}

/// Moves a feed; false: it is not where it was.
pub async fn advance(
    tx: &Transaction<'_>,
    webhook: &str,
    from: &Cursor,
    to: &Cursor,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "/* events::advance */
        update feeds set xid = $5::text::xid8, n = $6, part = $7, at = $8, updated_at = $9
        where webhook = $1 and (xid, n, part) = ($2::text::xid8, $3::int8, $4::int4)";
    let statement = tx.prepare_cached(sql).await?;
    let moved = tx
        .execute(
            &statement,
            &[&webhook, &from.xid(), &from.n(), &from.part(), &to.xid(), &to.n(), &to.part(), &to.at(), &now],
        )
        .await?;
    Ok(moved == 1)
}
