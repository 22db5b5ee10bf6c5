//! Looking: what a sender may see of its deliveries.
//!
//! A message is one delivery, so looking at either is the same. Which ones are looked at is [`find`](mod@super::find)'s to say; this
//! file reads what there is to know of them, by primary keys only.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::campaign::FAR;
use super::find::{Filter, look};
use super::{
    AttemptView, BooksError, ChannelName, DeliveryId, DeliveryView, Lane, MessageFilter, MessageView, Outcome, State,
    Summary, WaitsFor,
};
use crate::App;
use crate::db::GenericClient;
use crate::openmsg::Address;

/// The state of a delivery, as SQL: its exception's, if it has one; else delivered where its chunk is settled or an attempt
/// says so; else its chunk's. What was cancelled in the very moment in which it was settled is what it turned out to be.
const STATE: &str = "case
    when e.state in (1, 8, 9) and e.tries = 0 then 'pending' when e.state in (1, 8, 9) then 'retrying'
    when e.state = 2 then 'sending' when e.state = 4 then 'expired' when e.state = 5 then 'failed'
    when e.state = 6 then 'unconfirmed' when e.state = 7 or (e.state is null and c.state = 2) then 'delivered'
    when exists (select from tries_of(d.chunk, d.seq) a where a.outcome = 0) then 'delivered'
    when e.state = 3 or c.state = 5 then 'cancelled'
    when c.state = 1 then 'sending' else 'pending' end";

/// Each step is an index look-up in one partition: `offset 0` keeps the planner from turning it round.
const JOINED: &str = "
    cross join lateral (
        select id, channel, destination, sender, from_address, to_address, tag, campaign, ordering_key, deliver_at, created_at, expires_at
        from messages where id = delivery_id(d.chunk, d.seq) offset 0) m
    left join lateral (
        select state, tries, due_at, reason, lane, expires_at, updated_at from exceptions where chunk = d.chunk and seq = d.seq offset 0) e on true
    left join lateral (select state, due_at, lane from chunks where id = d.chunk offset 0) c on true
    left join lateral (
        select at, status, code from tries_of(d.chunk, d.seq) order by at desc limit 1) l on true";

/// A delivery, with what it carries kept to itself.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// Its id, and its message's.
    pub id: Uuid,
    /// Over what it goes; none when a newer program opened it.
    pub channel: Option<ChannelName>,
    /// Domain, or name of a webhook.
    pub destination: String,
    /// Where it is.
    pub state: State,
    /// What it waits for, while it is not on its way.
    pub waits_for: Option<WaitsFor>,
    /// Why, in a word or code, where it did not go well.
    pub reason: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// Who handed it over.
    pub sender: String,
    /// One of our accounts; Openmsg only.
    pub from: Option<String>,
    /// The peer; Openmsg only.
    pub to: Option<String>,
    /// The sender's word.
    pub tag: Option<String>,
    /// The campaign it is a row of.
    pub campaign: Option<Uuid>,
    /// The line it stands in.
    pub ordering_key: Option<String>,
    /// Not tried before.
    pub deliver_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When it is tried next, where that is known.
    pub next_attempt_at: Option<Timestamp>,
    /// When the last try began.
    pub last_attempt_at: Option<Timestamp>,
    /// HTTP status of the last try.
    pub last_status: Option<i16>,
    /// Response code or error class of the last try.
    pub last_code: Option<String>,
    /// Every try so far; only when one delivery is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptView>>,
    /// When its exception last changed.
    #[serde(skip)]
    pub(super) left_at: Option<Timestamp>,
}

/// Those of `ids` that pass the filter (which does not read its times: ids tell them), newest first.
pub(super) async fn read(
    client: &impl GenericClient,
    ids: &[DeliveryId],
    filter: &Filter,
    now: Timestamp,
) -> Result<Vec<Delivery>, BooksError> {
    let sql = format!(
        "/* books::inspect read */ select * from (
            select m.id, m.channel, m.destination, {STATE} as state,
                case when e.state = 8 then 'destination' when e.state = 9 then 'turn' when e.state = 1 and e.due_at > $3::timestamptz + {FAR} then 'campaign'
                     when e.state = 1 and e.due_at > $3 then 'time'
                     when e.state is null and c.state = 3 then 'destination' when e.state is null and c.state = 4 then 'campaign'
                     when e.state is null and c.state = 0 and c.due_at > $3 then 'time' end,
                e.reason, coalesce(e.lane, c.lane, 1::smallint), m.sender, m.from_address, m.to_address, m.tag, m.campaign, m.ordering_key,
                m.deliver_at, m.created_at, coalesce(e.expires_at, m.expires_at),
                case when e.due_at <= $3::timestamptz + {FAR} then e.due_at
                     when e.state is null and c.state = 0 and c.due_at > $3 then c.due_at end,
                l.at, l.status, l.code, e.updated_at
            from unnest($1::uuid[], $2::smallint[]) as d(chunk, seq) {JOINED}
            where ($4::text is null or m.destination = $4) and ($5::text is null or m.tag = $5)
              and ($6::uuid is null or m.campaign = $6) and ($7::text is null or m.from_address = $7)
              and ($8::text is null or m.to_address = $8) and ($9::text is null or m.sender = $9)
              and ($11::smallint is null or l.status between $11 and $12) and ($13::text is null or $13 in (l.code, e.reason))
        ) as found where cardinality($10::text[]) = 0 or state = any($10)"
    );
    let (chunk, seq): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let (least, most) = (filter.status.map(|status| status.least()), filter.status.map(|status| status.most()));
    let (destination, tag, campaign) = (&filter.destination, &filter.tag, &filter.campaign);
    let (from, to, sender, code) = (&filter.from, &filter.to, &filter.sender, &filter.code);
    let statement = client.prepare_cached(&sql).await?;
    let rows = client
        .query(
            &statement,
            &[&chunk, &seq, &now, destination, tag, campaign, from, to, sender, &states, &least, &most, code],
        )
        .await?;
    let mut found: Vec<Delivery> = rows.iter().map(delivery_of).collect();
    found.sort_unstable_by_key(|view| std::cmp::Reverse(view.id));
    Ok(found)
}

fn delivery_of(row: &Row) -> Delivery {
    let waits_for: Option<&str> = row.get(4);
    Delivery {
        id: row.get(0),
        channel: ChannelName::from_number(row.get(1)),
        destination: row.get(2),
        state: State::from_name(row.get(3)).unwrap_or(State::Pending),
        waits_for: waits_for.map(|word| match word {
            "destination" => WaitsFor::Destination,
            "turn" => WaitsFor::Turn,
            "campaign" => WaitsFor::Campaign,
            _ => WaitsFor::Time,
        }),
        reason: row.get(5),
        lane: Lane::from_number(row.get(6)),
        sender: row.get(7),
        from: row.get(8),
        to: row.get(9),
        tag: row.get(10),
        campaign: row.get(11),
        ordering_key: row.get(12),
        deliver_at: row.get(13),
        created_at: row.get(14),
        expires_at: row.get(15),
        next_attempt_at: row.get(16),
        last_attempt_at: row.get(17),
        last_status: row.get(18),
        last_code: row.get(19),
        left_at: row.get(20),
        attempts: None,
    }
}

/// One delivery with every attempt.
pub async fn delivery(app: &App, id: Uuid) -> Result<Option<Delivery>, BooksError> {
    let Some(place) = DeliveryId::from_uuid(id) else { return Ok(None) };
    let client = app.db.client().await?;
    let found = read(&client, &[place], &Filter::default(), app.clock.now()).await?;
    let Some(mut delivery) = found.into_iter().next() else { return Ok(None) };
    delivery.attempts = Some(attempts_of(&client, &[place]).await?.remove(&place).unwrap_or_default());
    Ok(Some(delivery))
}

async fn attempts_of(
    client: &impl GenericClient,
    ids: &[DeliveryId],
) -> Result<HashMap<DeliveryId, Vec<AttemptView>>, BooksError> {
    let sql = "/* books::inspect attempts */
        select a.chunk, a.seq, a.no, a.at, a.ms, a.outcome, a.status, a.code, a.late, a.answer
        from unnest($1::uuid[], $2::smallint[]) as x(chunk, seq)
        cross join lateral tries_of(x.chunk, x.seq) a order by a.at";
    let (chunks, seqs): (Vec<Uuid>, Vec<i16>) = ids.iter().map(|id| (id.chunk, id.seq)).unzip();
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

/// One message with its delivery and every attempt.
pub async fn find(app: &App, id: Uuid) -> Result<Option<MessageView>, BooksError> {
    let Some(mut delivery) = delivery(app, id).await? else { return Ok(None) };
    let view = DeliveryView {
        id: delivery.id,
        channel: delivery.channel,
        destination: delivery.destination.clone(),
        state: delivery.state,
        reason: delivery.reason.clone(),
        next_attempt_at: delivery.next_attempt_at,
        attempts: delivery.attempts.take().unwrap_or_default(),
    };
    let mut message = message_of(delivery);
    message.deliveries.push(view);
    Ok(Some(message))
}

/// Messages by filter, newest first, without their attempts; and where to go on. A page may be short though there is more.
pub async fn list(app: &App, filter: &MessageFilter) -> Result<(Vec<MessageView>, Option<Uuid>), BooksError> {
    let wanted = Filter {
        from: filter.from.clone(),
        to: filter.to.clone(),
        states: filter.state.into_iter().collect(),
        tag: filter.tag.clone(),
        ..Filter::default()
    };
    let limit = usize::try_from(filter.limit).unwrap_or(1).max(1);
    let found = look(&app.db.client().await?, &wanted, filter.after, limit, app.clock.now()).await?;
    Ok((found.items.into_iter().map(message_of).collect(), found.next))
}

fn message_of(delivery: Delivery) -> MessageView {
    MessageView {
        id: delivery.id,
        from: delivery.from,
        to: delivery.to,
        destination: delivery.destination,
        state: delivery.state,
        tag: delivery.tag,
        created_at: delivery.created_at,
        expires_at: delivery.expires_at,
        deliveries: Vec::new(),
    }
}

/// Counts by state, of a tag, of an account, or of everything.
pub async fn summary(app: &App, tag: Option<&str>, from: Option<&Address>) -> Result<Summary, BooksError> {
    let sql = format!(
        "/* books::summary */ select {STATE} as state, count(*),
            count(*) filter (where (select count(*) from tries_of(d.chunk, d.seq) a where a.outcome = 0) > 1)
        from (select chunk_of(id) as chunk, seq_of(id) as seq from messages m
              where ($1::text is null or m.tag = $1) and ($2::text is null or m.from_address = $2)) d
        left join exceptions e on e.chunk = d.chunk and e.seq = d.seq
        left join chunks c on c.id = d.chunk
        group by 1"
    );
    let from = from.map(ToString::to_string);
    let mut summary = Summary::default();
    for row in app.db.rows_planned_by_values(&sql, &[&tag, &from]).await? {
        let n: i64 = row.get(1);
        summary.accepted += n;
        summary.doubles += row.get::<_, i64>(2);
        *summary.of(State::from_name(row.get(0)).unwrap_or(State::Pending)) += n;
    }
    Ok(summary)
}

/// Which of these deliveries are from this account of ours, in order.
pub async fn are_from(app: &App, ids: &[Uuid], from: &str) -> Result<Vec<bool>, BooksError> {
    let sql = "/* books::are_from */ select m.id from unnest($1::uuid[]) as x(id)
        cross join lateral (select id from messages where id = x.id and from_address = $2 offset 0) m";
    let own: Vec<Uuid> = app.db.rows(sql, &[&ids, &from]).await?.iter().map(|row| row.get(0)).collect();
    let own: std::collections::HashSet<Uuid> = own.into_iter().collect();
    Ok(ids.iter().map(|id| own.contains(id)).collect())
}
