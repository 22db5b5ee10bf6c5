//! Which weeks there are.

use std::fmt;

use jiff::Timestamp;

use super::BOOKS;
use crate::App;
use crate::db::DbError;

/// A week, by the Monday (UTC) it begins with: `20260105`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Week(String);

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Week {
    /// The partition of a table.
    pub(super) fn of(&self, parent: &str) -> String {
        format!("{parent}_{}", self.0)
    }
}

/// The week of a moment.
pub(super) async fn of(app: &App, moment: Timestamp) -> Result<Week, DbError> {
    let sql = "/* keep_partitions week */
        select to_char(date_trunc('week', $1::timestamptz at time zone 'utc'), 'YYYYMMDD')";
    let row = app.db.row(sql, &[&moment]).await?;
    Ok(Week(row.ok_or(DbError::Stored("week"))?.get(0)))
}

/// Whether there is a table for this week.
pub(super) async fn exists(app: &App, parent: &str, week: &Week) -> Result<bool, DbError> {
    let sql = "/* keep_partitions exists */ select to_regclass($1) is not null";
    Ok(app.db.row(sql, &[&week.of(parent)]).await?.is_some_and(|row| row.get(0)))
}

/// The partitions of a table that end before `until`, oldest first.
pub(super) async fn attached(app: &App, parent: &str, until: Timestamp) -> Result<Vec<Week>, DbError> {
    let sql = "/* keep_partitions attached */
        select right(c.relname, 8) from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass($1) and c.relname ~ '_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') + 7 <= ($2::timestamptz at time zone 'utc')::date
        order by 1";
    Ok(app.db.rows(sql, &[&parent, &until]).await?.iter().map(|row| Week(row.get(0))).collect())
}

/// Whether a week holds nothing.
pub(super) async fn is_empty(app: &App, parent: &str, week: &Week) -> Result<bool, DbError> {
    let sql = format!("/* keep_partitions is_empty */ select not exists (select from {})", week.of(parent));
    let client = app.db.client().await?;
    Ok(client.query_one(&sql, &[]).await?.get(0))
}

/// Drops partitions that were detached: those of a process that died in between too. Nobody looks into them any more, so nobody
/// stands behind this.
pub(super) async fn drop_detached(app: &App) -> Result<(), DbError> {
    let pattern = format!("^({}|inbox|events)_[0-9]{{8}}$", BOOKS.join("|"));
    let sql = "/* keep_partitions detached */
        select c.relname::text from pg_class c
        where c.relkind = 'r' and not c.relispartition and c.relname ~ $1
          and c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('messages'))";
    for row in app.db.rows(sql, &[&pattern]).await? {
        let table: &str = row.get(0);
        let client = app.db.client().await?;
        client.batch_execute(&format!("drop table if exists {table}")).await?;
    }
    Ok(())
}
