//! What this node lists for federated nodes: all its accounts, by pages.

use crate::App;
use crate::db::DbError;
use crate::textsecure::Number;

/// An account of this node.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its number.
    pub number: Number,
    /// It can be written to.
    pub active: bool,
    /// It can take SMS.
    pub supports_sms: bool,
}

const COUNT: &str = "/* directory::count */
select count(*) from phones where disabled_at is null";

const PAGE: &str = "/* directory::page */
select p.number, coalesce(d.fetches_messages or d.push is not null, false), coalesce(d.supports_sms, false)
from (select number from phones where disabled_at is null order by number offset $1 limit $2) p
left join devices d on d.number = p.number and d.device = 1
order by p.number";

/// How many accounts there are; those that are disabled do not count.
pub async fn count(app: &App) -> Result<i64, DbError> {
    Ok(app.db.row(COUNT, &[]).await?.map_or(0, |row| row.get(0)))
}

/// Accounts from the `offset`th on, in the order of their numbers.
pub async fn page(app: &App, offset: i64, limit: i64) -> Result<Vec<Listed>, DbError> {
    let read = |row: &crate::db::Row| {
        let number = row.get::<_, &str>(0).parse().ok()?;
        Some(Listed { number, active: row.get(1), supports_sms: row.get(2) })
    };
    Ok(app.db.rows(PAGE, &[&offset, &limit]).await?.iter().filter_map(read).collect())
}
