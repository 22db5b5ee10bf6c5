//! Opening: what was handed over is committed, then published.
//!
//! Concurrent accepts share one statement, which is one commit. Deliveries of one lane and destination that are accepted
//! together share a chunk; single ones to many destinations share mixed chunks, because a chunk a message costs more than
//! anything else here.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Accepted, BooksError, Lane, NewMessage};
use crate::App;
use crate::batch::Batcher;
use crate::crypto::Purpose;
use crate::db::DbError;
use crate::jobs::{ChunkRef, Job};
use crate::queue::Publisher;

/// Messages in one statement at the most; one caller's batch may be as large.
const TOGETHER: usize = 64;
/// Fewer than this to one destination and lane go into mixed chunks.
const WORTH_A_CHUNK: usize = 8;
/// Deliveries named by one broker message.
const PER_JOB: usize = 200;

type Answer = Result<Vec<Accepted>, BooksError>;

/// Accepts messages; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    entries: Batcher<Vec<NewMessage>, Answer>,
}

impl Acceptor {
    /// Starts the task behind it.
    pub fn start(app: &App, publisher: &Publisher) -> Self {
        let publishing = Publishing::start(app, publisher);
        let app = app.clone();
        let entries = Batcher::spawn(TOGETHER, Duration::from_millis(1), move |batches: Vec<Vec<NewMessage>>| {
            let (app, publishing) = (app.clone(), publishing.clone());
            async move { accept_together(&app, &publishing, batches).await }
        });
        Self { entries }
    }

    /// One message. When this answers, it is committed.
    pub async fn accept(&self, message: NewMessage) -> Result<Accepted, BooksError> {
        let answers = self.accept_many(vec![message]).await?;
        answers.first().copied().ok_or(BooksError::Shared { passing: false })
    }

    /// Up to 1,000 messages; answers in order. All are committed, or the error says that none is known to be.
    pub async fn accept_many(&self, messages: Vec<NewMessage>) -> Answer {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.entries.call(messages).await?
    }
}

async fn accept_together(app: &App, publishing: &Publishing, batches: Vec<Vec<NewMessage>>) -> Vec<Answer> {
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    let messages: Vec<NewMessage> = batches.into_iter().flatten().collect();
    match insert(app, messages).await {
        Ok((accepted, chunks)) => {
            publishing.publish(chunks);
            let mut accepted = accepted.into_iter();
            sizes.into_iter().map(|n| Ok(accepted.by_ref().take(n).collect())).collect()
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "messages could not be accepted");
            let passing = error.is_passing();
            sizes.iter().map(|_| Err(BooksError::Shared { passing })).collect()
        }
    }
}

/// The chunks a batch became, by lane.
type Chunks = Vec<(Lane, ChunkRef)>;

async fn insert(app: &App, messages: Vec<NewMessage>) -> Result<(Vec<Accepted>, Chunks), BooksError> {
    let now = app.clock.now();
    let rows = Rows::lay_out(app, &messages, now);
    let client = app.db.client().await?;
    let statement = client.prepare_cached(INSERT).await?;
    let held = client
        .query(
            &statement,
            &[
                &rows.id,
                &rows.connection,
                &rows.sender,
                &rows.from,
                &rows.to,
                &rows.lane,
                &rows.tag,
                &rows.content,
                &rows.expires_at,
                &now,
                &rows.key_hash,
                &rows.body_hash,
                &rows.chunk,
                &rows.seq,
                &rows.destination,
                &rows.chunk_id,
                &rows.chunk_lane,
                &rows.chunk_destination,
                &rows.chunk_n,
                &(now + app.config.retention.idempotency.duration()),
            ],
        )
        .await?;
    // What came back is not new: its key was taken, by an earlier request or by an earlier row of this one.
    let mut taken: HashMap<Uuid, Accepted> = HashMap::new();
    for row in held {
        let (mine, first, same): (Uuid, Uuid, bool) = (row.get(0), row.get(1), row.get(2));
        taken.insert(mine, if same { Accepted::Replayed(first) } else { Accepted::Mismatch });
    }
    let accepted = rows.id.iter().map(|id| taken.get(id).copied().unwrap_or(Accepted::New(*id))).collect();
    Ok((accepted, rows.chunks()))
}

/// Two statements in one transaction would cost two round trips; as one, the keys decide what the rest inserts. A key inserted
/// by a row of this statement is not visible to it, so duplicates inside a batch are laid out as taken before (`Rows`).
const INSERT: &str = "/* books::open insert */
with given as (
    select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::bytea[],
                         $9::timestamptz[], $11::bytea[], $12::bytea[], $13::uuid[], $14::smallint[], $15::text[])
        as g(id, connection_id, sender, from_address, to_address, lane, tag, content, expires_at, key_hash, body_hash, chunk, seq, destination)
), keyed as (
    insert into idempotency as i (sender, key_hash, body_hash, message_id, expires_at)
    select distinct on (sender, key_hash) sender, key_hash, body_hash, id, $20 from given where key_hash is not null order by sender, key_hash, id
    on conflict (sender, key_hash) do update
        set body_hash = excluded.body_hash, message_id = excluded.message_id, expires_at = excluded.expires_at
        where i.expires_at <= $10
    returning message_id
), fresh as (
    select * from given where key_hash is null or id in (select message_id from keyed)
), stored as (
    insert into messages (id, connection_id, sender, from_address, to_address, lane, tag, content, created_at, expires_at)
    select id, connection_id, sender, from_address, to_address, lane, tag, content, $10, expires_at from fresh
), opened as (
    insert into deliveries (chunk, seq, message_id, channel, destination)
    select chunk, seq, id, 1, destination from fresh
), filled as (
    insert into chunks (id, lane, destination, n, due_at)
    select c.id, c.lane, c.destination, c.n, $10
    from unnest($16::uuid[], $17::smallint[], $18::text[], $19::smallint[]) as c(id, lane, destination, n)
    where exists (select from fresh where fresh.chunk = c.id)
)
select given.id,
       coalesce(i.message_id, twin.id),
       coalesce(i.body_hash, twin.body_hash) = given.body_hash
from given
left join idempotency i on i.sender = given.sender and i.key_hash = given.key_hash and i.expires_at > $10
left join fresh twin on twin.sender = given.sender and twin.key_hash = given.key_hash
where given.key_hash is not null and given.id not in (select message_id from keyed)";

/// The columns of one accept, as arrays.
#[derive(Default)]
struct Rows {
    id: Vec<Uuid>,
    connection: Vec<Uuid>,
    sender: Vec<String>,
    from: Vec<String>,
    to: Vec<String>,
    lane: Vec<i16>,
    tag: Vec<Option<String>>,
    content: Vec<Vec<u8>>,
    expires_at: Vec<Timestamp>,
    key_hash: Vec<Option<Vec<u8>>>,
    body_hash: Vec<Option<Vec<u8>>>,
    chunk: Vec<Uuid>,
    seq: Vec<i16>,
    destination: Vec<String>,
    chunk_id: Vec<Uuid>,
    chunk_lane: Vec<i16>,
    chunk_destination: Vec<String>,
    chunk_n: Vec<i16>,
}

impl Rows {
    fn lay_out(app: &App, messages: &[NewMessage], now: Timestamp) -> Self {
        let mut rows = Self::default();
        let mut seats = Seats::new(messages, app.config.delivery.chunk);
        for message in messages {
            let id = app.new_id();
            let (chunk, seq) = seats.take(app, &mut rows, message);
            rows.content.push(app.keys.seal(Purpose::Message, id.as_bytes(), message.text.as_bytes()));
            rows.id.push(id);
            rows.connection.push(message.connection);
            rows.sender.push(message.sender.clone());
            rows.from.push(message.from.to_string());
            rows.to.push(message.to.to_string());
            rows.lane.push(message.lane.number());
            rows.tag.push(message.tag.clone());
            rows.expires_at.push(now + message.expires_in);
            rows.key_hash
                .push(message.key.as_ref().map(|key| app.keys.hash(Purpose::Idempotency, &[key.as_bytes()]).to_vec()));
            rows.body_hash.push(message.key.as_ref().map(|_| body_hash(app, message)));
            rows.chunk.push(chunk);
            rows.seq.push(seq);
            rows.destination.push(message.to.domain().to_string());
        }
        rows
    }

    fn chunks(self) -> Chunks {
        let columns = self.chunk_id.into_iter().zip(self.chunk_lane).zip(self.chunk_destination).zip(self.chunk_n);
        columns
            .map(|(((id, lane), destination), n)| (Lane::from_number(lane), ChunkRef { id, destination, n }))
            .collect()
    }
}

/// Everything that makes two messages the same message, length by length.
fn body_hash(app: &App, message: &NewMessage) -> Vec<u8> {
    let from = message.from.to_string();
    let to = message.to.to_string();
    let life = message.expires_in.as_secs().to_be_bytes();
    let tag = message.tag.as_deref().unwrap_or_default();
    let parts = [
        from.as_bytes(),
        to.as_bytes(),
        message.text.as_bytes(),
        tag.as_bytes(),
        message.lane.name().as_bytes(),
        &life,
    ];
    app.keys.hash(Purpose::Idempotency, &parts).to_vec()
}

/// Gives each delivery its place in a chunk.
struct Seats {
    most: usize,
    /// How many of this batch go to each lane and destination.
    crowd: HashMap<(Lane, String), usize>,
    /// The chunk being filled, by lane and destination (empty: mixed): its index among the rows.
    open: HashMap<(Lane, String), usize>,
}

impl Seats {
    fn new(messages: &[NewMessage], most: usize) -> Self {
        let mut crowd: HashMap<(Lane, String), usize> = HashMap::new();
        for message in messages {
            *crowd.entry((message.lane, message.to.domain().to_string())).or_default() += 1;
        }
        Self { most, crowd, open: HashMap::new() }
    }

    fn take(&mut self, app: &App, rows: &mut Rows, message: &NewMessage) -> (Uuid, i16) {
        let own = (message.lane, message.to.domain().to_string());
        // All of one destination: its own chunk, however few they are.
        let worth = self.crowd.len() == 1 || self.crowd.get(&own).copied().unwrap_or(0) >= WORTH_A_CHUNK;
        let place = if worth { own } else { (message.lane, String::new()) };
        let full = |index: &usize| rows.chunk_n[*index] as usize >= self.most;
        let index = match self.open.get(&place).copied().filter(|index| !full(index)) {
            Some(index) => index,
            None => {
                rows.chunk_id.push(chunk_id(app));
                rows.chunk_lane.push(place.0.number());
                rows.chunk_destination.push(place.1.clone());
                rows.chunk_n.push(0);
                self.open.insert(place, rows.chunk_id.len() - 1);
                rows.chunk_id.len() - 1
            }
        };
        let seq = rows.chunk_n[index];
        rows.chunk_n[index] += 1;
        (rows.chunk_id[index], seq)
    }
}

/// A chunk's id ends in two zero bytes, where its deliveries have their number.
fn chunk_id(app: &App) -> Uuid {
    let mut bytes = *app.new_id().as_bytes();
    bytes[14..].fill(0);
    Uuid::from_bytes(bytes)
}

/// Publishes what was committed, and writes down what the broker confirmed.
#[derive(Clone)]
struct Publishing {
    publisher: Publisher,
    ahead: super::due::Ahead,
    confirmed: Batcher<(Vec<Uuid>, i32), ()>,
}

impl Publishing {
    fn start(app: &App, publisher: &Publisher) -> Self {
        let for_marks = app.clone();
        let confirmed = Batcher::spawn(64, Duration::from_millis(5), move |marks: Vec<(Vec<Uuid>, i32)>| {
            let app = for_marks.clone();
            async move {
                let n = marks.len();
                // Where this fails the scheduler publishes once more, and the claim finds nothing to do.
                if let Err(error) = mark_published(&app, marks).await {
                    tracing::debug!(%error, "published chunks could not be marked");
                }
                vec![(); n]
            }
        });
        Self { publisher: publisher.clone(), ahead: super::due::Ahead::watch(app), confirmed }
    }

    /// In the background: the caller's 202 does not wait for the broker.
    fn publish(&self, chunks: Chunks) {
        for lane in Lane::ALL {
            let mine = chunks.iter().filter(|(l, _)| *l == lane).map(|(_, chunk)| chunk.clone());
            for job in into_jobs(mine) {
                let n: i64 = job.iter().map(|c| i64::from(c.n)).sum();
                if !self.ahead.has_room(lane, n) {
                    // The scheduler publishes it when the workers have caught up.
                    continue;
                }
                let this = self.clone();
                tokio::spawn(async move {
                    let ids = job.iter().map(|c| c.id).collect();
                    if let Ok(epoch) = this.publisher.publish(lane, &Job::Deliver(job)).await {
                        let _ = this.confirmed.call((ids, epoch)).await;
                    }
                });
            }
        }
    }
}

fn into_jobs(chunks: impl Iterator<Item = ChunkRef>) -> Vec<Vec<ChunkRef>> {
    let mut jobs: Vec<Vec<ChunkRef>> = Vec::new();
    let mut room = 0;
    for chunk in chunks {
        if chunk.n as usize > room {
            jobs.push(Vec::new());
            room = PER_JOB;
        }
        room = room.saturating_sub(chunk.n as usize);
        if let Some(job) = jobs.last_mut() {
            job.push(chunk);
        }
    }
    jobs
}

async fn mark_published(app: &App, marks: Vec<(Vec<Uuid>, i32)>) -> Result<(), DbError> {
    let (mut ids, mut epochs) = (Vec::new(), Vec::new());
    for (chunks, epoch) in marks {
        epochs.extend(std::iter::repeat_n(epoch, chunks.len()));
        ids.extend(chunks);
    }
    let client = app.db.client().await?;
    let statement = client.prepare_cached(MARK).await?;
    client.execute(&statement, &[&ids, &epochs, &app.clock.now()]).await?;
    Ok(())
}

const MARK: &str = "/* books::open mark_published */
update chunks set published_at = $3, published_to = x.epoch
from unnest($1::uuid[], $2::integer[]) as x(id, epoch)
where chunks.id = x.id and chunks.state = 0";

/// Deletes idempotency keys past their life, some at a time; answers how many.
pub async fn purge_keys(app: &App) -> Result<u64, BooksError> {
    let sql = "/* books::open purge_keys */ delete from idempotency where (sender, key_hash) in (
        select sender, key_hash from idempotency where expires_at < $1 order by expires_at limit 5000)";
    let client = app.db.client().await?;
    Ok(client.execute(&client.prepare_cached(sql).await?, &[&app.clock.now()]).await?)
}
