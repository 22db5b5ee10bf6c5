//! Takes up new node keys, and says which ones this process holds. Runs in every process, also in those that serve.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::keyring::{self, Pass, REPORT_EVERY};

/// While the database is away: workers wait for the next report.
const AGAIN: Duration = Duration::from_millis(500);

/// Reports every three seconds, until `stop`. `kind` is what the process runs: `serve` or `work`.
pub async fn run(app: App, kind: &'static str, pass: Pass, stop: CancellationToken) {
    let process = Uuid::new_v4();
    let mut said = String::new();
    let mut next = Duration::ZERO;
    while stop.run_until_cancelled(tokio::time::sleep(next)).await.is_some() {
        match keyring::report(&app, process, kind, &pass).await {
            Ok(()) => {
                if !said.is_empty() {
                    tracing::info!(keys = ?app.keys.numbers(), "the node's keys are up to date again");
                    said.clear();
                }
                next = REPORT_EVERY;
            }
            Err(error) => {
                next = if matches!(error, keyring::Error::Db(_)) { AGAIN } else { REPORT_EVERY };
                say(&error, &pass, &mut said);
            }
        }
    }
    if let Err(error) = keyring::leave(&app, process).await {
        tracing::debug!(%error, "not told that this process holds no keys any more; it is forgotten soon");
    }
}

/// Once for each trouble, not at every beat.
fn say(error: &keyring::Error, pass: &Pass, said: &mut String) {
    let words = error.to_string();
    if words == *said {
        return;
    }
    *said = words;
    let error: &dyn std::error::Error = error;
    match pass.lacks() {
        Some(_) => tracing::error!(
            error,
            "a node key is missing here: what it sealed cannot be opened, and a worker takes nothing until it is there"
        ),
        None => tracing::error!(error, "the node's keys cannot be kept up to date"),
    }
}
