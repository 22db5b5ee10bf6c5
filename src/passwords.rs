//! Checking passwords without letting a flood of logins take the processor.
//!
//! Promises: so many checks run at once as the door's `password_checks` says, so many wait, and the rest are told "busy", also where
//! callers leave before the end; what was right once is known for a while by a keyed hash, which costs nothing, and which a changed
//! password makes void at once. A number that does not exist costs the same check. Leaves out where passwords are stored ([`crate::phones`], [`crate::mailbox`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::clock::Instant;
use crate::crypto::{self, Cost, MacKey};

/// For how long a right password is known after it was last used.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// Devices remembered; further ones push out an arbitrary one.
const REMEMBERED: usize = 100_000;

/// Too many checks wait: try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
    cost: Cost,
    /// Of this process only: the hashes are worth nothing elsewhere.
    key: MacKey,
    known: Mutex<HashMap<Uuid, Known>>,
    /// What the password of a device that does not exist is compared with. Made when first needed, in turn: it is dear as well.
    nobody: OnceLock<String>,
}

struct Known {
    mac: [u8; 32],
    until: Instant,
}

impl Passwords {
    /// So many checks at once, so many that wait for them, each at this cost.
    pub fn new(checks: usize, waiting: usize, cost: Cost) -> Self {
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(checks)),
            waiting: AtomicUsize::new(0),
            most: checks + waiting,
            cost,
            key: MacKey::new(&crypto::random::<32>()),
            known: Mutex::default(),
            nobody: OnceLock::new(),
        }))
    }

    /// Whether a password is known to be right without a check. One that is not may be right all the same: what is wrong costs the
    /// same whether its device was here before or not.
    pub fn known(&self, generation: Uuid, password: &[u8]) -> bool {
        let mac = self.mac(generation, password);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get_mut(&generation).filter(|known| !known.until.is_past() && crypto::same(&known.mac, &mac));
        // Who comes often is never checked again: many would be at once.
        found.map(|known| known.until = Instant::now().after(KNOWN_FOR)).is_some()
    }

    /// Whether this is the password of the device of that generation, whose stored form is given; none: there is no such device.
    pub async fn check(&self, stored: Option<(Uuid, String)>, password: &[u8]) -> Result<bool, Busy> {
        // Also where it is not needed: the first who asks for a device that does not exist must not wait longer than others.
        let nobody = self.nobody().await?;
        let (generation, stored) = match stored {
            Some((generation, stored)) => (Some(generation), stored),
            None => (None, nobody),
        };
        let given = zeroize::Zeroizing::new(password.to_vec());
        let right = self.in_turn(move || crypto::password_is(&stored, &given)).await?;
        if let Some(generation) = generation.filter(|_| right) {
            self.remember(generation, password);
        }
        Ok(right && generation.is_some())
    }

    /// The form in which a password is stored.
    pub async fn hash(&self, password: &[u8]) -> Result<String, Busy> {
        let (password, cost) = (zeroize::Zeroizing::new(password.to_vec()), self.0.cost);
        self.in_turn(move || crypto::hash_password(&password, cost)).await?.ok_or(Busy)
    }

    async fn nobody(&self) -> Result<String, Busy> {
        if let Some(nobody) = self.0.nobody.get() {
            return Ok(nobody.clone());
        }
        let made = self.hash(&crypto::random::<16>()).await?;
        Ok(self.0.nobody.get_or_init(|| made).clone())
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let inner = &self.0;
        if inner.waiting.fetch_add(1, Ordering::AcqRel) >= inner.most {
            inner.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Busy);
        }
        let waiting = Waiting(Arc::clone(inner));
        let place = Arc::clone(&inner.places).acquire_owned().await.map_err(|_| Busy)?;
        // Off the runtime: other requests go on meanwhile. What has begun is not ended by a caller who leaves, so it keeps its place.
        let work = move || {
            let _kept = (waiting, place);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    /// That this is the right one, as whoever has just stored it knows.
    pub fn remember(&self, generation: Uuid, password: &[u8]) {
        let known = Known { mac: self.mac(generation, password), until: Instant::now().after(KNOWN_FOR) };
        let mut all = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED
            && let Some(one) = all.keys().next().copied()
        {
            all.remove(&one);
        }
        all.insert(generation, known);
    }

    fn mac(&self, generation: Uuid, password: &[u8]) -> [u8; 32] {
        self.0.key.mac(&[generation.as_bytes(), password])
    }
}

struct Waiting(Arc<Inner>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn passwords(checks: usize, waiting: usize) -> Passwords {
        Passwords::new(checks, waiting, Cost::Device)
    }

    #[tokio::test]
    async fn what_was_right_is_known_for_that_registration_only() {
        let passwords = passwords(1, 10);
        let stored = passwords.hash(b"0123456789abcdef").await.unwrap();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(!passwords.known(one, b"0123456789abcdef"));
        assert_eq!(passwords.check(Some((one, stored.clone())), b"wrong").await, Ok(false));
        assert!(!passwords.known(one, b"wrong"));
        assert_eq!(passwords.check(Some((one, stored)), b"0123456789abcdef").await, Ok(true));
        assert!(passwords.known(one, b"0123456789abcdef"));
        assert!(!passwords.known(one, b"wrong"));
        assert!(!passwords.known(two, b"0123456789abcdef"));
        assert_eq!(passwords.check(None, b"0123456789abcdef").await, Ok(false));
    }

    #[tokio::test]
    async fn a_flood_is_told_that_it_is_one() {
        let passwords = passwords(1, 1);
        let tries = (0..8).map(|_| passwords.check(None, b"x"));
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Busy)).count(), 6);
        assert_eq!(passwords.check(None, b"x").await, Ok(false));
    }

    #[tokio::test]
    async fn who_leaves_leaves_the_place_taken_until_the_work_is_done() {
        let passwords = passwords(1, 0);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let mut left = Box::pin(passwords.in_turn(move || wait.recv()));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(passwords.in_turn(|| ()).await, Err(Busy));
        go.send(()).unwrap();
        while passwords.in_turn(|| ()).await == Err(Busy) {
            tokio::task::yield_now().await;
        }
    }
}
