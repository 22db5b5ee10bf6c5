//! Time and randomness, both inside `App` so that tests can drive them.
//!
//! In production the clock follows the database's (`Clock::follow`): every process of a node agrees on what is due and what has
//! expired, whatever its host's clock does. Between two readings it advances with `CLOCK_BOOTTIME`, which also counts the time
//! a machine was suspended, and which nobody can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// How far the clocks of a node's processes may be apart: each reads the database's over a round trip. What one process publishes
/// because it is due, another may find due in a moment only; it is due all the same.
pub const SKEW: Duration = Duration::from_secs(1);

/// A clock that can be cloned into every part; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Microseconds to add to `CLOCK_BOOTTIME` for Unix time.
    offset: Arc<AtomicI64>,
}

/// A point on the suspend-counting, unsettable clock: for leases and deadlines inside one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i64);

impl Clock {
    /// Starts from the host's clock.
    pub fn system() -> Self {
        let clock = Self { offset: Arc::new(AtomicI64::new(0)) };
        clock.follow(Timestamp::now());
        clock
    }

    /// Unix time.
    pub fn now(&self) -> Timestamp {
        let micros = boottime_micros() + self.offset.load(Ordering::Relaxed);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Unix time in whole seconds, as the Openmsg wire has it.
    pub fn unix_seconds(&self) -> i64 {
        self.now().as_second()
    }

    /// From now on `truth` is the time; returns how far off this clock was.
    pub fn follow(&self, truth: Timestamp) -> Duration {
        let off = truth.as_microsecond() - self.now().as_microsecond();
        self.offset.fetch_add(off, Ordering::Relaxed);
        Duration::from_micros(off.unsigned_abs())
    }

    /// Moves the clock, for tests.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(by.as_micros() as i64, Ordering::Relaxed);
    }
}

impl Instant {
    /// Now, counting the time the machine was suspended.
    pub fn now() -> Self {
        Self(boottime_micros())
    }

    /// A later point; never, where that is further away than can be said.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long until this point; zero when it is past.
    pub fn left(self) -> Duration {
        Duration::from_micros((self.0 - boottime_micros()).max(0) as u64)
    }

    /// Whether this point is past.
    pub fn is_past(self) -> bool {
        self.left().is_zero()
    }
}

/// When this machine was started, by its own clock as it is set now.
pub(crate) fn booted() -> Timestamp {
    let micros = Timestamp::now().as_microsecond() - boottime_micros();
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[allow(unsafe_code, reason = "the standard library reads no clock that counts suspension")]
fn boottime_micros() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call; CLOCK_BOOTTIME exists since Linux 2.6.39.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    debug_assert_eq!(failed, 0);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// The smallest UUID of version 7 of a moment, for comparing ids with times.
pub fn uuid_at(moment: Timestamp) -> uuid::Uuid {
    let millis = moment.as_millisecond().max(0) as u64;
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    uuid::Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found while a fuzz target was written: a service says how long its token lives, and may say anything.
    #[test]
    fn what_ends_in_a_million_years_has_not_ended() {
        assert!(!Instant::now().after(Duration::from_secs(u64::MAX)).is_past());
        assert!(!Instant::now().after(Duration::from_secs(60)).is_past());
        assert!(Instant::now().after(Duration::ZERO).is_past());
    }
}
