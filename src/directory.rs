//! The directory: who can be written to, by tokens that stand for phone numbers.
//!
//! Promises: a number of this node is in it exactly while its first device is active; one that is here goes before what a peer
//! claims, and between peers the first one goes before the others. Leaves out reading the peers' directories
//! (`workers/sync_directories.rs`).

pub mod listing;
pub mod peers;

use std::collections::HashMap;

use crate::App;
use crate::db::{DbError, GenericClient, Row};
use crate::textsecure::{Number, TOKEN_BYTES, Token};

/// Tokens in one statement: it takes some milliseconds, then the connection is somebody else's.
const AT_ONCE: usize = 2000;

/// Somebody who can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The federated node it is registered with; none: this one.
    pub relay: Option<String>,
    /// It can take SMS.
    pub supports_sms: bool,
}

const FIND: &str = "/* directory::find */
select token, relay, supports_sms from directory where token = any ($1::bytea[])";

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

/// Who of these can be written to. Best sorted and each token once: neighbours lie together.
pub async fn find(app: &App, tokens: &[Token]) -> Result<HashMap<Token, Contact>, DbError> {
    let mut found = HashMap::new();
    for tokens in tokens.chunks(AT_ONCE) {
        let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.0.as_slice()).collect();
        found.extend(app.db.rows(FIND, &[&tokens]).await?.iter().filter_map(read));
    }
    Ok(found)
}

/// Brings the entry of a number of this node up to date with its devices. To be called in the transaction that changes them, after
/// the row of the number was locked.
pub async fn follow(client: &impl GenericClient, number: &Number) -> Result<(), DbError> {
    let listed = client.prepare_cached(LISTED).await?;
    let token = number.token();
    match client.query_opt(&listed, &[&number.as_str()]).await? {
        Some(row) => {
            let put = client.prepare_cached(PUT).await?;
            client.execute(&put, &[&token.0.as_slice(), &row.get::<_, bool>(0)]).await?;
        }
        None => {
            let take = client.prepare_cached(TAKE).await?;
            client.execute(&take, &[&token.0.as_slice()]).await?;
        }
    }
    Ok(())
}

/// The peer under which a number is listed, if any.
pub async fn relay_of(client: &impl GenericClient, number: &Number) -> Result<Option<String>, DbError> {
    let statement = client.prepare_cached(RELAY).await?;
    let row = client.query_opt(&statement, &[&number.token().0.as_slice()]).await?;
    Ok(row.and_then(|row| row.get(0)))
}

const FORGET: &str = "/* directory::forget */
delete from directory where token = $1";

/// Takes a number out, whoever has it. False: it was not in.
pub async fn forget(client: &impl GenericClient, number: &Number) -> Result<bool, DbError> {
    let statement = client.prepare_cached(FORGET).await?;
    Ok(client.execute(&statement, &[&number.token().0.as_slice()]).await? > 0)
}

fn read(row: &Row) -> Option<(Token, Contact)> {
    let token: [u8; TOKEN_BYTES] = row.get::<_, &[u8]>(0).try_into().ok()?;
    Some((Token(token), Contact { relay: row.get(1), supports_sms: row.get(2) }))
}
