//! Where deliveries go, who carries them, what they are part of.

use super::{Campaigns, Destinations, Running, Worker};
use crate::App;
use crate::db::DbError;

/// Destinations counted.
const MOST: i64 = 100_000;
/// Workers and campaigns named.
const WORKERS: i64 = 200;
const CAMPAIGNS: i64 = 20;
/// Of what a worker holds, counted.
const HELD: i64 = 20_000;

pub(super) async fn destinations(app: &App) -> Result<Destinations, DbError> {
    let sql = "/* overview::destinations */
        with unwell as (
            select case when paused then 'paused' when breaker = 1 and closed_until > $1 then 'open' when breaker <> 0 then 'half_open'
                        when closed_until > $1 then 'retry_after' else '' end as standing
            from destinations where paused or breaker <> 0 or closed_until is not null limit $2
        )
        select (select count(*) from (select from destinations order by name limit $2) x),
            count(*) filter (where standing = 'open'), count(*) filter (where standing = 'half_open'),
            count(*) filter (where standing = 'retry_after'), count(*) filter (where standing = 'paused')
        from unwell";
    let rows = app.db.rows_watched(sql, &[&app.clock.now(), &MOST]).await?;
    let row = rows.first().ok_or(DbError::Stored("count of destinations"))?;
    Ok(Destinations {
        known: row.get(0),
        open: row.get(1),
        half_open: row.get(2),
        retry_after: row.get(3),
        paused: row.get(4),
    })
}

pub(super) async fn workers(app: &App) -> Result<Vec<Worker>, DbError> {
    let sql = "/* overview::workers */
        select w.id, w.host, w.pid, w.started_at, w.lease_until, c.chunks, c.deliveries + e.n
        from workers w
        cross join lateral (select count(*) as chunks, coalesce(sum(n), 0)::bigint as deliveries from (
            select n from chunks where state = 1 and worker = w.id limit $2) x) c
        cross join lateral (select count(*) as n from (
            select from exceptions where state = 2 and worker = w.id limit $2) x) e
        where w.lease_until > $1 order by w.started_at limit $3";
    let lease = app.config.delivery.lease.duration();
    let rows = app.db.rows_watched(sql, &[&app.clock.now(), &HELD, &WORKERS]).await?;
    let worker = |row: &crate::db::Row| Worker {
        id: row.get(0),
        host: row.get(1),
        pid: row.get(2),
        since: row.get(3),
        last_seen: row.get::<_, jiff::Timestamp>(4) - lease,
        chunks: row.get(5),
        deliveries: row.get(6),
    };
    Ok(rows.iter().map(worker).collect())
}

pub(super) async fn campaigns(app: &App) -> Result<Campaigns, DbError> {
    let sql = "/* overview::campaigns */
        select c.id, c.name, c.sender, c.state = 1, c.closed, c.rate, c.accepted, c.refused, c.created_at, o.running, o.paused
        from (select id from campaigns where state in (0, 1) order by id desc limit $2) newest
        join campaigns c on c.id = newest.id
        cross join (select count(*) filter (where state = 0) as running, count(*) filter (where state = 1) as paused
                    from (select state from campaigns where state in (0, 1) limit $1) x) o
        order by c.id desc";
    let rows = app.db.rows_watched(sql, &[&MOST, &CAMPAIGNS]).await?;
    let running = |row: &crate::db::Row| Running {
        id: row.get(0),
        name: row.get(1),
        sender: row.get(2),
        paused: row.get(3),
        closed: row.get(4),
        rate: row.get::<_, Option<f32>>(5).map(f64::from),
        accepted: row.get(6),
        refused: row.get(7),
        created_at: row.get(8),
    };
    Ok(Campaigns {
        running: rows.first().map_or(0, |row| row.get(9)),
        paused: rows.first().map_or(0, |row| row.get(10)),
        newest: rows.iter().map(running).collect(),
    })
}
