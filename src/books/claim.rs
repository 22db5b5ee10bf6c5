//! Claiming: from published to held by one worker.
//!
//! A chunk that returns no row is done, cancelled, or another's: ordinary outcomes, acknowledged and forgotten. Or it is still
//! ready, and this worker may not have it: declared dead without knowing it yet, or with a clock behind that of whoever
//! published. Then it must be published again, because the broker is about to forget it. Claiming and looking at what has left
//! the chunk are two statements on purpose: a cancel locks the same chunk row, and what it wrote must be seen after the lock.
//! A claim believes the publisher that a chunk is due, within what the clocks of two processes may be apart: a job that is taken for
//! too early is acknowledged, and would lie until somebody misses it.
//! The claim's id is the caller's, and claiming again under the same id finds the same: so a caller that lost the answer asks again.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::due::unpublish_over;
use super::outbox::{Flight, flights_of};
use super::{BooksError, ChannelName, DeliveryId, Lane};
use crate::App;
use crate::clock::SKEW;
use crate::crypto::{OpenError, Purpose};
use crate::db::Client;
use crate::failpoint;
use crate::telemetry::traces::Parent;

/// Deliveries held under one claim.
pub struct Claimed {
    /// Guards the settle.
    pub claim: Uuid,
    /// What is left to do; empty when everything had left the chunk before.
    pub deliveries: Vec<ClaimedDelivery>,
}

/// One delivery, ready to be sent.
pub struct ClaimedDelivery {
    /// Its id, which is its message's.
    pub id: DeliveryId,
    /// Whether it was claimed as an exception (it had left its chunk before).
    pub again: bool,
    /// Its lane.
    pub lane: Lane,
    /// Over what it goes; none when a newer program opened it.
    pub channel: Option<ChannelName>,
    /// Openmsg: the connection it goes over.
    pub connection: Option<Uuid>,
    /// What limits and breakers apply to.
    pub destination: String,
    /// What is to be delivered; `None` where it does not open (damage, or see `lacks`).
    pub content: Option<Zeroizing<Vec<u8>>>,
    /// The node key that it was sealed by, where this process does not hold that.
    pub lacks: Option<u16>,
    /// Attempts made before.
    pub tries: u16,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// The sender's word for it.
    pub tag: Option<String>,
    /// The campaign it is a row of.
    pub campaign: Option<Uuid>,
    /// Whether it stands in a line.
    pub ordered: bool,
    /// What was noted when it last had to wait.
    pub reason: Option<String>,
    /// A POST that a worker before us began and did not settle.
    pub flight: Option<Flight>,
    /// The trace of the request that handed it over, if that was sampled.
    pub trace: Option<Parent>,
}

impl ClaimedDelivery {
    /// Names the message to those who must know a repeat.
    pub fn message_id(&self) -> Uuid {
        self.id.uuid()
    }
}

/// Claims those of `chunks` that are ready, for `worker`; what is missing in the answer is not ours.
pub async fn claim_chunks(
    app: &App,
    worker: Uuid,
    claim: Uuid,
    chunks: &[Uuid],
) -> Result<HashMap<Uuid, Claimed>, BooksError> {
    // Two jobs may name one chunk, when the broker repeats what was published anew: it has its deliveries once.
    let mut chunks = chunks.to_vec();
    chunks.sort_unstable();
    chunks.dedup();
    let chunks = chunks.as_slice();
    let client = app.db.client().await?;
    let statement = client.prepare_cached(CLAIM).await?;
    let left = client.prepare_cached(LEFT).await?;
    let until = app.clock.now() + SKEW;
    let last: Vec<Uuid> = chunks.iter().map(|chunk| DeliveryId { chunk: *chunk, seq: i16::MAX }.uuid()).collect();
    // On one connection, one after the other, without waiting in between: the second begins after the first is committed.
    let claiming: [&(dyn ToSql + Sync); 5] = [&chunks, &claim, &worker, &until, &last];
    let looking: [&(dyn ToSql + Sync); 1] = [&chunks];
    let (rows, left) = tokio::join!(client.query(&statement, &claiming), client.query(&left, &looking));
    let (rows, left) = (rows?, left?);
    failpoint::hit(failpoint::Place::AfterClaim);
    let mut claimed: HashMap<Uuid, Claimed> = HashMap::with_capacity(chunks.len());
    let mut second_hand: Vec<Uuid> = Vec::new();
    for row in &rows {
        let chunk: Uuid = row.get(0);
        claimed.entry(chunk).or_insert_with(|| {
            if row.get::<_, i16>(1) > 1 {
                second_hand.push(chunk);
            }
            Claimed { claim, deliveries: Vec::new() }
        });
    }
    if claimed.len() < chunks.len() {
        unpublish_over(&client, chunks, &[]).await?;
    }
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let mut gone: HashSet<(Uuid, i16)> = left.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut flights = HashMap::new();
    if !second_hand.is_empty() {
        gone.extend(delivered(&client, &second_hand).await?);
        flights = flights_of(app, &client, &second_hand).await?;
    }
    for row in &rows {
        let Some(id) = row.get::<_, Option<Uuid>>(2).and_then(DeliveryId::from_uuid) else { continue };
        if let Some(chunk) = claimed.get_mut(&id.chunk)
            && !gone.contains(&(id.chunk, id.seq))
        {
            chunk.deliveries.push(read(app, row, id, &mut flights));
        }
    }
    Ok(claimed)
}

/// Messages never change once they are there, so they may be read with the eyes of before the lock; what left the chunk may not.
/// Walked in this order, row by row, each step an index look-up in one partition: `offset 0` keeps the planner from turning it
/// round. A plan made while the tables were empty would otherwise read all messages for every claim.
const CLAIM: &str = "/* books::claim_chunks */
with held as (
    update chunks set state = 1, claim = $2, worker = $3, tries = tries + 1
    where id = any($1) and ((state = 0 and due_at <= $4 and exists (select from workers where id = $3)) or (state = 1 and claim = $2))
    returning id, tries, lane
)
select held.id, held.tries, m.id, held.lane, m.channel, m.connection_id, m.destination, m.content, 0::smallint, m.created_at,
       m.expires_at, m.tag, m.campaign, false, null::text, m.sealed_as, m.trace
from held
join unnest($1::uuid[], $5::uuid[]) as wanted(first, last) on wanted.first = held.id
left join lateral (select * from messages where id between wanted.first and wanted.last offset 0) m on true";

/// Seen after the claim, by which a cancel was waited for.
const LEFT: &str = "/* books::claim_chunks left */ select chunk, seq from exceptions where chunk = any($1)";

async fn delivered(client: &Client, chunks: &[Uuid]) -> Result<Vec<(Uuid, i16)>, BooksError> {
    let sql = "/* books::claim_chunks delivered */ select a.chunk, a.seq from unnest($1::uuid[]) x(id) cross join lateral tries_of(x.id) a where a.outcome = 0";
    let rows = client.query(&client.prepare_cached(sql).await?, &[&chunks]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

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
    let now = app.clock.now();
    let id: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.uuid()).collect();
    let rows = client.query(&statement, &[&chunk, &seq, &claim, &worker, &now, &(now + SKEW), &id]).await?;
    failpoint::hit(failpoint::Place::AfterClaim);
    if rows.len() < deliveries.len() {
        unpublish_over(&client, &[], deliveries).await?;
    }
    let chunk: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let mut flights = flights_of(app, &client, &chunk).await?;
    let deliveries = rows.iter().filter_map(|row| {
        let id = DeliveryId::from_uuid(row.get(2))?;
        Some(ClaimedDelivery { again: true, ..read(app, row, id, &mut flights) })
    });
    Ok(Claimed { claim, deliveries: deliveries.collect() })
}

const CLAIM_AGAIN: &str = "/* books::claim_again */
with held as (
    update exceptions e set state = 2, claim = $3, worker = $4, due_at = null, published_at = null, updated_at = $5
    from unnest($1::uuid[], $2::smallint[], $7::uuid[]) as x(chunk, seq, id)
    where e.chunk = x.chunk and e.seq = x.seq
      and ((e.state = 1 and e.due_at <= $6 and exists (select from workers where id = $4)) or (e.state = 2 and e.claim = $3)) is true
    returning x.id, e.chunk, e.tries, e.lane, e.expires_at, e.reason
)
select held.chunk, 0::smallint, m.id, held.lane, m.channel, m.connection_id, m.destination, m.content, held.tries, m.created_at,
       coalesce(held.expires_at, m.expires_at), m.tag, m.campaign, m.ordering_key is not null, held.reason, m.sealed_as, m.trace
from held cross join lateral (select * from messages where id = held.id offset 0) m";

fn read(
    app: &App,
    row: &tokio_postgres::Row,
    id: DeliveryId,
    flights: &mut HashMap<DeliveryId, Flight>,
) -> ClaimedDelivery {
    let sealed: &[u8] = row.get(7);
    let sealed_as = row.get::<_, Option<Uuid>>(15).unwrap_or(id.uuid());
    let content = app.keys.open(Purpose::Message, sealed_as.as_bytes(), sealed);
    let flight = flights.remove(&id);
    let lacks = content.as_ref().err().and_then(OpenError::lacks).or(flight.as_ref().and_then(|flight| flight.lacks));
    ClaimedDelivery {
        id,
        again: false,
        lane: Lane::from_number(row.get(3)),
        channel: ChannelName::from_number(row.get(4)),
        connection: row.get(5),
        destination: row.get(6),
        content: content.ok(),
        lacks,
        tries: row.get::<_, i16>(8) as u16,
        created_at: row.get(9),
        expires_at: row.get(10),
        tag: row.get(11),
        campaign: row.get(12),
        ordered: row.get(13),
        reason: row.get(14),
        flight,
        trace: row.get::<_, Option<&[u8]>>(16).and_then(Parent::from_bytes),
    }
}

/// Puts chunks that are not to be claimed now aside, each until the time beside it: their destination has no room for them. They
/// wait in state 3, and are released as it has.
pub async fn park(app: &App, chunks: &[(Uuid, Timestamp)]) -> Result<(), BooksError> {
    let (chunk, until): (Vec<Uuid>, Vec<Timestamp>) = chunks.iter().copied().unzip();
    let sql = "/* books::park */ update chunks c
        set state = case when c.destination = '' then 0 else 3 end, due_at = x.until, published_at = null
        from unnest($1::uuid[], $2::timestamptz[]) as x(id, until) where c.id = x.id and (c.state = 0) is true";
    app.db.execute(sql, &[&chunk, &until]).await?;
    Ok(())
}

/// Gives back those chunks that are still held under the claim beside them; due at `until`.
pub async fn give_back(app: &App, chunks: &[(Uuid, Uuid)], until: Timestamp) -> Result<(), BooksError> {
    let (chunk, claim): (Vec<Uuid>, Vec<Uuid>) = chunks.iter().copied().unzip();
    let sql = "/* books::give_back */ update chunks c
        set state = 0, claim = null, worker = null, published_at = null, due_at = $3
        from unnest($1::uuid[], $2::uuid[]) as x(id, claim)
        where c.id = x.id and c.claim = x.claim and (c.state = 1) is true";
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
        where e.chunk = x.chunk and e.seq = x.seq and e.claim = x.claim and (e.state = 2) is true";
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
