//! How much goes on at once, in all and for one source.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::doors::places::{Place, Places};

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

#[cfg(test)]
mod tests {
    use super::*;

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
