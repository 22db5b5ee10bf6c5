//! Takes up new node keys, and says which ones this process holds. Runs in every process, also in those that serve.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::keyring::{self, REPORT_EVERY};

/// Reports every three seconds, until `stop`. `kind` is what the process runs: `serve` or `work`.
pub async fn run(app: App, kind: &'static str, stop: CancellationToken) {
    let process = Uuid::new_v4();
    let mut beat = tokio::time::interval(REPORT_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => break,
        }
        match keyring::report(&app, process, kind).await {
            Ok(()) => said.clear(),
            Err(error) => {
                let words = error.to_string();
                // Once for each trouble, not every three seconds.
                if words != said {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the node's keys cannot be kept up to date"
                    );
                    said = words;
                }
            }
        }
    }
    if let Err(error) = keyring::leave(&app, process).await {
        tracing::debug!(%error, "not told that this process holds no keys any more; it is forgotten soon");
    }
}
