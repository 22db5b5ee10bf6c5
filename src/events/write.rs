//! Writing: one row for all that happened together, in the transaction in which it happened.
//!
//! Settles and inbox entries write theirs inside their own statements (`books/settle.rs`, `inbox/receive.rs`). Who calls these
//! leaves out deliveries of lane status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Kind};
use crate::books::DeliveryId;
use crate::db::GenericClient;

/// All of these deliveries ended so.
pub async fn deliveries(
    client: &impl GenericClient,
    at: Timestamp,
    kind: Kind,
    ids: impl IntoIterator<Item = DeliveryId>,
) -> Result<(), Error> {
    let mut chunks: BTreeMap<Uuid, Vec<i16>> = BTreeMap::new();
    for id in ids {
        chunks.entry(id.chunk).or_default().push(id.seq);
    }
    if chunks.is_empty() {
        return Ok(());
    }
    // Arrays of arrays must all be of one length: the numbers travel as text.
    let seqs: Vec<String> = chunks.values().map(|seqs| array(seqs)).collect();
    let chunks: Vec<Uuid> = chunks.into_keys().collect();
    let sql = "/* events::deliveries */
        insert into events (at, kind, chunk, seqs)
        select $1, $2, x.chunk, x.seqs::int2[] from unnest($3::uuid[], $4::text[]) as x (chunk, seqs)";
    client.execute(&client.prepare_cached(sql).await?, &[&at, &kind.number(), &chunks, &seqs]).await?;
    Ok(())
}

/// A destination's breaker opened or closed.
pub async fn destination(client: &impl GenericClient, at: Timestamp, kind: Kind, name: &str) -> Result<(), Error> {
    let sql = "/* events::destination */ insert into events (at, kind, about) values ($1, $2, $3)";
    client.execute(&client.prepare_cached(sql).await?, &[&at, &kind.number(), &name]).await?;
    Ok(())
}

/// A campaign's last delivery has ended.
pub async fn campaign_finished(
    client: &impl GenericClient,
    at: Timestamp,
    campaign: Uuid,
    name: &str,
) -> Result<(), Error> {
    let sql = "/* events::campaign_finished */ insert into events (at, kind, items, about) values ($1, $2, array[$3::uuid], $4)";
    client.execute(&client.prepare_cached(sql).await?, &[&at, &Kind::Finished.number(), &campaign, &name]).await?;
    Ok(())
}

fn array(seqs: &[i16]) -> String {
    let numbers: Vec<String> = seqs.iter().map(ToString::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
