//! Hands status events over to the webhooks that want them: in batches, in order, each event in one batch.
//!
//! A batch is a message like any other (lane status, in the line [`LINE`] of its webhook), accepted in the transaction that moves
//! the feed's cursor. While ten batches wait, the feed waits: the events are kept, and the cursor with them. An idle webhook gets
//! an event at once; while a batch is on its way, the next one gathers for a second or until it is full.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::books::{Acceptor, Expiry, Lane, NewMessage, Order, Way};
use crate::events::{self, Cursor, Event, LINE};
use crate::queue::Publisher;
use crate::webhooks::Content;

/// How often it is looked for new events.
const EVERY: Duration = Duration::from_millis(200);
/// Events in one batch.
const FULL: usize = 100;
/// How long an event waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// Batches that wait for their webhook before its feed does.
const WAITING: i64 = 10;
/// A batch that could not be delivered for so long is given up.
const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// What a webhook is sent.
#[derive(Serialize)]
struct Batch<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    cursor: Cursor,
    events: &'a [Event],
}

/// What came of a look at one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// A batch was handed over; there may be more.
    Batch,
    /// Something waits, for others or for room; or another process sees to it just now.
    Later,
    /// There is nothing.
    Nothing,
}

/// Feeds, until `stop`.
pub async fn run(app: App, publisher: Publisher, stop: CancellationToken) {
    let acceptor = Acceptor::start(&app, &publisher);
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = Round::default();
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = round.go(&app, &acceptor, &stop).await {
            tracing::warn!(%error, "events could not be handed over to webhooks; the next try is in a moment");
            round = Round::default();
        }
    }
}

/// What is known from the looks before.
#[derive(Default)]
struct Round {
    newest: Option<(u64, i64)>,
    /// Feeds in which there was nothing up to `newest`.
    done: HashSet<String>,
}

impl Round {
    async fn go(&mut self, app: &App, acceptor: &Acceptor, stop: &CancellationToken) -> anyhow::Result<()> {
        let webhooks = events::subscribed(app).await?;
        if webhooks.is_empty() {
            return Ok(());
        }
        let newest = events::newest(app).await?;
        if newest != self.newest {
            self.newest = newest;
            self.done.clear();
        }
        let mut failed = Ok(());
        for webhook in webhooks {
            if self.done.contains(&webhook) {
                continue;
            }
            let mut fed = Ok(Fed::Batch);
            while matches!(fed, Ok(Fed::Batch)) && !stop.is_cancelled() {
                fed = feed(app, acceptor, &webhook).await;
            }
            match fed {
                Ok(Fed::Nothing) => {
                    self.done.insert(webhook);
                }
                Ok(Fed::Batch | Fed::Later) => {}
                // What is wrong with one feed does not hold up the others.
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }
}

/// Hands one batch over to a webhook, if it is time.
pub async fn feed(app: &App, acceptor: &Acceptor, webhook: &str) -> anyhow::Result<Fed> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let Some(feed) = events::feed(&tx, webhook).await? else { return Ok(Fed::Later) };
    if feed.unsettled >= WAITING {
        return Ok(Fed::Later);
    }
    let now = app.clock.now();
    let page = events::read(app, feed.cursor, &feed.kinds, FULL, None).await?;
    let waits_for_others = page.events.len() < FULL
        && feed.unsettled > 0
        && page.events.first().is_some_and(|event| event.at + GATHER > now);
    if waits_for_others {
        return Ok(Fed::Later);
    }
    if page.next == feed.cursor || !events::advance(&tx, webhook, &feed.cursor, &page.next, now).await? {
        return Ok(Fed::Nothing);
    }
    if page.events.is_empty() {
        tx.commit().await?;
        return Ok(if page.more { Fed::Batch } else { Fed::Nothing });
    }
    let batch = Batch { kind: "events", cursor: page.next, events: &page.events };
    let message = message(webhook, feed.sender, &serde_json::to_vec(&batch)?);
    let (_, to_publish) = acceptor.accept_in(&tx, vec![message]).await?;
    tx.commit().await?;
    acceptor.publish(to_publish);
    Ok(Fed::Batch)
}

fn message(webhook: &str, sender: String, body: &[u8]) -> NewMessage {
    NewMessage {
        sender,
        way: Way::Webhook { name: webhook.into() },
        lane: Lane::Status,
        tag: None,
        content: Content::json(body).encode(),
        expiry: Expiry::In(LIFE),
        deliver_at: None,
        order: Some(Order { key: LINE.into(), skip: false }),
        campaign: None,
        held: false,
        key: None,
    }
}
