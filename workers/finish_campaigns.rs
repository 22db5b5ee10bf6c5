//! Ends campaigns that are through, and keeps paused ones still.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;
use crate::campaigns::{self, Keeper};

const EVERY: Duration = Duration::from_secs(1);

/// Looks every second, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut keeper = Keeper::default();
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        match round(&app, &mut keeper).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(campaigns = n, "campaigns finished"),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "campaigns could not be looked after")
            }
        }
    }
}

async fn round(app: &App, keeper: &mut Keeper) -> Result<u64, campaigns::Error> {
    campaigns::purge(app).await?;
    keeper.round(app).await
}
