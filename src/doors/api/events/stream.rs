//! `GET /events/stream`: events as they happen, as server-sent events.
//!
//! Begins behind `Last-Event-ID` (or `?after=`), or else with what happens from now on. Ids are cursors; one without data is sent
//! at the beginning and now and then, so that a client that was told nothing for long knows where to go on as well.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::events::{self, Cursor, Event, Kind};
use crate::failure::Failure;
use crate::openmsg::Address;
use crate::senders::Standing;

use super::super::call::{Answer, Call, Shared};
use super::super::problem::Problem;
use super::news::Subscription;
use super::{After, after, kinds};
use crate::doors::sse::{self, COMMENT_EVERY, Ended, Outlet};

/// Events sent in one piece.
const PAGE: usize = 100;

/// `GET /events/stream`
pub(in super::super) async fn stream(call: Call) -> Answer {
    let mut query = call.query();
    let kinds = query.optional("kinds", kinds).unwrap_or_else(|| Kind::ALL.to_vec());
    let asked = query.optional("after", after);
    query.finish(Some(()))?;
    let begin = match call.header("last-event-id")?.filter(|text| !text.is_empty()) {
        Some(text) => after(Value::String(text.into())).map_err(|m| Problem::field("Last-Event-ID", m))?,
        None => asked.unwrap_or(After::Now),
    };
    let room = call.wait()?;
    let news = call.shared.news.subscribe().await;
    let begin = begin.cursor(call.app()).await?;
    let (outlet, response) = sse::open();
    let key = Standing::of(call.app(), &call.key);
    let account = call.key.account.as_ref().map(|account| account.address.clone());
    let feed = Feed { shared: call.shared, key, account, kinds, last: begin, outlet, _room: room };
    tokio::spawn(feed.run(news));
    Ok(response)
}

struct Feed {
    shared: Arc<Shared>,
    key: Standing,
    account: Option<Address>,
    kinds: Vec<Kind>,
    last: Cursor,
    outlet: Outlet,
    _room: OwnedSemaphorePermit,
}

impl Feed {
    async fn run(mut self, mut news: Subscription) {
        // Headers go out with the first bytes, so that the client knows at once that it is connected.
        if self.outlet.send(self.place()).await.is_ok() && self.catch_up().await.is_ok() {
            while self.step(&mut news).await.is_ok() {}
        }
    }

    /// Everything there is.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let app = &self.shared.serve.app;
            let page = events::read(app, self.last, &self.kinds, PAGE, self.account.as_ref()).await;
            let page = page.map_err(|error| ended(&error))?;
            if !page.events.is_empty() {
                let piece = write(&page.events)?;
                self.check_key().await?;
                self.outlet.send(piece).await?;
            }
            self.last = page.next;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Waits for news and sends it, or a sign of life when there is none.
    async fn step(&mut self, news: &mut Subscription) -> Result<(), Ended> {
        tokio::select! {
            alive = news.next() => if alive { self.catch_up().await } else { Err(Ended) },
            () = tokio::time::sleep_until(Instant::now() + COMMENT_EVERY) => {
                self.check_key().await?;
                self.outlet.send(self.place()).await
            }
            () = self.outlet.closed() => Err(Ended),
        }
    }

    /// A comment, and where to go on.
    fn place(&self) -> String {
        format!(":\nid: {}\n\n", self.last)
    }

    async fn check_key(&mut self) -> Result<(), Ended> {
        if self.key.holds().await.map_err(|error| ended(&error))? { Ok(()) } else { Err(Ended) }
    }
}

fn ended(error: &impl Failure) -> Ended {
    tracing::warn!(error = %crate::failure::chain(error), "a stream of events ended");
    Ended
}

fn write(events: &[Event]) -> Result<Vec<u8>, Ended> {
    let mut text = Vec::new();
    for event in events {
        text.extend_from_slice(format!("id: {}\nevent: message\ndata: ", event.id).as_bytes());
        // One line whatever a message holds: JSON escapes line feeds.
        serde_json::to_writer(&mut text, event).map_err(|_| Ended)?;
        text.extend_from_slice(b"\n\n");
    }
    Ok(text)
}
