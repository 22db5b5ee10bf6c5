//! Which request is next, and when.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::body::now_us;

/// A request that begins later than this after its time counts from its time: what a slow answer holds up is not forgiven.
const LATE: Duration = Duration::from_millis(5);

/// Shared by all connections.
pub(super) struct Pace {
    next: Cell<u32>,
    requests: u32,
    pause: Option<Duration>,
    begun: Cell<Instant>,
}

impl Pace {
    /// `requests` requests, one every `pause` or as they can.
    pub(super) fn new(requests: u32, pause: Option<Duration>) -> Self {
        Self { next: Cell::new(0), requests, pause, begun: Cell::new(Instant::now()) }
    }

    pub(super) fn start(&self) {
        self.begun.set(Instant::now());
    }

    /// Number and moment of sending of the next request, once it is time.
    pub(super) async fn next(&self) -> Option<(u32, u64)> {
        let number = self.next.get();
        if number >= self.requests {
            return None;
        }
        self.next.set(number + 1);
        let Some(pause) = self.pause else { return Some((number, now_us())) };
        let due = self.begun.get() + pause * number;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        let counted = if late > LATE { late } else { Duration::ZERO };
        Some((number, now_us() - counted.as_micros() as u64))
    }
}
