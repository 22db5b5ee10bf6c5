//! How many connections may be open, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Taken(Mutex<HashMap<IpAddr, usize>>);

/// One open connection; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _room: OwnedSemaphorePermit,
    address: Option<(IpAddr, Arc<Taken>)>,
}

impl Places {
    pub(super) fn new(all: usize, per_address: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))), taken: Arc::default(), per_address }
    }

    /// Waits until one more connection may be open.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        // Unwrap safety: the semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.expect("semaphore is open")
    }

    /// A place for `address` (none: not counted per address), unless it has too many.
    pub(super) fn take(&self, room: OwnedSemaphorePermit, address: Option<IpAddr>) -> Option<Place> {
        let Some(address) = address.map(counted_as) else {
            return Some(Place { _room: room, address: None });
        };
        let mut taken = self.taken.lock();
        let count = taken.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { _room: room, address: Some((address, Arc::clone(&self.taken))) })
    }
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((address, taken)) = self.address.take() {
            let mut taken = taken.lock();
            match taken.get_mut(&address) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    taken.remove(&address);
                }
            }
        }
    }
}

/// One IPv6 customer has a /64 at least, so its addresses count as one.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_so_many_places_and_gets_them_back() {
        let places = Places::new(10, 2);
        let from = |text: &str| Some(text.parse().unwrap());
        let first = places.take(places.room().await, from("192.0.2.1")).unwrap();
        let _second = places.take(places.room().await, from("::ffff:192.0.2.1")).unwrap();
        assert!(places.take(places.room().await, from("192.0.2.1")).is_none());
        let _other = places.take(places.room().await, from("192.0.2.2")).unwrap();
        let _proxy = places.take(places.room().await, None).unwrap();
        drop(first);
        assert!(places.take(places.room().await, from("192.0.2.1")).is_some());
    }

    #[tokio::test]
    async fn a_network_of_ipv6_counts_as_one() {
        let places = Places::new(10, 1);
        let _one = places.take(places.room().await, Some("2001:db8::1".parse().unwrap())).unwrap();
        assert!(places.take(places.room().await, Some("2001:db8::ffff:1".parse().unwrap())).is_none());
        assert!(places.take(places.room().await, Some("2001:db8:0:1::1".parse().unwrap())).is_some());
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_those_who_left() {
        let places = Places::new(1, 1);
        drop(places.take(places.room().await, Some("192.0.2.1".parse().unwrap())));
        assert!(places.taken.lock().is_empty());
        assert_eq!(places.free.available_permits(), 1);
    }
}
