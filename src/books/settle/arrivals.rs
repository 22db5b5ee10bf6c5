//! Chunks of which everything in a settle was delivered: one row for all of them.
//!
//! Nearly every delivery is settled so, and what is written a delivery costs more than everything else that is done for it in
//! Postgres. A delivery that was cancelled while it was on its way is what it turned out to be.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{BooksError, Held, Settle, StillHeld, number, still_held};
use crate::db::GenericClient;

/// The columns of settles, and those of their deliveries one settle after the other.
#[derive(Default)]
pub(super) struct Arrivals {
    chunk: Vec<Uuid>,
    claim: Vec<Uuid>,
    next: Vec<i16>,
    worker: Vec<Uuid>,
    /// Where a settle's deliveries are, counted from 1; none where the last is before the first.
    first: Vec<i32>,
    last: Vec<i32>,
    seq: Vec<i16>,
    at: Vec<Timestamp>,
    /// None while all are 1.
    no: Option<Vec<i16>>,
    ms: Vec<i32>,
    /// None while none has one.
    status: Option<Vec<Option<i16>>>,
    code: Option<Vec<Option<String>>>,
    /// Outbox rows that go, each with its chunk.
    hash: Vec<Vec<u8>>,
    hash_chunk: Vec<Uuid>,
}

impl Arrivals {
    /// Those of `settles` that are plain; none: there are no such.
    pub(super) fn lay_out(settles: &[Settle]) -> Option<Self> {
        let mut all = Self::default();
        for settle in settles.iter().filter(|settle| settle.is_plain()) {
            all.push(settle);
        }
        (!all.chunk.is_empty()).then_some(all)
    }

    fn push(&mut self, settle: &Settle) {
        let Held::Chunk { id, then } = settle.held else { return };
        self.chunk.push(id);
        self.claim.push(settle.claim);
        self.next.push(number(then));
        self.worker.push(settle.worker);
        self.first.push(self.seq.len() as i32 + 1);
        for result in &settle.results {
            let Some(attempt) = &result.attempt else { continue };
            let before = self.seq.len();
            push_unless(&mut self.no, before, result.tries as i16, &1);
            push_unless(&mut self.status, before, attempt.status.map(|status| status as i16), &None);
            push_unless(&mut self.code, before, attempt.code.clone(), &None);
            self.seq.push(result.id.seq);
            self.at.push(attempt.at);
            self.ms.push(attempt.ms);
            if let Some(hash) = &result.hash {
                self.hash.push(hash.to_vec());
                self.hash_chunk.push(id);
            }
        }
        self.last.push(self.seq.len() as i32);
    }

    /// Writes them; says which claims still held.
    pub(super) async fn write(
        &self,
        client: &impl GenericClient,
        now: Timestamp,
        commit: &str,
    ) -> Result<StillHeld, BooksError> {
        let statement = client.prepare_cached(ARRIVED).await?;
        let parameters: [&(dyn ToSql + Sync); 16] = [
            &self.chunk,
            &self.claim,
            &self.next,
            &self.worker,
            &self.first,
            &self.last,
            &self.seq,
            &self.at,
            &self.no,
            &self.ms,
            &self.status,
            &self.code,
            &self.hash,
            &self.hash_chunk,
            &now,
            &commit,
        ];
        Ok(still_held(&client.query_one(&statement, &parameters).await?))
    }
}

/// Adds to a column that stays away as long as it holds nothing but `usual`; `before` entries are there.
fn push_unless<T: Clone + PartialEq>(column: &mut Option<Vec<T>>, before: usize, value: T, usual: &T) {
    if let Some(column) = column {
        column.push(value);
    } else if value != *usual {
        let mut all = vec![usual.clone(); before];
        all.push(value);
        *column = Some(all);
    }
}

/// What is repeated is there already, and is not told again. `is true`: see [`super::each`].
const ARRIVED: &str = "/* books::settle arrivals */
with settles as (
    select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::integer[], $6::integer[]) with ordinality
        as s(chunk, claim, next, worker, first, last, no)
), held as (
    select s.no, c.id, c.claim, c.lane, s.next from settles s
    join chunks c on c.id = s.chunk where c.claim = s.claim and (c.state = 1) is true
    order by c.id for update of c
), arrived as (
    insert into arrivals (chunk, seq, at, late, worker, seqs, ats, nos, ms, statuses, codes)
    select s.chunk, ($7::smallint[])[s.first], ($8::timestamptz[])[s.first], h.no is null, s.worker, ($7::smallint[])[s.first:s.last],
           ($8::timestamptz[])[s.first:s.last], ($9::smallint[])[s.first:s.last], ($10::integer[])[s.first:s.last],
           ($11::smallint[])[s.first:s.last], ($12::text[])[s.first:s.last]
    from settles s left join held h on h.no = s.no where s.last >= s.first
    on conflict do nothing
    returning chunk, seqs, late
), told as (
    insert into events (at, kind, chunk, seqs)
    select $15, 1, a.chunk, a.seqs from arrived a join held h on h.id = a.chunk where not a.late and h.lane <> 2
), had_gone as (
    update exceptions e set state = 7, reason = null, updated_at = $15
    from arrived a where not a.late and e.chunk = a.chunk and e.seq = any(a.seqs) and (e.state = 3) is true
), moved as (
    update chunks c set state = case when h.next = 3 and exists (select from campaigns k where k.id = c.campaign and k.state = 1)
                                     then 4 else h.next end,
                        claim = null, worker = null, published_at = null,
                        due_at = case when h.next = 3 then $15 + interval '1 second' else c.due_at end,
                        settled_at = case when h.next = 2 then $15::timestamptz end
    from held h where h.next <> 1 and c.id = h.id
), gone as (
    delete from outbox o using unnest($13::bytea[], $14::uuid[]) as x(hash, chunk)
    where o.hash = x.hash and x.chunk in (select id from held)
)
select array(select id from held order by no), array(select claim from held order by no), set_config('synchronous_commit', $16, true)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_the_usual_only_stays_away() {
        let after = |values: &[i16]| {
            let mut column = None;
            for (before, value) in values.iter().enumerate() {
                push_unless(&mut column, before, *value, &1);
            }
            column
        };
        assert_eq!(after(&[1, 1]), None);
        assert_eq!(after(&[1, 1, 2, 1]), Some(vec![1, 1, 2, 1]));
    }
}
