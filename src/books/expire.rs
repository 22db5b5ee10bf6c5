//! What is past its life while nobody holds it.

use jiff::Timestamp;
use uuid::Uuid;

use super::tell::{self, Kind};
use super::{BooksError, DeliveryId, Lane, turns};
use crate::App;
use crate::db::Transaction;

/// Ends what is past its life and waits for another attempt; answers how many.
pub async fn expire_due(app: &App) -> Result<usize, BooksError> {
    expire(app, EXPIRE_DUE).await
}

/// Ends what is past its life and waits for its destination or its turn; answers how many. Less urgent: nothing is sent of it.
pub async fn expire_waiting(app: &App) -> Result<usize, BooksError> {
    Ok(expire(app, EXPIRE_CHUNKS).await? + expire(app, EXPIRE_WAITING).await?)
}

async fn expire(app: &App, sql: &str) -> Result<usize, BooksError> {
    let now = app.clock.now();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let ended = run(&transaction, sql, now).await?;
    if !ended.is_empty() {
        tell::ended(&transaction, Kind::Expired, &ended, now).await?;
        let ids: Vec<DeliveryId> = ended.iter().map(|(id, _)| *id).collect();
        turns::pass(&transaction, &ids, now).await?;
    }
    transaction.commit().await?;
    Ok(ended.len())
}

async fn run(tx: &Transaction<'_>, sql: &str, now: Timestamp) -> Result<Vec<(DeliveryId, Lane)>, BooksError> {
    let rows = tx.query(&tx.prepare_cached(sql).await?, &[&now]).await?;
    let id = |row: &crate::db::Row| DeliveryId { chunk: row.get::<_, Uuid>(0), seq: row.get(1) };
    Ok(rows.iter().map(|row| (id(row), Lane::from_number(row.get(2)))).collect())
}

/// Ten times a second, so it looks at a bounded number: those that have been due the longest. They are claimed one after the other,
/// by a worker who looks for himself, and make room for those behind them. `is true` keeps the index of all that are due from being
/// read for each of them.
const EXPIRE_DUE: &str = "/* books::expire due */
with looked as materialized (
    select chunk, seq, expires_at from exceptions where state = 1 and due_at <= $1 order by due_at limit 1000
), old as (
    select chunk, seq from looked l where $1 >= coalesce(l.expires_at, (
        select m.expires_at from messages m where m.id = delivery_id(l.chunk, l.seq) limit 1))
    limit 500
), locked as materialized (
    select e.chunk, e.seq from old o cross join lateral (
        select chunk, seq from exceptions where chunk = o.chunk and seq = o.seq offset 0 for update skip locked) e
)
update exceptions e set state = 4, due_at = null, published_at = null, reason = 'expired', updated_at = $1
from locked o where e.chunk = o.chunk and e.seq = o.seq and (e.state = 1) is true
returning e.chunk, e.seq, e.lane";

const EXPIRE_WAITING: &str = "/* books::expire waiting */
update exceptions e set state = 4, reason = 'expired', updated_at = $1
where (e.chunk, e.seq) in (
    select x.chunk, x.seq from exceptions x
    where x.state = 8 and $1 >= coalesce(x.expires_at, (
        select m.expires_at from messages m where m.id = delivery_id(x.chunk, x.seq) limit 1))
    limit 500 for update of x skip locked)
returning e.chunk, e.seq, e.lane";

/// Chunks of which everything is past its life.
const EXPIRE_CHUNKS: &str = "/* books::expire chunks */
with old as (
    select id, lane, destination from chunks c
    where state = 3 and not exists (
        select from messages m where m.id between c.id and delivery_id(c.id, 32767::smallint) and m.expires_at > $1)
    limit 20 for update skip locked
), ended as (
    update chunks c set state = 2, settled_at = $1, published_at = null from old where c.id = old.id
)
insert into exceptions (chunk, seq, lane, destination, state, reason, updated_at)
select old.id, seq_of(m.id), old.lane, m.destination, 4, 'expired', $1
from old cross join lateral (
    select * from messages where id between old.id and delivery_id(old.id, 32767::smallint) offset 0) m
where not exists (select from tries_of(old.id, seq_of(m.id)) a where a.outcome = 0)
on conflict do nothing
returning chunk, seq, lane";
