//! Tells those who wait that there are new events: one look for all of them together, several times a second, and none while
//! nobody waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{App, events};

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(150);

/// Whether there are new events; cheap to clone.
#[derive(Clone)]
pub(in super::super) struct News {
    app: App,
    stopping: CancellationToken,
    /// Counts the looks that found something new.
    found: watch::Sender<u64>,
    looking: Arc<Mutex<bool>>,
}

/// Somebody who waits.
pub(super) struct Subscription {
    found: watch::Receiver<u64>,
    stopping: CancellationToken,
}

impl News {
    /// Nothing runs until somebody subscribes.
    pub(in super::super) fn new(app: App, stopping: CancellationToken) -> Self {
        Self { app, stopping, found: watch::Sender::new(0), looking: Arc::default() }
    }

    /// From now on: whatever cannot be read yet when this returns is told.
    pub(super) async fn subscribe(&self) -> Subscription {
        let mut looking = self.looking.lock().await;
        let subscription = Subscription { found: self.found.subscribe(), stopping: self.stopping.clone() };
        if !*looking {
            *looking = true;
            tokio::spawn(self.clone().look_again_and_again());
        }
        subscription
    }

    /// The first look always finds something: what came before it may be new to whoever subscribed.
    async fn look_again_and_again(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            ticks.tick().await;
            {
                let mut looking = self.looking.lock().await;
                if self.found.receiver_count() == 0 || self.stopping.is_cancelled() {
                    *looking = false;
                    return;
                }
            }
            match events::newest(&self.app).await {
                Ok(newest) if last != Some(newest) => {
                    last = Some(newest);
                    self.found.send_modify(|n| *n += 1);
                }
                Ok(_) => {}
                // Those who wait end by themselves, or hear of it when they read; the next look may find the database back.
                Err(error) => tracing::debug!(error = %crate::failure::chain(&error), "no look for new events"),
            }
        }
    }
}

impl Subscription {
    /// Waits for something new; false when the process is asked to stop.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            told = self.found.changed() => told.is_ok(),
            () = self.stopping.cancelled() => false,
        }
    }

    /// The same, if it comes before `until`.
    pub(super) async fn next_before(&mut self, until: Instant) -> bool {
        timeout_at(until, self.next()).await.unwrap_or(false)
    }
}
