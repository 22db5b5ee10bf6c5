//! Status events: what became of deliveries, what arrived, what destinations do.
//!
//! | file | what |
//! |---|---|
//! | `news` | tells waiting requests that there is something new: one statement for all of them |
//! | `stream` | events as they happen, as server-sent events |
//!
//! A key that is bound to an account sees that account's events only.

pub(super) mod describe;

mod news;
mod stream;

pub(super) use news::News;
pub(super) use stream::stream;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::App;
use crate::events::{self, Cursor, Event, Kind, Page};
use crate::senders::Standing;

use super::call::{Answer, Call, ok, revoked};
use super::problem::Problem;
use super::values;

/// Longest `wait`, in seconds.
const LONGEST_WAIT: u64 = 60;
const DEFAULT_LIMIT: u64 = 100;
const MOST: u64 = 1000;

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
enum After {
    Start,
    Now,
    Behind(Cursor),
}

impl After {
    async fn cursor(self, app: &App) -> Result<Cursor, events::Error> {
        match self {
            Self::Start => Ok(Cursor::START),
            Self::Now => events::now(app).await,
            Self::Behind(cursor) => Ok(cursor),
        }
    }
}

/// `start`, `now`, or a cursor.
fn after(value: Value) -> Result<After, String> {
    match values::text(value)?.as_str() {
        "start" => Ok(After::Start),
        "now" => Ok(After::Now),
        text => text.parse().map(After::Behind).map_err(|error| format!("is {error}")),
    }
}

fn kinds(value: Value) -> Result<Vec<Kind>, String> {
    Kind::list(&values::text(value)?).map_err(|error| format!("is not valid: {error}"))
}

/// What is answered: unlike that of other lists, `next` is always there.
#[derive(Serialize)]
struct View {
    items: Vec<Event>,
    next: Cursor,
}

/// `GET /events`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let begin = query.optional("after", after).unwrap_or(After::Start);
    let limit = query.optional("limit", values::number(1..=MOST)).unwrap_or(DEFAULT_LIMIT) as usize;
    let wait = query.optional("wait", values::seconds(0..=LONGEST_WAIT)).unwrap_or_default();
    let kinds = query.optional("kinds", kinds).unwrap_or_else(|| Kind::ALL.to_vec());
    query.finish(Some(()))?;
    let begin = begin.cursor(call.app()).await?;
    let Page { events, next, .. } = Lookup { call: &call, kinds, limit }.wait(begin, wait).await?;
    ok(&View { items: events, next })
}

/// One request's look at the events.
struct Lookup<'a> {
    call: &'a Call,
    kinds: Vec<Kind>,
    limit: usize,
}

impl Lookup<'_> {
    async fn look(&self, after: Cursor) -> Result<Page, Problem> {
        let account = self.call.key.account.as_ref().map(|account| &account.address);
        Ok(events::read(self.call.app(), after, &self.kinds, self.limit, account).await?)
    }

    /// The page once it holds something, or as it is after `wait`, or when the process is asked to stop.
    async fn wait(&self, after: Cursor, wait: Duration) -> Result<Page, Problem> {
        let mut page = self.look(after).await?;
        if !page.events.is_empty() || wait.is_zero() {
            return Ok(page);
        }
        let until = Instant::now() + wait;
        let _room = self.call.wait()?;
        let mut key = Standing::of(self.call.app(), &self.call.key);
        // Subscribed first, then looked at again: nothing falls in between.
        let mut news = self.call.shared.news.subscribe().await;
        loop {
            page = self.look(page.next).await?;
            if !key.holds().await? {
                return Err(revoked());
            }
            if !page.events.is_empty() || (!page.more && !news.next_before(until).await) || Instant::now() >= until {
                return Ok(page);
            }
        }
    }
}
