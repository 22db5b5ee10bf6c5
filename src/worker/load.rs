//! What each destination takes of this process: deliveries held, and slots for calls in flight.
//!
//! A chunk waits for its destination's room as long as the destination is quick: handing back and publishing again costs more
//! than a moment's wait, and a campaign to one busy node would spend its time so. Only so many wait that others are always taken;
//! the rest of a quick destination's comes back before those are done. What is slow waits in Postgres, and is for a while not
//! waited for at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::config;

/// A destination that is waited for is looked at after each such while: one that has finished less than a quarter of what it may
/// hold is slow.
const LOOK: Duration = Duration::from_secs(1);
const QUICK_PART: usize = 4;
/// What a quick destination hands back because enough of it waits already is looked at again after this long.
const SOON: Duration = Duration::from_secs(1);
/// What a slow one hands back.
pub(super) const LATER: Duration = Duration::from_secs(5);
/// How long a slow destination counts as slow.
const SLOW_FOR: Duration = Duration::from_secs(30);
/// Chunks that wait for room, over all destinations: half of what the broker hands out, so that others are always taken.
const WAITING: usize = 50;
/// Names are forgotten in rounds of this many.
const ROUND: usize = 1024;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Load {
    most_held: usize,
    slots_each: usize,
    slots: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    destinations: Arc<Mutex<HashMap<String, Weak<Destination>>>>,
    slow: Arc<Mutex<HashMap<String, Instant>>>,
}

/// Known as long as something is held for it, or waits.
struct Destination {
    held: AtomicUsize,
    finished: AtomicUsize,
    room: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

/// Room for a chunk's deliveries, until dropped.
pub(super) struct Room {
    _destination: Arc<Destination>,
    _permit: OwnedSemaphorePermit,
}

/// A delivery held for a destination; counted until dropped.
pub(super) struct HeldFor {
    destination: Arc<Destination>,
    slots: Arc<Semaphore>,
}

/// The right to make one call.
pub(super) struct Slot {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl Load {
    pub(super) fn new(settings: &config::Delivery) -> Self {
        Self {
            most_held: settings.held_per_destination.max(1),
            slots_each: settings.in_flight_per_destination,
            slots: Arc::new(Semaphore::new(settings.in_flight)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            destinations: Arc::default(),
            slow: Arc::default(),
        }
    }

    /// Room for a chunk of `n` deliveries, as soon as there is some; or, as an error, when to look again instead of waiting.
    pub(super) async fn room(&self, name: &str, n: usize) -> Result<Room, Duration> {
        let destination = self.destination(name);
        let n = u32::try_from(n.clamp(1, self.most_held)).unwrap_or(u32::MAX);
        let permit = match Arc::clone(&destination.room).try_acquire_many_owned(n) {
            Ok(permit) => permit,
            Err(_) if self.is_slow(name) => return Err(LATER),
            Err(_) => {
                let _waiting = self.waiting.try_acquire().map_err(|_| SOON)?;
                self.wait(name, &destination, n).await.ok_or(LATER)?
            }
        };
        Ok(Room { _destination: destination, _permit: permit })
    }

    async fn wait(&self, name: &str, destination: &Destination, n: u32) -> Option<OwnedSemaphorePermit> {
        let mut room = std::pin::pin!(Arc::clone(&destination.room).acquire_many_owned(n));
        let mut before = destination.finished.load(Ordering::Relaxed);
        loop {
            if let Ok(permit) = timeout(LOOK, &mut room).await {
                return permit.ok();
            }
            let now = destination.finished.load(Ordering::Relaxed);
            if now - before < self.most_held.div_ceil(QUICK_PART) {
                self.note_slow(name);
                return None;
            }
            before = now;
        }
    }

    /// Whether `destination` holds as much of this process as it may.
    pub(super) fn is_full(&self, destination: &str) -> bool {
        self.destination(destination).held.load(Ordering::Relaxed) >= self.most_held
    }

    /// Counts a delivery as held.
    pub(super) fn hold(&self, destination: &str) -> HeldFor {
        let destination = self.destination(destination);
        destination.held.fetch_add(1, Ordering::Relaxed);
        HeldFor { destination, slots: Arc::clone(&self.slots) }
    }

    fn destination(&self, name: &str) -> Arc<Destination> {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = destinations.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let fresh = Arc::new(Destination {
            held: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(self.most_held)),
            slots: Arc::new(Semaphore::new(self.slots_each)),
        });
        if destinations.len() % ROUND == ROUND - 1 {
            destinations.retain(|_, destination| destination.strong_count() > 0);
        }
        destinations.insert(name.to_owned(), Arc::downgrade(&fresh));
        fresh
    }

    fn is_slow(&self, name: &str) -> bool {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.get(name).is_some_and(|until| *until > Instant::now())
    }

    fn note_slow(&self, name: &str) {
        let now = Instant::now();
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, until| *until > now);
        slow.insert(name.to_owned(), now + SLOW_FOR);
    }
}

impl HeldFor {
    /// Waits for a slot of the destination, then for one of the process: so a full destination takes none of the others'.
    pub(super) async fn slot(&self) -> Option<Slot> {
        let own = Arc::clone(&self.destination.slots).acquire_owned().await.ok()?;
        let shared = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        Some(Slot { _own: own, _shared: shared })
    }
}

impl Drop for HeldFor {
    fn drop(&mut self) {
        self.destination.held.fetch_sub(1, Ordering::Relaxed);
        self.destination.finished.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load::new(&config::Delivery { held_per_destination: 10, ..config::Delivery::default() })
    }

    #[tokio::test]
    async fn a_quick_destination_is_waited_for_and_a_slow_one_is_not() {
        let load = load();
        let quick = async {
            let full = load.room("quick.test", 10).await;
            let looked_at_once = async {
                tokio::time::sleep(LOOK + LOOK / 4).await;
                (0..10).for_each(|_| drop(load.hold("quick.test")));
                drop(full);
            };
            let finishing = async {
                tokio::time::sleep(LOOK / 4).await;
                (0..10).for_each(|_| drop(load.hold("quick.test")));
            };
            assert!(tokio::join!(load.room("quick.test", 10), finishing, looked_at_once).0.is_ok());
        };
        let slow = async {
            let _full = load.room("slow.test", 10).await;
            let begun = Instant::now();
            assert!(load.room("slow.test", 1).await.err() == Some(LATER));
            assert!(begun.elapsed() >= LOOK);
            let begun = Instant::now();
            assert!(load.room("slow.test", 1).await.err() == Some(LATER));
            assert!(begun.elapsed() < LOOK, "known to be slow: not waited for again");
            assert!(load.room("other.test", 10).await.is_ok());
        };
        tokio::join!(quick, slow);
    }

    #[tokio::test]
    async fn a_destination_is_full_until_its_deliveries_are_let_go() {
        let load = load();
        let held: Vec<_> = (0..10).map(|_| load.hold("a.test")).collect();
        assert!(load.is_full("a.test") && !load.is_full("b.test"));
        drop(held);
        assert!(!load.is_full("a.test"));
    }
}
