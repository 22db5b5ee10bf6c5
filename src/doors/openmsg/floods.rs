//! Floods: counted in this process, per minute. What must hold across processes is in Postgres ([`crate::guessing`]); this only
//! keeps one caller from costing the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::App;
use crate::clock::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Callers remembered per minute; further ones are not counted, and then cost what they cost.
const CALLERS: usize = 100_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Messages over one connection.
    Message,
    /// Confirms from one address that found nothing.
    UnknownConfirm,
}

pub(super) struct Floods {
    messages: u32,
    confirms: u32,
    minute: Mutex<Minute>,
}

struct Minute {
    ends: Instant,
    counts: HashMap<(Kind, String), u32>,
}

impl Floods {
    pub(super) fn new(app: &App) -> Self {
        let settings = &app.config.openmsg;
        Self {
            messages: settings.messages_per_connection,
            confirms: settings.unknown_confirms_per_ip,
            minute: Mutex::new(Minute { ends: Instant::now().after(MINUTE), counts: HashMap::new() }),
        }
    }

    /// Counts one; true when it is over the limit.
    pub(super) fn count(&self, kind: Kind, who: &str) -> bool {
        let mut minute = self.minute();
        let key = (kind, who.to_owned());
        if minute.counts.len() >= CALLERS && !minute.counts.contains_key(&key) {
            return false;
        }
        let count = minute.counts.entry(key).or_default();
        *count = count.saturating_add(1);
        *count > self.limit(kind)
    }

    /// Whether the limit was reached.
    pub(super) fn is_over(&self, kind: Kind, who: &str) -> bool {
        self.minute().counts.get(&(kind, who.to_owned())).is_some_and(|count| *count >= self.limit(kind))
    }

    fn limit(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Message => self.messages,
            Kind::UnknownConfirm => self.confirms,
        }
    }

    fn minute(&self) -> std::sync::MutexGuard<'_, Minute> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.ends.is_past() {
            minute.ends = Instant::now().after(MINUTE);
            minute.counts.clear();
        }
        minute
    }
}
