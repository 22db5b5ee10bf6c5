//! From rows to events: what is told of each delivery and entry.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Cursor, Error, Kind};
use crate::App;
use crate::books::{ChannelName, DeliveryId, State};
use crate::db::Row;
use crate::inbox::{self, Entry};
use crate::openmsg::Address;

/// One event. May hold a received text, so it is not for logs and its `Debug` shows kind and id only.
#[derive(Clone, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// The same whenever it is read: who gets it twice can tell. Also the cursor behind it.
    #[schemars(with = "String")]
    pub id: Cursor,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// To what.
    #[serde(flatten)]
    pub of: Of,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("id", &self.id.to_string()).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What an event is of.
#[derive(Clone, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Of {
    /// A delivery. Of one whose message is not kept any more only the id is left.
    Delivery {
        /// Its id.
        delivery: Uuid,
        /// Where it is, by this event.
        state: State,
        /// Over what it went.
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<ChannelName>,
        /// The peer's domain or the webhook's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        destination: Option<String>,
        /// Openmsg: one of our accounts.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Openmsg: the peer.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The sender's word.
        tag: Option<String>,
        /// The campaign it is of.
        campaign: Option<Uuid>,
        /// Why, where it did not go well.
        reason: Option<String>,
        /// Attempts made until then.
        attempts: i16,
        /// HTTP status of the last one.
        status: Option<i16>,
    },
    /// An entry of the inbox.
    Entry {
        /// Its id.
        entry: Uuid,
        /// The account that received it.
        account: Address,
        /// Who wrote.
        from: Address,
        /// How they were called then.
        from_name: String,
        /// What they wrote.
        text: String,
        /// When it was sent, as they say.
        sent_at: Timestamp,
    },
    /// An entry of the inbox that is not kept any more, or cannot be opened.
    GoneEntry {
        /// Its id.
        entry: Uuid,
    },
    /// A destination.
    Destination {
        /// The peer's domain or the webhook's name.
        destination: String,
    },
    /// A campaign.
    Campaign {
        /// Its id.
        campaign: Uuid,
        /// Its name.
        name: Option<String>,
    },
}

/// One part of a row.
pub(super) struct Part {
    id: Cursor,
    kind: Kind,
    at: Timestamp,
    delivery: Option<DeliveryId>,
    item: Option<Uuid>,
    about: Option<String>,
}

impl Part {
    pub(super) fn of(row: &Row, kind: Kind, part: usize, id: Cursor) -> Self {
        let chunk: Option<Uuid> = row.get(5);
        let seq = row.get::<_, Option<Vec<i16>>>(6).and_then(|seqs| seqs.get(part).copied());
        let items: Option<Vec<Uuid>> = row.get(7);
        Self {
            id,
            kind,
            at: row.get(0),
            delivery: chunk.zip(seq).map(|(chunk, seq)| DeliveryId { chunk, seq }),
            item: items.and_then(|items| items.get(part).copied()),
            about: row.get(8),
        }
    }
}

/// Looks up what the events are of; leaves out those that are not of `account`, if one is given.
pub(super) async fn tell(app: &App, parts: Vec<Part>, account: Option<&Address>) -> Result<Vec<Event>, Error> {
    let mut deliveries = deliveries(app, &parts).await?;
    let received: Vec<Uuid> =
        parts.iter().filter(|part| part.kind == Kind::Received).filter_map(|part| part.item).collect();
    let entries = if received.is_empty() { Vec::new() } else { inbox::find_many(app, &received).await? };
    let mut entries: HashMap<Uuid, Entry> = entries.into_iter().map(|entry| (entry.id, entry)).collect();
    let event = |(place, part): (usize, Part)| {
        let of = match (part.delivery, part.item) {
            (Some(_), _) => deliveries.remove(&place)?,
            (None, Some(entry)) if part.kind == Kind::Received => of_entry(entry, entries.remove(&entry)),
            (None, Some(campaign)) => Of::Campaign { campaign, name: part.about },
            (None, None) => Of::Destination { destination: part.about? },
        };
        let theirs = account.is_none_or(|account| belongs(&of, account));
        theirs.then_some(Event { id: part.id, kind: part.kind, at: part.at, of })
    };
    Ok(parts.into_iter().enumerate().filter_map(event).collect())
}

fn belongs(of: &Of, account: &Address) -> bool {
    match of {
        Of::Delivery { from, .. } => from.as_deref() == Some(account.as_str()),
        Of::Entry { account: owner, .. } => owner == account,
        Of::GoneEntry { .. } | Of::Destination { .. } | Of::Campaign { .. } => false,
    }
}

fn of_entry(id: Uuid, entry: Option<Entry>) -> Of {
    let Some(entry) = entry else { return Of::GoneEntry { entry: id } };
    let Entry { account, from, from_name, text, sent_at, .. } = entry;
    Of::Entry { entry: id, account, from, from_name, text, sent_at }
}

/// The try that the event speaks of is the last one that had begun by then: a replay may have made others since.
const DELIVERIES: &str = "/* events::read deliveries */
select x.place, m.channel, m.destination, m.from_address, m.to_address, m.tag, m.campaign, e.state, e.reason, a.no, a.status, a.code
from unnest($1::int4[], $2::uuid[], $3::uuid[], $4::int2[], $5::timestamptz[]) as x (place, id, chunk, seq, at)
left join messages m on m.id = x.id
left join exceptions e on e.chunk = x.chunk and e.seq = x.seq
left join lateral (
    select a.no, a.status, a.code from tries_of(x.chunk, x.seq) a where a.at <= x.at order by a.at desc limit 1
) a on true";

async fn deliveries(app: &App, parts: &[Part]) -> Result<HashMap<usize, Of>, Error> {
    let wanted = || parts.iter().enumerate().filter_map(|(place, part)| Some((place, part, part.delivery?)));
    let places: Vec<i32> = wanted().map(|(place, ..)| place as i32).collect();
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = wanted().map(|(.., id)| id.uuid()).collect();
    let chunks: Vec<Uuid> = wanted().map(|(.., id)| id.chunk).collect();
    let seqs: Vec<i16> = wanted().map(|(.., id)| id.seq).collect();
    let times: Vec<Timestamp> = wanted().map(|(_, part, _)| part.at).collect();
    let rows = app.db.rows(DELIVERIES, &[&places, &ids, &chunks, &seqs, &times]).await?;
    let told = |row: &Row| {
        let place = row.get::<_, i32>(0) as usize;
        Some((place, of_delivery(row, parts[place].kind, parts[place].delivery?.uuid())))
    };
    Ok(rows.iter().filter_map(told).collect())
}

fn of_delivery(row: &Row, kind: Kind, delivery: Uuid) -> Of {
    let (state, stored) = match kind {
        Kind::Failed => (State::Failed, 5),
        Kind::Expired => (State::Expired, 4),
        Kind::Unconfirmed => (State::Unconfirmed, 6),
        Kind::Cancelled => (State::Cancelled, 3),
        _ => (State::Delivered, 7),
    };
    let noted = row.get::<_, Option<i16>>(7) == Some(stored);
    let reason = if noted { row.get(8) } else { row.get(11) };
    Of::Delivery {
        delivery,
        state,
        channel: row.get::<_, Option<i16>>(1).and_then(ChannelName::from_number),
        destination: row.get(2),
        from: row.get(3),
        to: row.get(4),
        tag: row.get(5),
        campaign: row.get(6),
        reason: if state == State::Delivered { None } else { reason },
        attempts: row.get::<_, Option<i16>>(9).unwrap_or(0),
        status: row.get(10),
    }
}
