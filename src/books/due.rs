//! What is due and not in the broker.
//!
//! A chunk is published again only when its publish was not confirmed, the broker is not the one it was published to, or
//! nothing claimed it for [`UNCLAIMED`]. What waits for its destination is not due: [`super::release`] makes it so. Marking and choosing are one statement with SKIP LOCKED: any number of schedulers may
//! run. The mark comes before the publish and names no broker; [`confirmed`] names it; where the publish fails, [`unpublish`]
//! takes the mark back, and where its scheduler died in between, the mark is void after [`UNCONFIRMED`].

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{BooksError, DeliveryId, Lane};
use crate::App;
use crate::db::DbError;
use crate::jobs::ChunkRef;

/// A publish that no broker has confirmed by then never will be.
const UNCONFIRMED: Duration = Duration::from_secs(5);
/// After this long in the broker unclaimed, a chunk is published again.
const UNCLAIMED: Duration = Duration::from_secs(300);

/// Something to publish.
#[derive(Debug)]
pub struct Due<T> {
    /// Its lane.
    pub lane: Lane,
    /// What.
    pub what: T,
}

/// What there is to look after: on a quiet node nothing, ten times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Single deliveries that are due.
    pub again: bool,
    /// Chunks that are due, published or not.
    pub ready: bool,
    /// Chunks that wait for their destinations, by lane.
    pub waiting: [bool; 3],
}

impl Pending {
    /// For who cannot tell.
    pub const ALL: Self = Self { again: true, ready: true, waiting: [true; 3] };
}

/// One look instead of one for each kind.
pub async fn pending(app: &App) -> Result<Pending, DbError> {
    let row = app.db.row(PENDING, &[&app.clock.now()]).await?.ok_or(DbError::Stored("pending"))?;
    let waiting = Lane::ALL.map(|lane| row.get(2 + lane as usize));
    Ok(Pending { again: row.get(0), ready: row.get(1), waiting })
}

const PENDING: &str = "/* books::pending */
select exists (select from exceptions where state = 1 and due_at <= $1), exists (select from chunks where state = 0 and due_at <= $1),
       exists (select from chunks where state = 3 and lane = 0), exists (select from chunks where state = 3 and lane = 1),
       exists (select from chunks where state = 3 and lane = 2)";

/// Chunks to publish now to the broker of `epoch`, marked as being published; at most `limit`.
pub async fn due_chunks(app: &App, epoch: i32, limit: i64) -> Result<Vec<Due<ChunkRef>>, BooksError> {
    let now = app.clock.now();
    let client = app.db.client().await?;
    let statement = client.prepare_cached(DUE_CHUNKS).await?;
    let rows = client.query(&statement, &[&now, &epoch, &(now - UNCLAIMED), &limit, &(now - UNCONFIRMED)]).await?;
    let due = |row: &tokio_postgres::Row| Due {
        lane: Lane::from_number(row.get(1)),
        what: ChunkRef { id: row.get(0), destination: row.get(2), n: row.get(3) },
    };
    Ok(rows.iter().map(due).collect())
}

const DUE_CHUNKS: &str = "/* books::due_chunks */
with due as (
    select id from chunks
    where state = 0 and due_at <= $1
      and (published_at is null or published_to <> $2 or published_at < $3 or (published_to is null and published_at < $5))
    order by due_at limit $4 for update skip locked
)
update chunks set published_at = $1, published_to = null from due where chunks.id = due.id
returning chunks.id, chunks.lane, chunks.destination, chunks.n";

/// Deliveries that are due again, marked likewise; at most `limit`.
pub async fn due_again(app: &App, epoch: i32, limit: i64) -> Result<Vec<Due<DeliveryId>>, BooksError> {
    let now = app.clock.now();
    let client = app.db.client().await?;
    let statement = client.prepare_cached(DUE_AGAIN).await?;
    let rows = client.query(&statement, &[&now, &epoch, &(now - UNCLAIMED), &limit, &(now - UNCONFIRMED)]).await?;
    let due = |row: &tokio_postgres::Row| Due {
        lane: Lane::from_number(row.get(2)),
        what: DeliveryId { chunk: row.get(0), seq: row.get(1) },
    };
    Ok(rows.iter().map(due).collect())
}

const DUE_AGAIN: &str = "/* books::due_again */
with due as (
    select chunk, seq from exceptions
    where state = 1 and due_at <= $1
      and (published_at is null or published_to <> $2 or published_at < $3 or (published_to is null and published_at < $5))
    order by due_at limit $4 for update skip locked
)
update exceptions e set published_at = $1, published_to = null from due where e.chunk = due.chunk and e.seq = due.seq
returning e.chunk, e.seq, e.lane";

/// The broker of `epoch` has what was marked. What was handed back or claimed meanwhile stays as it is.
/// What a worker is just claiming needs no mark, and waiting for it in another order than it goes would be a deadlock.
pub async fn confirmed(app: &App, epoch: i32, chunks: &[Uuid], again: &[DeliveryId]) -> Result<(), BooksError> {
    let client = app.db.client().await?;
    if !chunks.is_empty() {
        let sql = "/* books::confirmed chunks */
            update chunks set published_to = $2 where id in (
                select id from chunks where id = any($1) and state = 0 and published_at is not null and published_to is null
                for update skip locked)";
        client.execute(&client.prepare_cached(sql).await?, &[&chunks, &epoch]).await?;
    }
    if !again.is_empty() {
        let (chunk, seq): (Vec<Uuid>, Vec<i16>) = again.iter().map(|d| (d.chunk, d.seq)).unzip();
        let sql = "/* books::confirmed again */
            update exceptions e set published_to = $3 from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
            where e.chunk = x.chunk and e.seq = x.seq and (e.state = 1) is true and e.published_at is not null and e.published_to is null";
        client.execute(&client.prepare_cached(sql).await?, &[&chunk, &seq, &epoch]).await?;
    }
    Ok(())
}

/// Chunks that their acceptor published a while ago, each with the epoch of the broker that confirmed, and when. One that a worker
/// has had in its hands since is left as it is, also when a scheduler is publishing it anew: a mark would hide it from the next one.
pub async fn published(app: &App, chunks: &[Uuid], epochs: &[i32], ats: &[Timestamp]) -> Result<(), DbError> {
    app.db.execute(PUBLISHED, &[&chunks, &epochs, &ats]).await?;
    Ok(())
}

const PUBLISHED: &str = "/* books::published */
update chunks set published_to = x.epoch from unnest($1::uuid[], $2::integer[], $3::timestamptz[]) as x(id, epoch, at)
where chunks.id = x.id and (chunks.state = 0) is true and chunks.tries = 0 and chunks.published_at <= x.at and chunks.published_to is null";

/// The publish failed after the mark, or whoever took it may not claim it: the mark is taken back, for as soon as it is due.
pub async fn unpublish(app: &App, chunks: &[Uuid], again: &[DeliveryId]) -> Result<(), BooksError> {
    unpublish_over(&app.db.client().await?, chunks, again).await
}

/// The same over a connection that the caller has: who waits for a second one while it holds one can wait for ever.
pub(super) async fn unpublish_over(
    client: &crate::db::Client,
    chunks: &[Uuid],
    again: &[DeliveryId],
) -> Result<(), BooksError> {
    if !chunks.is_empty() {
        let sql = "/* books::unpublish chunks */ update chunks set published_at = null
            where id = any($1) and state = 0 and published_at is not null";
        client.execute(&client.prepare_cached(sql).await?, &[&chunks]).await?;
    }
    if !again.is_empty() {
        let (chunk, seq): (Vec<Uuid>, Vec<i16>) = again.iter().map(|d| (d.chunk, d.seq)).unzip();
        let sql = "/* books::unpublish again */
            update exceptions e set published_at = null from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
            where e.chunk = x.chunk and e.seq = x.seq and (e.state = 1) is true and e.published_at is not null";
        client.execute(&client.prepare_cached(sql).await?, &[&chunk, &seq]).await?;
    }
    Ok(())
}

/// Deliveries in the broker and not claimed, by lane.
pub async fn published_ahead(app: &App) -> Result<[i64; 3], DbError> {
    let mut ahead = [0; 3];
    for row in app.db.rows(AHEAD, &[]).await? {
        ahead[Lane::from_number(row.get(0)) as usize] = row.get(1);
    }
    Ok(ahead)
}

const AHEAD: &str = "/* books::published_ahead */
select lane, sum(n)::bigint from chunks where state = 0 and published_at is not null group by lane";
