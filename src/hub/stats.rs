//! What a site's owner sees of each day: how many asked, approved, denied, let it expire; and how many different people came.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::App;
use crate::crypto::Purpose;
use crate::db::{DbError, GenericClient, Row};

/// Days that are kept, and shown.
const DAYS: i64 = 92;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A welcome was made.
    Requested,
    /// Somebody said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// A signed request was refused.
    Failed,
}

/// One day (UTC).
#[derive(Serialize, schemars::JsonSchema)]
pub struct Day {
    /// Which.
    pub day: Date,
    /// Signed requests.
    pub requests: i32,
    /// Approved.
    pub approved: i32,
    /// Denied.
    pub denied: i32,
    /// Neither, in time.
    pub expired: i32,
    /// Refused by the hub.
    pub failed: i32,
    /// Different people who were let in.
    pub unique_fing: i32,
}

const NOTE: &str = "/* hub::stats::note */
insert into hub_stats as s (site_id, day, requests, approved, denied, failed) values ($1, $2, $3, $4, $5, $6)
on conflict (site_id, day) do update set requests = s.requests + excluded.requests, approved = s.approved + excluded.approved,
    denied = s.denied + excluded.denied, failed = s.failed + excluded.failed";

const SEEN: &str = "/* hub::stats::seen */
with new as (insert into hub_fings (site_id, day, hash) values ($1, $2, $3) on conflict do nothing returning true)
update hub_stats set unique_fing = unique_fing + 1 where site_id = $1 and day = $2 and exists (select from new)";

const LIST: &str = "/* hub::stats::list */
select day, requests, approved, denied, expired, failed, unique_fing from hub_stats
where site_id = $1 and day > $2 order by day";

const PURGE: &str = "/* hub::stats::purge */
with old as (
    delete from hub_fings where ctid = any (array(select ctid from hub_fings where day < $1 order by day limit 5000)))
delete from hub_stats where ctid = any (array(select ctid from hub_stats where day < $2 order by day limit 1000))";

/// Counts something of today.
pub(super) async fn note(client: &impl GenericClient, site: &str, now: Timestamp, event: Event) -> Result<(), DbError> {
    let is = |wanted: &[Event]| i32::from(wanted.contains(&event));
    let counts =
        [is(&[Event::Requested, Event::Failed]), is(&[Event::Approved]), is(&[Event::Denied]), is(&[Event::Failed])];
    let statement = client.prepare_cached(NOTE).await?;
    client.execute(&statement, &[&site, &day(now), &counts[0], &counts[1], &counts[2], &counts[3]]).await?;
    Ok(())
}

/// Counts a person, once a day. After [`note`], in the same transaction.
pub(super) async fn seen(
    client: &impl GenericClient,
    app: &App,
    site: &str,
    now: Timestamp,
    fingerprint: &str,
) -> Result<(), DbError> {
    let hash = app.keys.lasting_hash(Purpose::Homing, &[b"hub", b"fing", site.as_bytes(), fingerprint.as_bytes()]);
    let statement = client.prepare_cached(SEEN).await?;
    client.execute(&statement, &[&site, &day(now), &hash.as_slice()]).await?;
    Ok(())
}

/// The days of a site, oldest first; days of which there is nothing to say are left out.
pub async fn list(app: &App, site: &str) -> Result<Vec<Day>, DbError> {
    let rows = app.db.rows(LIST, &[&site, &days_ago(app, DAYS)]).await?;
    let read = |row: &Row| Day {
        day: row.get(0),
        requests: row.get(1),
        approved: row.get(2),
        denied: row.get(3),
        expired: row.get(4),
        failed: row.get(5),
        unique_fing: row.get(6),
    };
    Ok(rows.iter().map(read).collect())
}

/// Removes fingerprints of the day before yesterday and earlier, and days that are shown no more; returns how many of the latter.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&days_ago(app, 1), &days_ago(app, DAYS)]).await
}

/// Of whole days in UTC.
pub(super) fn day(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

fn days_ago(app: &App, days: i64) -> Date {
    day(app.clock.now() - Duration::from_secs(days.unsigned_abs() * 86_400))
}
