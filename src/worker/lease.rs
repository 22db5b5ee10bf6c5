//! This worker's life, as the others see it.
//!
//! The lease is renewed four times per its length. Whether it is good is judged by a clock that counts suspension: a machine that
//! slept finds its lease past before it sends anything, whatever its wall clock says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::books;
use crate::clock::Instant;

/// A worker's name and how long it is good for. Cheap to clone.
#[derive(Clone)]
pub struct Lease {
    now: Arc<Mutex<Hold>>,
}

/// The lease something was claimed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The worker.
    pub worker: Uuid,
    until: Instant,
}

impl Lease {
    /// Reports this worker for the first time, and keeps reporting until `stop`.
    pub async fn start(app: &App, stop: CancellationToken) -> Result<Self, books::BooksError> {
        let length = app.config.delivery.lease.duration();
        let lease = Self { now: Arc::new(Mutex::new(born(app, length).await?)) };
        tokio::spawn(lease.clone().keep(app.clone(), length, stop));
        Ok(lease)
    }

    /// Under which a claim is made now.
    pub fn hold(&self) -> Hold {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was claimed under `hold` may still be sent: the same worker, and alive.
    pub fn covers(&self, hold: &Hold) -> bool {
        let now = self.hold();
        now.worker == hold.worker && !now.until.is_past()
    }

    fn set(&self, hold: Hold) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    async fn keep(self, app: App, length: Duration, stop: CancellationToken) {
        let mut beat = tokio::time::interval(length / 4);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = stop.cancelled() => return,
            }
            // From before the statement: the books count from when they received it, which is later.
            let (worker, until) = (self.hold().worker, Instant::now().after(length));
            match books::renew(&app, worker, false, length).await {
                Ok(true) => self.set(Hold { worker, until }),
                Ok(false) => {
                    tracing::warn!(%worker, "this worker was declared dead; what it held has been handed on");
                    if let Ok(hold) = born(&app, length).await {
                        self.set(hold);
                    }
                }
                Err(error) => tracing::debug!(%error, "the lease could not be renewed"),
            }
        }
    }
}

async fn born(app: &App, length: Duration) -> Result<Hold, books::BooksError> {
    let (worker, until) = (app.new_id(), Instant::now().after(length));
    books::renew(app, worker, true, length).await?;
    Ok(Hold { worker, until })
}
