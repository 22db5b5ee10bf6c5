//! What waiting readers need: which entries are new, for many accounts in one statement, and those entries.

use uuid::Uuid;

use super::{Entry, Error, read_all};
use crate::App;

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

/// Account and id of these accounts' entries from the id `since` on, the last 1,000 of each, oldest first.
pub async fn recent(app: &App, accounts: &[Uuid], since: Uuid) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let rows = app.db.rows(RECENT, &[&accounts, &since]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The entries with these ids, oldest first. An entry that cannot be opened is left out and logged.
pub async fn find_many(app: &App, ids: &[Uuid]) -> Result<Vec<Entry>, Error> {
    Ok(read_all(app, &app.db.rows(FIND_MANY, &[&ids]).await?))
}
