//! What the API asks of connections before it takes messages: many at once, in one statement.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Error, State};
use crate::App;
use crate::openmsg::Address;

/// What decides whether a message may go from one address to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The connection.
    pub id: Uuid,
    /// Whether it can be used.
    pub state: State,
    /// The peer takes messages.
    pub other_accepts: bool,
    /// Our account is disabled.
    pub account_disabled: bool,
}

const FIND_MANY: &str = "/* connections::find_many_by_addresses */
select c.self_address, c.other_address, c.id, c.other_accepts, c.blocked_at is not null as blocked,
    c.broken_at is not null as broken, a.disabled_at is not null as disabled
from unnest($1::text[], $2::text[]) as wanted (own, other)
join connections c on c.self_address = wanted.own and c.other_address = wanted.other
join accounts a on a.id = c.account_id";

/// The ways between these pairs (one of our accounts, a peer), in order; `None`: there is no connection.
pub async fn find_many_by_addresses(app: &App, pairs: &[(Address, Address)]) -> Result<Vec<Option<Way>>, Error> {
    let own: Vec<&str> = pairs.iter().map(|(own, _)| own.as_str()).collect();
    let other: Vec<&str> = pairs.iter().map(|(_, other)| other.as_str()).collect();
    let rows = app.db.rows(FIND_MANY, &[&own, &other]).await?;
    let mut found: HashMap<(&str, &str), Way> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let state = match (row.get("blocked"), row.get("broken")) {
            (true, _) => State::Blocked,
            (false, true) => State::Broken,
            (false, false) => State::Active,
        };
        let (other_accepts, account_disabled) = (row.get("other_accepts"), row.get("disabled"));
        let way = Way { id: row.get("id"), state, other_accepts, account_disabled };
        found.insert((row.get("self_address"), row.get("other_address")), way);
    }
    Ok(pairs.iter().map(|(own, other)| found.get(&(own.as_str(), other.as_str())).cloned()).collect())
}
