//! `GET /inbox/stream`: entries as they arrive, as server-sent events (HTML standard, 9.2).
//!
//! Begins after `Last-Event-ID` (or `?after=`), or else with what arrives from now on. Each entry comes once in a stream. Ends when
//! the process is asked to stop, when its key is revoked, or when the client does not read for a minute; it then connects again with its last id.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::inbox::{self, Entry, News, Subscription};
use crate::senders::{self, Standing};

use super::super::call::{Answer, Call, Shared};
use super::super::problem::Problem;
use super::super::values;
use super::{View, account_id};
use crate::doors::sse::{self, COMMENT_EVERY, Ended, Outlet};

/// Entries looked up at once.
const PAGE: usize = 100;
/// Ids remembered as sent; far more than can arrive out of order.
const REMEMBERED: usize = 4096;

/// `GET /inbox/stream`
pub(in super::super) async fn stream(call: Call) -> Answer {
    let mut query = call.query();
    let address = query.required("account", values::our_address(call.domain()));
    let after = query.optional("after", values::id);
    let address = query.finish(address)?;
    let last = match call.header("last-event-id")?.filter(|text| !text.is_empty()) {
        Some(text) => Some(values::id(Value::String(text.into())).map_err(|m| Problem::field("Last-Event-ID", m))?),
        None => after,
    };
    let account = account_id(&call, &address).await?;
    let room = call.wait()?;
    let arrivals = call.shared.arrivals.subscribe(account).await?;
    let last = last.unwrap_or_else(|| call.app().new_id());
    let (events, response) = sse::open();
    let key = Standing::of(call.app(), &call.key);
    let feed = Feed { shared: call.shared, key, account, last, sent: VecDeque::new(), events, _room: room };
    tokio::spawn(feed.run(arrivals));
    Ok(response)
}

impl From<inbox::Error> for Ended {
    fn from(error: inbox::Error) -> Self {
        tracing::warn!(error = %crate::failure::chain(&error), "an inbox stream ended");
        Self
    }
}

impl From<senders::Error> for Ended {
    fn from(error: senders::Error) -> Self {
        tracing::warn!(error = %crate::failure::chain(&error), "an inbox stream ended");
        Self
    }
}

struct Feed {
    shared: Arc<Shared>,
    key: Standing,
    account: Uuid,
    /// The greatest id sent.
    last: Uuid,
    sent: VecDeque<Uuid>,
    events: Outlet,
    _room: OwnedSemaphorePermit,
}

impl Feed {
    async fn run(mut self, mut arrivals: Subscription) {
        // Headers go out with the first bytes, so that the client knows at once that it is connected.
        let begun = self.events.send(": connected\n\n").await;
        if begun.is_ok() && self.catch_up(self.last).await.is_ok() {
            while self.step(&mut arrivals).await.is_ok() {}
        }
    }

    /// Everything after `from` that was not sent yet.
    async fn catch_up(&mut self, mut from: Uuid) -> Result<(), Ended> {
        loop {
            let entries = inbox::list(&self.shared.serve.app, self.account, Some(from), PAGE as i64, false).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            from = last.id;
            let unsent = entries.into_iter().filter(|entry| !self.sent.contains(&entry.id)).collect();
            self.send_entries(unsent).await?;
        }
    }

    /// Waits for news and sends it, or a comment when there is none.
    async fn step(&mut self, arrivals: &mut Subscription) -> Result<(), Ended> {
        let first = tokio::select! {
            first = arrivals.next() => first.ok_or(Ended)?,
            () = tokio::time::sleep_until(Instant::now() + COMMENT_EVERY) => {
                self.check_key().await?;
                return self.events.send(":\n\n").await;
            }
            () = self.events.closed() => return Err(Ended),
        };
        let mut ids = Vec::new();
        let mut news = Some(first);
        while let Some(one) = news {
            match one {
                News::Entry(id) => ids.push(id),
                // From a little before: what was missed may have become visible late.
                News::Many => return self.catch_up(self.last.min(self.shared.arrivals.window())).await,
            }
            news = if ids.len() < PAGE { arrivals.waiting() } else { None };
        }
        ids.retain(|id| !self.sent.contains(id));
        if ids.is_empty() {
            return Ok(());
        }
        let entries = inbox::find_many(&self.shared.serve.app, &ids).await?;
        self.send_entries(entries).await
    }

    async fn send_entries(&mut self, entries: Vec<Entry>) -> Result<(), Ended> {
        let mut text = Vec::new();
        let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
        for entry in entries {
            text.extend_from_slice(format!("id: {}\nevent: message\ndata: ", entry.id).as_bytes());
            // One line whatever the message holds: JSON escapes line feeds.
            serde_json::to_writer(&mut text, &View::from(entry)).map_err(|_| Ended)?;
            text.extend_from_slice(b"\n\n");
        }
        if text.is_empty() {
            return Ok(());
        }
        self.check_key().await?;
        self.events.send(text).await?;
        self.last = ids.iter().copied().fold(self.last, Ord::max);
        self.sent.extend(ids);
        let surplus = self.sent.len().saturating_sub(REMEMBERED);
        self.sent.drain(..surplus);
        Ok(())
    }

    async fn check_key(&mut self) -> Result<(), Ended> {
        if self.key.holds().await? { Ok(()) } else { Err(Ended) }
    }
}
