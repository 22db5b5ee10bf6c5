//! Follows the database's clock, so that all processes of a node agree on what is due and what has expired.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;

/// A host clock that runs 0.1 % off drifts by 10 ms in this time.
const EVERY: Duration = Duration::from_secs(10);
/// An answer that was under way for longer says too little about now.
const PRECISE: Duration = Duration::from_millis(50);
/// Readings at once, for one that is precise.
const READINGS: usize = 5;
/// Further off than this is worth a line.
const NOTABLE: Duration = Duration::from_secs(1);

/// Reads the clock every ten seconds, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => follow(&app).await,
            () = stop.cancelled() => {}
        }
    }
}

/// One precise reading; where there is none (a busy machine), the clock runs on by itself until the next time.
pub async fn follow(app: &App) {
    let mut read = None;
    for _ in 0..READINGS {
        let Ok((truth, took)) = app.db.now_and_how_long_it_took().await else { return };
        if took <= PRECISE {
            read = Some((truth, took));
            break;
        }
    }
    let Some((truth, took)) = read else { return };
    let off = app.clock.follow(truth + took / 2);
    if off > NOTABLE {
        tracing::warn!(
            off_ms = off.as_millis(),
            "this host's clock and the database's disagreed; the database's counts"
        );
    }
}
