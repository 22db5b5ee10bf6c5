//! What lies in the default partitions: deliveries that outlived their week, and rows of weeks for which no partition could be
//! made. Deleted some at a time, once ended and past retention.

use jiff::Timestamp;

use crate::App;
use crate::clock::uuid_at;
use crate::db::DbError;

/// Statements in one round.
const ROUNDS: usize = 500;

/// Streams along the ids, so that it stops as soon as it has found enough. What belongs to a message may lie in its week's own partition
/// where that could be made.
const MESSAGES: &str = "/* keep_partitions leftovers */
with ended as materialized (
    select d.id, d.chunk, d.seq from (
        select m.id, overlay(m.id::text placing '0000' from 33 for 4)::uuid as chunk,
               ('x' || right(m.id::text, 4))::bit(16)::int4::int2 as seq
        from messages_rest m where m.id < $1 order by m.id
    ) as d
    where not exists (select from turns t where t.chunk = d.chunk and t.seq = d.seq)
      and case (select e.state in (1, 2, 8, 9) from exceptions e where e.chunk = d.chunk and e.seq = d.seq)
              when true then false
              when false then true
              else not exists (select from chunks c where c.id = d.chunk and c.state in (0, 1, 3, 4)) end
    limit 2000
), attempts as (
    delete from attempts a using ended d where a.chunk = d.chunk and a.seq = d.seq
), exceptions as (
    delete from exceptions e using ended d where e.chunk = d.chunk and e.seq = d.seq
), messages as (
    delete from messages_rest m using ended d where m.id = d.id
)
select count(*) from ended";

/// Chunks none of whose messages is left.
const CHUNKS: &str = "/* keep_partitions leftovers chunks */
with gone as (
    delete from chunks_rest where id = any (array(
        select c.id from chunks_rest c
        where c.id < $1 and c.state in (2, 5) and not exists (
            select from messages m where m.id >= c.id and m.id <= overlay(c.id::text placing '7fff' from 33 for 4)::uuid)
        order by c.id limit 2000))
    returning id
), arrivals as (
    delete from arrivals a where a.chunk = any (array(select id from gone))
)
select count(*) from gone";

const EVENTS: &str = "/* keep_partitions leftovers events */
delete from events_rest where ctid = any (array(select ctid from events_rest where at < $1 limit 2000))";

/// Messages with all that belongs to them.
pub(super) async fn of_books(app: &App, until: Timestamp) -> Result<(), DbError> {
    let until = uuid_at(until);
    for _ in 0..ROUNDS {
        let row = app.db.row(MESSAGES, &[&until]).await?;
        if row.is_none_or(|row| row.get::<_, i64>(0) == 0) {
            break;
        }
    }
    for _ in 0..ROUNDS {
        let row = app.db.row(CHUNKS, &[&until]).await?;
        if row.is_none_or(|row| row.get::<_, i64>(0) == 0) {
            break;
        }
    }
    Ok(())
}

/// Events.
pub(super) async fn of_events(app: &App, until: Timestamp) -> Result<(), DbError> {
    for _ in 0..ROUNDS {
        if app.db.execute(EVENTS, &[&until]).await? == 0 {
            break;
        }
    }
    Ok(())
}
