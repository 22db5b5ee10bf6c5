//! Lines: deliveries of one destination with the same ordering key go one after the other, in the order in which they were
//! accepted.
//!
//! The line's own row is locked by whoever joins it and by whoever moves it on, so places are given out in the order of commits,
//! and nobody joins a line at the moment in which it is found empty. Who is not first has an exception row in state 9; moving on
//! makes the next one due. Retries keep their place: order within a line is strict. Moving on happens in the transaction that ends
//! the first one, whoever ends it: [`pass`]; what was missed by a mistake of ours is mended by [`repair`].

use jiff::Timestamp;
use uuid::Uuid;

use super::campaign::AWAY;
use super::replay::IN_HANDS;
use super::{BooksError, DeliveryId, Lane};
use crate::App;
use crate::db::{GenericClient, Row, Transaction};

/// A delivery that is about to join its line.
pub(super) struct Joining {
    pub(super) destination: String,
    pub(super) key: String,
    pub(super) id: DeliveryId,
    pub(super) skip: bool,
    pub(super) lane: Lane,
    pub(super) deliver_at: Option<Timestamp>,
}

/// Puts deliveries at the end of their lines; answers those that are first and due.
pub(super) async fn join(
    tx: &Transaction<'_>,
    joining: &[&Joining],
    now: Timestamp,
) -> Result<Vec<(Lane, DeliveryId)>, BooksError> {
    if joining.is_empty() {
        return Ok(Vec::new());
    }
    let destination: Vec<&str> = joining.iter().map(|j| j.destination.as_str()).collect();
    let key: Vec<&str> = joining.iter().map(|j| j.key.as_str()).collect();
    tx.execute(&tx.prepare_cached(TAKE_PLACES).await?, &[&destination, &key, &now]).await?;
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = joining.iter().map(|j| (j.id.chunk, j.id.seq)).unzip();
    let skip: Vec<bool> = joining.iter().map(|j| j.skip).collect();
    let lane: Vec<i16> = joining.iter().map(|j| j.lane.number()).collect();
    let due: Vec<Timestamp> = joining.iter().map(|j| j.deliver_at.unwrap_or(now).max(now)).collect();
    let statement = tx.prepare_cached(JOIN).await?;
    let rows = tx.query(&statement, &[&destination, &key, &chunk, &seq, &skip, &lane, &due, &now]).await?;
    Ok(rows.iter().map(first).collect())
}

const TAKE_PLACES: &str = "/* books::turns take places */
insert into ordering_keys as o (destination, key, last, used_at)
select destination, key, count(*), $3 from unnest($1::text[], $2::text[]) as x(destination, key) group by 1, 2 order by 1, 2
on conflict (destination, key) do update set last = o.last + excluded.last, used_at = excluded.used_at";

/// After the lock, with eyes of its own: what was in the line before.
const JOIN: &str = "/* books::turns join */
with joining as (
    select x.*, o.last - count(*) over line + row_number() over (line order by x.no) as place,
           row_number() over (line order by x.no) = 1 and not exists
               (select from turns t where t.destination = x.destination and t.key = x.key) as first
    from unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::boolean[], $6::smallint[], $7::timestamptz[])
        with ordinality as x(destination, key, chunk, seq, skip, lane, due_at, no)
    join ordering_keys o on o.destination = x.destination and o.key = x.key
    window line as (partition by x.destination, x.key)
), stand as (
    insert into turns (destination, key, place, chunk, seq, skip)
    select destination, key, place, chunk, seq, skip from joining
), waiting as (
    insert into exceptions (chunk, seq, lane, destination, state, due_at, published_at, updated_at)
    select chunk, seq, lane, destination, case when first then 1 else 9 end, case when first then due_at end,
           case when first and due_at <= $8 then $8::timestamptz end, $8 from joining
)
select chunk, seq, lane from joining where first and due_at <= $8";

/// Moves the lines of these deliveries on, which have ended; answers who is first now and due. To be called in the transaction
/// that ended them, after it did. A failed one that holds its line stays.
pub async fn pass(
    tx: &Transaction<'_>,
    ended: &[DeliveryId],
    now: Timestamp,
) -> Result<Vec<(Lane, DeliveryId)>, BooksError> {
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ended.iter().map(|id| (id.chunk, id.seq)).unzip();
    let locked = lock(tx, ended).await?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    tx.execute(&tx.prepare_cached(LEAVE).await?, &[&chunk, &seq]).await?;
    let destination: Vec<&str> = locked.iter().map(|row| row.get(0)).collect();
    let key: Vec<&str> = locked.iter().map(|row| row.get(1)).collect();
    let rows = tx.query(&tx.prepare_cached(&advance()).await?, &[&destination, &key, &now]).await?;
    Ok(rows.iter().map(first).collect())
}

/// Locks the lines of these deliveries. Whoever ends some and knows which does this first: moving a line on needs the row of the next
/// one, which another may hold who waits for the line.
pub(super) async fn lock(tx: &Transaction<'_>, ids: &[DeliveryId]) -> Result<Vec<Row>, BooksError> {
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
    Ok(tx.query(&tx.prepare_cached(LOCK).await?, &[&chunk, &seq]).await?)
}

const LOCK: &str = "/* books::turns lock */
select o.destination, o.key from ordering_keys o
where (o.destination, o.key) in (
    select t.destination, t.key from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
    join turns t on t.chunk = x.chunk and t.seq = x.seq)
order by o.destination, o.key for update";

/// Failed (5) and unconfirmed (6) leave only where the line is to go on without them.
const LEAVE: &str = "/* books::turns leave */
delete from turns t using unnest($1::uuid[], $2::smallint[]) as x(chunk, seq), exceptions e
where t.chunk = x.chunk and t.seq = x.seq and e.chunk = x.chunk and e.seq = x.seq
  and (e.state in (3, 4, 7) or (e.state in (5, 6) and t.skip))";

/// What is of a campaign that is paused is held like the rest of it: due, but [`AWAY`] later.
fn advance() -> String {
    format!(
        "/* books::turns advance */
with next as (
    select f.chunk, f.seq from unnest($1::text[], $2::text[]) as x(destination, key)
    cross join lateral (select chunk, seq from turns t where t.destination = x.destination and t.key = x.key
                        order by place limit 1) f
), due as (
    update exceptions e set state = 1, published_at = null, updated_at = $3,
        due_at = greatest($3, m.deliver_at) + case when k.id is null then interval '0' else {AWAY} end
    from next n
    cross join lateral (select deliver_at, campaign from messages where id = delivery_id(n.chunk, n.seq) offset 0) m
    left join lateral (select id from campaigns where id = m.campaign and (state = 1) is true offset 0) k on true
    where e.chunk = n.chunk and e.seq = n.seq and (e.state = 9) is true
    returning e.chunk, e.seq, e.lane, e.due_at
)
select chunk, seq, lane from due where due_at <= $3"
    )
}

fn first(row: &Row) -> (Lane, DeliveryId) {
    (Lane::from_number(row.get(2)), DeliveryId { chunk: row.get(0), seq: row.get(1) })
}

/// Lines whose first one has ended and did not leave, or was never made due; and forgets lines that nobody has stood in for an
/// hour. Answers how many were mended.
pub async fn repair(app: &App) -> Result<usize, BooksError> {
    let now = app.clock.now();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let rows = transaction.query(&transaction.prepare_cached(STUCK).await?, &[&(now - IN_HANDS)]).await?;
    let stuck: Vec<DeliveryId> = rows.iter().map(|row| DeliveryId { chunk: row.get(0), seq: row.get(1) }).collect();
    let mended = if stuck.is_empty() { 0 } else { pass(&transaction, &stuck, now).await?.len() };
    forget(&transaction, now).await?;
    transaction.commit().await?;
    Ok(mended)
}

/// One that was cancelled in a worker's hands may still be on its way: that worker moves the line on, and only where it died first,
/// this does.
const STUCK: &str = "/* books::turns stuck */
select f.chunk, f.seq from ordering_keys o
cross join lateral (select chunk, seq, skip from turns t where t.destination = o.destination and t.key = o.key
                    order by place limit 1) f
cross join lateral (select state, worker, updated_at from exceptions e where e.chunk = f.chunk and e.seq = f.seq offset 0) e
where e.state in (4, 7, 9) or (e.state = 3 and (e.worker is null or e.updated_at < $1)) or (e.state in (5, 6) and f.skip) limit 500";

async fn forget(client: &impl GenericClient, now: Timestamp) -> Result<(), BooksError> {
    let sql = "/* books::turns forget */ delete from ordering_keys where (destination, key) in (
        select o.destination, o.key from ordering_keys o where o.used_at < $1
          and not exists (select from turns t where t.destination = o.destination and t.key = o.key)
        limit 500 for update skip locked)";
    let before = now - std::time::Duration::from_secs(3600);
    client.execute(&client.prepare_cached(sql).await?, &[&before]).await?;
    Ok(())
}
