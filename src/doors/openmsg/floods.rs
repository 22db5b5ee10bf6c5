//! Floods: counted in this process, per minute. What must hold across processes is in Postgres ([`crate::guessing`]); this only
//! keeps one caller from costing the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::App;
use crate::clock::Instant;
use crate::guessing::network;

const MINUTE: Duration = Duration::from_secs(60);
/// Networks remembered per minute; further ones are not counted, and then cost what they cost.
const NETWORKS: usize = 100_000;

pub(super) struct Floods {
    messages: u32,
    confirms: u32,
    minute: Mutex<Minute>,
}

/// Two maps on purpose: what strangers can fill must not push out what is counted of our own connections.
#[derive(Default)]
struct Counts {
    /// Messages, by connections that exist.
    messages: HashMap<Uuid, u32>,
    /// Confirms that found nothing, by where they came from.
    confirms: HashMap<String, u32>,
}

struct Minute {
    ends: Instant,
    counts: Counts,
}

impl Floods {
    pub(super) fn new(app: &App) -> Self {
        let settings = &app.config.openmsg;
        Self::with(settings.messages_per_connection, settings.unknown_confirms_per_ip)
    }

    fn with(messages: u32, confirms: u32) -> Self {
        let minute = Minute { ends: Instant::now().after(MINUTE), counts: Counts::default() };
        Self { messages, confirms, minute: Mutex::new(minute) }
    }

    /// Counts a message over this connection; true when it is over the limit.
    pub(super) fn count_message(&self, connection: Uuid) -> bool {
        let mut minute = self.minute();
        let count = minute.counts.messages.entry(connection).or_default();
        *count = count.saturating_add(1);
        *count > self.messages
    }

    /// Counts a confirm that found nothing.
    pub(super) fn count_unknown(&self, ip: IpAddr) {
        let mut minute = self.minute();
        let confirms = &mut minute.counts.confirms;
        let network = network(ip);
        if confirms.len() < NETWORKS || confirms.contains_key(&network) {
            let count = confirms.entry(network).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Whether so many confirms from there found nothing that further ones are not looked up.
    pub(super) fn is_over(&self, ip: IpAddr) -> bool {
        self.minute().counts.confirms.get(&network(ip)).is_some_and(|count| *count >= self.confirms)
    }

    fn minute(&self) -> std::sync::MutexGuard<'_, Minute> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.ends.is_past() {
            minute.ends = Instant::now().after(MINUTE);
            minute.counts = Counts::default();
        }
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_network_of_addresses_is_counted_once() {
        let floods = Floods::with(1, 2);
        let ip = |text: &str| text.parse().unwrap();
        floods.count_unknown(ip("2001:db8:0:1::1"));
        assert!(!floods.is_over(ip("2001:db8:0:1::2")));
        floods.count_unknown(ip("2001:db8:0:1::2"));
        assert!(floods.is_over(ip("2001:db8:0:1:ffff::3")));
        assert!(!floods.is_over(ip("2001:db8:0:2::1")));
    }

    #[test]
    fn strangers_who_fill_the_memory_do_not_lift_the_limit_of_a_connection() {
        let floods = Floods::with(1, 1);
        for n in 0..=NETWORKS as u32 {
            floods.count_unknown(IpAddr::V4(n.into()));
        }
        let connection = Uuid::from_u128(1);
        assert!(!floods.count_message(connection));
        assert!(floods.count_message(connection));
        assert!(!floods.count_message(Uuid::from_u128(2)));
    }
}
