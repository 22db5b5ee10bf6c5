//! The deliveries of a campaign as a whole: held, let go, spaced, stopped, counted, reported.
//!
//! Most of a campaign is in its chunks, and is changed a row a chunk. What has left its chunk is changed one by one: it is found by
//! `campaign_chunks`, which knows all of a campaign's deliveries. A delivery that is held stays due, but [`AWAY`] later: whoever
//! looks for what is due passes it by, and it comes back to its own time. Callers hold the campaign's row, so that nothing is added
//! meanwhile; workers are not kept out: what one hands back to a campaign that is held is found by whoever holds it again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::tell::{self, Kind};
use super::{BooksError, DeliveryId, Lane, State, Summary, turns};
use crate::App;
use crate::db::{GenericClient, Row, Transaction};

/// What is held is due so much later.
pub(super) const AWAY: &str = "interval '1000 years'";
/// What is due later than this from now is held: no schedule reaches so far.
pub(super) const FAR: &str = "interval '500 years'";

/// Notes which deliveries (all new, in chunks of their own) rows became: each with its number and key.
pub async fn note_rows(
    tx: &Transaction<'_>,
    campaign: Uuid,
    placed: impl Iterator<Item = (Uuid, i64, Option<String>)>,
) -> Result<(), BooksError> {
    let mut chunks: BTreeMap<Uuid, BTreeMap<i16, (i64, Option<String>)>> = BTreeMap::new();
    for (id, row, key) in placed {
        if let Some(DeliveryId { chunk, seq }) = DeliveryId::from_uuid(id) {
            chunks.entry(chunk).or_default().insert(seq, (row, key));
        }
    }
    let sql =
        "/* books::campaign note */ insert into campaign_chunks (campaign, chunk, rows, keys) values ($1, $2, $3, $4)";
    let statement = tx.prepare_cached(sql).await?;
    let insert = chunks.into_iter().map(|(chunk, rows)| {
        let (rows, keys): (Vec<i64>, Vec<Option<String>>) = rows.into_values().unzip();
        let statement = &statement;
        async move { tx.execute(statement, &[&campaign, &chunk, &rows, &keys]).await }
    });
    // Sent one behind the other without waiting in between.
    futures_util::future::try_join_all(insert).await?;
    Ok(())
}

/// Nothing of the campaign is handed out any more until it is let go.
pub async fn hold_campaign(client: &impl GenericClient, campaign: Uuid, now: Timestamp) -> Result<(), BooksError> {
    let sql = "/* books::campaign hold chunks */
        update chunks set state = 4, published_at = null where campaign = $1 and state in (0, 3)";
    client.execute(&client.prepare_cached(sql).await?, &[&campaign]).await?;
    let sql = format!(
        "/* books::campaign hold singles */
        update exceptions e set state = 1, due_at = coalesce(e.due_at, $2::timestamptz) + {AWAY}, published_at = null, updated_at = $2
        from campaign_chunks k
        where k.campaign = $1 and e.chunk = k.chunk and (e.state = 8 or (e.state = 1 and e.due_at < $2::timestamptz + {FAR}))"
    );
    client.execute(&client.prepare_cached(&sql).await?, &[&campaign, &now]).await?;
    Ok(())
}

/// What was held goes on: at its own time, or now where that has passed.
pub async fn let_go_campaign(tx: &Transaction<'_>, campaign: Uuid, now: Timestamp) -> Result<(), BooksError> {
    // As what waits for its destination: not all at once, and fair to others.
    let sql = "/* books::campaign let go chunks */
        update chunks set state = case when due_at > $2 then 0 else 3 end where campaign = $1 and state = 4";
    tx.execute(&tx.prepare_cached(sql).await?, &[&campaign, &now]).await?;
    let sql = format!(
        "/* books::campaign let go singles */
        update exceptions e set due_at = greatest(e.due_at - {AWAY}, $2), updated_at = $2
        from campaign_chunks k
        where k.campaign = $1 and e.chunk = k.chunk and e.state = 1 and e.due_at >= $2::timestamptz + {FAR}"
    );
    tx.execute(&tx.prepare_cached(&sql).await?, &[&campaign, &now]).await?;
    Ok(())
}

/// Spaces the chunks that no worker holds by `rate` (deliveries a second) from `start` on, in the order in which they were due;
/// without a rate all are due then. Answers how many deliveries there are in them.
pub async fn space_campaign(
    tx: &Transaction<'_>,
    campaign: Uuid,
    rate: Option<f64>,
    start: Timestamp,
) -> Result<u64, BooksError> {
    let sql = "/* books::campaign space */
        with waiting as (
            select id, n, sum(n) over (order by due_at, id) - n as before from chunks where campaign = $1 and state in (0, 3)
        ), spaced as (
            update chunks c set due_at = $2::timestamptz + make_interval(secs => coalesce(w.before / $3::double precision, 0)),
                                state = case when $3::double precision is null then 3 else 0 end, published_at = null
            from waiting w where c.id = w.id and c.state in (0, 3)
            returning c.n
        )
        select coalesce(sum(n), 0)::bigint from spaced";
    let row = tx.query_one(&tx.prepare_cached(sql).await?, &[&campaign, &start, &rate]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Cancels what has not ended. What a worker holds is dropped by it, unless it has just gone.
pub async fn stop_campaign(tx: &Transaction<'_>, campaign: Uuid, now: Timestamp) -> Result<(), BooksError> {
    // Locked first: none is handed out or back between the two statements that follow.
    let sql = "/* books::campaign stop lock */
        select from chunks where campaign = $1 and state in (0, 1, 3, 4) order by id for update";
    tx.query(&tx.prepare_cached(sql).await?, &[&campaign]).await?;
    tx.execute(&tx.prepare_cached(STOP_CHUNKS).await?, &[&campaign, &now, &(Kind::Cancelled as i16)]).await?;
    let mut ended: Vec<(DeliveryId, Lane)> = Vec::new();
    let mut ids: Vec<DeliveryId> = Vec::new();
    for sql in [STOP_HELD, STOP_SINGLES] {
        let rows = tx.query(&tx.prepare_cached(sql).await?, &[&campaign, &now]).await?;
        for row in &rows {
            let id = DeliveryId { chunk: row.get(0), seq: row.get(1) };
            ended.push((id, Lane::from_number(row.get(2))));
            // The line of one that may still be on its way is moved on by the worker that has it, or by the repair of lines.
            if row.get(3) {
                ids.push(id);
            }
        }
    }
    tell::ended(tx, Kind::Cancelled, &ended, now).await?;
    if !ids.is_empty() {
        turns::pass(tx, &ids, now).await?;
    }
    Ok(())
}

/// What of a chunk was delivered before its worker handed it back is not cancelled: it gets a row that says so.
const STOP_CHUNKS: &str = "/* books::campaign stop chunks */
with stopped as (
    update chunks set state = 5, published_at = null where campaign = $1 and state in (0, 3, 4) returning id, n, lane, tries
), delivered as (
    insert into exceptions (chunk, seq, lane, destination, state, tries, updated_at)
    select a.chunk, a.seq, stopped.lane, m.destination, 7, 1, $2::timestamptz
    from stopped cross join lateral tries_of(stopped.id) a
    cross join lateral (select destination from messages where id = delivery_id(a.chunk, a.seq) offset 0) m
    where stopped.tries > 0 and a.outcome = 0
    on conflict do nothing
)
insert into events (at, kind, chunk, seqs)
select $2::timestamptz, $3::smallint, id, seqs from stopped
cross join lateral (select coalesce(array_agg(x.seq), '{}') as gone from (
    select e.seq from exceptions e where e.chunk = stopped.id
    union all select a.seq from tries_of(stopped.id) a where stopped.tries > 0 and a.outcome = 0) x) e
cross join lateral (select array_agg(s::smallint order by s) as seqs from generate_series(0, n - 1) s where s <> all(gone)) x
where seqs is not null";

const STOP_HELD: &str = "/* books::campaign stop held */
insert into exceptions (chunk, seq, lane, destination, state, reason, updated_at)
select c.id, s, c.lane, m.destination, 3, 'cancelled', $2::timestamptz
from chunks c cross join lateral generate_series(0, c.n - 1) s
cross join lateral (select destination from messages where id = delivery_id(c.id, s::smallint) offset 0) m
where c.campaign = $1 and c.state = 1
  and not exists (select from tries_of(c.id, s::smallint) a where a.outcome = 0)
on conflict do nothing
returning chunk, seq, lane, false";

/// The worker stays on one that it holds: so a replay knows that it may still be sent.
const STOP_SINGLES: &str = "/* books::campaign stop singles */
update exceptions e set state = 3, reason = 'cancelled', due_at = null, published_at = null, claim = null, updated_at = $2
from campaign_chunks k
where k.campaign = $1 and e.chunk = k.chunk and e.state in (1, 2, 8, 9)
returning e.chunk, e.seq, e.lane, e.worker is null";

/// Whether anything of the campaign may still change by itself.
pub async fn is_campaign_open(app: &App, campaign: Uuid) -> Result<bool, BooksError> {
    let sql = "/* books::campaign open chunks */
        select exists (select from chunks where campaign = $1 and state in (0, 1, 3, 4))";
    if app.db.row(sql, &[&campaign]).await?.is_some_and(|row| row.get(0)) {
        return Ok(true);
    }
    let sql = "/* books::campaign open singles */
        select exists (select from campaign_chunks k join exceptions e on e.chunk = k.chunk
                       where k.campaign = $1 and e.state in (1, 2, 8, 9))";
    Ok(app.db.row(sql, &[&campaign]).await?.is_some_and(|row| row.get(0)))
}

/// Of these chunks, which a worker holds, those of a campaign that was paused meanwhile: what has not gone is to be given back.
pub async fn paused_among(app: &App, chunks: &[Uuid]) -> Result<Vec<Uuid>, BooksError> {
    let sql = "/* books::campaign paused_among */
        select c.id from chunks c join campaigns k on k.id = c.campaign where c.id = any($1) and c.state = 1 and k.state = 1";
    Ok(app.db.rows(sql, &[&chunks]).await?.iter().map(|row| row.get(0)).collect())
}

/// Counts the deliveries of a campaign by state: by chunk, corrected by what has left its chunk.
pub async fn count_campaign(app: &App, campaign: Uuid) -> Result<Summary, BooksError> {
    let mut summary = Summary::default();
    for row in app.db.rows_planned_by_values(COUNT, &[&campaign]).await? {
        let (chunk, single, fresh): (Option<i16>, Option<i16>, bool) = (row.get(0), row.get(1), row.get(2));
        let n: i64 = row.get(3);
        match (chunk, single) {
            (Some(chunk), None) => *summary.of(state(Some(chunk), None, false)) += n,
            (chunk, single) => {
                if chunk.is_some() {
                    *summary.of(state(chunk, None, false)) -= n;
                }
                *summary.of(state(chunk, single.map(|single| (single, fresh)), false)) += n;
            }
        }
    }
    summary.accepted = State::ALL.into_iter().map(|state| *summary.of(state)).sum();
    Ok(summary)
}

const COUNT: &str = "/* books::campaign count */
select state, null::smallint, false, sum(n)::bigint from chunks where campaign = $1 group by 1
union all
select c.state, e.state, e.tries = 0, count(*)
from campaign_chunks k join exceptions e on e.chunk = k.chunk left join chunks c on c.id = k.chunk
where k.campaign = $1 group by 1, 2, 3";

/// A row of a campaign, as a report shows it.
#[derive(Debug)]
pub struct ReportRow {
    /// Which, counted from 1.
    pub row: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its delivery.
    pub id: DeliveryId,
    /// What it went to: domain or webhook.
    pub destination: String,
    /// The address it went to, if it went to one.
    pub to: Option<String>,
    /// Where it is.
    pub state: State,
    /// Why, where it did not go well.
    pub reason: Option<String>,
    /// Attempts made.
    pub attempts: i64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When the last attempt began.
    pub last_attempt_at: Option<Timestamp>,
}

/// Rows of the chunks that follow `after`, a few chunks at a time; none at the end.
pub async fn report_campaign(app: &App, campaign: Uuid, after: Option<Uuid>) -> Result<Vec<ReportRow>, BooksError> {
    let after = after.unwrap_or_default();
    let rows = app.db.rows(REPORT, &[&campaign, &after]).await?;
    Ok(rows.iter().map(report_row).collect())
}

const REPORT: &str = "/* books::campaign report */
select k.chunk, r.no::smallint, r.row, r.key, m.destination, m.to_address, m.created_at, c.state, e.state, coalesce(e.tries = 0, false),
       e.reason, a.n, a.last, coalesce(a.delivered, false)
from (select chunk, rows, keys from campaign_chunks where campaign = $1 and chunk > $2 order by chunk limit 20) k
left join lateral (select state from chunks where id = k.chunk offset 0) c on true
cross join lateral (select row, key, no - 1 as no from unnest(k.rows, k.keys) with ordinality as u(row, key, no)) r
cross join lateral (select * from messages where id = delivery_id(k.chunk, r.no::smallint) offset 0) m
left join lateral (select * from exceptions x where x.chunk = k.chunk and x.seq = r.no::smallint offset 0) e on true
cross join lateral (select count(*) as n, max(at) as last, bool_or(outcome = 0) as delivered
                    from tries_of(k.chunk, r.no::smallint)) a
order by k.chunk, r.no";

fn report_row(row: &Row) -> ReportRow {
    let single = row.get::<_, Option<i16>>(8).map(|single| (single, row.get(9)));
    ReportRow {
        id: DeliveryId { chunk: row.get(0), seq: row.get(1) },
        row: row.get(2),
        key: row.get(3),
        destination: row.get(4),
        to: row.get(5),
        accepted_at: row.get(6),
        state: state(row.get(7), single, row.get(13)),
        reason: row.get(10),
        attempts: row.get(11),
        last_attempt_at: row.get(12),
    }
}

/// The state of a delivery, by its chunk's, its own (with whether it was never tried), and whether an attempt says that it arrived.
fn state(chunk: Option<i16>, single: Option<(i16, bool)>, delivered: bool) -> State {
    match (single, chunk) {
        (Some((1 | 8 | 9, true)), _) => State::Pending,
        (Some((1 | 8 | 9, false)), _) => State::Retrying,
        (Some((2, _)), _) => State::Sending,
        (Some((3, _)), _) if !delivered => State::Cancelled,
        (Some((4, _)), _) => State::Expired,
        (Some((5, _)), _) => State::Failed,
        (Some((6, _)), _) => State::Unconfirmed,
        (Some(_), _) | (None, Some(2)) => State::Delivered,
        (None, _) if delivered => State::Delivered,
        (None, Some(1)) => State::Sending,
        (None, Some(5)) => State::Cancelled,
        (None, _) => State::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_what_its_own_row_says_or_else_its_chunk() {
        for (chunk, single, delivered, expected) in [
            (Some(0), None, false, State::Pending),
            (Some(3), None, false, State::Pending),
            (Some(4), None, false, State::Pending),
            (Some(1), None, false, State::Sending),
            (Some(1), None, true, State::Delivered),
            (Some(2), None, false, State::Delivered),
            (Some(5), None, false, State::Cancelled),
            (Some(2), Some((1, false)), false, State::Retrying),
            (Some(2), Some((8, true)), false, State::Pending),
            (None, Some((9, true)), false, State::Pending),
            (Some(5), Some((3, false)), false, State::Cancelled),
            (Some(1), Some((3, false)), true, State::Delivered),
            (Some(2), Some((5, false)), false, State::Failed),
            (None, Some((7, false)), false, State::Delivered),
        ] {
            assert_eq!(state(chunk, single, delivered), expected, "{chunk:?} {single:?}");
        }
    }
}
