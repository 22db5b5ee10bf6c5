//! How much goes on at once, in all and for one source, and how slow a transfer may be.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::doors::places::{Place, Places};

/// Slower than any network of the time; who sends a byte now and then holds a place for nothing.
const SLOWEST_PER_SECOND: u64 = 1024;
/// A network may stand still for a while.
const INDULGENCE: Duration = Duration::from_secs(30);
/// Longest transfer; what is purged as unused relies on it.
const LONGEST: Duration = Duration::from_secs(3600);

/// Places for one kind of transfer.
pub(super) struct Traffic {
    all: Arc<Semaphore>,
    each: Places,
}

/// A transfer's place; free again when dropped.
pub(super) struct Lane {
    _of_all: OwnedSemaphorePermit,
    _of_source: Place,
}

impl Traffic {
    /// So many in all, and for each source.
    pub(super) fn new((all, each): (usize, usize)) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each: Places::new(each) }
    }

    /// A place, if there is one.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Lane> {
        let _of_source = self.each.take(ip)?;
        let _of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Lane { _of_all, _of_source })
    }
}

/// How fast a transfer is.
pub(super) struct Pace {
    begun: Instant,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now() }
    }

    /// Whether so many bytes are too few for the time it took.
    pub(super) fn is_too_slow(&self, bytes: u64) -> bool {
        are_too_few(bytes, self.begun.elapsed())
    }
}

fn are_too_few(bytes: u64, took: Duration) -> bool {
    took > LONGEST || took.saturating_sub(INDULGENCE).as_secs() * SLOWEST_PER_SECOND > bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_must_move_on_and_end() {
        let seconds = Duration::from_secs;
        assert!(!are_too_few(0, seconds(30)));
        assert!(are_too_few(10 * 1024 - 1, seconds(40)));
        assert!(!are_too_few(10 * 1024, seconds(40)));
        assert!(!are_too_few(u64::MAX, LONGEST));
        assert!(are_too_few(u64::MAX, LONGEST + seconds(1)));
    }

    #[test]
    fn neither_one_source_nor_all_get_more_than_there_is() {
        let traffic = Traffic::new((3, 2));
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let lanes = [traffic.take(a), traffic.take(a), traffic.take(b)];
        assert!(lanes.iter().all(Option::is_some));
        assert!(traffic.take(a).is_none() && traffic.take(c).is_none());
        drop(lanes);
        assert!(traffic.take(c).is_some());
    }
}
