//! What waiting readers need: which entries are new, for many accounts in one statement, and those entries.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Entry, Error, read_all};
use crate::App;
use crate::db::Row;

const RECENT: &str = "/* inbox::recent */
select i.account_id, i.id
from unnest($1::uuid[]) as wanted (account_id)
cross join lateral (
    select i.account_id, i.id from inbox i where i.account_id = wanted.account_id and i.id >= $2 order by i.id desc limit 1000
) i
order by i.id";

const FIND_MANY: &str = "/* inbox::find_many */
select i.id, a.address, i.from_address, i.from_name, i.content, i.received_at, i.sent_at, i.acknowledged_at
from inbox i join accounts a on a.id = i.account_id where i.id = any ($1) order by i.id";

const OUTLINES: &str = "/* inbox::outlines */
select id, from_name, received_at, acknowledged_at from inbox where id = any ($1)";

/// What is known of an entry without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its id.
    pub id: Uuid,
    /// How the sender was called.
    pub from_name: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was dealt with.
    pub acknowledged_at: Option<Timestamp>,
}

/// Account and id of these accounts' entries from the id `since` on, the last 1,000 of each, oldest first.
pub async fn recent(app: &App, accounts: &[Uuid], since: Uuid) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let rows = app.db.rows(RECENT, &[&accounts, &since]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The entries with these ids, oldest first. An entry that cannot be opened is left out and logged.
pub async fn find_many(app: &App, ids: &[Uuid]) -> Result<Vec<Entry>, Error> {
    Ok(read_all(app, &app.db.rows(FIND_MANY, &[&ids]).await?))
}

/// The entries with these ids, in no order, also those that cannot be opened.
pub async fn outlines(app: &App, ids: &[Uuid]) -> Result<Vec<Outline>, Error> {
    let rows = app.db.rows(OUTLINES, &[&ids]).await?;
    let read = |row: &Row| Outline {
        id: row.get(0),
        from_name: row.get(1),
        received_at: row.get(2),
        acknowledged_at: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}
