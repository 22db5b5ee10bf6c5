//! Requests being answered, or waiting, by source: a bound that holds also when clients send and leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::guessing::network;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    each: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One request's place; free again when dropped.
pub(super) struct Place {
    of: Places,
    source: String,
}

impl Places {
    /// As many for each source; an IPv6 source is its /64.
    pub(super) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place, unless the source has all of its own.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Place> {
        self.take_of(network(ip))
    }

    /// The same where a source is something else than an address.
    pub(super) fn take_of(&self, source: String) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.entry(source.clone()).or_default();
        if *mine >= self.each {
            return None;
        }
        *mine += 1;
        Some(Place { of: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = taken.get_mut(&self.source) {
            *mine -= 1;
            if *mine == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_places_and_gets_them_back() {
        let places = Places::new(2);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert!(places.take(one).is_none());
        assert!(places.take(other).is_some());
        drop(first);
        assert!(places.take(one).is_some());
        assert_eq!(places.taken.lock().unwrap().len(), 1, "sources without requests are forgotten");
    }
}
