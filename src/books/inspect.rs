//! Looking: what a sender may see of its messages.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    AttemptView, BooksError, ChannelName, DeliveryId, DeliveryView, MessageFilter, MessageView, Outcome, State, Summary,
};
use crate::App;
use crate::openmsg::Address;

/// The state of a delivery, as SQL: its exception's, if it has one; else delivered where its chunk is settled or an attempt
/// says so; else its chunk's. What was cancelled in the very moment in which it was settled is what it turned out to be.
const STATE: &str = "case
    when e.state = 1 and e.tries = 0 then 'pending' when e.state = 1 then 'retrying' when e.state = 2 then 'sending'
    when e.state = 3 and not exists (select from attempts a where a.chunk = d.chunk and a.seq = d.seq and a.outcome = 0) then 'cancelled'
    when e.state = 4 then 'expired' when e.state = 5 then 'failed'
    when e.state = 6 then 'unconfirmed' when e.state in (3, 7) or c.state = 2 then 'delivered'
    when exists (select from attempts a where a.chunk = d.chunk and a.seq = d.seq and a.outcome = 0) then 'delivered'
    when c.state = 1 then 'sending' else 'pending' end";

const JOINED: &str = "from messages m
    join deliveries d on d.message_id = m.id
    join chunks c on c.id = d.chunk
    left join exceptions e on e.chunk = d.chunk and e.seq = d.seq";

/// One message with its deliveries and every attempt.
pub async fn find(app: &App, id: Uuid) -> Result<Option<MessageView>, BooksError> {
    let client = app.db.client().await?;
    let sql = format!(
        "/* books::find */ select m.id, m.from_address, m.to_address, {STATE}, m.tag, m.created_at, m.expires_at,
            d.chunk, d.seq, d.destination, e.reason, e.due_at, d.channel {JOINED} where m.id = $1 order by d.chunk, d.seq"
    );
    let rows = client.query(&client.prepare_cached(&sql).await?, &[&id]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut view = message(first);
    let (chunks, seqs): (Vec<Uuid>, Vec<i16>) =
        rows.iter().map(|row| (row.get::<_, Uuid>(7), row.get::<_, i16>(8))).unzip();
    let mut attempts = attempts_of(&client, &chunks, &seqs).await?;
    for row in &rows {
        let id = DeliveryId { chunk: row.get(7), seq: row.get(8) };
        view.deliveries.push(DeliveryView {
            id: id.uuid(),
            channel: ChannelName::from_number(row.get(12)),
            destination: row.get(9),
            state: state(row),
            reason: row.get(10),
            next_attempt_at: row.get(11),
            attempts: attempts.remove(&id).unwrap_or_default(),
        });
    }
    Ok(Some(view))
}

async fn attempts_of(
    client: &crate::db::Client,
    chunks: &[Uuid],
    seqs: &[i16],
) -> Result<HashMap<DeliveryId, Vec<AttemptView>>, BooksError> {
    let sql = "/* books::find attempts */
        select a.chunk, a.seq, a.no, a.at, a.ms, a.outcome, a.status, a.code, a.late, a.answer
        from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        join attempts a on a.chunk = x.chunk and a.seq = x.seq order by a.at";
    let mut found: HashMap<DeliveryId, Vec<AttemptView>> = HashMap::new();
    for row in client.query(&client.prepare_cached(sql).await?, &[&chunks, &seqs]).await? {
        let answer: Option<&[u8]> = row.get(9);
        found.entry(DeliveryId { chunk: row.get(0), seq: row.get(1) }).or_default().push(AttemptView {
            no: row.get(2),
            at: row.get(3),
            ms: row.get(4),
            outcome: Outcome::from_number(row.get(5)),
            status: row.get(6),
            code: row.get(7),
            late: row.get(8),
            answer: answer.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        });
    }
    Ok(found)
}

/// Messages by filter, newest first, without their attempts.
pub async fn list(app: &App, filter: &MessageFilter) -> Result<Vec<MessageView>, BooksError> {
    // The state is worked out per row, so it filters outside; the limit then counts what passes.
    let sql = format!(
        "/* books::list */ select * from (
            select m.id, m.from_address, m.to_address, {STATE} as state, m.tag, m.created_at, m.expires_at {JOINED}
            where ($1::text is null or m.from_address = $1) and ($2::text is null or m.to_address = $2)
              and ($3::text is null or m.tag = $3) and ($4::uuid is null or m.id < $4)
            order by m.id desc
        ) as found where ($5::text is null or state = $5) limit $6"
    );
    let state = filter.state.map(State::name);
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&filter.from, &filter.to, &filter.tag, &filter.after, &state, &filter.limit];
    let rows = app.db.rows_planned_by_values(&sql, &parameters).await?;
    Ok(rows.iter().map(message).collect())
}

/// Counts by state, of a tag, of an account, or of everything.
pub async fn summary(app: &App, tag: Option<&str>, from: Option<&Address>) -> Result<Summary, BooksError> {
    let sql = format!(
        "/* books::summary */ select {STATE} as state, count(*),
            count(*) filter (where (select count(*) from attempts a where a.chunk = d.chunk and a.seq = d.seq and a.outcome = 0) > 1)
        {JOINED} where ($1::text is null or m.tag = $1) and ($2::text is null or m.from_address = $2) group by 1"
    );
    let from = from.map(ToString::to_string);
    let mut summary = Summary::default();
    for row in app.db.rows_planned_by_values(&sql, &[&tag, &from]).await? {
        let n: i64 = row.get(1);
        summary.accepted += n;
        summary.doubles += row.get::<_, i64>(2);
        *match State::from_name(row.get(0)).unwrap_or(State::Pending) {
            State::Pending => &mut summary.pending,
            State::Sending => &mut summary.sending,
            State::Retrying => &mut summary.retrying,
            State::Delivered => &mut summary.delivered,
            State::Failed => &mut summary.failed,
            State::Cancelled => &mut summary.cancelled,
            State::Expired => &mut summary.expired,
            State::Unconfirmed => &mut summary.unconfirmed,
        } += n;
    }
    Ok(summary)
}

fn message(row: &tokio_postgres::Row) -> MessageView {
    MessageView {
        id: row.get(0),
        from: row.get(1),
        to: row.get(2),
        state: state(row),
        tag: row.get(4),
        created_at: row.get(5),
        expires_at: row.get(6),
        deliveries: Vec::new(),
    }
}

fn state(row: &tokio_postgres::Row) -> State {
    State::from_name(row.get(3)).unwrap_or(State::Pending)
}
