//! What may go to which destination, now, from this process.
//!
//! Every destination has a line of deliveries that wait for a slot, and what this process has been given of it over all processes
//! (see [`crate::destinations`]): calls at once, calls of its rate. A delivery waits a few seconds at the most; what cannot go
//! goes back to Postgres. It promises: no call without a slot under a live lease; nothing begins at a destination that has
//! closed or asked for a pause from the moment this process hears of it; destinations that fail, or have never answered, hold
//! at most half of the calls this process makes; and a healthy destination costs no statement per delivery. It leaves out what a
//! delivery is, and what becomes of one that could not go.

mod asking;
mod place;
mod places;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use self::place::{Micros, SECOND};
use self::places::{Begun, Outcome, Places};
use super::Lease;
use crate::App;

/// A destination holds no more here than it is expected to finish in this time.
const AHEAD: Micros = 2 * SECOND;
/// How long a chunk waits for room at a destination that may turn out to be quick.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);
/// Chunks that wait so, over all destinations: the rest of what the broker hands out goes on.
const WAITING: usize = 50;

/// Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
    rooms: Arc<Semaphore>,
}

/// Whether a chunk is to be claimed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// Yes.
    Now,
    /// No: the destination holds all that it will finish soon. It waits in Postgres for its room.
    Wait,
    /// No: the destination is closed or paused for so long.
    Away(Duration),
}

/// Why there was no slot; the delivery goes back to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// The destination is closed or paused for so long.
    Away(Duration),
    /// It waited too long, or this process stops.
    Late,
}

/// What a call says of the destination's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answered, even if it refused the delivery.
    Good,
    /// Network, time-out, 5xx.
    Failed,
    /// 429 or 503.
    Overloaded {
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// No call was made.
    NotTried,
}

/// A delivery that is held for a destination; counted until dropped.
pub struct HeldFor {
    inner: Arc<Inner>,
    place: usize,
}

/// The right to make one call, until finished or dropped.
pub struct Slot {
    inner: Arc<Inner>,
    place: usize,
    pass: Pass,
    finished: bool,
}

/// Under what a call was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    epoch: u32,
    doubtful: bool,
}

struct Inner {
    app: App,
    places: Mutex<Places>,
    /// Something is to be asked for earlier than was known.
    ask: Notify,
    /// There is something to watch again.
    watch: Notify,
}

impl Gate {
    /// Starts asking and watching, until `stop`; then nothing begins any more.
    pub fn start(app: &App, lease: &Lease, stop: CancellationToken) -> Self {
        let settings = &app.config.delivery;
        let inner = Arc::new(Inner {
            app: app.clone(),
            places: Mutex::new(Places::new(settings.in_flight.max(2))),
            ask: Notify::new(),
            watch: Notify::new(),
        });
        tokio::spawn(asking::watch(Arc::clone(&inner), lease.clone(), stop.clone()));
        tokio::spawn(asking::ask(Arc::clone(&inner), lease.clone(), stop));
        Self { inner, rooms: Arc::new(Semaphore::new(WAITING)) }
    }

    /// Whether a chunk of `n` deliveries to `destination` is to be claimed now.
    pub fn admits(&self, destination: &str, n: usize) -> Admits {
        let now = self.inner.now();
        let most = self.inner.app.config.delivery.held_per_destination.max(1);
        let mut places = self.inner.lock();
        let Some(place) = places.named(destination) else { return Admits::Now };
        if let Some(left) = place.shut_for(now) {
            return Admits::Away(left);
        }
        // One chunk fits always, even if it is a large one.
        match place.held == 0 || (place.is_well() && place.held + n <= place.expected(AHEAD, now).min(most)) {
            true => Admits::Now,
            false => Admits::Wait,
        }
    }

    /// The same, after a moment's patience with a destination that is full: handing back a chunk and having it published anew
    /// costs more than that, and what is new may be quick.
    pub async fn room(&self, destination: &str, n: usize) -> Admits {
        let first = self.admits(destination, n);
        if first != Admits::Wait {
            return first;
        }
        let Ok(_waiting) = self.rooms.try_acquire() else { return first };
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(LOOK).await;
            let admits = self.admits(destination, n);
            if admits != Admits::Wait || tokio::time::Instant::now() >= until {
                return admits;
            }
        }
    }

    /// Counts a delivery as held.
    pub fn hold(&self, destination: &str) -> HeldFor {
        let now = self.inner.now();
        let mut places = self.inner.lock();
        let (place, first) = places.hold(destination, now);
        drop(places);
        if first {
            self.inner.watch.notify_one();
            self.inner.ask.notify_one();
        }
        HeldFor { inner: Arc::clone(&self.inner), place }
    }

    /// The retry schedule of a destination that has one of its own, as far as it is known here: while it is held, and for a
    /// while after that.
    pub fn schedule_of(&self, destination: &str) -> Option<Arc<[Duration]>> {
        self.inner.lock().named(destination).and_then(|place| place.schedule.clone())
    }

    /// Calls under way, over all destinations.
    pub fn calls(&self) -> usize {
        self.inner.lock().calls()
    }
}

impl HeldFor {
    /// Waits for a slot, in the order of asking; an error as soon as the destination closes, or after a few seconds.
    pub async fn slot(&self) -> Result<Slot, Shut> {
        let answer = {
            let now = self.inner.now();
            let mut places = self.inner.lock();
            match places.begin(self.place, now) {
                Begun::Now(pass) => return Ok(Slot::new(&self.inner, self.place, pass)),
                Begun::Shut(shut) => return Err(shut),
                Begun::Wait => {
                    let (answer, answered) = oneshot::channel();
                    let soon = places.wait(self.place, answer, now);
                    drop(places);
                    self.inner.ask_if(soon);
                    answered
                }
            }
        };
        answer.await.unwrap_or(Err(Shut::Late))
    }
}

impl Drop for HeldFor {
    fn drop(&mut self) {
        let now = self.inner.now();
        self.inner.lock().let_go(self.place, now);
    }
}

impl Slot {
    fn new(inner: &Arc<Inner>, place: usize, pass: Pass) -> Self {
        Self { inner: Arc::clone(inner), place, pass, finished: false }
    }

    /// The call has ended, after `took`. What it says is told to the other processes when it matters to them.
    pub fn finish(mut self, sign: Sign, took: Duration) {
        self.end(sign, took);
    }

    fn end(&mut self, sign: Sign, took: Duration) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let inner = &self.inner;
        let now = inner.now();
        let mut out = Vec::new();
        let rules = &inner.app.config.destinations;
        let soon = inner.lock().end(self.place, self.pass, (sign, took), rules, now, &mut out);
        inner.ask_if(soon);
        inner.send(out);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.end(Sign::NotTried, Duration::ZERO);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Micros {
        self.app.clock.now().as_microsecond()
    }

    fn ask_if(&self, soon: bool) {
        if soon {
            self.ask.notify_one();
        }
    }

    /// Tells those who waited. Never under the lock: a slot that nobody takes is given back, which takes the lock.
    fn send(self: &Arc<Self>, out: Vec<Outcome>) {
        for Outcome { place, answer, result } in out {
            // One who has gone needs no answer; the slot goes back by being dropped.
            let _ = answer.send(result.map(|pass| Slot::new(self, place, pass)));
        }
    }
}

#[cfg(test)]
mod tests;
