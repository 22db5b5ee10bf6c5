//! What all processes did in the last two hours, in steps of ten seconds.
//!
//! Each process counts for itself ([`Tally`]: an atomic addition a batch) and adds what is new to the shared row of the moment,
//! every two seconds while there is something. So a rate costs the same at any volume, and is true over all processes. A process
//! that is killed takes its last two seconds with it: this is for watching, the books are for accounting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Minute, Rates};
use crate::App;
use crate::db::DbError;

/// How long counts wait in the process.
const EVERY: Duration = Duration::from_secs(2);
/// Seconds in a row of the table.
const STEP: i64 = 10;
/// How long rows are kept, in seconds.
const KEEP: i64 = 2 * 3600;
/// Minutes shown.
const MINUTES: i64 = 60;
/// Seconds that rates are of.
const WINDOW: i64 = 60;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A delivery was taken into the books.
    Accepted,
    /// A try was settled.
    Attempt,
    /// A delivery ended well.
    Delivered,
    /// A delivery failed, expired, or nobody knows its outcome.
    Failed,
    /// A message of another node was stored.
    Received,
}

const KINDS: usize = 5;

/// Counts of this process that are not in the database yet.
#[derive(Debug, Default)]
pub struct Tally([AtomicI64; KINDS]);

/// A process has one: what it did is nobody else's, whatever parts it is made of.
static TALLY: Tally = Tally([const { AtomicI64::new(0) }; KINDS]);

/// Counts `n` more.
pub fn count(deed: Deed, n: usize) {
    if n > 0 {
        TALLY.add(deed, i64::try_from(n).unwrap_or(i64::MAX));
    }
}

impl Tally {
    fn add(&self, deed: Deed, n: i64) {
        self.0[deed as usize].fetch_add(n, Ordering::Relaxed);
    }

    fn take(&self) -> [i64; KINDS] {
        std::array::from_fn(|kind| self.0[kind].swap(0, Ordering::Relaxed))
    }

    fn give_back(&self, counts: [i64; KINDS]) {
        self.0.iter().zip(counts).for_each(|(kind, n)| {
            kind.fetch_add(n, Ordering::Relaxed);
        });
    }
}

/// Writes this process's counts down, until `stop`, and what is left then.
pub async fn keep(app: App, stop: CancellationToken) {
    let mut rounds: u64 = 0;
    loop {
        let stopping = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none();
        if let Err(error) = write(&app, &TALLY).await {
            tracing::debug!(%error, "what this process did could not be written down; later");
        }
        if stopping {
            return;
        }
        rounds += 1;
        if rounds.is_multiple_of(60) {
            let before = app.clock.now() - Duration::from_secs(KEEP.unsigned_abs());
            let _ =
                app.db.execute("/* overview::activity purge */ delete from activity where at < $1", &[&before]).await;
        }
    }
}

async fn write(app: &App, tally: &Tally) -> Result<(), DbError> {
    let counts = tally.take();
    if counts.iter().all(|n| *n == 0) {
        return Ok(());
    }
    let sql = "/* overview::activity write */
        insert into activity as a (at, accepted, attempts, delivered, failed, received) values ($1, $2, $3, $4, $5, $6)
        on conflict (at) do update set accepted = a.accepted + excluded.accepted, attempts = a.attempts + excluded.attempts,
            delivered = a.delivered + excluded.delivered, failed = a.failed + excluded.failed, received = a.received + excluded.received";
    let at = floor(app.clock.now(), STEP);
    let [accepted, attempts, delivered, failed, received] = &counts;
    let written = app.db.execute(sql, &[&at, accepted, attempts, delivered, failed, received]).await;
    if written.is_err() {
        tally.give_back(counts);
    }
    written.map(|_| ())
}

fn floor(at: Timestamp, step: i64) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(step)).unwrap_or(at)
}

/// Rates of the last minute, and the last hour by minutes.
pub(super) async fn read(app: &App) -> Result<(Rates, Vec<Minute>), DbError> {
    let now = app.clock.now();
    let first = floor(now, 60) - Duration::from_secs(60 * (MINUTES - 1).unsigned_abs());
    let sql = "/* overview::activity read */ select at, accepted, attempts, delivered, failed, received from activity where at >= $1";
    let rows: Vec<(Timestamp, [i64; KINDS])> = app
        .db
        .rows_watched(sql, &[&first])
        .await?
        .iter()
        .map(|row| (row.get(0), std::array::from_fn(|kind| row.get(1 + kind))))
        .collect();
    Ok((rates(&rows, now), minutes(&rows, first)))
}

/// Of whole steps only, the youngest one old enough that everybody has written it.
fn rates(rows: &[(Timestamp, [i64; KINDS])], now: Timestamp) -> Rates {
    let until = floor(now - EVERY, STEP);
    let from = until - Duration::from_secs(WINDOW.unsigned_abs());
    let within = rows.iter().filter(|(at, _)| (from..until).contains(at));
    let sums = within.fold([0; KINDS], |sums: [i64; KINDS], (_, n)| std::array::from_fn(|kind| sums[kind] + n[kind]));
    let [accepted, attempts, delivered, failed, received] = sums.map(|n| n as f64 / WINDOW as f64);
    Rates { accepted, attempts, delivered, failed, received }
}

fn minutes(rows: &[(Timestamp, [i64; KINDS])], first: Timestamp) -> Vec<Minute> {
    let mut minutes: Vec<Minute> = (0..MINUTES.unsigned_abs())
        .map(|i| first + Duration::from_secs(60 * i))
        .map(|at| Minute { at, accepted: 0, attempts: 0, delivered: 0, failed: 0, received: 0 })
        .collect();
    for (at, [accepted, attempts, delivered, failed, received]) in rows {
        let index = (at.as_second() - first.as_second()).div_euclid(60);
        if let Some(minute) = usize::try_from(index).ok().and_then(|index| minutes.get_mut(index)) {
            minute.accepted += accepted;
            minute.attempts += attempts;
            minute.delivered += delivered;
            minute.failed += failed;
            minute.received += received;
        }
    }
    minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_of_whole_steps_that_everybody_has_written() {
        let rows = [
            (at("2026-01-02T03:03:30Z"), [600; KINDS]),
            (at("2026-01-02T03:03:40Z"), [60; KINDS]),
            (at("2026-01-02T03:04:30Z"), [60; KINDS]),
            (at("2026-01-02T03:04:40Z"), [6000; KINDS]),
        ];
        assert_eq!(rates(&rows, at("2026-01-02T03:04:43Z")).accepted, 2.0);
        // The step that has just ended is not waited for, and not counted either.
        assert_eq!(rates(&rows, at("2026-01-02T03:04:41Z")).delivered, 11.0);
    }

    #[test]
    fn an_hour_has_sixty_minutes_whatever_happened() {
        let first = at("2026-01-02T03:00:00Z");
        let rows = [
            (at("2026-01-02T02:59:50Z"), [7; KINDS]),
            (at("2026-01-02T03:00:00Z"), [1; KINDS]),
            (at("2026-01-02T03:00:50Z"), [2; KINDS]),
            (at("2026-01-02T03:59:50Z"), [4; KINDS]),
        ];
        let minutes = minutes(&rows, first);
        assert_eq!(minutes.len(), 60);
        assert_eq!((minutes[0].accepted, minutes[1].received, minutes[59].failed), (3, 0, 4));
        assert_eq!(minutes[59].at, at("2026-01-02T03:59:00Z"));
    }

    #[test]
    fn what_could_not_be_written_is_counted_later() {
        let tally = Tally::default();
        tally.add(Deed::Failed, 3);
        let taken = tally.take();
        assert_eq!((taken, tally.take()), ([0, 0, 0, 3, 0], [0; KINDS]));
        tally.add(Deed::Failed, 1);
        tally.give_back(taken);
        assert_eq!(tally.take(), [0, 0, 0, 4, 0]);
    }
}
