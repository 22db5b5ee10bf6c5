//! Who waits at a mailbox hears that there is something, or that the connection it waits on no longer counts.
//!
//! One connection to the database listens for all of a process ([`CHANNEL`]); because what is only told may get lost, one look for
//! all of them together follows every two seconds. Nothing of this runs while nobody waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::{CHANNEL, mailbox};
use crate::App;
use crate::failure::chain;
use crate::phones::{self, Device, Listening};

/// How often everybody's mailbox is looked into.
const EVERY: Duration = Duration::from_secs(2);
/// After the listening connection was lost.
const AGAIN: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone)]
pub struct News(Arc<Inner>);

struct Inner {
    app: App,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    all: HashMap<Uuid, Waits>,
    at: HashMap<String, Vec<Uuid>>,
    looking: bool,
}

struct Waits {
    device: Device,
    mailbox: String,
    wake: Arc<Notify>,
    known: Arc<AtomicUsize>,
}

/// Somebody who waits; forgotten when this is dropped.
pub struct Subscription {
    id: Uuid,
    wake: Arc<Notify>,
    known: Arc<AtomicUsize>,
    news: Arc<Inner>,
}

impl News {
    /// Nothing runs until somebody subscribes.
    pub fn new(app: &App) -> Self {
        Self(Arc::new(Inner { app: app.clone(), waiting: Mutex::default() }))
    }

    /// From now on: what appears in the mailbox of the device, and whatever befalls its connection ([`phones::Listener`]), is told. Call
    /// it inside the runtime.
    pub fn subscribe(&self, listener: Uuid, device: Device) -> Subscription {
        let (wake, known) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let mailbox = mailbox(&self.0.app, &device.number, device.id);
        let mut waiting = self.0.lock();
        waiting.at.entry(mailbox.clone()).or_default().push(listener);
        waiting.all.insert(listener, Waits { device, mailbox, wake: Arc::clone(&wake), known: Arc::clone(&known) });
        if !waiting.looking {
            waiting.looking = true;
            tokio::spawn(Arc::clone(&self.0).look_and_listen());
        }
        Subscription { id: listener, wake, known, news: Arc::clone(&self.0) }
    }
}

impl Waits {
    fn listening(&self, id: Uuid) -> Listening {
        Listening { id, device: self.device.clone(), known: self.known.load(Ordering::Relaxed) }
    }
}

impl Subscription {
    /// Waits until there is a reason to look: maybe there is nothing after all. What happened before this was called counts too.
    pub async fn something(&self) {
        self.wake.notified().await;
    }

    /// So many of the messages that are stored need not be told of: they are in hand. None are at first.
    pub fn knows(&self, messages: usize) {
        self.known.store(messages, Ordering::Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.news.lock();
        let Some(left) = waiting.all.remove(&self.id) else { return };
        if let Some(others) = waiting.at.get_mut(&left.mailbox) {
            others.retain(|other| *other != self.id);
            if others.is_empty() {
                waiting.at.remove(&left.mailbox);
            }
        }
    }
}

impl Inner {
    async fn look_and_listen(self: Arc<Self>) {
        let heard = |told: Option<&str>| match told {
            // What was told before this cannot have been heard.
            None => self.wake_all(),
            Some(mailbox) => self.wake_at(mailbox),
        };
        let listen = async {
            loop {
                let Err(error) = self.app.db.listen(CHANNEL, heard).await;
                tracing::debug!(error = %chain(&error), "mailboxes are looked into, but nothing is heard of them");
                sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = listen => {}
            () = self.look() => {}
        }
    }

    /// Returns when nobody is left.
    async fn look(&self) {
        let mut beat = interval(EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let all: Vec<Listening> = {
                let mut waiting = self.lock();
                waiting.looking = !waiting.all.is_empty();
                waiting.all.iter().map(|(id, waits)| waits.listening(*id)).collect()
            };
            if all.is_empty() {
                return;
            }
            match phones::concerned(&self.app, &all).await {
                Ok(concerned) => self.wake(&concerned),
                Err(error) => tracing::debug!(error = %chain(&error), "no look into mailboxes"),
            }
        }
    }

    fn wake_all(&self) {
        self.lock().all.values().for_each(|waits| waits.wake.notify_one());
    }

    fn wake_at(&self, mailbox: &str) {
        let waiting = self.lock();
        let there = waiting.at.get(mailbox).into_iter().flatten();
        there.filter_map(|id| waiting.all.get(id)).for_each(|waits| waits.wake.notify_one());
    }

    fn wake(&self, ids: &[Uuid]) {
        let waiting = self.lock();
        ids.iter().filter_map(|id| waiting.all.get(id)).for_each(|waits| waits.wake.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
