//! Cancelling: what no worker holds is stopped; what one holds is dropped unless it has just gone.
//!
//! A cancelled delivery has an exception that says so, or a chunk that was cancelled as a whole. Who cancels locks the chunk's row
//! first, which a claim locks too: from then on nobody claims it before the cancel is committed, and the claim then sees it.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::tell::{self, Kind};
use super::{BooksError, Cancelled, DeliveryId, Lane, turns};
use crate::App;
use crate::db::Transaction;

/// Cancels a message's delivery; `None` when there is no such message.
pub async fn cancel(app: &App, message: Uuid) -> Result<Option<Cancelled>, BooksError> {
    Ok(cancel_many(app, &[message]).await?.pop().flatten())
}

/// Cancels each of `ids` that has not gone; answers in order, none where there is no such delivery.
pub async fn cancel_many(app: &App, ids: &[Uuid]) -> Result<Vec<Option<Cancelled>>, BooksError> {
    let places: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let found = cancel_in(&transaction, &places, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(ids.iter().map(|id| DeliveryId::from_uuid(*id).and_then(|id| found.get(&id).copied())).collect())
}

/// The same inside a transaction of the caller's.
pub(super) async fn cancel_in(
    tx: &Transaction<'_>,
    ids: &[DeliveryId],
    now: Timestamp,
) -> Result<HashMap<DeliveryId, Cancelled>, BooksError> {
    let mut sorted = ids.to_vec();
    // Rows are locked in one order by everybody.
    sorted.sort_unstable();
    sorted.dedup();
    let (mut found, mut lanes) = (HashMap::new(), HashMap::new());
    let (mut leave, mut set) = (Vec::new(), Vec::new());
    turns::lock(tx, &sorted).await?;
    for seen in look(tx, &sorted).await? {
        let word = seen.word();
        found.insert(seen.id, word);
        lanes.insert(seen.id, seen.lane);
        match (seen.left_as, word) {
            (_, Cancelled::Gone) | (Some(3), _) => {}
            (None, _) if seen.chunk == Some(5) => {}
            (Some(_), _) => set.push(seen.id),
            (None, _) => leave.push(seen.id),
        }
    }
    write(tx, LEAVE, &leave, now).await?;
    write(tx, SET, &set, now).await?;
    leave.extend(set);
    let told: Vec<(DeliveryId, Lane)> =
        leave.iter().map(|id| (*id, lanes.get(id).copied().unwrap_or(Lane::Bulk))).collect();
    tell::ended(tx, Kind::Cancelled, &told, now).await?;
    // The line of one that may still be on its way is moved on by the worker that has it, or by the repair of lines.
    leave.retain(|id| found.get(id) == Some(&Cancelled::Stopped));
    turns::pass(tx, &leave, now).await?;
    Ok(found)
}

/// What there is to know of one that is to be cancelled, under the locks.
struct Seen {
    id: DeliveryId,
    /// Its exception's state.
    left_as: Option<i16>,
    /// Its chunk's state.
    chunk: Option<i16>,
    delivered: bool,
    lane: Lane,
}

impl Seen {
    fn word(&self) -> Cancelled {
        match (self.left_as, self.chunk) {
            (Some(1 | 8 | 9), _) => Cancelled::Stopped,
            (Some(2), _) => Cancelled::Stopping,
            (_, _) if self.delivered => Cancelled::Gone,
            (Some(3), _) => Cancelled::Stopped,
            (Some(_), _) | (None, None | Some(2)) => Cancelled::Gone,
            (None, Some(1)) => Cancelled::Stopping,
            (None, Some(_)) => Cancelled::Stopped,
        }
    }
}

/// Three statements on purpose: what the locks waited for is seen by the statement after them only.
async fn look(tx: &Transaction<'_>, ids: &[DeliveryId]) -> Result<Vec<Seen>, BooksError> {
    let chunks: Vec<Uuid> = ids.iter().map(|id| id.chunk).collect::<HashSet<_>>().into_iter().collect();
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
    let sql = "/* books::cancel lock */ select 1 from chunks where id = any($1) order by id for update";
    tx.query(&tx.prepare_cached(sql).await?, &[&chunks]).await?;
    let sql = "/* books::cancel lock exceptions */
        select 1 from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        join exceptions e on e.chunk = x.chunk and e.seq = x.seq order by e.chunk, e.seq for update of e";
    tx.query(&tx.prepare_cached(sql).await?, &[&chunk, &seq]).await?;
    let sql = "/* books::cancel look */
        select x.chunk, x.seq, e.state, c.state,
               exists (select from tries_of(x.chunk, x.seq) a where a.outcome = 0),
               coalesce(e.lane, c.lane, 1::smallint)
        from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        cross join lateral (select id from messages where id = delivery_id(x.chunk, x.seq) offset 0) m
        left join lateral (select state, lane from exceptions where chunk = x.chunk and seq = x.seq offset 0) e on true
        left join lateral (select state, lane from chunks where id = x.chunk offset 0) c on true";
    let rows = tx.query(&tx.prepare_cached(sql).await?, &[&chunk, &seq]).await?;
    let seen = |row: &crate::db::Row| Seen {
        id: DeliveryId { chunk: row.get(0), seq: row.get(1) },
        left_as: row.get(2),
        chunk: row.get(3),
        delivered: row.get(4),
        lane: Lane::from_number(row.get(5)),
    };
    Ok(rows.iter().map(seen).collect())
}

const LEAVE: &str = "/* books::cancel leave chunk */
insert into exceptions (chunk, seq, lane, destination, state, reason, updated_at)
select x.chunk, x.seq, c.lane, m.destination, 3, 'cancelled', $3
from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
cross join lateral (select lane from chunks where id = x.chunk offset 0) c
cross join lateral (select destination from messages where id = delivery_id(x.chunk, x.seq) offset 0) m";

/// The worker stays on one that it holds: so a replay knows that it may still be sent.
const SET: &str = "/* books::cancel set */
update exceptions e
set state = 3, reason = 'cancelled', due_at = null, published_at = null, claim = null, updated_at = $3
from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
where e.chunk = x.chunk and e.seq = x.seq and (e.state in (1, 2, 8, 9)) is true";

async fn write(tx: &Transaction<'_>, sql: &str, ids: &[DeliveryId], now: Timestamp) -> Result<(), BooksError> {
    if !ids.is_empty() {
        let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
        tx.execute(&tx.prepare_cached(sql).await?, &[&chunk, &seq, &now]).await?;
    }
    Ok(())
}

/// Which deliveries of these chunks are cancelled; workers ask this for what they hold.
pub async fn cancelled_among(app: &App, chunks: &[Uuid]) -> Result<Vec<DeliveryId>, BooksError> {
    let sql = "/* books::cancelled_among */ select chunk, seq from exceptions where chunk = any($1) and state = 3";
    let client = app.db.client().await?;
    let rows = client.query(&client.prepare_cached(sql).await?, &[&chunks]).await?;
    Ok(rows.iter().map(|row| DeliveryId { chunk: row.get(0), seq: row.get(1) }).collect())
}
