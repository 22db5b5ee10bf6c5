//! Openmsg POSTs in flight: what a peer's message-confirm is answered from, and what an unknown outcome is judged by.
//!
//! A row is committed before its POST and deleted with its settle, whatever came of it; it answers for 60 s at the most
//! (specification of Openmsg, weakness 6.9). `asked_at` is committed before the confirm is answered: so where it is null and
//! the row could be deleted, the peer has not accepted the message and never can.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{BooksError, DeliveryId};
use crate::App;
use crate::crypto::{OpenError, Purpose};
use crate::db::Client;

/// One POST, about to be made.
pub struct OutboxEntry {
    /// message_hash.
    pub hash: [u8; 32],
    /// The first 32 characters of the package.
    pub nonce: String,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Over which connection.
    pub connection: Uuid,
    /// For whom.
    pub recipient: String,
    /// The request, complete.
    pub body: Vec<u8>,
    /// Whose POST.
    pub worker: Uuid,
    /// After this nothing is confirmed.
    pub expires_at: Timestamp,
}

/// A POST that was begun and not settled.
pub struct Flight {
    /// message_hash.
    pub hash: [u8; 32],
    /// The request as sent.
    pub body: Zeroizing<Vec<u8>>,
    /// When it can no longer be repeated.
    pub expires_at: Timestamp,
    /// The node key that the request was sealed by, where this process does not hold that: then there is no body.
    pub lacks: Option<u16>,
}

/// Writes the rows of POSTs about to be made.
pub async fn put_many(app: &App, entries: &[OutboxEntry]) -> Result<(), BooksError> {
    let now = app.clock.now();
    let hash: Vec<&[u8]> = entries.iter().map(|e| e.hash.as_slice()).collect();
    let nonce: Vec<&str> = entries.iter().map(|e| e.nonce.as_str()).collect();
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = entries.iter().map(|e| (e.delivery.chunk, e.delivery.seq)).unzip();
    let connection: Vec<Uuid> = entries.iter().map(|e| e.connection).collect();
    let recipient: Vec<&str> = entries.iter().map(|e| e.recipient.as_str()).collect();
    let body: Vec<Vec<u8>> = entries.iter().map(|e| app.keys.seal(Purpose::Outbox, &e.hash, &e.body)).collect();
    let worker: Vec<Uuid> = entries.iter().map(|e| e.worker).collect();
    let expires_at: Vec<Timestamp> = entries.iter().map(|e| e.expires_at).collect();
    let sql = "/* books::outbox put_many */
        insert into outbox (hash, nonce, chunk, seq, connection_id, recipient, body, worker, expires_at, posted_at)
        select *, $10 from unnest($1::bytea[], $2::text[], $3::uuid[], $4::smallint[], $5::uuid[], $6::text[], $7::bytea[], $8::uuid[], $9::timestamptz[])
        on conflict (hash) do nothing";
    let client = app.db.client().await?;
    let statement = client.prepare_cached(sql).await?;
    client
        .execute(&statement, &[&hash, &nonce, &chunk, &seq, &connection, &recipient, &body, &worker, &expires_at, &now])
        .await?;
    Ok(())
}

/// Answers message-confirms: true where our POST of that message is in flight. Committed as asked before this returns.
pub async fn confirm_many(app: &App, asked: &[([u8; 32], String)]) -> Result<Vec<bool>, BooksError> {
    let hash: Vec<&[u8]> = asked.iter().map(|(hash, _)| hash.as_slice()).collect();
    let nonce: Vec<&str> = asked.iter().map(|(_, nonce)| nonce.as_str()).collect();
    let sql = "/* books::outbox confirm_many */
        update outbox o set asked_at = coalesce(o.asked_at, $3)
        from (select distinct * from unnest($1::bytea[], $2::text[])) as x(hash, nonce)
        where o.hash = x.hash and o.nonce = x.nonce and o.expires_at > $3
        returning o.hash, o.nonce";
    let client = app.db.client().await?;
    let rows = client.query(&client.prepare_cached(sql).await?, &[&hash, &nonce, &app.clock.now()]).await?;
    let known: std::collections::HashSet<(Vec<u8>, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(asked.iter().map(|(hash, nonce)| known.contains(&(hash.to_vec(), nonce.clone()))).collect())
}

/// Deletes the row unless the peer has asked for it. True: it was never asked for, and can be sent anew. May be called again
/// when the answer was lost: a row that is no more was deleted by the first call, because nothing else deletes one whose
/// delivery is not settled. Two statements on purpose: a confirm that the first one waited for is seen by the second one only.
pub async fn forget_unasked(app: &App, hash: &[u8; 32]) -> Result<bool, BooksError> {
    let client = app.db.client().await?;
    let sql = "/* books::outbox forget_unasked */ delete from outbox where hash = $1 and asked_at is null";
    if client.execute(&client.prepare_cached(sql).await?, &[&hash.as_slice()]).await? > 0 {
        return Ok(true);
    }
    let sql = "/* books::outbox forget_unasked left */ select not exists (select from outbox where hash = $1)";
    Ok(client.query_one(&client.prepare_cached(sql).await?, &[&hash.as_slice()]).await?.get(0))
}

/// The recipient of our own POST in flight with this hash: an incoming message with it is a reflection (weakness 6.7b).
pub async fn asked(app: &App, hashes: &[[u8; 32]]) -> Result<HashMap<[u8; 32], String>, BooksError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let sql = "/* books::outbox asked */ select hash, recipient from outbox where hash = any($1)";
    let client = app.db.client().await?;
    let rows = client.query(&client.prepare_cached(sql).await?, &[&hashes]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.get::<_, &[u8]>(0).try_into().ok()?, row.get(1)))).collect())
}

/// What workers before us had in flight of these chunks.
pub async fn flights_of(
    app: &App,
    client: &Client,
    chunks: &[Uuid],
) -> Result<HashMap<DeliveryId, Flight>, BooksError> {
    let mut flights = HashMap::new();
    if chunks.is_empty() {
        return Ok(flights);
    }
    let sql = "/* books::outbox flights_of */
        select chunk, seq, hash, body, expires_at from outbox where chunk = any($1) order by posted_at";
    for row in client.query(&client.prepare_cached(sql).await?, &[&chunks]).await? {
        let hash: [u8; 32] = row.get::<_, &[u8]>(2).try_into().unwrap_or_default();
        // One that does not open cannot be repeated; its outcome then stays unknown, and the others' does not.
        let body = app.keys.open(Purpose::Outbox, &hash, row.get(3));
        let lacks = body.as_ref().err().and_then(OpenError::lacks);
        let delivery = DeliveryId { chunk: row.get(0), seq: row.get(1) };
        flights.insert(delivery, Flight { hash, body: body.unwrap_or_default(), expires_at: row.get(4), lacks });
    }
    Ok(flights)
}

/// Deletes rows that answer for nothing any more and that no unsettled delivery needs to be judged by; answers how many.
pub async fn purge(app: &App) -> Result<u64, BooksError> {
    let sql = "/* books::outbox purge */
        delete from outbox where hash in (
            select o.hash from outbox o
            left join chunks c on c.id = o.chunk left join exceptions e on e.chunk = o.chunk and e.seq = o.seq
            where o.expires_at < $1 and (e.state > 2 or (e.chunk is null and (c.id is null or c.state = 2)))
            limit 500)";
    let client = app.db.client().await?;
    let longer = app.clock.now() - std::time::Duration::from_secs(60);
    Ok(client.execute(&client.prepare_cached(sql).await?, &[&longer]).await?)
}
