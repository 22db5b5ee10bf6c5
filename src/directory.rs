//! The directory: who can be written to, by tokens that stand for phone numbers.
//!
//! Promises: a number of this node is in it exactly while its first device is active; one that is here goes before what a peer
//! claims, and between peers the first one goes before the others. Leaves out reading the peers' directories
//! (`workers/sync_directories.rs`).

pub mod peers;

use crate::db::{DbError, GenericClient};
use crate::textsecure::Number;

const LISTED: &str = "/* directory::follow */
select d.supports_sms from devices d join phones p on p.number = d.number
where d.number = $1 and d.device = 1 and p.disabled_at is null and (d.fetches_messages or d.push is not null)";

const PUT: &str = "/* directory::follow put */
insert into directory (token, relay, supports_sms) values ($1, null, $2)
on conflict (token) do update set relay = null, supports_sms = excluded.supports_sms";

const TAKE: &str = "/* directory::follow take */
delete from directory where token = $1 and relay is null";

const RELAY: &str = "/* directory::relay_of */
select relay from directory where token = $1";

/// Brings the entry of a number of this node up to date with its devices. To be called in the transaction that changes them, after
/// the row of the number was locked.
pub async fn follow(client: &impl GenericClient, number: &Number) -> Result<(), DbError> {
    let listed = client.prepare_cached(LISTED).await?;
    let token = number.token();
    match client.query_opt(&listed, &[&number.as_str()]).await? {
        Some(row) => {
            let put = client.prepare_cached(PUT).await?;
            client.execute(&put, &[&token.as_slice(), &row.get::<_, bool>(0)]).await?;
        }
        None => {
            let take = client.prepare_cached(TAKE).await?;
            client.execute(&take, &[&token.as_slice()]).await?;
        }
    }
    Ok(())
}

/// The peer under which a number is listed, if any.
pub async fn relay_of(client: &impl GenericClient, number: &Number) -> Result<Option<String>, DbError> {
    let statement = client.prepare_cached(RELAY).await?;
    let row = client.query_opt(&statement, &[&number.token().as_slice()]).await?;
    Ok(row.and_then(|row| row.get(0)))
}

const FORGET: &str = "/* directory::forget */
delete from directory where token = $1";

/// Takes a number out, whoever has it. False: it was not in.
pub async fn forget(client: &impl GenericClient, number: &Number) -> Result<bool, DbError> {
    let statement = client.prepare_cached(FORGET).await?;
    Ok(client.execute(&statement, &[&number.token().as_slice()]).await? > 0)
}
