//! Replaying: what ended without being delivered gets its whole schedule, and the life it had, once more.
//!
//! One conditional statement: of two replays of one delivery only one finds it ended, and one that meets a cancel comes before or
//! after it. What was delivered, by whatever attempt, is refused. So is what was cancelled while a worker had it in its hands, until
//! that worker cannot be sending it any more: it would go out twice.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{BooksError, DeliveryId};
use crate::App;
use crate::db::Transaction;

/// A worker that held a delivery when it was cancelled has dropped it, sent it, or given it up by then.
pub(super) const IN_HANDS: Duration = Duration::from_secs(60);

/// What a replay found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Replayed {
    /// It is due now, as if it had just been accepted.
    Replayed,
    /// It had arrived: it is not sent again.
    Delivered,
    /// It is under way anyway.
    Open,
    /// It was cancelled a moment ago, and a worker may still be sending it: ask again in a minute.
    Busy,
    /// There is no such delivery.
    Unknown,
}

/// Replays each of `ids` that ended without being delivered; answers in order.
pub async fn replay(app: &App, ids: &[Uuid]) -> Result<Vec<Replayed>, BooksError> {
    let places: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let found = replay_in(&transaction, &places, app.clock.now()).await?;
    transaction.commit().await?;
    let word = |id: &Uuid| DeliveryId::from_uuid(*id).and_then(|id| found.get(&id).copied());
    Ok(ids.iter().map(|id| word(id).unwrap_or(Replayed::Unknown)).collect())
}

/// The same inside a transaction of the caller's.
pub(super) async fn replay_in(
    tx: &Transaction<'_>,
    ids: &[DeliveryId],
    now: Timestamp,
) -> Result<HashMap<DeliveryId, Replayed>, BooksError> {
    let mut sorted = ids.to_vec();
    // Rows are changed in one order by everybody.
    sorted.sort_unstable();
    sorted.dedup();
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = sorted.iter().map(|id| (id.chunk, id.seq)).unzip();
    let rows = tx.query(&tx.prepare_cached(REPLAY).await?, &[&chunk, &seq, &now, &(now - IN_HANDS)]).await?;
    let mut found = HashMap::new();
    for row in rows {
        let word = match row.get::<_, i32>(2) {
            1 => Replayed::Replayed,
            2 => Replayed::Delivered,
            3 => Replayed::Busy,
            4 => Replayed::Unknown,
            _ => Replayed::Open,
        };
        let id = DeliveryId { chunk: row.get(0), seq: row.get(1) };
        // What was done comes first; what was seen before it says less.
        found.entry(id).or_insert(word);
    }
    Ok(found)
}

/// Who holds a place in a line that is not the first waits for its turn (state 9); everything else is due now.
const REPLAY: &str = "/* books::replay */
with looked as materialized (
    select x.chunk, x.seq, m.destination, m.id is not null as known, e.state as left_as, c.state as chunk_state, coalesce(e.lane, c.lane, 1::smallint) as lane,
           $3::timestamptz + (m.expires_at - coalesce(greatest(m.deliver_at, m.created_at), m.created_at)) as expires_at,
           (select count(*) from tries_of(x.chunk, x.seq) a where a.outcome = 0) > 0
               or (e.state is null and c.state = 2) or e.state is not distinct from 7 as delivered,
           exists (select from turns t join turns a on a.destination = t.destination and a.key = t.key and a.place < t.place
                   where t.chunk = x.chunk and t.seq = x.seq) as behind
    from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
    left join lateral (select * from messages where id = delivery_id(x.chunk, x.seq) offset 0) m on true
    left join lateral (select * from exceptions where chunk = x.chunk and seq = x.seq offset 0) e on true
    left join lateral (select * from chunks where id = x.chunk offset 0) c on true
), again as (
    update exceptions e
    set state = case when l.behind then 9 else 1 end, due_at = case when l.behind then null else $3::timestamptz end, tries = 0, claim = null, worker = null,
        published_at = null, published_to = null, reason = null, expires_at = l.expires_at, updated_at = $3
    from looked l
    where e.chunk = l.chunk and e.seq = l.seq and (e.state in (3, 4, 5, 6)) is true and l.known and not l.delivered
      and (e.state <> 3 or (l.chunk_state is distinct from 1 and (e.worker is null or e.updated_at < $4)))
    returning e.chunk, e.seq
), fresh as (
    insert into exceptions (chunk, seq, lane, destination, state, due_at, expires_at, updated_at)
    select l.chunk, l.seq, l.lane, l.destination, 1, $3::timestamptz, l.expires_at, $3::timestamptz from looked l
    where l.known and l.left_as is null and l.chunk_state = 5 and not l.delivered
    on conflict do nothing
    returning chunk, seq
)
select chunk, seq, 1 from again
union all select chunk, seq, 1 from fresh
union all select chunk, seq, case when not known then 4 when delivered then 2 when left_as = 3 then 3 else 5 end from looked";
