//! With whom there is something to read: the account's connections, those who wrote something unread, and the node itself.
//!
//! Promises: bounded work, however much the account holds; who wrote last is on the first page, also where there are more connections
//! than a page has. What was said last is looked for among the newest messages of the account only; whose last word is older comes
//! after all others, in the order in which they were connected.

use std::collections::HashMap;

use uuid::Uuid;

use super::Error;
use crate::App;
use crate::connections::{self, Connection, State};
use crate::db::{DbError, Row};
use crate::openmsg::Address;

/// Connections of one page.
const PAGE: i64 = 200;
/// Newest messages of each direction among which the last word is looked for.
const NEWEST: i64 = 2000;
/// Unread messages that are counted.
const COUNTED: i64 = 1000;

/// One conversation, from outside.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Whom it is with.
    pub other: Address,
    /// How they are called, by themselves.
    pub name: String,
    /// Whether there is a connection, and how it is.
    pub state: Option<State>,
    /// Unread messages.
    pub unread: i64,
    /// The newest message of either side, if it is not too long ago.
    pub last: Option<Uuid>,
}

/// A page of them.
#[derive(Debug)]
pub struct Conversations {
    /// Those that were spoken in last come first; on a further page, of its connections.
    pub items: Vec<Conversation>,
    /// Where to go on: there are more connections.
    pub next: Option<Uuid>,
    /// How many messages are unread in all; no more than a thousand are counted.
    pub unread: i64,
}

const RECEIVED: &str = "/* mailbox::conversations received */
select from_address, (array_agg(from_name order by id desc))[1], max(id::text)::uuid, count(*) filter (where acknowledged_at is null)
from (select id, from_address, from_name, acknowledged_at from inbox where account_id = $1 order by id desc limit $2) i
group by from_address";

const SENT: &str = "/* mailbox::conversations sent */
select to_address, max(id::text)::uuid
from (select id, to_address from messages where from_address = $1 order by id desc limit $2) m
where to_address is not null group by to_address";

const UNREAD: &str = "/* mailbox::conversations unread */
select from_address, (array_agg(from_name order by id desc))[1], max(id::text)::uuid, count(*)
from (select id, from_address, from_name from inbox where account_id = $1 and acknowledged_at is null order by id desc limit $2) i
group by from_address";

const COUNT: &str = "/* mailbox::conversations count */
select count(*) from (select from inbox where account_id = $1 and acknowledged_at is null limit $2) i";

/// How many messages of the account are unread; no more than a thousand are counted.
pub async fn unread(app: &App, account: Uuid) -> Result<i64, Error> {
    Ok(app.db.row(COUNT, &[&account, &COUNTED]).await?.map_or(0, |row| row.get(0)))
}

/// What is known of somebody from messages.
struct Heard {
    name: Option<String>,
    last: Uuid,
    unread: i64,
}

/// The account's conversations. The first page has those that were spoken in last, all with something unread, and those that have no
/// connection; then connections as on all further pages, those after the id `after`.
pub async fn conversations(
    app: &App,
    account: Uuid,
    own: &Address,
    after: Option<Uuid>,
) -> Result<Conversations, Error> {
    let (mut heard, unread) = heard(app, account, own).await?;
    let mut connections = connections::list(app, Some(account), after, PAGE + 1).await?;
    let more = connections.len() > PAGE as usize;
    connections.truncate(PAGE as usize);
    let next = connections.last().filter(|_| more).map(|connection| connection.id);
    let mut items: Vec<Conversation> = connections.into_iter().map(|one| connected(one, &mut heard)).collect();
    if after.is_none() {
        items.extend(others(app, own, heard).await?);
    }
    items.sort_by_key(|one| std::cmp::Reverse(one.last));
    Ok(Conversations { items, next, unread })
}

fn connected(connection: Connection, heard: &mut HashMap<String, Heard>) -> Conversation {
    let known = heard.remove(connection.other_address.as_str());
    Conversation {
        state: Some(connection.state),
        other: connection.other_address,
        name: connection.other_name,
        unread: known.as_ref().map_or(0, |known| known.unread),
        last: known.map(|known| known.last),
    }
}

/// Of those heard of who are not among the first connections: who was spoken with lately, or is unread, or has no connection (any
/// more) and so is on no other page.
async fn others(app: &App, own: &Address, mut heard: HashMap<String, Heard>) -> Result<Vec<Conversation>, Error> {
    let named: Vec<&str> = heard.keys().map(String::as_str).collect();
    let connections = connections::find_many(app, own, &named).await?;
    let mut found: Vec<Conversation> = connections.into_iter().map(|one| connected(one, &mut heard)).collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.last));
    let mut place = 0;
    found.retain(|one| {
        place += 1;
        place <= PAGE as usize || one.unread > 0
    });
    found.extend(heard.into_iter().filter_map(|(other, known)| unconnected(&other, known)));
    Ok(found)
}

/// Who only was written to, and by nobody was answered, is called nothing.
fn unconnected(other: &str, known: Heard) -> Option<Conversation> {
    Some(Conversation {
        other: other.parse().ok()?,
        name: known.name?,
        state: None,
        unread: known.unread,
        last: Some(known.last),
    })
}

async fn heard(app: &App, account: Uuid, own: &Address) -> Result<(HashMap<String, Heard>, i64), DbError> {
    let own = own.as_str();
    let mut heard: HashMap<String, Heard> = HashMap::new();
    let read = |row: &Row| (row.get(0), Heard { name: row.get(1), last: row.get(2), unread: row.get(3) });
    heard.extend(app.db.rows(RECEIVED, &[&account, &NEWEST]).await?.iter().map(read));
    let mut all = 0;
    // Also what is unread and old; of what is both, this count is the whole.
    for row in app.db.rows(UNREAD, &[&account, &COUNTED]).await? {
        let (other, known): (String, Heard) = read(&row);
        all += known.unread;
        let entry = heard.entry(other).or_insert(Heard { unread: 0, ..known });
        entry.unread = known.unread.max(entry.unread);
    }
    for row in app.db.rows(SENT, &[&own, &NEWEST]).await? {
        let (other, last): (String, Uuid) = (row.get(0), row.get(1));
        let entry = heard.entry(other).or_insert(Heard { name: None, last, unread: 0 });
        entry.last = entry.last.max(last);
    }
    Ok((heard, all))
}
