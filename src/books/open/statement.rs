//! The statement that accepts.
//!
//! One statement is one round trip and one commit; the keys decide what the rest inserts. Lines are joined in a statement of their
//! own, in the same transaction: who stands in a line must be seen after the line was locked.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;

use super::keys::Before;
use super::rows::Rows;
use crate::App;
use crate::books::turns::{self, Joining};
use crate::books::{BooksError, DeliveryId, Lane};
use crate::db::GenericClient;

/// What came of an insert.
pub(super) struct Taken {
    /// Keys that were not free.
    pub(super) before: HashMap<usize, Before>,
    /// Those that are first in their lines, and due.
    pub(super) heads: Vec<(Lane, DeliveryId)>,
}

pub(super) async fn insert(app: &App, rows: &Rows) -> Result<Taken, BooksError> {
    let mut client = app.db.client().await?;
    if rows.joining.is_empty() {
        return Ok(Taken { before: run(&client, rows).await?, heads: Vec::new() });
    }
    let transaction = client.transaction().await?;
    let taken = insert_in(&transaction, rows).await?;
    transaction.commit().await?;
    Ok(taken)
}

pub(super) async fn insert_in(tx: &crate::db::Transaction<'_>, rows: &Rows) -> Result<Taken, BooksError> {
    let before = run(tx, rows).await?;
    let fresh = |(index, _): &&(usize, Joining)| {
        let key = rows.key_no[*index];
        key == 0 || !before.contains_key(&(key as usize - 1))
    };
    let joining: Vec<&Joining> = rows.joining.iter().filter(fresh).map(|(_, joining)| joining).collect();
    let heads = turns::join(tx, &joining, rows.now).await?;
    Ok(Taken { before, heads })
}

async fn run(client: &impl GenericClient, rows: &Rows) -> Result<HashMap<usize, Before>, BooksError> {
    let chunks = &rows.chunks;
    let real: Vec<usize> = chunks.real().collect();
    fn pick<T: Clone>(column: &[T], real: &[usize]) -> Vec<T> {
        real.iter().map(|index| column[*index].clone()).collect()
    }
    let parameters: [&(dyn ToSql + Sync); 27] = [
        &rows.id,
        &rows.key_no,
        &rows.channel,
        &rows.destination,
        &rows.connection,
        &rows.sender,
        &rows.from,
        &rows.to,
        &rows.tag,
        &rows.campaign,
        &rows.line,
        &rows.deliver_at,
        &rows.content,
        &rows.expires_at,
        &rows.now,
        &pick(&chunks.id, &real),
        &pick(&chunks.lane, &real),
        &pick(&chunks.sender, &real),
        &pick(&chunks.destination, &real),
        &pick(&chunks.campaign, &real),
        &pick(&chunks.state, &real),
        &pick(&chunks.due_at, &real),
        &pick(&chunks.published_at, &real),
        &rows.keys.scope,
        &rows.keys.hash,
        &rows.keys.body_hash,
        &rows.keys.results,
    ];
    let mut parameters = parameters.to_vec();
    parameters.extend([&rows.keys.expires_at as &(dyn ToSql + Sync), &rows.trace]);
    let statement = client.prepare_cached(INSERT).await?;
    let mut before = HashMap::new();
    for row in client.query(&statement, &parameters).await? {
        let key = row.get::<_, i64>(0) as usize - 1;
        let found = match (row.get::<_, Option<Vec<u8>>>(1), row.get::<_, Option<bool>>(2)) {
            (Some(results), Some(same)) => Before { same, results },
            _ => taken_meanwhile(client, rows, key).await?,
        };
        before.insert(key, found);
    }
    Ok(before)
}

const INSERT: &str = "/* books::open insert */
with keys as (
    select * from unnest($24::text[], $25::bytea[], $26::bytea[], $27::bytea[], $28::timestamptz[])
        with ordinality as k(sender, key_hash, body_hash, results, expires_at, no)
), won as (
    insert into idempotency as i (sender, key_hash, body_hash, results, expires_at)
    select sender, key_hash, body_hash, results, expires_at from keys order by sender, key_hash
    on conflict (sender, key_hash) do update
        set body_hash = excluded.body_hash, results = excluded.results, expires_at = excluded.expires_at
        where i.expires_at <= $15
    returning i.sender, i.key_hash
), lost as (
    select k.* from keys k where (k.sender, k.key_hash) not in (select sender, key_hash from won)
), fresh as (
    select * from unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::uuid[], $11::text[], $12::timestamptz[], $13::bytea[], $14::timestamptz[], $29::bytea[])
        as g(id, key_no, channel, destination, connection_id, sender, from_address, to_address, tag, campaign, ordering_key,
             deliver_at, content, expires_at, trace)
    where key_no = 0 or key_no not in (select no from lost)
), stored as (
    insert into messages (id, channel, destination, connection_id, sender, from_address, to_address, tag, campaign, ordering_key,
                          deliver_at, content, created_at, expires_at, trace)
    select id, channel, destination, connection_id, sender, from_address, to_address, tag, campaign, ordering_key, deliver_at,
           content, $15, expires_at, trace from fresh
    returning id
), filled as (
    insert into chunks (id, lane, sender, destination, campaign, n, state, due_at, published_at)
    select c.id, c.lane, c.sender, c.destination, c.campaign, s.n, c.state, c.due_at, c.published_at
    from unnest($16::uuid[], $17::smallint[], $18::text[], $19::text[], $20::uuid[], $21::smallint[], $22::timestamptz[],
                $23::timestamptz[]) as c(id, lane, sender, destination, campaign, state, due_at, published_at)
    join (select overlay(uuid_send(id) placing '\\x0000' from 15) as chunk, count(*) as n from stored group by 1) s
        on s.chunk = uuid_send(c.id)
)
select lost.no, i.results, i.body_hash = lost.body_hash
from lost left join idempotency i on i.sender = lost.sender and i.key_hash = lost.key_hash and i.expires_at > $15";

/// A key that another process committed while our statement waited for it: our statement could not see its row, this one can.
async fn taken_meanwhile(client: &impl GenericClient, rows: &Rows, key: usize) -> Result<Before, BooksError> {
    let sql = "/* books::open taken_meanwhile */
        select results, body_hash = $3 from idempotency where sender = $1 and key_hash = $2";
    let keys = &rows.keys;
    let statement = client.prepare_cached(sql).await?;
    let found = client.query_opt(&statement, &[&keys.scope[key], &keys.hash[key], &keys.body_hash[key]]).await?;
    // Purged in between: asking again accepts it.
    let found = found.ok_or(BooksError::Shared { passing: true })?;
    Ok(Before { results: found.get(0), same: found.get(1) })
}
