//! Tells waiting requests of new inbox entries: one look for all of them together, every quarter of a second, and none while
//! nobody waits.
//!
//! A look takes all entries of the last [`WINDOW`] and tells those not seen before. So an entry that becomes visible after a later
//! one is told too, which a mere "greatest id so far" would miss.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, broadcast};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Error, recent};
use crate::App;

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(250);
/// No transaction that stores entries takes longer between making an id and its commit.
const WINDOW: Duration = Duration::from_secs(10);
/// Ids a subscriber may be behind; one that lags more looks for itself.
const BEHIND: usize = 256;

/// The accounts somebody waits for; cheap to clone.
#[derive(Clone)]
pub struct Arrivals {
    app: App,
    stopping: CancellationToken,
    watched: Arc<Mutex<Watched>>,
}

#[derive(Default)]
struct Watched {
    accounts: HashMap<Uuid, Account>,
    looking: bool,
}

struct Account {
    arrived: broadcast::Sender<Uuid>,
    /// Entries of the window already told, or there before the first subscriber.
    known: HashSet<Uuid>,
}

/// News of one account.
pub struct Subscription {
    arrived: broadcast::Receiver<Uuid>,
    stopping: CancellationToken,
}

/// What a subscriber is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// This entry is new.
    Entry(Uuid),
    /// More than could be told one by one.
    Many,
}

impl Arrivals {
    /// Nothing runs until somebody subscribes.
    pub fn new(app: App, stopping: CancellationToken) -> Self {
        Self { app, stopping, watched: Arc::default() }
    }

    /// From now on: everything that is not visible yet when this returns is told.
    pub async fn subscribe(&self, account: Uuid) -> Result<Subscription, Error> {
        let stopping = self.stopping.clone();
        let mut watched = self.watched.lock().await;
        if let Some(known) = watched.accounts.get(&account) {
            return Ok(Subscription { arrived: known.arrived.subscribe(), stopping });
        }
        // Under the lock: a second subscriber of the same account must not start from a later point.
        let known = recent(&self.app, &[account], self.window()).await?.into_iter().map(|(_, id)| id).collect();
        let (sender, arrived) = broadcast::channel(BEHIND);
        watched.accounts.insert(account, Account { arrived: sender, known });
        if !watched.looking {
            watched.looking = true;
            tokio::spawn(self.clone().look_again_and_again());
        }
        Ok(Subscription { arrived, stopping })
    }

    /// The smallest id of the window.
    pub fn window(&self) -> Uuid {
        smallest_id(self.app.clock.now() - WINDOW)
    }

    async fn look_again_and_again(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let accounts = {
                let mut watched = self.watched.lock().await;
                watched.accounts.retain(|_, account| account.arrived.receiver_count() > 0);
                if watched.accounts.is_empty() || self.stopping.is_cancelled() {
                    watched.looking = false;
                    return;
                }
                watched.accounts.keys().copied().collect::<Vec<_>>()
            };
            let since = self.window();
            match recent(&self.app, &accounts, since).await {
                Ok(found) => self.watched.lock().await.tell(&found, since),
                // The waiting requests end by themselves or hear of it when they look; the next look may find the database back.
                Err(error) => tracing::debug!(error = %crate::failure::chain(&error), "no look for new inbox entries"),
            }
        }
    }
}

impl Watched {
    fn tell(&mut self, found: &[(Uuid, Uuid)], since: Uuid) {
        for (account, id) in found {
            if let Some(account) = self.accounts.get_mut(account)
                && account.known.insert(*id)
            {
                // Nobody there any more: the next look forgets the account.
                let _ = account.arrived.send(*id);
            }
        }
        for account in self.accounts.values_mut() {
            account.known.retain(|id| *id >= since);
        }
    }
}

impl Subscription {
    /// The next news; nothing when the process is asked to stop.
    pub async fn next(&mut self) -> Option<News> {
        use broadcast::error::RecvError;
        tokio::select! {
            told = self.arrived.recv() => match told {
                Ok(id) => Some(News::Entry(id)),
                Err(RecvError::Lagged(_)) => Some(News::Many),
                Err(RecvError::Closed) => None,
            },
            () = self.stopping.cancelled() => None,
        }
    }

    /// The next news, if it comes before `until`.
    pub async fn next_before(&mut self, until: Instant) -> Option<News> {
        timeout_at(until, self.next()).await.ok().flatten()
    }

    /// News that is there already.
    pub fn waiting(&mut self) -> Option<News> {
        use broadcast::error::TryRecvError;
        match self.arrived.try_recv() {
            Ok(id) => Some(News::Entry(id)),
            Err(TryRecvError::Lagged(_)) => Some(News::Many),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// The smallest id of version 7 that can have been made at this moment.
fn smallest_id(moment: Timestamp) -> Uuid {
    let millis = u128::try_from(moment.as_millisecond()).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_visible_late_is_told_too_and_nothing_twice() {
        let (sender, mut arrived) = broadcast::channel(8);
        let account = Uuid::from_u128(1);
        let mut watched = Watched::default();
        watched.accounts.insert(account, Account { arrived: sender, known: HashSet::new() });
        let id = Uuid::from_u128;
        watched.tell(&[(account, id(20))], id(10));
        watched.tell(&[(account, id(15)), (account, id(20))], id(10));
        assert_eq!(arrived.try_recv(), Ok(id(20)));
        assert_eq!(arrived.try_recv(), Ok(id(15)));
        watched.tell(&[(account, id(20))], id(16));
        assert!(arrived.try_recv().is_err());
        assert_eq!(watched.accounts[&account].known.len(), 1);
    }

    #[test]
    fn ids_of_a_moment_are_not_below_its_smallest() {
        let now = Timestamp::now();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            now.as_second() as u64,
            now.subsec_nanosecond() as u32,
        ));
        assert!(id > smallest_id(now));
        assert!(id < smallest_id(now + Duration::from_millis(2)));
    }
}
