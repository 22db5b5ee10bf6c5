//! Writing: one row for all that happened together, in the transaction in which it happened.
//!
//! What becomes of deliveries is written by the books (`books/tell.rs`, `books/settle.rs`), what arrives by the inbox
//! (`inbox/receive.rs`), inside their own statements.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Kind};
use crate::db::GenericClient;

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
