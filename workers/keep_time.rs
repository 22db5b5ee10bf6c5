//! Follows the database's clock, so that all processes of a node agree on what is due and what has expired.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::App;

/// A host clock that runs 0.1 % off drifts by 10 ms in this time.
const EVERY: Duration = Duration::from_secs(10);
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

/// One reading. What took long says little about now, and is left for the next time.
pub async fn follow(app: &App) {
    let asked = Instant::now();
    let Ok(truth) = app.db.now().await else { return };
    let took = asked.elapsed();
    if took > Duration::from_millis(200) {
        return;
    }
    let off = app.clock.follow(truth + took / 2);
    if off > NOTABLE {
        tracing::warn!(
            off_ms = off.as_millis(),
            "this host's clock and the database's disagreed; the database's counts"
        );
    }
}
