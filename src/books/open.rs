//! Opening: what was handed over is committed, then published.
//!
//! Concurrent accepts share one statement, which is one commit. Deliveries of one lane and destination that are accepted
//! together share a chunk; single ones to many destinations share mixed chunks, because a chunk a message costs more than
//! anything else here.

mod publishing;
mod rows;

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use self::publishing::Publishing;
use self::rows::Rows;
use super::{Accepted, BooksError, ChannelName, Lane, NewMessage};
use crate::App;
use crate::batch::Batcher;
use crate::jobs::ChunkRef;
use crate::queue::Publisher;

/// Messages in one statement at the most; one caller's batch may be as large.
const TOGETHER: usize = 64;

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
                &ChannelName::Openmsg.number(),
            ],
        )
        .await?;
    // What came back is not new: its key was taken, by an earlier request or by an earlier row of this one.
    let mut taken: HashMap<Uuid, Accepted> = HashMap::new();
    for row in held {
        let before = match (row.get::<_, Option<Uuid>>(1), row.get::<_, Option<bool>>(2)) {
            (Some(first), Some(same)) => (first, same),
            _ => taken_meanwhile(&client, &rows, row.get(0)).await?,
        };
        taken.insert(row.get(0), if before.1 { Accepted::Replayed(before.0) } else { Accepted::Mismatch });
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
    select chunk, seq, id, $21, destination from fresh
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

/// A key that another process committed while our statement waited for it: our statement could not see its row, this one can.
async fn taken_meanwhile(client: &crate::db::Client, rows: &Rows, id: Uuid) -> Result<(Uuid, bool), BooksError> {
    let sql = "/* books::open taken_meanwhile */
        select message_id, body_hash = $3 from idempotency where sender = $1 and key_hash = $2";
    let place = rows.id.iter().position(|row| *row == id).unwrap_or_default();
    let found = client
        .query_opt(
            &client.prepare_cached(sql).await?,
            &[&rows.sender[place], &rows.key_hash[place], &rows.body_hash[place]],
        )
        .await?;
    // Purged in between: asking again accepts it.
    let found = found.ok_or(BooksError::Shared { passing: true })?;
    Ok((found.get(0), found.get(1)))
}

/// Deletes idempotency keys past their life, some at a time; answers how many.
pub async fn purge_keys(app: &App) -> Result<u64, BooksError> {
    let sql = "/* books::open purge_keys */ delete from idempotency where (sender, key_hash) in (
        select sender, key_hash from idempotency where expires_at < $1 order by expires_at limit 5000)";
    let client = app.db.client().await?;
    Ok(client.execute(&client.prepare_cached(sql).await?, &[&app.clock.now()]).await?)
}
