//! Storing what arrived, once.
//!
//! A nonce is remembered for `openmsg.nonce_memory`, a handfast peer's message id for `openmsg.id_memory`. The id is only noted when
//! the nonce is new: a peer that is told to encrypt again with a fresh nonce comes back with the same id, and must be heard then.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{DisplayName, Error, context};
use crate::App;
use crate::crypto::{NONCE_BYTES, Purpose};
use crate::openmsg::Address;
use crate::overview::activity::{self, Deed};
use crate::telemetry::families::RECEIVED;

/// A message to be stored; one of a batch. Not for logs, so it has no `Debug`.
pub struct NewEntry {
    /// The connection it came over; `None` for a notice of the node.
    pub connection_id: Option<Uuid>,
    /// Whose inbox.
    pub account_id: Uuid,
    /// Who wrote.
    pub from: Address,
    /// How they are called.
    pub from_name: DisplayName,
    /// What they wrote.
    pub text: String,
    /// When, as they say.
    pub sent_at: Timestamp,
    /// The package's nonce; `None` where none was used (inside this node).
    pub nonce: Option<[u8; NONCE_BYTES]>,
    /// The message hash.
    pub hash: [u8; 32],
    /// A handfast peer's id for the message, the same in every repeat.
    pub message_id: Option<Uuid>,
    /// Not stored after this moment of the database's clock; `None`: whenever.
    pub deadline: Option<Timestamp>,
}

/// What became of a [`NewEntry`]: all are ordinary outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Committed.
    New,
    /// Was committed before: to be answered as then.
    Repeat,
    /// Its nonce came before with another hash: SM_E007. Not stored.
    NonceReused,
    /// Its deadline had passed. Not stored, and nothing is remembered of it.
    TooLate,
}

/// What is known about a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    New,
    /// It came with this hash.
    Repeat,
    /// It came with another hash.
    NonceReused,
}

/// All that is new makes one row of events (kind 6, message received).
///
/// A row comparison inside an OR is answered from a hash table of the sub-select, so the batch costs no nested loops.
const STORE: &str = "/* inbox::store_many */
with asked as materialized (
    select *, deadline is null or deadline > clock_timestamp() as in_time
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
                $8::bytea[], $9::bytea[], $10::bytea[], $11::timestamptz[], $12::bool[])
        as e (id, account_id, connection_id, from_address, from_name, content, sent_at, nonce, hash, message_id, deadline, first)
), nonces as (
    insert into seen (connection_id, value, hash, expires_at)
    select connection_id, nonce, hash, $14 from asked
    where in_time and first and connection_id is not null and nonce is not null
    order by connection_id, nonce
    on conflict do nothing
    returning connection_id, value
), fresh as materialized (
    select * from asked where in_time and first
        and (connection_id is null or nonce is null
             or (connection_id, nonce) in (select connection_id, value from nonces))
), messages as (
    insert into seen (connection_id, value, hash, expires_at)
    select distinct on (connection_id, message_id) connection_id, message_id, hash, $15::timestamptz from fresh
    where connection_id is not null and message_id is not null
    order by connection_id, message_id, id
    on conflict do nothing
    returning connection_id, value, hash
), stored as (
    insert into inbox (id, account_id, connection_id, from_address, from_name, content, sent_at, received_at)
    select id, account_id, connection_id, from_address, from_name, content, sent_at, $13 from fresh
    where connection_id is null or message_id is null
        or (connection_id, message_id, hash) in (select connection_id, value, hash from messages)
    returning id
), told as (
    insert into events (at, kind, items) select $13, 6, array_agg(id order by id) from stored having count(*) > 0
)
select id, in_time, id in (select id from fresh) as fresh, id in (select id from stored) as stored from asked";

const SEEN: &str = "/* inbox::seen_many */
select asked.n, seen.hash
from unnest($1::int4[], $2::uuid[], $3::bytea[]) as asked (n, connection_id, value)
join seen on seen.connection_id = asked.connection_id and seen.value = asked.value";

const PURGE: &str = "/* inbox::purge_seen */
delete from seen where ctid = any (array(select ctid from seen where expires_at <= $1 order by expires_at limit 1000))";

/// Stores a batch in one statement, each entry on its own merits, and says what became of each. Of several that say the same, also
/// within the batch, one is stored. Ids rise in the order given.
pub async fn store_many(app: &App, entries: Vec<NewEntry>) -> Result<Vec<Stored>, Error> {
    let verdicts = insert(app, &entries).await?;
    // The rare rest: a nonce that is taken, by an earlier message or by one of this batch (which is committed by now).
    let taken: Vec<usize> = (0..entries.len()).filter(|n| verdicts[*n].is_none()).collect();
    let mut seen = HashMap::new();
    if !taken.is_empty() {
        let asked: Vec<_> = taken.iter().map(|n| identity(&entries[*n]).unwrap_or_default()).collect();
        let hashes = look_up(app, &asked).await?;
        let judge = |(n, known): (usize, Option<Vec<u8>>)| Some((n, judge(&entries[n], &known?)));
        seen.extend(taken.into_iter().zip(hashes).filter_map(judge));
    }
    let stored = |(n, verdict): (usize, Option<Stored>)| match (verdict, seen.get(&n)) {
        (Some(verdict), _) => verdict,
        (None, Some(verdict)) => *verdict,
        // Its twin in the batch was too late, or what it repeated has just been forgotten: it may come again.
        (None, None) => Stored::TooLate,
    };
    let all: Vec<Stored> = verdicts.into_iter().enumerate().map(stored).collect();
    let new = all.iter().filter(|stored| matches!(stored, Stored::New)).count();
    RECEIVED.add([], new);
    activity::count(Deed::Received, new);
    Ok(all)
}

/// What is known about nonces, without storing anything: connection, nonce, hash.
pub async fn seen_many(app: &App, asked: Vec<(Uuid, [u8; NONCE_BYTES], [u8; 32])>) -> Result<Vec<Seen>, Error> {
    let values: Vec<_> = asked.iter().map(|(connection, nonce, _)| (*connection, nonce.to_vec())).collect();
    let known = look_up(app, &values).await?;
    let judge = |(n, known): (usize, Option<Vec<u8>>)| match known {
        None => Seen::New,
        Some(hash) if hash == asked[n].2 => Seen::Repeat,
        Some(_) => Seen::NonceReused,
    };
    Ok(known.into_iter().enumerate().map(judge).collect())
}

/// Forgets up to 1,000 nonces and message ids whose time is over; returns how many.
pub async fn purge_seen(app: &App) -> Result<u64, Error> {
    Ok(app.db.execute(PURGE, &[&app.clock.now()]).await?)
}

/// `None`: the nonce is taken, and by what is still to be found out.
async fn insert(app: &App, entries: &[NewEntry]) -> Result<Vec<Option<Stored>>, Error> {
    let mut ids: Vec<Uuid> = entries.iter().map(|_| app.new_id()).collect();
    ids.sort_unstable();
    let first = first_of_its_nonce(entries);
    let seal = |(id, entry): (&Uuid, &NewEntry)| app.keys.seal(Purpose::Inbox, &context(*id), entry.text.as_bytes());
    let contents: Vec<Vec<u8>> = ids.iter().zip(entries).map(seal).collect();
    let now = app.clock.now();
    let rows = app
        .db
        .rows(
            STORE,
            &[
                &ids,
                &column(entries, |entry| entry.account_id),
                &column(entries, |entry| entry.connection_id),
                &column(entries, |entry| entry.from.as_str()),
                &column(entries, |entry| entry.from_name.as_str()),
                &contents,
                &column(entries, |entry| entry.sent_at),
                &column(entries, |entry| entry.nonce.as_ref().map(<[u8; NONCE_BYTES]>::as_slice)),
                &column(entries, |entry| entry.hash.as_slice()),
                &column(entries, |entry| entry.message_id.as_ref().map(|id| id.as_bytes().as_slice())),
                &column(entries, |entry| entry.deadline),
                &first,
                &now,
                &(now + app.config.openmsg.nonce_memory.duration()),
                &(now + app.config.openmsg.id_memory.duration()),
            ],
        )
        .await?;
    let verdict = |row: &crate::db::Row| match (row.get("in_time"), row.get("fresh"), row.get("stored")) {
        (_, _, true) => Some(Stored::New),
        (false, _, _) => Some(Stored::TooLate),
        (true, true, false) => Some(Stored::Repeat),
        (true, false, false) => None,
    };
    let verdicts: HashMap<Uuid, Option<Stored>> = rows.iter().map(|row| (row.get("id"), verdict(row))).collect();
    Ok(ids.iter().map(|id| verdicts.get(id).copied().flatten()).collect())
}

fn column<'a, T>(entries: &'a [NewEntry], value: impl Fn(&'a NewEntry) -> T) -> Vec<T> {
    entries.iter().map(value).collect()
}

/// Marks, of entries with one nonce, the one that may last longest: if it is too late, so are the others.
fn first_of_its_nonce(entries: &[NewEntry]) -> Vec<bool> {
    let lasting = |n: usize| entries[n].deadline.unwrap_or(Timestamp::MAX);
    let mut chosen: HashMap<(Uuid, Vec<u8>), usize> = HashMap::new();
    let mut first = vec![true; entries.len()];
    for (n, entry) in entries.iter().enumerate() {
        let Some(key) = identity(entry) else { continue };
        let before = chosen.entry(key).or_insert(n);
        if *before == n {
            continue;
        }
        let loser = if lasting(n) > lasting(*before) { std::mem::replace(before, n) } else { n };
        first[loser] = false;
    }
    first
}

/// What two entries of a batch must not have in common: the nonce, or without one the message id.
fn identity(entry: &NewEntry) -> Option<(Uuid, Vec<u8>)> {
    let value = match (entry.nonce, entry.message_id) {
        (Some(nonce), _) => nonce.to_vec(),
        (None, Some(id)) => id.as_bytes().to_vec(),
        (None, None) => return None,
    };
    Some((entry.connection_id?, value))
}

/// A message id may come again with another hash, that of another package; a nonce may not.
fn judge(entry: &NewEntry, known_hash: &[u8]) -> Stored {
    if entry.nonce.is_none() || known_hash == entry.hash { Stored::Repeat } else { Stored::NonceReused }
}

/// The hashes that nonces or message ids came with.
async fn look_up(app: &App, asked: &[(Uuid, Vec<u8>)]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let numbers: Vec<i32> = (0..asked.len() as i32).collect();
    let connections: Vec<Uuid> = asked.iter().map(|(connection, _)| *connection).collect();
    let values: Vec<&[u8]> = asked.iter().map(|(_, value)| value.as_slice()).collect();
    let mut hashes = vec![None; asked.len()];
    for row in app.db.rows(SEEN, &[&numbers, &connections, &values]).await? {
        hashes[row.get::<_, i32>(0) as usize] = Some(row.get(1));
    }
    Ok(hashes)
}
