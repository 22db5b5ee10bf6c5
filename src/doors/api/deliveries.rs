//! Deliveries: finding them, looking at them, replaying and cancelling them.
//!
//! | file | what |
//! |---|---|
//! | `filter` | a filter from a query or a body |
//! | `operations` | replays and cancels by filter, and what becomes of them |
//!
//! To a key that is bound to an account only the deliveries from that account exist.

pub(super) mod describe;
pub(super) mod filter;
mod operations;

pub(super) use operations::{
    begin_cancel, begin_replay, cancel_operation, operation, operations, pause_operation, results, resume_operation,
};

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::books::{self, Delivery, Replayed};

use super::call::{Answer, Call, ok};
use super::page::{Page, Wanted};
use super::problem::Problem;
use super::values;

/// Ids in one request.
const MOST: usize = 1000;
/// How long a request may count.
const PATIENCE: Duration = Duration::from_secs(5);

/// `GET /deliveries`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let filter = filter::read(&mut query, call.domain());
    query.finish(Some(()))?;
    let filter = filter::for_key(&call, filter)?;
    let found = books::deliveries(call.app(), &filter, wanted.after, wanted.limit() as usize).await?;
    ok(&Page { items: found.items, next: found.next })
}

/// `GET /deliveries/count`
pub(super) async fn count(call: Call) -> Answer {
    let mut query = call.query();
    let after = query.optional("after", values::id);
    let filter = filter::read(&mut query, call.domain());
    query.finish(Some(()))?;
    let filter = filter::for_key(&call, filter)?;
    ok(&books::count(call.app(), &filter, after, PATIENCE).await?)
}

/// `GET /deliveries/{id}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    ok(&find(&call, call.id(0, "delivery")?).await?)
}

/// The delivery the path names, if this key may see it.
async fn find(call: &Call, id: Uuid) -> Result<Delivery, Problem> {
    let found = books::delivery(call.app(), id).await?;
    found.filter(|delivery| is_visible(call, delivery)).ok_or_else(|| Problem::not_found("delivery"))
}

fn is_visible(call: &Call, delivery: &Delivery) -> bool {
    let own = call.key.account.as_ref().map(|account| account.address.as_str());
    own.is_none_or(|own| delivery.from.as_deref() == Some(own))
}

/// Which of `ids` this key may touch; to a key that is bound to an account the rest do not exist.
async fn visible(call: &Call, ids: &[Uuid]) -> Result<Vec<bool>, Problem> {
    let Some(account) = &call.key.account else { return Ok(vec![true; ids.len()]) };
    Ok(books::are_from(call.app(), ids, account.address.as_str()).await?)
}

/// `POST /deliveries/{id}/replay`
pub(super) async fn replay(mut call: Call) -> Answer {
    call.no_query()?;
    let id = call.id(0, "delivery")?;
    call.fields().await?.finish(Some(()))?;
    let result = replay_those(&call, &[id]).await?.pop().unwrap_or(Replayed::Unknown);
    match result {
        Replayed::Unknown => Err(Problem::not_found("delivery")),
        result => ok(&json!({"id": id, "result": result})),
    }
}

/// `POST /deliveries/replay`
pub(super) async fn replay_many(mut call: Call) -> Answer {
    call.no_query()?;
    let ids = ids(&mut call).await?;
    let results = replay_those(&call, &ids).await?;
    let rows: Vec<_> = ids.iter().zip(results).map(|(id, result)| json!({"id": id, "result": result})).collect();
    ok(&json!({"results": rows}))
}

async fn ids(call: &mut Call) -> Result<Vec<Uuid>, Problem> {
    let mut fields = call.fields().await?;
    let ids = fields.required("ids", values::ids(MOST));
    fields.finish(ids)
}

async fn replay_those(call: &Call, ids: &[Uuid]) -> Result<Vec<Replayed>, Problem> {
    let visible = visible(call, ids).await?;
    let own: Vec<Uuid> = ids.iter().zip(&visible).filter(|(_, visible)| **visible).map(|(id, _)| *id).collect();
    let mut results = books::replay(call.app(), &own).await?.into_iter();
    let result = |visible: bool| if visible { results.next() } else { None };
    Ok(visible.into_iter().map(result).map(|result| result.unwrap_or(Replayed::Unknown)).collect())
}

/// `POST /deliveries/cancel`
pub(super) async fn cancel_many(mut call: Call) -> Answer {
    call.no_query()?;
    let ids = ids(&mut call).await?;
    let visible = visible(&call, &ids).await?;
    let own: Vec<Uuid> = ids.iter().zip(&visible).filter(|(_, visible)| **visible).map(|(id, _)| *id).collect();
    let mut results = books::cancel_many(call.app(), &own).await?.into_iter();
    let rows: Vec<_> = ids
        .iter()
        .zip(visible)
        .map(|(id, visible)| match if visible { results.next().flatten() } else { None } {
            Some(result) => json!({"id": id, "result": result}),
            None => json!({"id": id, "result": "unknown"}),
        })
        .collect();
    ok(&json!({"results": rows}))
}
