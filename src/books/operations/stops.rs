//! Cancels under way: what is stopped before the operation comes to it.

use jiff::Timestamp;
use uuid::Uuid;

use super::stored;
use crate::App;
use crate::books::find::Filter;
use crate::books::{BooksError, ClaimedDelivery, Lane};
use crate::clock::uuid_at;
use crate::db::Transaction;

/// A cancel that is under way. What it covers must not be sent.
#[derive(Debug, Clone)]
pub struct Stop {
    /// The operation.
    pub operation: Uuid,
    filter: Filter,
}

impl Stop {
    /// Whether this cancel is for this delivery. One that also asks for states, codes, or for whose the delivery is covers nothing
    /// here: that is the books' to say, and the operation's to look at.
    pub fn covers(&self, delivery: &ClaimedDelivery) -> bool {
        let Filter { destination, states, status, code, campaign, tag, from, to, sender, since, until } = &self.filter;
        let id = delivery.id.uuid();
        let whole = states.is_empty() || *states == Filter::default().of_open().states;
        let untold = status.is_none() && code.is_none() && from.is_none() && to.is_none() && sender.is_none();
        whole
            && untold
            && delivery.lane != Lane::Status
            && id < self.operation
            && destination.as_ref().is_none_or(|wanted| *wanted == delivery.destination)
            && tag.as_ref().is_none_or(|wanted| Some(wanted) == delivery.tag.as_ref())
            && campaign.is_none_or(|wanted| Some(wanted) == delivery.campaign)
            && since.is_none_or(|since| id >= uuid_at(since))
            && until.is_none_or(|until| id < uuid_at(until))
    }
}

/// The cancels under way; mostly none. Read every 400 ms by each worker.
pub async fn stops(app: &App) -> Result<Vec<Stop>, BooksError> {
    let sql = "/* books::operations stops */
        select id, filter::text from operations where state = 0 and kind = 2 order by id desc limit 100";
    let rows = app.db.rows(sql, &[]).await?;
    rows.iter().map(|row| Ok(Stop { operation: row.get(0), filter: stored(row.get(1))? })).collect()
}

/// Stops all chunks of a destination or campaign that nobody holds, in one statement, where the filter asks for nothing else.
pub(super) async fn stop_chunks(
    tx: &Transaction<'_>,
    operation: Uuid,
    filter: &Filter,
    now: Timestamp,
) -> Result<(), BooksError> {
    let rest = Filter { states: Vec::new(), ..filter.clone() };
    let whole = filter.states.is_empty() || filter.states == Filter::default().of_open().states;
    if !whole || !rest.is_only(true, true) {
        return Ok(());
    }
    for (sql, wanted) in [(BY_CAMPAIGN, filter.campaign.is_some()), (BY_DESTINATION, filter.campaign.is_none())] {
        let named = filter.campaign.is_some() || filter.destination.is_some();
        if wanted && named {
            let sql = format!("{sql}{STOPPED}");
            let statement = tx.prepare_cached(&sql).await?;
            tx.execute(&statement, &[&filter.destination, &filter.campaign, &operation, &now]).await?;
        }
    }
    Ok(())
}

const BY_DESTINATION: &str = "/* books::operations stop chunks */
with found as materialized (
    select id from chunks where destination = $1::text and state in (0, 3, 4) and $2::uuid is null and lane <> 2 and id < $3
    order by id for update
)";

const BY_CAMPAIGN: &str = "/* books::operations stop chunks of a campaign */
with found as materialized (
    select id from chunks
    where campaign = $2::uuid and ($1::text is null or destination = $1) and state in (0, 3, 4) and lane <> 2 and id < $3
    order by id for update
)";

/// What had left a chunk before, or was delivered before the chunk was handed back, is not of it any more.
const STOPPED: &str = ", stopped as (
    update chunks c set state = 5, published_at = null from found where c.id = found.id and c.state in (0, 3, 4) returning c.id, c.n, c.tries
), left_over as (
    select s.id, array(
        select g::smallint from generate_series(0, s.n - 1) g
        where g <> all(coalesce((select array_agg(e.seq::integer) from exceptions e where e.chunk = s.id), '{}'))
          and (s.tries = 0 or g <> all(coalesce((select array_agg(a.seq::integer) from tries_of(s.id) a where a.outcome = 0), '{}')))
        order by g) as seqs
    from stopped s
), noted as (
    insert into operation_results (operation, chunk, seq, seqs, result)
    select $3, id, seqs[1], seqs, 1 from left_over where cardinality(seqs) > 0
), told as (
    insert into events (at, kind, chunk, seqs) select $4, 5, id, seqs from left_over where cardinality(seqs) > 0
)
update operations set done = done + x.n, seen = seen + x.n, updated_at = $4
from (select coalesce(sum(cardinality(seqs)), 0)::bigint as n from left_over) x where id = $3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{DeliveryId, OperationKind, State};

    fn stop(filter: Filter) -> Stop {
        Stop { operation: Uuid::from_u128(100 << 16), filter: OperationKind::Cancel.filter(&filter) }
    }

    fn delivery(no: u128) -> ClaimedDelivery {
        ClaimedDelivery {
            id: DeliveryId { chunk: Uuid::from_u128(no << 16), seq: 1 },
            again: false,
            lane: Lane::Bulk,
            channel: None,
            connection: None,
            destination: "orders".into(),
            content: None,
            lacks: None,
            tries: 0,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            tag: Some("sale".into()),
            campaign: None,
            ordered: false,
            reason: None,
            flight: None,
            trace: None,
        }
    }

    #[test]
    fn a_cancel_covers_what_its_filter_names() {
        let tag = |tag: &str| Filter { tag: Some(tag.into()), ..Filter::default() };
        let destination = |name: &str| Filter { destination: Some(name.into()), ..Filter::default() };
        for (filter, covered) in [
            (tag("sale"), true),
            (tag("other"), false),
            (destination("orders"), true),
            (destination("other"), false),
            (Filter { destination: Some("orders".into()), ..tag("sale") }, true),
            (Filter { campaign: Some(Uuid::nil()), ..tag("sale") }, false),
            (Filter { sender: Some("shop".into()), ..tag("sale") }, false),
            (Filter { states: vec![State::Retrying], ..tag("sale") }, false),
            (Filter { code: Some("timeout".into()), ..tag("sale") }, false),
            (Filter { since: Some("2020-01-01T00:00:00Z".parse().unwrap()), ..tag("sale") }, false),
        ] {
            assert_eq!(stop(filter.clone()).covers(&delivery(50)), covered, "{filter:?}");
        }
    }

    #[test]
    fn what_was_accepted_after_a_cancel_or_tells_of_others_is_not_covered() {
        let sale = stop(Filter { tag: Some("sale".into()), ..Filter::default() });
        assert!(!sale.covers(&delivery(101)));
        assert!(!sale.covers(&ClaimedDelivery { lane: Lane::Status, ..delivery(50) }));
    }
}
