//! Where deliveries are looked for: one index each, read backwards from a place, a window at a time.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Filter;
use crate::books::{BooksError, DeliveryId, State};
use crate::db::{GenericClient, Row};

/// Chunks looked at together.
const CHUNKS: usize = 1000;

/// One index to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Messages by a campaign, a tag, an account, or their ids.
    Messages,
    /// Exceptions that ended badly.
    Ended,
    /// Exceptions under way.
    Open,
    /// Chunks under way.
    OpenChunks,
    /// Chunks that were cancelled as a whole.
    CancelledChunks,
}

/// What a source gave.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ids: Vec<DeliveryId>,
    /// Down to here all was seen; none: down to the end.
    pub(super) horizon: Option<Uuid>,
}

impl Source {
    /// Those that together have everything the filter can find.
    pub(super) fn of(filter: &Filter) -> Vec<Self> {
        let wanted = |states: &[State]| filter.states.iter().any(|state| states.contains(state));
        if filter.states.is_empty() || wanted(&[State::Delivered]) {
            return vec![Self::Messages];
        }
        let mut sources = Vec::new();
        if wanted(&[State::Failed, State::Expired, State::Unconfirmed, State::Cancelled]) {
            sources.push(Self::Ended);
        }
        if wanted(&[State::Cancelled]) {
            sources.push(Self::CancelledChunks);
        }
        if wanted(&[State::Pending, State::Sending, State::Retrying]) {
            sources.push(Self::Open);
        }
        if wanted(&[State::Pending, State::Sending]) {
            sources.push(Self::OpenChunks);
        }
        sources
    }

    /// About `window` deliveries older than `after`.
    pub(super) async fn read(
        self,
        client: &impl GenericClient,
        filter: &Filter,
        after: Uuid,
        window: usize,
    ) -> Result<Seen, BooksError> {
        match self {
            Self::Messages => messages(client, filter, after, window).await,
            Self::Ended => {
                // Written so that the index of its destination is the only one that fits.
                let index =
                    if filter.destination.is_some() { "state between 3 and 6" } else { "state in (3, 4, 5, 6)" };
                exceptions(client, index, &ended(filter), filter, after, window).await
            }
            Self::Open => exceptions(client, "state in (1, 2, 8, 9)", &[1, 2, 8, 9], filter, after, window).await,
            // Chosen first and sorted then: an index that has them in order has all that are settled too.
            Self::OpenChunks => {
                chunks(client, "state in (0, 1, 3, 4) and (id <= $1 and id >= $2) is true", "", filter, after).await
            }
            Self::CancelledChunks => {
                let newest = format!("order by id desc limit {CHUNKS}");
                chunks(client, "state = 5 and id <= $1 and id >= $2", &newest, filter, after).await
            }
        }
    }
}

/// The states of exceptions that the filter means.
fn ended(filter: &Filter) -> Vec<i16> {
    let number = |state: &State| match state {
        State::Cancelled => Some(3),
        State::Expired => Some(4),
        State::Failed => Some(5),
        State::Unconfirmed => Some(6),
        _ => None,
    };
    filter.states.iter().filter_map(number).collect()
}

async fn messages(
    client: &impl GenericClient,
    filter: &Filter,
    after: Uuid,
    window: usize,
) -> Result<Seen, BooksError> {
    let above = filter.above();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&after, &above];
    // One of them, the one that is likely to be the narrowest: each is an index of its own.
    let narrowed = match (&filter.campaign, &filter.tag, &filter.from) {
        (Some(campaign), _, _) => {
            parameters.push(campaign);
            "and campaign = $3"
        }
        (None, Some(tag), _) => {
            parameters.push(tag);
            "and tag = $3"
        }
        (None, None, Some(from)) => {
            parameters.push(from);
            "and from_address = $3"
        }
        (None, None, None) => "",
    };
    let sql = format!(
        "/* books::find messages */ select id from messages where id < $1 and id >= $2 {narrowed} order by id desc limit {window}"
    );
    let rows = client.query(&client.prepare_cached(&sql).await?, &parameters).await?;
    let ids = rows.iter().filter_map(|row| DeliveryId::from_uuid(row.get(0))).collect();
    let horizon = if rows.len() < window { None } else { rows.last().map(|row| row.get(0)) };
    Ok(Seen { ids, horizon })
}

async fn exceptions(
    client: &impl GenericClient,
    index: &str,
    states: &[i16],
    filter: &Filter,
    after: Uuid,
    window: usize,
) -> Result<Seen, BooksError> {
    let (before, above) = (place(after), filter.above());
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&before.chunk, &before.seq, &above, &states];
    let destination = match &filter.destination {
        Some(destination) => {
            parameters.push(destination);
            "and destination = $5"
        }
        None => "",
    };
    let sql = format!(
        "/* books::find exceptions */ select chunk, seq from exceptions
         where {index} and state = any($4) {destination} and chunk >= $3 and chunk <= $1 and (chunk, seq) < ($1, $2)
         order by chunk desc, seq desc limit {window}"
    );
    let rows = client.query(&client.prepare_cached(&sql).await?, &parameters).await?;
    let ids: Vec<DeliveryId> = rows.iter().map(id_of).collect();
    let horizon = if rows.len() < window { None } else { ids.last().map(|id| id.uuid()) };
    Ok(Seen { ids, horizon })
}

async fn chunks(
    client: &impl GenericClient,
    index: &str,
    newest: &str,
    filter: &Filter,
    after: Uuid,
) -> Result<Seen, BooksError> {
    let (before, above) = (place(after).chunk, filter.above());
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&before, &above, &filter.campaign];
    let destination = match &filter.destination {
        // One that goes to several places may go there too.
        Some(destination) => {
            parameters.push(destination);
            "and destination in ($4, '')"
        }
        None => "",
    };
    let sql = format!(
        "/* books::find chunks */ with fit as materialized (
             select id from chunks where {index} {destination} and ($3::uuid is null or campaign = $3) {newest})
         select id from fit order by id desc limit {CHUNKS}"
    );
    let rows = client.query(&client.prepare_cached(&sql).await?, &parameters).await?;
    let chunks: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    if chunks.is_empty() {
        return Ok(Seen::default());
    }
    inside(client, chunks, after).await
}

/// The deliveries of chunks, as many as are looked at together.
async fn inside(client: &impl GenericClient, chunks: Vec<Uuid>, after: Uuid) -> Result<Seen, BooksError> {
    const MOST: usize = 10_000;
    let sql = format!(
        "/* books::find inside */ select m.chunk, m.seq from unnest($1::uuid[]) as c(id)
         cross join lateral (
             select c.id as chunk, seq_of(id) as seq, id from messages
             where id >= c.id and id <= delivery_id(c.id, 32767::smallint) and id < $2 offset 0) m
         order by m.id desc limit {MOST}"
    );
    let rows = client.query(&client.prepare_cached(&sql).await?, &[&chunks, &after]).await?;
    let ids: Vec<DeliveryId> = rows.iter().map(id_of).collect();
    let horizon = match (ids.len() == MOST, chunks.len() == CHUNKS) {
        (true, _) => ids.last().map(|id| id.uuid()),
        (false, true) => chunks.last().copied(),
        (false, false) => None,
    };
    Ok(Seen { ids, horizon })
}

fn id_of(row: &Row) -> DeliveryId {
    DeliveryId { chunk: row.get(0), seq: row.get(1) }
}

/// The place of any id, also of one that no delivery can have.
fn place(id: Uuid) -> DeliveryId {
    DeliveryId::from_uuid(id).unwrap_or_else(|| {
        let mut bytes = *id.as_bytes();
        bytes[14..].fill(0);
        DeliveryId { chunk: Uuid::from_bytes(bytes), seq: i16::MAX }
    })
}
