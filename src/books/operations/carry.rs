//! Carrying an operation on, a part at a time.
//!
//! The operation's row is locked while a part is done, and must still name the worker, who must still be alive: so two never do
//! the same part, and a pause holds from its commit on. What is done and how far it got are one commit: after a crash the next
//! worker begins exactly behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Operation, OperationKind, operation_of};
use crate::App;
use crate::books::cancel::cancel_in;
use crate::books::find::{Filter, look};
use crate::books::inspect::read;
use crate::books::replay::{IN_HANDS, Replayed, replay_in};
use crate::books::{BooksError, Cancelled, DeliveryId, Lane, State};
use crate::db::Transaction;

/// Deliveries treated in one transaction.
const PART: usize = 500;

/// What a worker found when it carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// There is more; not before this long, to keep the rate.
    More(Duration),
    /// Everything was done.
    Finished,
    /// It is paused, given up, or another worker's.
    NotOurs,
}

/// Takes an operation that nobody alive carries; a replay only if that is wanted.
pub async fn take_operation(app: &App, worker: Uuid, replays: bool) -> Result<Option<Uuid>, BooksError> {
    let sql = "/* books::operations take */
        update operations set worker = $1 where id = (
            select id from operations o
            where state = 0 and (kind = 2 or $2) and (worker is null or not exists (select from workers w where w.id = o.worker))
            order by kind desc, id limit 1 for update skip locked)
          and exists (select from workers where id = $1)
        returning id";
    Ok(app.db.row(sql, &[&worker, &replays]).await?.map(|row| row.get(0)))
}

/// Does the next part.
pub async fn carry(app: &App, worker: Uuid, id: Uuid) -> Result<Carried, BooksError> {
    let now = app.clock.now();
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let sql = format!(
        "/* books::operations carry */ select {}, cursor_at from operations
         where id = $1 and worker = $2 and state = 0 and exists (select from workers where id = $2) for update",
        super::COLUMNS
    );
    let Some(row) = tx.query_opt(&tx.prepare_cached(&sql).await?, &[&id, &worker]).await? else {
        return Ok(Carried::NotOurs);
    };
    let (operation, cursor) = (operation_of(&row)?, row.get::<_, Option<Uuid>>(14));
    let carried = match cursor {
        Some(cursor) if cursor.is_nil() => end(&tx, &operation, now).await?,
        // What was accepted after it was asked for is none of its business.
        cursor => part(&tx, &operation, cursor.unwrap_or(id), now).await?,
    };
    tx.commit().await?;
    Ok(carried)
}

/// How many at once: a quarter of a second's worth, where there is a rate.
fn at_once(rate: Option<f32>) -> usize {
    rate.map_or(PART, |rate| ((rate / 4.0) as usize).clamp(1, PART))
}

async fn part(tx: &Transaction<'_>, operation: &Operation, from: Uuid, now: Timestamp) -> Result<Carried, BooksError> {
    let found = look(tx, &operation.filter, Some(from), at_once(operation.rate), now).await?;
    let seen = found.items.len();
    let ids: Vec<DeliveryId> = found
        .items
        .iter()
        .filter(|delivery| operation.kind == OperationKind::Replay || is_to_cancel(delivery, operation.created_at))
        .filter_map(|delivery| DeliveryId::from_uuid(delivery.id))
        .collect();
    let results = match operation.kind {
        OperationKind::Replay => replayed(tx, &ids, now).await?,
        OperationKind::Cancel => cancelled(tx, &ids, now).await?,
    };
    note(tx, operation.id, &results).await?;
    let n = |wanted: &[i16]| results.iter().filter(|(_, result)| wanted.contains(result)).count() as i64;
    let sql = "/* books::operations part */
        update operations set cursor_at = $2, seen = seen + $3, done = done + $4, stopping = stopping + $5, skipped = skipped + $6, updated_at = $7
        where id = $1";
    let cursor = found.next.unwrap_or(Uuid::nil());
    let (done, stopping, skipped) = (n(&[1, 4]), n(&[2]), n(&[3, 5]));
    tx.execute(sql, &[&operation.id, &cursor, &(seen as i64), &done, &stopping, &skipped, &now]).await?;
    let wait = operation.rate.map_or(0.0, |rate| done as f64 / f64::from(rate));
    Ok(Carried::More(Duration::from_secs_f64(wait)))
}

/// What goes over the status lane is not the sender's. What was cancelled before this operation is not told as its work.
fn is_to_cancel(delivery: &crate::books::Delivery, since: Timestamp) -> bool {
    let before = delivery.state == State::Cancelled && delivery.left_at.is_none_or(|at| at < since);
    delivery.lane != Lane::Status && !before
}

type Results = Vec<(DeliveryId, i16)>;

async fn replayed(tx: &Transaction<'_>, ids: &[DeliveryId], now: Timestamp) -> Result<Results, BooksError> {
    let number = |word| if word == Replayed::Replayed { 4 } else { 5 };
    Ok(replay_in(tx, ids, now).await?.into_iter().map(|(id, word)| (id, number(word))).collect())
}

async fn cancelled(tx: &Transaction<'_>, ids: &[DeliveryId], now: Timestamp) -> Result<Results, BooksError> {
    let number = |word| match word {
        Cancelled::Stopped => 1,
        Cancelled::Stopping => 2,
        Cancelled::Gone => 3,
    };
    Ok(cancel_in(tx, ids, now).await?.into_iter().map(|(id, word)| (id, number(word))).collect())
}

/// Writes down what became of each: a row for those of a chunk that were treated alike.
async fn note(tx: &Transaction<'_>, operation: Uuid, results: &[(DeliveryId, i16)]) -> Result<(), BooksError> {
    let mut groups: BTreeMap<(Uuid, i16), Vec<i16>> = BTreeMap::new();
    for (id, result) in results {
        groups.entry((id.chunk, *result)).or_default().push(id.seq);
    }
    let sql = "/* books::operations note */
        insert into operation_results (operation, chunk, seq, seqs, result) values ($1, $2, $3, $4, $5)
        on conflict (operation, chunk, seq) do nothing";
    let statement = tx.prepare_cached(sql).await?;
    for ((chunk, result), mut seqs) in groups {
        seqs.sort_unstable();
        let least = seqs.first().copied().unwrap_or_default();
        tx.execute(&statement, &[&operation, &chunk, &least, &seqs, &result]).await?;
    }
    Ok(())
}

/// All was looked at: what workers had in their hands turns out stopped or gone, and then it is finished.
async fn end(tx: &Transaction<'_>, operation: &Operation, now: Timestamp) -> Result<Carried, BooksError> {
    let sql = "/* books::operations end held */
        select chunk, seq, seqs from operation_results where operation = $1 and result = 2 order by chunk, seq limit 200";
    let rows = tx.query(&tx.prepare_cached(sql).await?, &[&operation.id]).await?;
    let mut turned = Results::new();
    for row in &rows {
        let seqs: Vec<i16> = row.get(2);
        let ids: Vec<DeliveryId> = seqs.into_iter().map(|seq| DeliveryId { chunk: row.get(0), seq }).collect();
        turned.extend(turn_out(tx, &ids, now).await?);
        let sql = "/* books::operations end again */ delete from operation_results where operation = $1 and chunk = $2 and seq = $3";
        let (chunk, seq): (Uuid, i16) = (row.get(0), row.get(1));
        tx.execute(&tx.prepare_cached(sql).await?, &[&operation.id, &chunk, &seq]).await?;
    }
    note(tx, operation.id, &turned).await?;
    let n = |wanted: i16| turned.iter().filter(|(_, result)| *result == wanted).count() as i64;
    let (stopped, gone) = (n(1), n(3));
    let finished = (n(2) == 0 && rows.len() < 200).then_some(now);
    let sql = "/* books::operations end */
        update operations set done = done + $2, skipped = skipped + $3, stopping = stopping - $2 - $3, updated_at = $4,
            finished_at = $5, state = case when $5::timestamptz is null then 0 else 3 end, worker = case when $5::timestamptz is null then worker end
        where id = $1";
    tx.execute(sql, &[&operation.id, &stopped, &gone, &now, &finished]).await?;
    Ok(if finished.is_some() { Carried::Finished } else { Carried::More(Duration::from_millis(250)) })
}

/// 1 where it was dropped, 3 where it had gone, 2 where that is not known yet.
async fn turn_out(tx: &Transaction<'_>, ids: &[DeliveryId], now: Timestamp) -> Result<Results, BooksError> {
    let sql = "/* books::operations turn out */
        select x.chunk, x.seq from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        left join lateral (select * from exceptions where chunk = x.chunk and seq = x.seq offset 0) e on true
        left join lateral (select * from chunks where id = x.chunk offset 0) c on true
        where e.state = 3 and e.updated_at > $3 and (c.state = 1 or e.worker is not null)";
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
    let rows = tx.query(&tx.prepare_cached(sql).await?, &[&chunk, &seq, &(now - IN_HANDS)]).await?;
    let held: Vec<Uuid> = rows.iter().map(|row| DeliveryId { chunk: row.get(0), seq: row.get(1) }.uuid()).collect();
    let found = read(tx, ids, &Filter::default(), now).await?;
    let result = |delivery: &crate::books::Delivery| match (held.contains(&delivery.id), delivery.state) {
        (true, _) => 2,
        (false, State::Cancelled) => 1,
        (false, _) => 3,
    };
    let id = |delivery: &crate::books::Delivery| DeliveryId::from_uuid(delivery.id);
    Ok(found.iter().filter_map(|delivery| Some((id(delivery)?, result(delivery)))).collect())
}
