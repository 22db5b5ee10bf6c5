//! Settling: what became of deliveries, many chunks in one statement.
//!
//! Guarded by the claim: where the row is held under another claim by now, the state stays as it is, and the attempt is appended
//! all the same, marked late, so that doubles can be seen. That holds inside one statement too: a worker that was declared dead and
//! has claimed a chunk anew may settle both of its claims in the same batch.

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{BooksError, DeliveryId, Lane, Outcome, turns};
use crate::App;
use crate::retry::Next;

/// What became of one delivery.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which.
    pub id: DeliveryId,
    /// Its lane, for when it must wait.
    pub lane: Lane,
    /// Its domain, likewise.
    pub destination: String,
    /// Attempts made, this one included.
    pub tries: u16,
    /// The try, if one was made.
    pub attempt: Option<Attempt>,
    /// What follows.
    pub next: Next,
    /// Why, in a word or code.
    pub reason: Option<String>,
    /// The outbox row that goes with it.
    pub hash: Option<[u8; 32]>,
    /// Whether it stands in a line, which moves on when it ends.
    pub ordered: bool,
}

/// One try.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub ms: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status.
    pub status: Option<u16>,
    /// Response code or error class.
    pub code: Option<String>,
    /// First bytes of the answer.
    pub answer: Option<Vec<u8>>,
}

/// Under what a worker holds what it settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A chunk.
    Chunk {
        /// The chunk.
        id: Uuid,
        /// What becomes of it.
        then: Then,
    },
    /// Exceptions, each by its own row.
    Again,
}

/// What becomes of a chunk with a settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It stays with its worker.
    Stay,
    /// Nothing of it is left to do.
    Done,
    /// What is left of it waits for its destination.
    Wait,
}

/// Results of one claim.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The claim.
    pub claim: Uuid,
    /// Of what.
    pub held: Held,
    /// What became of its deliveries.
    pub results: Vec<Settled>,
    /// Which worker.
    pub worker: Uuid,
}

/// What a settle found.
#[derive(Debug, Default)]
pub struct Written {
    /// For each settle whether its claim still held (always true for exceptions, which are judged row by row).
    pub held: Vec<bool>,
    /// Deliveries that are first in their lines now, and due.
    pub next: Vec<(Lane, DeliveryId)>,
}

/// Writes all of `settles` down.
pub async fn settle_many(app: &App, settles: &[Settle]) -> Result<Written, BooksError> {
    let now = app.clock.now();
    let mut rows = Rows::lay_out(settles, now);
    let mut client = app.db.client().await?;
    let (row, next) = if rows.ordered.is_empty() {
        let statement = client.prepare_cached(rows.statement()).await?;
        (client.query_one(&statement, &rows.parameters(app, &now)).await?, Vec::new())
    } else {
        let transaction = client.transaction().await?;
        turns::lock(&transaction, &rows.ordered).await?;
        let statement = transaction.prepare_cached(rows.statement()).await?;
        let row = transaction.query_one(&statement, &rows.parameters(app, &now)).await?;
        let next = turns::pass(&transaction, &rows.ordered, now).await?;
        transaction.commit().await?;
        (row, next)
    };
    let held: HashSet<(Uuid, Uuid)> = row.get::<_, Vec<Uuid>>(0).into_iter().zip(row.get::<_, Vec<Uuid>>(1)).collect();
    let still = |settle: &Settle| match settle.held {
        Held::Chunk { id, .. } => held.contains(&(id, settle.claim)),
        Held::Again => true,
    };
    Ok(Written { held: settles.iter().map(still).collect(), next })
}

/// `is true`: what is looked for by its id must not be found by a partial index of its state, which a plan made while the tables were
/// small takes: every settle would read all dead letters, and all that is claimed.
///
/// What waits goes to its campaign's rest where that was paused meanwhile (state 4), or it would be released again before the campaign's
/// keeper has looked.
///
/// The ordinary case: chunks of which everything in this settle was delivered. A delivery that was cancelled while it was on its
/// way is what it turned out to be.
const DELIVERED: &str = "/* books::settle delivered */
with held_chunks as (
    select c.id, c.claim, c.lane, x.next from unnest($1::uuid[], $2::uuid[], $3::smallint[]) as x(id, claim, next)
    join chunks c on c.id = x.id where c.claim = x.claim and (c.state = 1) is true
    order by c.id for update of c
), results as (
    select r.*, h.id is not null as held, h.lane
    from unnest($4::uuid[], $5::smallint[], $6::uuid[], $7::smallint[], $8::timestamptz[], $9::integer[], $10::smallint[],
                $11::text[], $12::uuid[]) as r(chunk, seq, claim, tries, at, ms, status, code, worker)
    left join held_chunks h on h.id = r.chunk and h.claim = r.claim
), tried as (
    insert into attempts (chunk, seq, at, no, ms, outcome, status, code, late, worker)
    select chunk, seq, at, tries, ms, 0, status, code, not held, worker from results
    on conflict do nothing
), by_chunk as (
    select chunk, array_agg(seq) as seqs from results where held and lane <> 2 group by chunk
), told as (
    insert into events (at, kind, chunk, seqs) select $13, 1, chunk, seqs from by_chunk
), had_gone as (
    update exceptions e set state = 7, reason = null, updated_at = $13
    from by_chunk b where e.chunk = b.chunk and e.seq = any(b.seqs) and (e.state = 3) is true
), moved as (
    update chunks c set state = case when h.next = 3 and exists (select from campaigns k where k.id = c.campaign and k.state = 1)
                                     then 4 else h.next end,
                        claim = null, worker = null, published_at = null,
                        due_at = case when h.next = 3 then $13 + interval '1 second' else c.due_at end,
                        settled_at = case when h.next = 2 then $13::timestamptz end
    from held_chunks h where h.next <> 1 and c.id = h.id
), gone as (
    delete from outbox o using unnest($14::bytea[], $4::uuid[]) as x(hash, chunk)
    where o.hash = x.hash and x.chunk in (select id from held_chunks)
)
select array(select id from held_chunks order by id, claim), array(select claim from held_chunks order by id, claim),
       set_config('synchronous_commit', $15, true)";

/// States: 1 due again, 3 cancelled, 4 expired, 5 failed, 6 unconfirmed, 7 delivered, 8 waits for its destination.
const SETTLE: &str = "/* books::settle_many */
with held_chunks as (
    select c.id, c.claim, x.next from unnest($1::uuid[], $2::uuid[], $3::smallint[]) as x(id, claim, next)
    join chunks c on c.id = x.id where c.claim = x.claim and (c.state = 1) is true
    order by c.id for update of c
), results as (
    select * from unnest($4::uuid[], $5::smallint[], $6::boolean[], $7::uuid[], $8::smallint[], $9::timestamptz[], $10::smallint[],
                         $11::smallint[], $12::text[], $13::text[], $14::timestamptz[], $15::integer[], $16::smallint[],
                         $17::smallint[], $18::text[], $19::bytea[], $20::uuid[], $21::bytea[])
        as r(chunk, seq, again, claim, state, due_at, tries, lane, destination, reason, at, ms, outcome, status, code, answer, worker, hash)
), held_again as (
    select e.chunk, e.seq from results r
    join exceptions e on e.chunk = r.chunk and e.seq = r.seq
    where r.again and (e.state = 2) is true and e.claim = r.claim
    order by e.chunk, e.seq for update of e
), judged as (
    select r.*, case when r.again then exists (select from held_again h where h.chunk = r.chunk and h.seq = r.seq)
                     else exists (select from held_chunks h where h.id = r.chunk and h.claim = r.claim) end as held
    from results r
), tried as (
    insert into attempts (chunk, seq, at, no, ms, outcome, status, code, answer, late, worker)
    select chunk, seq, at, tries, ms, outcome, status, code, answer, not held, worker from judged where at is not null
    on conflict do nothing
), left_chunk as (
    insert into exceptions as e (chunk, seq, lane, destination, state, tries, due_at, reason, updated_at)
    select chunk, seq, lane, destination, state, tries, due_at, reason, $22 from judged where held and not again and state <> 7
    on conflict (chunk, seq) do update set state = 6, reason = excluded.reason, tries = excluded.tries, updated_at = $22
        where e.state = 3 and excluded.state = 6
    returning chunk, seq
), had_gone as (
    update exceptions e set state = 7, tries = j.tries, reason = null, updated_at = $22
    from judged j where j.state = 7 and e.chunk = j.chunk and e.seq = j.seq and (e.state = 3) is true
    returning e.chunk, e.seq
), tried_again as (
    update exceptions e set state = j.state, due_at = j.due_at, tries = j.tries, reason = j.reason, claim = null, worker = null,
                            published_at = null, updated_at = $22
    from judged j where j.held and j.again and e.chunk = j.chunk and e.seq = j.seq and (e.state = 2) is true
), told as (
    insert into events (at, kind, chunk, seqs)
    select $22, case j.state when 7 then 1 when 5 then 2 when 4 then 3 when 3 then 5 else 4 end, j.chunk, array_agg(j.seq)
    from judged j
    where j.lane <> 2 and ((j.held and (j.state = 7 or (j.state in (3, 4, 5, 6)
            and (j.again or (j.chunk, j.seq) in (select l.chunk, l.seq from left_chunk l)))))
        or (j.state = 7 and (j.chunk, j.seq) in (select g.chunk, g.seq from had_gone g)))
    group by j.chunk, j.state
), moved as (
    update chunks c set state = case when h.next = 3 and exists (select from campaigns k where k.id = c.campaign and k.state = 1)
                                     then 4 else h.next end,
                        claim = null, worker = null, published_at = null,
                        due_at = case when h.next = 3 then $22 + interval '1 second' else c.due_at end,
                        settled_at = case when h.next = 2 then $22::timestamptz end
    from held_chunks h where h.next <> 1 and c.id = h.id
), gone as (
    delete from outbox o using judged j where o.hash = j.hash and j.held
)
select array(select id from held_chunks order by id, claim), array(select claim from held_chunks order by id, claim),
       set_config('synchronous_commit', $23, true)";

/// The columns of one settle, as arrays.
#[derive(Default)]
struct Rows {
    held_id: Vec<Uuid>,
    held_claim: Vec<Uuid>,
    held_next: Vec<i16>,
    chunk: Vec<Uuid>,
    seq: Vec<i16>,
    again: Vec<bool>,
    claim: Vec<Uuid>,
    state: Vec<i16>,
    due_at: Vec<Option<Timestamp>>,
    tries: Vec<i16>,
    lane: Vec<i16>,
    destination: Vec<String>,
    reason: Vec<Option<String>>,
    at: Vec<Option<Timestamp>>,
    ms: Vec<Option<i32>>,
    outcome: Vec<Option<i16>>,
    status: Vec<Option<i16>>,
    code: Vec<Option<String>>,
    answer: Vec<Option<Vec<u8>>>,
    worker: Vec<Uuid>,
    hash: Vec<Option<Vec<u8>>>,
    /// Those that stand in a line, which moves on where they have ended.
    ordered: Vec<DeliveryId>,
    /// Whether everything was delivered from its chunk.
    plain: bool,
    commit: &'static str,
}

impl Rows {
    fn lay_out(settles: &[Settle], now: Timestamp) -> Self {
        let mut rows = Self { plain: true, ..Self::default() };
        for settle in settles {
            if let Held::Chunk { id, then } = settle.held {
                rows.held_id.push(id);
                rows.held_claim.push(settle.claim);
                rows.held_next.push(match then {
                    Then::Stay => 1,
                    Then::Done => 2,
                    Then::Wait => 3,
                });
            }
            for result in &settle.results {
                rows.push(settle, result, now);
            }
        }
        rows
    }

    fn statement(&self) -> &'static str {
        if self.plain { DELIVERED } else { SETTLE }
    }

    fn parameters<'a>(&'a mut self, app: &App, now: &'a Timestamp) -> Vec<&'a (dyn ToSql + Sync)> {
        self.commit = if app.config.delivery.asynchronous_settle { "off" } else { "on" };
        let this: &'a Self = self;
        if this.plain {
            return vec![
                &this.held_id,
                &this.held_claim,
                &this.held_next,
                &this.chunk,
                &this.seq,
                &this.claim,
                &this.tries,
                &this.at,
                &this.ms,
                &this.status,
                &this.code,
                &this.worker,
                now,
                &this.hash,
                &this.commit,
            ];
        }
        vec![
            &this.held_id,
            &this.held_claim,
            &this.held_next,
            &this.chunk,
            &this.seq,
            &this.again,
            &this.claim,
            &this.state,
            &this.due_at,
            &this.tries,
            &this.lane,
            &this.destination,
            &this.reason,
            &this.at,
            &this.ms,
            &this.outcome,
            &this.status,
            &this.code,
            &this.answer,
            &this.worker,
            &this.hash,
            now,
            &this.commit,
        ]
    }

    fn push(&mut self, settle: &Settle, result: &Settled, now: Timestamp) {
        let (state, due_at) = match result.next {
            Next::Again(wait) => (1, Some(now + wait)),
            Next::Expire => (4, None),
            Next::Fail(_) => (5, None),
            Next::Unconfirmed => (6, None),
            Next::Delivered => (7, None),
            Next::Held => (8, None),
            Next::Withdrawn => (3, None),
        };
        // Whatever came of it here: its row may say by now that it was cancelled, and then its line waits for this.
        if result.ordered {
            self.ordered.push(result.id);
        }
        self.plain &= state == 7 && settle.held != Held::Again && result.attempt.is_some();
        let attempt = result.attempt.as_ref();
        self.chunk.push(result.id.chunk);
        self.seq.push(result.id.seq);
        self.again.push(settle.held == Held::Again);
        self.claim.push(settle.claim);
        self.state.push(state);
        self.due_at.push(due_at);
        self.tries.push(result.tries as i16);
        self.lane.push(result.lane.number());
        self.destination.push(result.destination.clone());
        self.reason.push(result.reason.clone());
        self.at.push(attempt.map(|a| a.at));
        self.ms.push(attempt.map(|a| a.ms));
        self.outcome.push(attempt.map(|a| a.outcome.number()));
        self.status.push(attempt.and_then(|a| a.status).map(|s| s as i16));
        self.code.push(attempt.and_then(|a| a.code.clone()));
        self.answer.push(attempt.and_then(|a| a.answer.clone()));
        self.worker.push(settle.worker);
        self.hash.push(result.hash.map(|h| h.to_vec()));
    }
}
