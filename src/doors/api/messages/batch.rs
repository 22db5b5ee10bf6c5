//! Many rows at once: each is answered for itself, and one bad row fails alone.

use std::collections::HashMap;

use http::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::books::{Accepted, Lane, NewMessage};
use crate::doors::Serve;
use crate::senders::Key;

use super::super::call::{Answer, Call, ok};
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::super::streamed::NDJSON;
use super::super::values;
use super::row::{Keyed, Row};
use super::{REPLAYED, Ways, lines, mismatch, ways};

/// Rows in one JSON batch.
const MOST: usize = 1000;

/// What became of a row.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Accepted { index: u64, id: Uuid, replayed: bool },
    Refused { index: u64, error: Problem },
}

/// What rows are accepted with.
pub(super) struct Desk<'a> {
    pub(super) serve: &'a Serve,
    pub(super) ways: &'a Ways,
    pub(super) key: &'a Key,
}

/// `POST /messages/batch`
pub(in super::super) async fn accept_many(mut call: Call) -> Answer {
    call.no_query()?;
    if call.is_of_type(NDJSON) {
        return lines::accept(call);
    }
    let header = call.idempotency_key()?;
    let mut fields = call.fields().await?;
    let rows = fields.required("messages", values::list(MOST));
    let rows = fields.finish(rows)?;
    let read = |(index, row): (usize, Value)| {
        let index = index as u64;
        (index, read_row(Fields::of(row), &call.shared.serve, Keyed::ByRow { header: header.clone(), index }))
    };
    let rows: Vec<_> = rows.into_iter().enumerate().map(read).collect();
    let desk = Desk { serve: &call.shared.serve, ways: &call.shared.ways, key: &call.key };
    answer(desk.accept(rows).await?)
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
pub(super) fn read_row(fields: Result<Fields, Problem>, serve: &Serve, keyed: Keyed) -> Result<Row, Problem> {
    Row::read(fields?, &serve.app.config, Lane::Bulk, keyed)
}

impl Desk<'_> {
    /// Hands rows to the books: one look-up of connections and one call for all that are good. Fails only as a whole, and then
    /// rows may be sent again under the same keys.
    pub(super) async fn accept(&self, rows: Vec<(u64, Result<Row, Problem>)>) -> Result<Vec<Outcome>, Problem> {
        let rows: Vec<_> = rows.into_iter().map(|(index, row)| (index, row.and_then(|row| self.permit(row)))).collect();
        let ways = self.ways_of(&rows).await?;
        let mut good: Vec<NewMessage> = Vec::with_capacity(rows.len());
        let mut places: Vec<(u64, Option<Problem>)> = Vec::with_capacity(rows.len());
        for (index, row) in rows {
            match row.and_then(|row| Ok((row_way(&ways, &row)?, row))) {
                Ok((connection, row)) => {
                    good.push(row.into_message(&self.key.sender, connection));
                    places.push((index, None));
                }
                Err(problem) => places.push((index, Some(problem))),
            }
        }
        let mut accepted = match good.is_empty() {
            true => Vec::new(),
            false => self.serve.acceptor.accept_many(good).await?,
        }
        .into_iter();
        Ok(places.into_iter().map(|(index, refused)| outcome(index, refused, &mut accepted)).collect())
    }

    fn permit(&self, row: Row) -> Result<Row, Problem> {
        match &self.key.account {
            Some(own) if own.address != row.from => {
                Err(Problem::new(Kind::Forbidden, format!("This key is bound to another account than {}.", row.from)))
            }
            _ => Ok(row),
        }
    }

    async fn ways_of(&self, rows: &[(u64, Result<Row, Problem>)]) -> Result<WaysFound, Problem> {
        let good = rows.iter().filter_map(|(_, row)| row.as_ref().ok());
        let mut pairs: Vec<_> = good.map(|row| (row.from.clone(), row.to.clone())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        if pairs.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.ways.find_many(&pairs).await?;
        Ok(pairs.into_iter().zip(found).collect())
    }
}

type WaysFound = HashMap<(crate::openmsg::Address, crate::openmsg::Address), Option<crate::connections::Way>>;

fn row_way(found: &WaysFound, row: &Row) -> Result<Uuid, Problem> {
    ways::open(found.get(&(row.from.clone(), row.to.clone())).cloned().flatten())
}

/// `refused`, or else the next of what the books answered, which is in the order of the good rows.
fn outcome(index: u64, refused: Option<Problem>, accepted: &mut impl Iterator<Item = Accepted>) -> Outcome {
    if let Some(error) = refused {
        return Outcome::Refused { index, error };
    }
    match accepted.next() {
        Some(Accepted::New(id)) => Outcome::Accepted { index, id, replayed: false },
        Some(Accepted::Replayed(id)) => Outcome::Accepted { index, id, replayed: true },
        Some(Accepted::Mismatch) => Outcome::Refused { index, error: mismatch() },
        None => {
            Outcome::Refused { index, error: Problem::new(Kind::Internal, "The books gave no answer for this row.") }
        }
    }
}
