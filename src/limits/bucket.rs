//! Leaky buckets: so much at once, and so much a minute in the long run.
//!
//! One statement for what is within the limit. What is over takes nothing, and is told when it would be within.

use std::time::Duration;

use super::stored_key;
use crate::App;
use crate::config::Bucket;
use crate::db::DbError;

/// A bucket that was not used for this long is empty, whatever it held.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Go on.
    Within,
    /// Nothing was taken. There is room after that time; none: there never is.
    Over(Option<Duration>),
}

const SPEND: &str = "/* limits::spend */
insert into buckets as b (scope, key, level, at) values ($1, $2, $3::float8, $4)
on conflict (scope, key) do update
set level = greatest(0, b.level - greatest(0, extract(epoch from $4 - b.at)::float8) * $6::float8) + $3::float8, at = greatest(b.at, $4)
where greatest(0, b.level - greatest(0, extract(epoch from $4 - b.at)::float8) * $6::float8) + $3::float8 <= $5::float8
returning true";

const LEVEL: &str = "/* limits::level */
select greatest(0, level - greatest(0, extract(epoch from $3 - at)::float8) * $4::float8) from buckets where scope = $1 and key = $2";

const GIVE_BACK: &str = "/* limits::give_back */
update buckets set level = greatest(0, level - $3) where scope = $1 and key = $2";

const PURGE: &str = "/* limits::purge_buckets */
delete from buckets where ctid = any (array(select ctid from buckets where at < $1 order by at limit 1000))";

/// Takes `cost` from the room that `key` has, if there is so much.
pub async fn spend(app: &App, scope: &str, key: &str, bucket: Bucket, cost: u32) -> Result<Spent, DbError> {
    if cost == 0 {
        return Ok(Spent::Within);
    }
    if cost > bucket.bucket {
        return Ok(Spent::Over(None));
    }
    let (key, now) = (stored_key(key), app.clock.now());
    let (cost, most, leak) = (f64::from(cost), f64::from(bucket.bucket), bucket.per_minute / 60.0);
    if app.db.row(SPEND, &[&scope, &key, &cost, &now, &most, &leak]).await?.is_some() {
        return Ok(Spent::Within);
    }
    let level = app.db.row(LEVEL, &[&scope, &key, &now, &leak]).await?.map_or(0.0, |row| row.get::<_, f64>(0));
    Ok(Spent::Over(Some(Duration::from_secs_f64(((level + cost - most) / leak).clamp(0.0, 86_400.0)))))
}

/// Puts back what was taken: it turned out not to count.
pub async fn give_back(app: &App, scope: &str, key: &str, cost: u32) -> Result<(), DbError> {
    app.db.execute(GIVE_BACK, &[&scope, &stored_key(key), &f64::from(cost)]).await?;
    Ok(())
}

/// Removes up to 1,000 buckets that have long been empty; returns how many.
pub async fn purge_buckets(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&(app.clock.now() - FORGOTTEN)]).await
}
