//! What was cancelled of what this worker holds, and which cancels are under way: re-read every [`EVERY`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::books::{self, ClaimedDelivery, DeliveryId, Stop};

/// The promise is 500 ms.
const EVERY: Duration = Duration::from_millis(400);

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Cancelled {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Chunks of which something is held, and by how many tasks.
    held: HashMap<Uuid, usize>,
    cancelled: HashSet<DeliveryId>,
    /// Chunks of campaigns that are paused.
    paused: HashSet<Uuid>,
    /// Cancels by filter that have not come to everything yet.
    stops: Vec<Stop>,
}

/// Keeps a chunk watched until dropped.
pub(super) struct Watched {
    by: Cancelled,
    chunk: Uuid,
}

impl Cancelled {
    /// Starts re-reading, until `stop`.
    pub(super) fn start(app: &App, stop: CancellationToken) -> Self {
        let this = Self::default();
        let (app, reading) = (app.clone(), this.clone());
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(EVERY);
            while !stop.is_cancelled() {
                beat.tick().await;
                if let Ok(stops) = books::stops(&app).await {
                    reading.lock().stops = stops;
                }
                let held: Vec<Uuid> = reading.lock().held.keys().copied().collect();
                if !held.is_empty()
                    && let Ok(found) = books::cancelled_among(&app, &held).await
                {
                    reading.lock().cancelled = found.into_iter().collect();
                }
                if !held.is_empty()
                    && let Ok(found) = books::paused_among(&app, &held).await
                {
                    reading.lock().paused = found.into_iter().collect();
                }
            }
        });
        this
    }

    /// Watches a chunk.
    pub(super) fn watch(&self, chunk: Uuid) -> Watched {
        *self.lock().held.entry(chunk).or_default() += 1;
        Watched { by: self.clone(), chunk }
    }

    /// Whether this delivery was cancelled when last read.
    pub(super) fn contains(&self, delivery: &ClaimedDelivery) -> bool {
        self.lock().cancelled.contains(&delivery.id)
    }

    /// Whether the campaign of this delivery is paused: it goes back to Postgres.
    pub(super) fn is_paused(&self, delivery: &ClaimedDelivery) -> bool {
        delivery.campaign.is_some() && self.lock().paused.contains(&delivery.id.chunk)
    }

    /// Whether a cancel that is under way covers this delivery: nothing says so of it yet.
    pub(super) fn covers(&self, delivery: &ClaimedDelivery) -> bool {
        self.lock().stops.iter().any(|stop| stop.covers(delivery))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut inner = self.by.lock();
        if let Some(tasks) = inner.held.get_mut(&self.chunk) {
            *tasks -= 1;
            if *tasks == 0 {
                inner.held.remove(&self.chunk);
                let chunk = self.chunk;
                inner.cancelled.retain(|delivery| delivery.chunk != chunk);
            }
        }
    }
}
