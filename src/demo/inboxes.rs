//! Reading every inbox, and comparing it with what was accepted, text by text.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::DemoError;
use super::orders::Orders;
use super::stage::{Stage, count};
use crate::cli::Client;

/// Inboxes read at once.
const AT_ONCE: usize = 16;

/// What the inboxes held.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Entries, of whatever kind.
    pub(super) entries: u64,
    /// Further copies of what was there already.
    pub(super) doubles: u64,
    /// Accepted messages that are in no inbox.
    pub(super) lost: u64,
    /// Entries that nobody had sent like this.
    pub(super) strange: u64,
    /// Milliseconds from accepted to received, one a message that was found.
    pub(super) took: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Entry>,
    next: Option<Uuid>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    text: String,
    received_at: Timestamp,
}

/// Reads all inboxes of the customers.
pub(super) async fn compare(
    customers: &Client,
    orders: &Orders,
    accepted: &[Option<Uuid>],
) -> Result<Found, DemoError> {
    let stage = Stage::of("inboxes read", orders.customers.len());
    let mut tally = Tally::new(orders, accepted);
    let reading =
        (0..orders.customers.len()).map(|n| async move { read(customers, &orders.address(n)).await.map(|i| (n, i)) });
    let mut reading = stream::iter(reading).buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((customer, inbox)) = reading.try_next().await? {
        inbox.iter().for_each(|entry| tally.count(customer, entry));
        done += 1;
        stage.at(done);
    }
    stage.end(&format!("{} inboxes read and compared with what was accepted", count(done)));
    Ok(tally.found())
}

async fn read(customers: &Client, address: &str) -> Result<Vec<Entry>, DemoError> {
    let (mut inbox, mut after) = (Vec::new(), None::<Uuid>);
    loop {
        let call = customers.get(&["inbox"]).query("account", address).query("limit", 1000).query_maybe("after", after);
        let page: Page = call.parse().await?;
        inbox.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(inbox);
        }
    }
}

/// What must be in the inboxes, and what was.
struct Tally {
    /// By customer and text: when each copy was accepted, and whether it was found.
    expected: HashMap<(usize, String), Vec<(Uuid, bool)>>,
    found: Found,
}

impl Tally {
    fn new(orders: &Orders, accepted: &[Option<Uuid>]) -> Self {
        let mut expected: HashMap<(usize, String), Vec<(Uuid, bool)>> = HashMap::new();
        for (update, id) in orders.updates.iter().zip(accepted) {
            let copies = expected.entry((update.customer, update.text.clone())).or_default();
            copies.extend(id.map(|id| (id, false)));
        }
        Self { expected, found: Found::default() }
    }

    fn count(&mut self, customer: usize, entry: &Entry) {
        self.found.entries += 1;
        match self.expected.get_mut(&(customer, entry.text.clone())) {
            None => self.found.strange += 1,
            Some(copies) => match copies.iter_mut().find(|(_, found)| !found) {
                None => self.found.doubles += 1,
                Some((id, found)) => {
                    *found = true;
                    self.found.took.extend(accepted_at(*id).map(|at| milliseconds(at, entry.received_at)));
                }
            },
        }
    }

    fn found(self) -> Found {
        let lost = self.expected.values().flatten().filter(|(_, found)| !found).count() as u64;
        Found { lost, ..self.found }
    }
}

/// A message's id holds the millisecond in which it was accepted.
fn accepted_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::orders::Update;

    #[test]
    fn what_is_missing_twice_or_strange_is_seen() {
        let update = |customer, text: &str| Update { customer, order: text.into(), text: text.into() };
        let updates = vec![update(0, "a"), update(0, "b"), update(1, "a"), update(1, "never accepted")];
        let orders = Orders { customers: vec!["1".into(), "2".into()], updates };
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, at.as_second().unsigned_abs(), 0));
        let entry = |text: &str| Entry { text: text.into(), received_at: at + jiff::SignedDuration::from_millis(7) };
        let mut tally = Tally::new(&orders, &[Some(id), Some(id), Some(id), None]);
        for (customer, text) in [(0, "a"), (0, "a"), (1, "b"), (1, "a")] {
            tally.count(customer, &entry(text));
        }
        let found = Found { entries: 4, doubles: 1, lost: 1, strange: 1, took: vec![7.0, 7.0] };
        assert_eq!(tally.found(), found, "b of the first is lost, and b of the second is nobody's");
    }
}
