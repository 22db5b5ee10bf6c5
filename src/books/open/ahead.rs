//! How much may be published ahead of the workers: the broker is no place for a backlog, Postgres is; and what one sender or one
//! destination may have there leaves room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::App;
use crate::books::Lane;
use crate::config;
use crate::db::DbError;

const LOOK: Duration = Duration::from_millis(200);
/// Looks that find nothing before it is believed: what was counted here may not be committed yet.
const FOLLOW: u8 = 10;

/// Deliveries in the broker and not claimed, as last counted, and what this process has added since. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ahead {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Clone, Copy)]
struct Limits {
    lane: i64,
    sender: i64,
    destination: i64,
}

#[derive(Default)]
struct Counts {
    lanes: [i64; 3],
    senders: HashMap<(Lane, Box<str>), i64>,
    destinations: HashMap<(Lane, Box<str>), i64>,
    /// Looks left.
    follow: u8,
}

impl Ahead {
    /// Follows the books while something lies in the broker that this process may have added.
    pub(super) fn watch(app: &App) -> Self {
        let ahead = Self { limits: Limits::of(&app.config.amqp), counts: Arc::default() };
        let (app, counts) = (app.clone(), Arc::downgrade(&ahead.counts));
        tokio::spawn(async move {
            while let Some(counts) = counts.upgrade() {
                let follow = counts.lock().unwrap_or_else(PoisonError::into_inner).follow > 0;
                if follow && let Ok(now) = count(&app).await {
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    // What lies there is followed until it has gone.
                    let still = now.lanes.iter().any(|n| *n > 0);
                    *counts = Counts { follow: if still { FOLLOW } else { counts.follow.saturating_sub(1) }, ..now };
                }
                drop(counts);
                tokio::time::sleep(LOOK).await;
            }
        });
        ahead
    }

    /// Takes room for `n` deliveries, if there is any. A mixed chunk (no destination) is its sender's only.
    pub(super) fn has_room(&self, lane: Lane, sender: &str, destination: &str, n: i64) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.follow = FOLLOW;
        let of_lane = counts.lanes[lane as usize];
        let of_sender = counts.senders.get(&(lane, sender.into())).copied().unwrap_or(0);
        let of_destination = counts.destinations.get(&(lane, destination.into())).copied().unwrap_or(0);
        let full = of_lane >= self.limits.lane
            || of_sender >= self.limits.sender
            || (!destination.is_empty() && of_destination >= self.limits.destination);
        if full {
            return false;
        }
        counts.add(lane, sender, destination, n);
        true
    }
}

impl Limits {
    fn of(settings: &config::Amqp) -> Self {
        Self {
            lane: i64::from(settings.publish_ahead),
            sender: i64::from(settings.publish_ahead_per_sender),
            destination: i64::from(settings.publish_ahead_per_destination),
        }
    }
}

impl Counts {
    fn add(&mut self, lane: Lane, sender: &str, destination: &str, n: i64) {
        self.lanes[lane as usize] += n;
        *self.senders.entry((lane, sender.into())).or_default() += n;
        if !destination.is_empty() {
            *self.destinations.entry((lane, destination.into())).or_default() += n;
        }
    }
}

async fn count(app: &App) -> Result<Counts, DbError> {
    let sql = "/* books::ahead */ select lane, sender, destination, sum(n)::bigint from chunks
        where state = 0 and published_at is not null group by lane, sender, destination";
    let mut counts = Counts::default();
    for row in app.db.rows(sql, &[]).await? {
        counts.add(Lane::from_number(row.get(0)), row.get(1), row.get(2), row.get(3));
    }
    Ok(counts)
}
