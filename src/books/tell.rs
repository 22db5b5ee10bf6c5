//! What is to be told of deliveries that ended: one row for all of a chunk that ended together. Reading is [`crate::events`]'s.
//!
//! What goes on the status lane tells of others, and is not told of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{BooksError, DeliveryId, Lane};
use crate::db::GenericClient;

/// How a delivery ended, as stored in `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The destination has it.
    Delivered = 1,
    /// Refused for good.
    Failed = 2,
    /// Its life ended.
    Expired = 3,
    /// It may have arrived.
    Unconfirmed = 4,
    /// Withdrawn.
    Cancelled = 5,
}

/// Notes that these deliveries ended, in the caller's transaction.
pub async fn ended(
    client: &impl GenericClient,
    kind: Kind,
    ended: &[(DeliveryId, Lane)],
    now: Timestamp,
) -> Result<(), BooksError> {
    let mut by_chunk: BTreeMap<Uuid, Vec<i16>> = BTreeMap::new();
    for (id, _) in ended.iter().filter(|(_, lane)| *lane != Lane::Status) {
        by_chunk.entry(id.chunk).or_default().push(id.seq);
    }
    let sql = "/* books::tell */ insert into events (at, kind, chunk, seqs) values ($1, $2, $3, $4)";
    let statement = client.prepare_cached(sql).await?;
    for (chunk, seqs) in by_chunk {
        client.execute(&statement, &[&now, &(kind as i16), &chunk, &seqs]).await?;
    }
    Ok(())
}
