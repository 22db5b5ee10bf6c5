//! Deletes files that have had their time, and places that nobody used.
//!
//! Not part of the sweep, although as urgent: an outside store may keep it waiting, and the dead's work must be handed on all the same.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;
use crate::attachments::{self, Attachments};

const EVERY: Duration = Duration::from_secs(10);

/// Purges every ten seconds, until `stop`; nothing while the door is closed.
pub async fn run(app: App, stop: CancellationToken) {
    if !app.config.textsecure.enabled {
        return stop.cancelled().await;
    }
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut files = None;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        // What was deleted and is not yet off the books is deleted once more the next time, so stopping need not wait.
        let round = round(&app, &mut files);
        if let Some(Err(error)) = stop.run_until_cancelled(round).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old attachments could not be deleted");
        }
    }
}

/// The store is opened when it is there.
async fn round(app: &App, files: &mut Option<Attachments>) -> Result<u64, attachments::Error> {
    let files = match files {
        Some(files) => files,
        None => files.insert(Attachments::new(app)?),
    };
    attachments::purge(files, app.clock.now()).await
}
