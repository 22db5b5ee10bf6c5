//! Claiming: from published to held by one worker.
//!
//! A chunk that returns no row is done, cancelled, or another's: ordinary outcomes, acknowledged and forgotten. Or it is still
//! ready, and this worker may not have it: declared dead without knowing it yet, or with a clock behind that of whoever
//! published. Then it must be published again, because the broker is about to forget it. Claim and look are
//! two statements on purpose: a cancel locks the same chunk row, and what it wrote must be seen by the look after the lock.
//! A claim believes the publisher that a chunk is due, within what the clocks of two processes may be apart: a job that is taken for
//! too early is acknowledged, and would lie until somebody misses it.
//! The claim's id is the caller's, and claiming again under the same id finds the same: so a caller that lost the answer asks again.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::due::unpublish_over;
use super::outbox::{Flight, flights_of};
use super::{BooksError, ChannelName, DeliveryId, Lane};
use crate::App;
use crate::clock::SKEW;
use crate::crypto::Purpose;
use crate::db::Client;

/// Deliveries held under one claim.
pub struct Claimed {
    /// Guards the settle.
    pub claim: Uuid,
    /// What is left to do; empty when everything had left the chunk before.
    pub deliveries: Vec<ClaimedDelivery>,
}

/// One delivery, ready to be sent.
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Whether it was claimed as an exception (it had left its chunk before).
    pub again: bool,
    /// Its lane.
    pub lane: Lane,
    /// Over what it goes; none when a newer program opened it.
    pub channel: Option<ChannelName>,
    /// The message.
    pub message_id: Uuid,
    /// The connection it goes over.
    pub connection: Uuid,
    /// Domain.
    pub destination: String,
    /// What is to be delivered; `None` where it does not open (the wrong node key, or damage).
    pub text: Option<Zeroizing<Vec<u8>>>,
    /// Attempts made before.
    pub tries: u16,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// What was noted when it last had to wait.
    pub reason: Option<String>,
    /// A POST that a worker before us began and did not settle.
    pub flight: Option<Flight>,
}

/// Claims those of `chunks` that are ready, for `worker`; what is missing in the answer is not ours.
pub async fn claim_chunks(
    app: &App,
    worker: Uuid,
    claim: Uuid,
    chunks: &[Uuid],
) -> Result<HashMap<Uuid, Claimed>, BooksError> {
    let client = app.db.client().await?;
    let statement = client.prepare_cached(CLAIM).await?;
    let rows = client.query(&statement, &[&chunks, &claim, &worker, &(app.clock.now() + SKEW)]).await?;
    if rows.len() < chunks.len() {
        unpublish_over(&client, chunks, &[]).await?;
    }
    let mut claimed: HashMap<Uuid, Claimed> =
        rows.iter().map(|row| (row.get(0), Claimed { claim, deliveries: Vec::new() })).collect();
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let ids: Vec<Uuid> = claimed.keys().copied().collect();
    let second_hand: Vec<Uuid> = rows.iter().filter(|row| row.get::<_, i16>(1) > 1).map(|row| row.get(0)).collect();
    let mut flights = flights_of(app, &client, &second_hand).await?;
    for row in client.query(&client.prepare_cached(LOOK).await?, &[&ids]).await? {
        let delivery = read(app, &row, &mut flights);
        if let Some(chunk) = claimed.get_mut(&delivery.id.chunk) {
            chunk.deliveries.push(delivery);
        }
    }
    Ok(claimed)
}

const CLAIM: &str = "/* books::claim_chunks */
update chunks set state = 1, claim = $2, worker = $3, tries = tries + 1
where id = any($1) and ((state = 0 and due_at <= $4 and exists (select from workers where id = $3)) or (state = 1 and claim = $2))
returning id, tries";

/// Walked in this order, row by row, each step an index look-up in one partition: `offset 0` and the counts keep the planner from
/// turning it round. A plan made while the tables were empty would otherwise read all deliveries or attempts for every claim.
const LOOK: &str = "/* books::claim_chunks look */
select d.chunk, d.seq, c.lane, d.message_id, m.connection_id, d.destination, m.content, 0::smallint, m.created_at, m.expires_at, false, null::text, d.channel
from unnest($1::uuid[]) as wanted(chunk)
cross join lateral (select * from chunks where id = wanted.chunk offset 0) c
cross join lateral (select * from deliveries where chunk = wanted.chunk offset 0) d
cross join lateral (select * from messages where id = d.message_id offset 0) m
where (select count(*) from exceptions e where e.chunk = d.chunk and e.seq = d.seq) = 0
  and (select count(*) from attempts a where a.chunk = d.chunk and a.seq = d.seq and a.outcome = 0) = 0
order by d.chunk, d.seq";

/// Claims those of `deliveries` that are due again.
pub async fn claim_again(
    app: &App,
    worker: Uuid,
    claim: Uuid,
    deliveries: &[DeliveryId],
) -> Result<Claimed, BooksError> {
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = deliveries.iter().map(|d| (d.chunk, d.seq)).unzip();
    let client = app.db.client().await?;
    let statement = client.prepare_cached(CLAIM_AGAIN).await?;
    let rows =
        client.query(&statement, &[&chunk, &seq, &claim, &worker, &app.clock.now(), &(app.clock.now() + SKEW)]).await?;
    if rows.len() < deliveries.len() {
        unpublish_over(&client, &[], deliveries).await?;
    }
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) =
        rows.iter().map(|row| (row.get::<_, Uuid>(0), row.get::<_, i16>(1))).unzip();
    if chunk.is_empty() {
        return Ok(Claimed { claim, deliveries: Vec::new() });
    }
    let mut flights = flights_of(app, &client, &chunk).await?;
    let rows = look_again(&client, &chunk, &seq).await?;
    let deliveries = rows.iter().map(|row| read(app, row, &mut flights)).collect();
    Ok(Claimed { claim, deliveries })
}

const CLAIM_AGAIN: &str = "/* books::claim_again */
update exceptions e set state = 2, claim = $3, worker = $4, due_at = null, published_at = null, updated_at = $5
from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
where e.chunk = x.chunk and e.seq = x.seq
  and ((e.state = 1 and e.due_at <= $6 and exists (select from workers where id = $4)) or (e.state = 2 and e.claim = $3))
returning e.chunk, e.seq";

async fn look_again(client: &Client, chunk: &[Uuid], seq: &[i16]) -> Result<Vec<tokio_postgres::Row>, BooksError> {
    let sql = "/* books::claim_again look */
        select d.chunk, d.seq, e.lane, d.message_id, m.connection_id, d.destination, m.content, e.tries, m.created_at, m.expires_at, true, e.reason, d.channel
        from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        cross join lateral (select * from exceptions e where e.chunk = x.chunk and e.seq = x.seq offset 0) e
        cross join lateral (select * from deliveries d where d.chunk = x.chunk and d.seq = x.seq offset 0) d
        cross join lateral (select * from messages where id = d.message_id offset 0) m";
    Ok(client.query(&client.prepare_cached(sql).await?, &[&chunk, &seq]).await?)
}

fn read(app: &App, row: &tokio_postgres::Row, flights: &mut HashMap<DeliveryId, Flight>) -> ClaimedDelivery {
    let id = DeliveryId { chunk: row.get(0), seq: row.get(1) };
    let message_id: Uuid = row.get(3);
    let sealed: &[u8] = row.get(6);
    ClaimedDelivery {
        id,
        again: row.get(10),
        lane: Lane::from_number(row.get(2)),
        message_id,
        connection: row.get(4),
        destination: row.get(5),
        text: app.keys.open(Purpose::Message, message_id.as_bytes(), sealed).ok(),
        tries: row.get::<_, i16>(7) as u16,
        created_at: row.get(8),
        expires_at: row.get(9),
        reason: row.get(11),
        channel: ChannelName::from_number(row.get(12)),
        flight: flights.remove(&id),
    }
}

/// Puts chunks that are not to be claimed now back until `until`: their destination already holds too much of this worker.
pub async fn park(app: &App, chunks: &[Uuid], until: Timestamp) -> Result<(), BooksError> {
    let sql = "/* books::park */ update chunks set due_at = $2, published_at = null where id = any($1) and state = 0";
    let client = app.db.client().await?;
    client.execute(&client.prepare_cached(sql).await?, &[&chunks, &until]).await?;
    Ok(())
}

/// Gives back those chunks that are still held under the claim beside them; due at `until`.
pub async fn give_back(app: &App, chunks: &[(Uuid, Uuid)], until: Timestamp) -> Result<(), BooksError> {
    let (chunk, claim): (Vec<Uuid>, Vec<Uuid>) = chunks.iter().copied().unzip();
    let sql = "/* books::give_back */ update chunks c
        set state = 0, claim = null, worker = null, published_at = null, due_at = $3
        from unnest($1::uuid[], $2::uuid[]) as x(id, claim)
        where c.id = x.id and c.claim = x.claim and c.state = 1";
    let client = app.db.client().await?;
    client.execute(&client.prepare_cached(sql).await?, &[&chunk, &claim, &until]).await?;
    Ok(())
}

/// The same for deliveries that were claimed as exceptions.
pub async fn give_back_again(app: &App, again: &[(DeliveryId, Uuid)], until: Timestamp) -> Result<(), BooksError> {
    let chunk: Vec<Uuid> = again.iter().map(|(id, _)| id.chunk).collect();
    let seq: Vec<i16> = again.iter().map(|(id, _)| id.seq).collect();
    let claim: Vec<Uuid> = again.iter().map(|(_, claim)| *claim).collect();
    let sql = "/* books::give_back_again */ update exceptions e
        set state = 1, claim = null, worker = null, published_at = null, due_at = $4, updated_at = $5
        from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as x(chunk, seq, claim)
        where e.chunk = x.chunk and e.seq = x.seq and e.claim = x.claim and e.state = 2";
    let client = app.db.client().await?;
    client.execute(&client.prepare_cached(sql).await?, &[&chunk, &seq, &claim, &until, &app.clock.now()]).await?;
    Ok(())
}

/// What a worker holds by the books, each with its claim: chunks, and deliveries claimed as exceptions.
pub async fn held_by(app: &App, worker: Uuid) -> Result<(Vec<(Uuid, Uuid)>, Vec<(DeliveryId, Uuid)>), BooksError> {
    let sql = "/* books::held_by */
        select id, null::smallint, claim from chunks where state = 1 and worker = $1
        union all select chunk, seq, claim from exceptions where state = 2 and worker = $1";
    let (mut chunks, mut again) = (Vec::new(), Vec::new());
    for row in app.db.rows(sql, &[&worker]).await? {
        match row.get(1) {
            None => chunks.push((row.get(0), row.get(2))),
            Some(seq) => again.push((DeliveryId { chunk: row.get(0), seq }, row.get(2))),
        }
    }
    Ok((chunks, again))
}
