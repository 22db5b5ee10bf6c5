//! Releasing: from waiting to due, as destinations have room.
//!
//! Chunks in state 3 and exceptions in state 8 wait in Postgres, not in the broker and not in a worker. Each round lets a few of
//! every sender and destination go, in turn, so that none waits behind another's backlog; of a destination that is closed or
//! paused none, of one that is probed after it was closed one chunk.

use jiff::Timestamp;

use super::{BooksError, DeliveryId, Due, Lane};
use crate::App;
use crate::jobs::ChunkRef;

/// Chunks of one sender and destination let go at once.
const CHUNKS_AT_ONCE: i64 = 50;
/// Single deliveries of one destination let go at once.
const SINGLES_AT_ONCE: i64 = 500;
/// A delivery that was handed back is not tried again at once.
const REST: std::time::Duration = std::time::Duration::from_secs(1);

/// Lets waiting chunks of a lane go, up to `room` deliveries and 500 chunks (they are published one after the other, and a mark that
/// nobody confirms is void after seconds); marked as being published.
pub async fn release_chunks(app: &App, lane: Lane, room: i64) -> Result<Vec<Due<ChunkRef>>, BooksError> {
    let now: Timestamp = app.clock.now();
    let each = i64::from(app.config.amqp.publish_ahead_per_destination);
    let rows = app.db.rows(CHUNKS, &[&lane.number(), &now, &CHUNKS_AT_ONCE, &each, &room]).await?;
    let due =
        |row: &crate::db::Row| Due { lane, what: ChunkRef { id: row.get(0), destination: row.get(1), n: row.get(2) } };
    Ok(rows.iter().map(due).collect())
}

/// Groups are found by leaping through the index, a step a group.
const CHUNKS: &str = "/* books::release chunks */
with recursive groups as (
    (select sender, destination from chunks where state = 3 and lane = $1 order by sender, destination limit 1)
    union all
    select next.sender, next.destination from groups g cross join lateral (
        select sender, destination from chunks
        where state = 3 and lane = $1 and (sender, destination) > (g.sender, g.destination)
        order by sender, destination limit 1) next
), open as (
    select g.sender, g.destination, coalesce(d.breaker, 0) as breaker, coalesce(a.n, 0) as ahead
    from groups g left join destinations d on d.name = g.destination
    cross join lateral (select sum(n) as n from chunks where destination = g.destination and state in (0, 1)
                        and (published_at is not null or state = 1)) a
    where d.name is null or (not d.paused and (d.closed_until is null or d.closed_until <= $2))
), candidates as (
    select c.id, c.n, row_number() over (partition by o.sender, o.destination order by c.id) as turn,
           o.ahead + sum(c.n) over (partition by o.destination order by c.id) as reached, o.breaker, o.ahead
    from open o cross join lateral (
        select id, n from chunks where state = 3 and lane = $1 and sender = o.sender and destination = o.destination
          and due_at <= $2 order by id limit $3) c
), chosen as (
    select id from (
        select id, turn, sum(n) over (order by turn, id) - n as before from candidates
        where reached - n < $4 and (breaker = 0 or (turn = 1 and ahead = 0))) as x
    where before < $5 order by before limit 500
), locked as (
    select id from chunks where id in (select id from chosen) and state = 3 for update skip locked
)
update chunks c set state = 0, due_at = $2, published_at = $2, published_to = null from locked where c.id = locked.id
returning c.id, c.destination, c.n";

/// Makes single deliveries that wait for their destinations due; answers them with their lanes.
pub async fn release_singles(app: &App) -> Result<Vec<Due<DeliveryId>>, BooksError> {
    let now = app.clock.now();
    let rows = app.db.rows(SINGLES, &[&now, &SINGLES_AT_ONCE, &(now - REST)]).await?;
    let due = |row: &crate::db::Row| Due {
        lane: Lane::from_number(row.get(2)),
        what: DeliveryId { chunk: row.get(0), seq: row.get(1) },
    };
    Ok(rows.iter().map(due).collect())
}

const SINGLES: &str = "/* books::release singles */
with recursive groups as (
    (select destination from exceptions where state = 8 order by destination limit 1)
    union all
    select next.destination from groups g cross join lateral (
        select destination from exceptions where state = 8 and destination > g.destination order by destination limit 1) next
), chosen as (
    select e.chunk, e.seq from groups g left join destinations d on d.name = g.destination
    cross join lateral (
        select chunk, seq from exceptions where state = 8 and destination = g.destination and updated_at <= $3
        order by destination, chunk, seq limit case when coalesce(d.breaker, 0) = 0 then $2::bigint else 1 end for update skip locked) e
    where d.name is null or (not d.paused and (d.closed_until is null or d.closed_until <= $1))
)
update exceptions e set state = 1, due_at = $1, published_at = $1, published_to = null, updated_at = $1
from chosen c where e.chunk = c.chunk and e.seq = c.seq and (e.state = 8) is true
returning e.chunk, e.seq, e.lane";
