//! Makes partitions ahead, and drops those past `retention.messages` in which nothing is open any more.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::db::DbError;

const EVERY: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// In the order they are dropped: what points before what is pointed at.
const BY_MESSAGE: [&str; 5] = ["attempts", "exceptions", "deliveries", "chunks", "messages"];

/// Looks every hour, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = round(&app).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "partitions could not be kept; the next try is in an hour"
            );
        }
    }
}

/// Makes what is needed for the next three weeks, drops what is past retention. Several processes may do it at once.
pub async fn round(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    let client = app.db.client().await?;
    for parent in BY_MESSAGE.iter().chain(&["inbox"]) {
        for ahead in 0..4 {
            let sql = "/* keep_partitions make */ select make_partition($1, date_trunc('week', $2::timestamptz at time zone 'utc')::date)";
            // A node that was off for weeks finds rows of this week in the default partition, and cannot make this week's any more.
            // The weeks ahead are made all the same, or every week to come would end up there.
            if let Err(error) = client.execute(sql, &[parent, &(now + WEEK * ahead)]).await {
                let error = DbError::from(error);
                if error.is_passing() {
                    return Err(error);
                }
                tracing::warn!(
                    parent,
                    ahead,
                    error = &error as &dyn std::error::Error,
                    "a week's partition could not be made"
                );
            }
        }
    }
    for week in old_weeks(&client, "chunks", now - app.config.retention.messages.duration()).await? {
        drop_week(&client, &week).await?;
    }
    Ok(())
}

/// Suffixes, such as `_20260105`, of the partitions that end before `until`.
async fn old_weeks(client: &crate::db::Client, parent: &str, until: Timestamp) -> Result<Vec<String>, DbError> {
    let sql = "/* keep_partitions old_weeks */
        select right(c.relname, 9) from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = $1::text::regclass and c.relname ~ '_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') + 7 <= ($2::timestamptz at time zone 'utc')::date
        order by 1";
    Ok(client.query(sql, &[&parent, &until]).await?.iter().map(|row| row.get(0)).collect())
}

/// Drops a week of the books unless something in it is still open.
async fn drop_week(client: &crate::db::Client, week: &str) -> Result<(), DbError> {
    let open = format!(
        "/* keep_partitions drop_week */ select exists (select from chunks{week} where state < 2)
            or exists (select from exceptions{week} where state < 3)"
    );
    if client.query_one(&open, &[]).await?.get(0) {
        tracing::warn!(week, "a week past its retention is kept: something in it is still open");
        return Ok(());
    }
    for parent in BY_MESSAGE {
        client.batch_execute(&format!("drop table if exists {parent}{week}")).await?;
    }
    tracing::info!(week, "dropped a week of the books past its retention");
    Ok(())
}
