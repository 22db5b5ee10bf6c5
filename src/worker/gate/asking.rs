//! The tasks behind the gate: one asks and tells, one watches the lease and the time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Inner;
use super::place::{MILLI, Micros, SECOND};
use crate::destinations::{self, Want};
use crate::worker::Lease;

/// How often the lease and the waiting are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How often changes by other processes are looked for.
const POLL: Micros = 200 * MILLI;
/// A change may become visible this much later than it says.
const LOOK_BACK: Micros = 3 * SECOND;
/// How often what is idle is given back.
const GIVE_BACK: Micros = SECOND;
/// The last word of a process that stops must not hold it up.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Watches the lease, those who have waited too long, and what may be forgotten.
pub(super) async fn watch(inner: Arc<Inner>, lease: Lease, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let idle = inner.lock().is_empty();
        let tick = async {
            match idle {
                true => inner.watch.notified().await,
                false => tokio::time::sleep(WATCH).await,
            }
        };
        tokio::select! {
            () = tick => {}
            () = stop.cancelled() => break,
        }
        let good = lease.covers(&lease.hold());
        let (now, mut out) = (inner.now(), Vec::new());
        {
            let mut places = inner.lock();
            places.lease_is(good, now, &mut out);
            places.tidy(now, &mut out);
        }
        inner.send(out);
    }
    let mut out = Vec::new();
    inner.lock().stop(&mut out);
    inner.send(out);
}

/// Asks for what is wanted, tells what was seen, hears of changes, gives back what is idle: one transaction after the other, so
/// that while one runs, the next one gathers.
pub(super) async fn ask(inner: Arc<Inner>, lease: Lease, stop: CancellationToken) {
    let mut worker = lease.hold().worker;
    let (mut polled, mut poll_at, mut given_back) = (inner.now(), inner.now(), inner.now());
    loop {
        let now = inner.now();
        let (until, idle) = {
            let mut places = inner.lock();
            (places.sleep_until(poll_at.min(given_back + GIVE_BACK)), places.is_empty())
        };
        let left = Duration::from_micros(u64::try_from(until - now).unwrap_or(0));
        tokio::select! {
            () = tokio::time::sleep(left), if !idle => {}
            () = inner.ask.notified() => {}
            () = stop.cancelled() => break,
        }
        if idle {
            // Nothing was missed while nothing was known.
            polled = inner.now();
        }
        let of = lease.hold().worker;
        if of != worker {
            worker = of;
            inner.lock().start_over(inner.now());
        }
        sync(&inner, &lease, worker).await;
        let now = inner.now();
        if now >= poll_at {
            poll_at = now + POLL;
            if poll(&inner, polled).await {
                polled = now;
            }
        }
        if now - given_back >= GIVE_BACK {
            given_back = now;
            give_back(&inner, worker, now).await;
        }
    }
    // What is known of a destination's health is kept, if that takes no time.
    let _ = tokio::time::timeout(LAST_WORD, sync(&inner, &lease, worker)).await;
}

async fn sync(inner: &Arc<Inner>, lease: &Lease, worker: Uuid) {
    let (places, wants): (Vec<usize>, Vec<Want>) = inner.lock().wants(inner.now()).into_iter().unzip();
    if wants.is_empty() {
        return;
    }
    let answer = destinations::sync(&inner.app, worker, &wants).await;
    let (now, mut out) = (inner.now(), Vec::new());
    let same = lease.hold().worker == worker;
    {
        let mut known = inner.lock();
        match answer {
            Ok(Some(given)) if same => {
                for (place, given) in places.into_iter().zip(&given) {
                    known.given(place, given, &inner.app.config.destinations, now, &mut out);
                }
            }
            answer => {
                if let Err(error) = answer {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no shares of destinations could be had");
                }
                for (place, want) in places.into_iter().zip(&wants) {
                    known.not_answered(place, want, now);
                }
            }
        }
    }
    inner.send(out);
}

/// False where the same must be looked for again.
async fn poll(inner: &Arc<Inner>, since: Micros) -> bool {
    let since = Timestamp::from_microsecond(since - LOOK_BACK).unwrap_or(Timestamp::UNIX_EPOCH);
    let Ok(changes) = destinations::changed_since(&inner.app, since).await else { return false };
    let (now, mut out) = (inner.now(), Vec::new());
    {
        let mut places = inner.lock();
        for change in &changes {
            places.changed(change, now, &mut out);
        }
    }
    inner.send(out);
    true
}

async fn give_back(inner: &Arc<Inner>, worker: Uuid, now: Micros) {
    let idle = inner.lock().give_back(now);
    if !idle.is_empty() && destinations::release(&inner.app, worker, &idle).await.is_err() {
        inner.lock().not_given_back(&idle);
    }
}
