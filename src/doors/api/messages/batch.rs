//! Many rows at once: each is answered for itself, and one bad row fails alone.

use std::collections::HashMap;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::books::{Accepted, BatchKey, Lane, NewMessage};
use crate::doors::Serve;
use crate::openmsg::Address;
use crate::senders::Key;

use super::super::call::{Answer, Call, ok};
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::super::streamed::NDJSON;
use super::super::values;
use super::row::{Keyed, Row, To};
use super::{REPLAYED, Ways, lines, mismatch, ways};

/// Rows in one JSON batch.
pub(super) const MOST: usize = 1000;

/// What became of a row.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "RowOutcome")]
pub(super) enum Outcome {
    Accepted { index: u64, id: Uuid, replayed: bool },
    Refused { index: u64, error: Problem },
}

/// Rows with their places in the request.
pub(super) type Rows = Vec<(u64, Result<Row, Problem>)>;

/// What rows are accepted with.
pub(in super::super) struct Desk<'a> {
    pub(in super::super) serve: &'a Serve,
    pub(in super::super) ways: &'a Ways,
    pub(in super::super) key: &'a Key,
}

/// The body of a batch whose rows are still as they were written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

/// One key for a whole request, with what it stands for.
struct Header {
    text: String,
    body: Bytes,
}

/// `POST /messages/batch`
pub(in super::super) async fn accept_many(mut call: Call) -> Answer {
    call.no_query()?;
    if call.is_of_type(NDJSON) {
        return lines::accept(call);
    }
    let header = call.idempotency_key()?;
    let body = call.json().await?;
    let rows = read_rows(&body, &call.shared.serve)?;
    let desk = Desk { serve: &call.shared.serve, ways: &call.shared.ways, key: &call.key };
    let header = header.map(|text| Header { text, body: body.clone() });
    answer(desk.accept_under(rows, header).await?)
}

fn read_rows(body: &Bytes, serve: &Serve) -> Result<Rows, Problem> {
    let Ok(Wire { messages }) = serde_json::from_slice::<Wire<'_>>(body) else {
        // Said in the words of the ordinary way.
        let mut fields = Fields::parse(body)?;
        let rows = fields.required("messages", values::list(MOST));
        fields.finish(rows)?;
        return Err(Problem::new(Kind::Invalid, "This is not a batch."));
    };
    if !(1..=MOST).contains(&messages.len()) {
        let message = format!("has {} entries; 1 to {MOST} are allowed", messages.len());
        return Err(Problem::field("messages", message));
    }
    let rows = messages.into_iter().zip(0..);
    Ok(rows.map(|(row, index)| (index, read_row(Fields::parse_with_raw(row.get().as_bytes()), serve))).collect())
}

fn answer(outcomes: Vec<Outcome>) -> Answer {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let accepted = count(|outcome| matches!(outcome, Outcome::Accepted { .. }));
    let replayed = count(|outcome| matches!(outcome, Outcome::Accepted { replayed: true, .. }));
    let rejected = outcomes.len() - accepted;
    let mut response = ok(&json!({"accepted": accepted, "rejected": rejected, "results": outcomes}))?;
    if accepted > 0 && replayed == accepted {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// One row of a batch.
pub(super) fn read_row(fields: Result<Fields, Problem>, serve: &Serve) -> Result<Row, Problem> {
    Row::read(fields?, &serve.app, Lane::Bulk, Keyed::ByRow)
}

impl Desk<'_> {
    /// Hands rows to the books: one look-up of connections and one call for all that are good. Fails only as a whole, and then
    /// rows may be sent again under the same keys.
    pub(super) async fn accept(&self, rows: Rows) -> Result<Vec<Outcome>, Problem> {
        self.accept_under(rows, None).await
    }

    /// The same; rows without a key of their own are under the header's.
    async fn accept_under(&self, rows: Rows, header: Option<Header>) -> Result<Vec<Outcome>, Problem> {
        let rows = self.prepare(rows).await?;
        let (mut own, mut together) = (Vec::new(), Vec::new());
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(rows.len());
        let mut indices = Vec::with_capacity(rows.len());
        for (place, (index, message)) in rows.into_iter().enumerate() {
            indices.push(index);
            match message {
                Ok(message) => {
                    let list = if header.is_some() && message.key.is_none() { &mut together } else { &mut own };
                    list.push((place, message));
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(Outcome::Refused { index, error })),
            }
        }
        for (list, header) in [(together, header), (own, None)] {
            for (place, accepted) in self.hand_over(list, header).await? {
                outcomes[place] = Some(outcome(indices[place], accepted));
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Rows as the books take them: permitted, and with what they go over, in one look-up for all.
    pub(in super::super) async fn prepare(
        &self,
        rows: Vec<(u64, Result<Row, Problem>)>,
    ) -> Result<Vec<(u64, Result<NewMessage, Problem>)>, Problem> {
        let rows: Vec<_> = rows.into_iter().map(|(index, row)| (index, row.and_then(|row| self.permit(row)))).collect();
        let ways = self.ways_of(&rows).await?;
        let message = |row: Row| {
            let connection = ways.of(&row.to)?;
            Ok(row.into_message(&self.key.sender, connection))
        };
        Ok(rows.into_iter().map(|(index, row)| (index, row.and_then(message))).collect())
    }

    async fn hand_over(
        &self,
        rows: Vec<(usize, NewMessage)>,
        header: Option<Header>,
    ) -> Result<Vec<(usize, Accepted)>, Problem> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (places, messages): (Vec<usize>, Vec<NewMessage>) = rows.into_iter().unzip();
        let acceptor = &self.serve.acceptor;
        let accepted = match header {
            None => acceptor.accept_many(messages).await?,
            Some(Header { text, body }) => {
                let key = BatchKey { scope: self.key.sender.clone(), text, body, places: places.clone() };
                let accepted = acceptor.accept_batch(messages, key).await?;
                // A key stands for its request: with another one nothing is accepted.
                if accepted.contains(&Accepted::Mismatch) {
                    return Err(mismatch());
                }
                accepted
            }
        };
        Ok(places.into_iter().zip(accepted).collect())
    }

    fn permit(&self, row: Row) -> Result<Row, Problem> {
        let Some(own) = &self.key.account else { return Ok(row) };
        match &row.to {
            To::Peer { from, .. } if own.address == *from => Ok(row),
            To::Peer { from, .. } => {
                Err(Problem::new(Kind::Forbidden, format!("This key is bound to another account than {from}.")))
            }
            To::Webhook(_) => {
                Err(Problem::new(Kind::Forbidden, "A key that is bound to an account sends no webhooks."))
            }
        }
    }

    async fn ways_of(&self, rows: &[(u64, Result<Row, Problem>)]) -> Result<Found, Problem> {
        let good = || rows.iter().filter_map(|(_, row)| row.as_ref().ok());
        let peers = good().filter_map(|row| match &row.to {
            To::Peer { from, to } => Some((from.clone(), to.clone())),
            To::Webhook(_) => None,
        });
        let mut pairs: Vec<_> = peers.collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut found = Found::default();
        if !pairs.is_empty() {
            let ways = self.ways.find_many(&pairs).await?;
            found.connections = pairs.into_iter().zip(ways).collect();
        }
        let mut names: Vec<_> = good().filter(|row| matches!(row.to, To::Webhook(_))).map(|row| &row.to).collect();
        names.sort_unstable_by(|a, b| a.webhook().cmp(&b.webhook()));
        names.dedup();
        let checks = names.iter().map(|to| self.ways.open(to));
        for (to, checked) in names.iter().zip(futures_util::future::join_all(checks).await) {
            found.webhooks.insert(to.webhook().unwrap_or_default().to_owned(), checked.map(|_| ()));
        }
        Ok(found)
    }
}

/// What the rows of a batch go over.
#[derive(Default)]
struct Found {
    connections: HashMap<(Address, Address), Option<crate::connections::Way>>,
    webhooks: HashMap<String, Result<(), Problem>>,
}

impl Found {
    fn of(&self, to: &To) -> Result<Option<Uuid>, Problem> {
        match to {
            To::Peer { from, to } => {
                ways::open(self.connections.get(&(from.clone(), to.clone())).cloned().flatten()).map(Some)
            }
            To::Webhook(name) => match self.webhooks.get(name.as_str()) {
                Some(checked) => checked.clone().map(|()| None),
                None => Ok(None),
            },
        }
    }
}

fn outcome(index: u64, accepted: Accepted) -> Outcome {
    match accepted {
        Accepted::New(id) => Outcome::Accepted { index, id, replayed: false },
        Accepted::Replayed(id) => Outcome::Accepted { index, id, replayed: true },
        Accepted::Mismatch => Outcome::Refused { index, error: mismatch() },
        Accepted::RefusedBefore => Outcome::Refused { index, error: refused_before() },
    }
}

fn refused_before() -> Problem {
    let detail = "This row was refused when the key came first; mended rows go under another key.";
    Problem::new(Kind::Conflict, detail)
}
