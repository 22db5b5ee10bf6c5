//! What each destination takes of this process: deliveries held, and slots for calls in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Load {
    most_held: usize,
    slots_each: usize,
    slots: Arc<Semaphore>,
    destinations: Arc<Mutex<HashMap<String, Destination>>>,
}

struct Destination {
    held: usize,
    slots: Arc<Semaphore>,
}

/// A delivery held for a destination; counted until dropped.
pub(super) struct HeldFor {
    load: Load,
    destination: String,
}

/// The right to make one call.
pub(super) struct Slot {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl Load {
    pub(super) fn new(settings: &config::Delivery) -> Self {
        Self {
            most_held: settings.held_per_destination,
            slots_each: settings.in_flight_per_destination,
            slots: Arc::new(Semaphore::new(settings.in_flight)),
            destinations: Arc::default(),
        }
    }

    /// Whether `destination` holds as much of this process as it may.
    pub(super) fn is_full(&self, destination: &str) -> bool {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        destinations.get(destination).is_some_and(|d| d.held >= self.most_held)
    }

    /// Counts a delivery as held.
    pub(super) fn hold(&self, destination: &str) -> HeldFor {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Destination { held: 0, slots: Arc::new(Semaphore::new(self.slots_each)) };
        destinations.entry(destination.to_owned()).or_insert_with(fresh).held += 1;
        HeldFor { load: self.clone(), destination: destination.to_owned() }
    }
}

impl HeldFor {
    /// Waits for a slot of the destination, then for one of the process: so a full destination takes none of the others'.
    pub(super) async fn slot(&self) -> Option<Slot> {
        let own = {
            let destinations = self.load.destinations.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&destinations.get(&self.destination)?.slots)
        };
        let own = own.acquire_owned().await.ok()?;
        let shared = Arc::clone(&self.load.slots).acquire_owned().await.ok()?;
        Some(Slot { _own: own, _shared: shared })
    }
}

impl Drop for HeldFor {
    fn drop(&mut self) {
        let mut destinations = self.load.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = destinations.get_mut(&self.destination) {
            destination.held -= 1;
            if destination.held == 0 {
                destinations.remove(&self.destination);
            }
        }
    }
}
