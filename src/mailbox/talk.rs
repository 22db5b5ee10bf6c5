//! One conversation: what an account and one other address wrote to each other, newest last, page by page.
//!
//! Sent messages come from the [`crate::books`], received ones from the inbox; the ids of both sort by time, so a position is an
//! id. Both are walked from the newest back, no more than 20,000 rows a page: where an account holds very much that belongs to others,
//! a page may be short, or empty, and still have a `next` to go on from.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::Error;
use crate::App;
use crate::books::{self, Delivery, Filter, State};
use crate::inbox::{self, Entry, Outline};
use crate::openmsg::Address;

/// Lines of a page.
const PAGE: usize = 40;
/// Inbox rows looked at for one page, at the most; few first, because mostly they are what is wanted.
const WINDOWS: [i64; 4] = [128, 1024, 8192, 10_656];

/// A page of a conversation. Texts are not for logs, so it has no `Debug`.
pub struct Talk {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// There may be older ones, before this position.
    pub older: Option<Uuid>,
}

/// One message of a conversation.
#[derive(Clone)]
pub struct Line {
    /// Its id, also its place.
    pub id: Uuid,
    /// What it says; none where it cannot be opened.
    pub text: Option<String>,
    /// When it was received here, or handed over.
    pub at: Timestamp,
    /// Whose it is, and how it stands.
    pub said: Said,
}

/// Whose a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The other's.
    Other {
        /// How they were called then.
        name: String,
        /// Whether it was read before.
        read: bool,
    },
    /// The account's own.
    Own {
        /// Where it is.
        state: State,
        /// Why, in a word or code, where it did not go well.
        reason: Option<String>,
    },
}

impl Line {
    /// Whether somebody else wrote it and it was not read.
    pub fn is_unread(&self) -> bool {
        matches!(self.said, Said::Other { read: false, .. })
    }

    /// Whether it is on its way, so that how it stands may change by itself.
    pub fn is_under_way(&self) -> bool {
        matches!(&self.said, Said::Own { state, .. } if is_under_way(*state))
    }
}

fn is_under_way(state: State) -> bool {
    matches!(state, State::Pending | State::Sending | State::Retrying)
}

/// Ids of the inbox among the next rows, how many rows these were, and the last of them.
const WALK: &str = "/* mailbox::talk walk */
with seen as materialized (select id, from_address from inbox where account_id = $1 and id < $2 order by id desc limit $3)
select coalesce(array_agg(id) filter (where from_address = $4), '{}'), count(*), min(id::text)::uuid from seen";

/// The page before the position `before`, or the newest.
pub async fn talk(
    app: &App,
    account: Uuid,
    own: &Address,
    other: &Address,
    before: Option<Uuid>,
) -> Result<Talk, Error> {
    let filter = Filter { from: Some(own.to_string()), to: Some(other.to_string()), ..Filter::default() };
    let sent = books::deliveries(app, &filter, before, PAGE).await?;
    let received = received(app, account, other, before.unwrap_or(Uuid::max())).await?;
    // What lies below has not been seen on both sides.
    let mut horizon = sent.next.max(received.horizon);
    let mut ids: Vec<Uuid> = sent.items.iter().map(|delivery| delivery.id).chain(received.ids).collect();
    ids.retain(|id| horizon.is_none_or(|horizon| *id >= horizon));
    ids.sort_unstable_by(|a, b| b.cmp(a));
    if ids.len() > PAGE {
        ids.truncate(PAGE);
        horizon = ids.last().copied();
    }
    let lines = read(app, &ids, sent.items, own).await?;
    Ok(Talk { lines, older: horizon })
}

struct Received {
    ids: Vec<Uuid>,
    /// Looked at down to here; none: all.
    horizon: Option<Uuid>,
}

async fn received(app: &App, account: Uuid, other: &Address, before: Uuid) -> Result<Received, Error> {
    let (mut ids, mut before) = (Vec::new(), before);
    for window in WINDOWS {
        let row = app.db.row(WALK, &[&account, &before, &window, &other.as_str()]).await?;
        let Some(row) = row else { break };
        ids.extend(row.get::<_, Vec<Uuid>>(0));
        let (rows, last): (i64, Option<Uuid>) = (row.get(1), row.get(2));
        match last {
            Some(last) if rows == window => before = last,
            _ => return Ok(Received { ids, horizon: None }),
        }
        if ids.len() >= PAGE {
            break;
        }
    }
    Ok(Received { ids, horizon: Some(before) })
}

/// These messages with their texts, oldest first.
async fn read(app: &App, ids: &[Uuid], sent: Vec<Delivery>, own: &Address) -> Result<Vec<Line>, Error> {
    let own_ids: Vec<Uuid> = sent.iter().map(|delivery| delivery.id).filter(|id| ids.contains(id)).collect();
    let other_ids: Vec<Uuid> = ids.iter().copied().filter(|id| !own_ids.contains(id)).collect();
    let mut texts = books::contents(app, &own_ids, own.as_str()).await?;
    let mut lines: Vec<Line> = Vec::with_capacity(ids.len());
    for delivery in sent.into_iter().filter(|delivery| own_ids.contains(&delivery.id)) {
        let text = texts.remove(&delivery.id).and_then(|text| String::from_utf8(text.to_vec()).ok());
        let said = Said::Own { state: delivery.state, reason: delivery.reason };
        lines.push(Line { id: delivery.id, text, at: delivery.created_at, said });
    }
    lines.extend(inbox::find_many(app, &other_ids).await?.into_iter().map(line));
    let unopened: Vec<Uuid> = ids.iter().copied().filter(|id| !lines.iter().any(|line| line.id == *id)).collect();
    if !unopened.is_empty() {
        lines.extend(inbox::outlines(app, &unopened).await?.into_iter().map(unopened_line));
    }
    lines.sort_unstable_by_key(|line| line.id);
    Ok(lines)
}

fn line(entry: Entry) -> Line {
    let said = Said::Other { name: entry.from_name, read: entry.acknowledged_at.is_some() };
    Line { id: entry.id, text: Some(entry.text), at: entry.received_at, said }
}

/// What cannot be opened is a line as well: it is counted as unread, and must have an end.
fn unopened_line(entry: Outline) -> Line {
    let said = Said::Other { name: entry.from_name, read: entry.acknowledged_at.is_some() };
    Line { id: entry.id, text: None, at: entry.received_at, said }
}

/// Those of these inbox entries that the account has from `other`, oldest first.
pub async fn said(app: &App, account: &Address, other: &Address, ids: &[Uuid]) -> Result<Vec<Line>, Error> {
    let entries = inbox::find_many(app, ids).await?;
    let theirs = entries.into_iter().filter(|entry| entry.account == *account && entry.from == *other);
    Ok(theirs.map(line).collect())
}

/// How these messages of the account stand now.
pub async fn states(app: &App, own: &Address, ids: &[Uuid]) -> Result<HashMap<Uuid, (State, Option<String>)>, Error> {
    let found = books::deliveries_of(app, ids).await?;
    let own = found.into_iter().filter(|delivery| delivery.from.as_deref() == Some(own.as_str()));
    Ok(own.map(|delivery| (delivery.id, (delivery.state, delivery.reason))).collect())
}
