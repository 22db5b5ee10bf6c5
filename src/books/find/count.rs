//! Counting what a filter finds, as far as that goes in a few seconds.
//!
//! Promises: however many ask, few count at once, and between two steps none of them holds a connection.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::{Filter, WINDOWS, Walk};
use crate::App;
use crate::books::inspect::Delivery;
use crate::books::{BooksError, State, Summary};

/// Groups told by name; the rest are counted only.
const GROUPS: usize = 200;

/// Groups counted at all.
const REMEMBERED: usize = 10_000;

/// How many there are.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct Count {
    /// All of them, as far as was counted.
    pub matching: i64,
    /// False: it took too long, and there are more.
    pub complete: bool,
    /// Where counting ended, if it did not end at the end: `after` of a request that counts the rest.
    pub next: Option<Uuid>,
    /// By state.
    pub states: Summary,
    /// By destination, state and code of the last try, the most first; at most 200.
    pub groups: Vec<Group>,
}

/// Deliveries that have these in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
pub struct Group {
    /// Domain, or name of a webhook.
    pub destination: String,
    /// Where they are.
    pub state: State,
    /// HTTP status of the last try.
    pub status: Option<i16>,
    /// Response code or error class of the last try, or the reason noted on the delivery.
    pub code: Option<String>,
    /// How many.
    pub n: i64,
}

/// Counts what the filter finds from `after` on, for at most `patience`, after waiting for room as long at the most.
///
/// # Errors
/// [`BooksError::Crowded`] if there was no room.
pub async fn count(app: &App, filter: &Filter, after: Option<Uuid>, patience: Duration) -> Result<Count, BooksError> {
    let _room = app.db.room_to_look(patience).await.ok_or(BooksError::Crowded)?;
    let begun = Instant::now();
    let mut walk = Walk::new(filter, after);
    let mut count = Count::default();
    let mut groups: HashMap<Group, i64> = HashMap::new();
    while !walk.ended && begun.elapsed() < patience {
        let client = app.db.client().await?;
        for delivery in walk.step(&client, WINDOWS[2], app.clock.now()).await? {
            count.matching += 1;
            *count.states.of(delivery.state) += 1;
            let group = group_of(delivery);
            if groups.len() < REMEMBERED || groups.contains_key(&group) {
                *groups.entry(group).or_default() += 1;
            }
        }
    }
    count.states.accepted = count.matching;
    count.complete = walk.ended;
    count.next = (!walk.ended).then_some(walk.after);
    count.groups = groups.into_iter().map(|(group, n)| Group { n, ..group }).collect();
    count.groups.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.destination.cmp(&b.destination)));
    count.groups.truncate(GROUPS);
    Ok(count)
}

fn group_of(delivery: Delivery) -> Group {
    Group {
        destination: delivery.destination,
        state: delivery.state,
        status: delivery.last_status,
        code: delivery.last_code.or(delivery.reason),
        n: 0,
    }
}
