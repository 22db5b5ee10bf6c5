//! Limits that hold across processes: events counted per scope, key and window.
//!
//! Promises: an event is counted before it is compared, so that no number of simultaneous tries passes more than the limit.
//! Windows are aligned to the epoch, so all processes agree on them, and are at most a day long. Leaves out what a limit is for,
//! and limits of one process.

mod bucket;

pub use bucket::{Spent, give_back, purge_buckets, spend};

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::App;
use crate::crypto;
use crate::db::DbError;

/// Longest window: counters older than this are purged.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Whether an event was within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Within,
    /// The limit was reached before.
    Over,
}

const COUNT: &str = "/* limits::count_many */
insert into counters (scope, key, since, n)
select $1, key, $2, n from unnest($3::text[], $4::int4[]) as new (key, n) order by key
on conflict (scope, key, since) do update set n = least(counters.n::bigint + excluded.n, 2147483647)::int4
returning key, n";

const PEEK: &str = "/* limits::peek */
select n from counters where scope = $1 and key = $2 and since = $3";

const TAKE_BACK: &str = "/* limits::take_back */
update counters set n = n - 1 where scope = $1 and key = $2 and since = $3 and n > 0";

const FORGET: &str = "/* limits::forget */
delete from counters where scope = $1 and key = $2 and since = $3";

const PURGE: &str = "/* limits::purge */
delete from counters where ctid = any (array(select ctid from counters where since < $1 order by since limit 1000))";

/// Counts one event; `Over` from the event after the `limit`-th of the window on.
pub async fn count(app: &App, scope: &str, key: &str, window: Duration, limit: u32) -> Result<Verdict, DbError> {
    let verdicts = count_many(app, scope, &[key], window, limit).await?;
    Ok(verdicts.first().copied().unwrap_or(Verdict::Over))
}

/// Counts many events in one statement; of several with one key the first ones pass.
pub async fn count_many(
    app: &App,
    scope: &str,
    keys: &[&str],
    window: Duration,
    limit: u32,
) -> Result<Vec<Verdict>, DbError> {
    let keys: Vec<Cow<'_, str>> = keys.iter().map(|key| stored_key(key)).collect();
    let mut events: HashMap<&str, i32> = HashMap::new();
    for key in &keys {
        *events.entry(key).or_default() += 1;
    }
    let (names, counts): (Vec<&str>, Vec<i32>) = events.iter().map(|(key, n)| (*key, *n)).unzip();
    let rows = app.db.rows(COUNT, &[&scope, &start(app.clock.now(), window), &names, &counts]).await?;
    // How many were counted before this statement; each event then takes its number.
    let mut before: HashMap<&str, i64> = HashMap::new();
    for row in &rows {
        let (key, n): (&str, i32) = (row.get(0), row.get(1));
        before.insert(key, i64::from(n) - i64::from(events[key]));
    }
    let mut verdict = |key: &str| {
        let n = before.get_mut(key)?;
        *n += 1;
        Some(if *n <= i64::from(limit) { Verdict::Within } else { Verdict::Over })
    };
    Ok(keys.iter().map(|key| verdict(key).unwrap_or(Verdict::Over)).collect())
}

/// How many events the present window has, without counting one.
pub async fn peek(app: &App, scope: &str, key: &str, window: Duration) -> Result<u32, DbError> {
    let row = app.db.row(PEEK, &[&scope, &stored_key(key), &start(app.clock.now(), window)]).await?;
    Ok(row.map_or(0, |row| row.get::<_, i32>(0).unsigned_abs()))
}

/// Uncounts one event of the present window: it turned out not to be one.
pub async fn take_back(app: &App, scope: &str, key: &str, window: Duration) -> Result<(), DbError> {
    app.db.execute(TAKE_BACK, &[&scope, &stored_key(key), &start(app.clock.now(), window)]).await?;
    Ok(())
}

/// The present window starts anew.
pub async fn forget(app: &App, scope: &str, key: &str, window: Duration) -> Result<(), DbError> {
    app.db.execute(FORGET, &[&scope, &stored_key(key), &start(app.clock.now(), window)]).await?;
    Ok(())
}

/// Removes up to 1,000 counters whose window is over; returns how many.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&(app.clock.now() - LONGEST_WINDOW)]).await
}

/// Strangers choose some keys: what a text column or its index cannot hold is counted under its hash.
fn stored_key(key: &str) -> Cow<'_, str> {
    if key.len() <= 255 && !key.contains('\0') {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(crypto::encode_hex(&crypto::sha256(&[key.as_bytes()])))
    }
}

fn start(now: Timestamp, window: Duration) -> Timestamp {
    let window = window.clamp(Duration::from_millis(1), LONGEST_WINDOW).as_micros() as i64;
    let micros = now.as_microsecond().div_euclid(window) * window;
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_aligned_and_hold_their_start() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(start(at("2026-03-01T10:59:59.999999Z"), hour), at("2026-03-01T10:00:00Z"));
        assert_eq!(start(at("2026-03-01T11:00:00Z"), hour), at("2026-03-01T11:00:00Z"));
        assert_eq!(start(at("2026-03-01T11:00:00Z"), Duration::ZERO), at("2026-03-01T11:00:00Z"));
    }

    #[test]
    fn keys_that_cannot_be_stored_are_hashed() {
        assert_eq!(stored_key("shop.example"), "shop.example");
        assert_eq!(stored_key("a\0b").len(), 64);
        assert_eq!(stored_key(&"x".repeat(300)).len(), 64);
        assert_ne!(stored_key("a\0b"), stored_key("a\0c"));
    }
}
