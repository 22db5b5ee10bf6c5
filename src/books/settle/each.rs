//! Settles in which not all is well, or which are of exceptions: judged and written delivery by delivery.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{BooksError, Held, Settle, Settled, StillHeld, number, still_held};
use crate::books::DeliveryId;
use crate::db::GenericClient;
use crate::retry::Next;

/// `is true`: what is looked for by its id must not be found by a partial index of its state, which a plan made while the tables were
/// small takes: every settle would read all dead letters, and all that is claimed.
///
/// What waits goes to its campaign's rest where that was paused meanwhile (state 4), or it would be released again before the campaign's
/// keeper has looked.
///
/// What is repeated, because its answer was lost, is there already and is not told again.
///
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
    returning chunk, seq
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
    where j.lane <> 2 and ((j.held and ((j.state = 7 and (j.again or j.at is null or (j.chunk, j.seq) in (select t.chunk, t.seq from tried t)))
            or (j.state in (3, 4, 5, 6)
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
pub(super) struct Each {
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
    pub(super) ordered: Vec<DeliveryId>,
}

impl Each {
    /// Those of `settles` that are not plain; none: there are no such.
    pub(super) fn lay_out(settles: &[Settle], now: Timestamp) -> Option<Self> {
        let mut rows = Self::default();
        let mut any = false;
        for settle in settles.iter().filter(|settle| !settle.is_plain()) {
            any = true;
            if let Held::Chunk { id, then } = settle.held {
                rows.held_id.push(id);
                rows.held_claim.push(settle.claim);
                rows.held_next.push(number(then));
            }
            for result in &settle.results {
                rows.push(settle, result, now);
            }
        }
        any.then_some(rows)
    }

    /// Writes them; says which claims of chunks still held.
    pub(super) async fn write(
        &self,
        client: &impl GenericClient,
        now: Timestamp,
        commit: &str,
    ) -> Result<StillHeld, BooksError> {
        let statement = client.prepare_cached(SETTLE).await?;
        let parameters: [&(dyn ToSql + Sync); 23] = [
            &self.held_id,
            &self.held_claim,
            &self.held_next,
            &self.chunk,
            &self.seq,
            &self.again,
            &self.claim,
            &self.state,
            &self.due_at,
            &self.tries,
            &self.lane,
            &self.destination,
            &self.reason,
            &self.at,
            &self.ms,
            &self.outcome,
            &self.status,
            &self.code,
            &self.answer,
            &self.worker,
            &self.hash,
            &now,
            &commit,
        ];
        Ok(still_held(&client.query_one(&statement, &parameters).await?))
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
