//! Replays and cancels by filter: counted first, then begun, then carried on by workers.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::books::{self, BooksError, NewOperation, Operation, OperationKind, Steer};

use super::super::audited::made;
use super::super::call::{Answer, Call, json as answer, ok};
use super::super::fields::{Fields, name_of};
use super::super::page::{Page, Wanted};
use super::super::problem::{Kind, Problem};
use super::super::values;
use super::{PATIENCE, filter};

/// `POST /replays`
pub(in crate::doors::api) async fn begin_replay(call: Call) -> Answer {
    begin(call, OperationKind::Replay).await
}

/// `POST /cancellations`
pub(in crate::doors::api) async fn begin_cancel(call: Call) -> Answer {
    begin(call, OperationKind::Cancel).await
}

async fn begin(mut call: Call, kind: OperationKind) -> Answer {
    call.no_query()?;
    let mut fields = call.fields().await?;
    let given = fields.required("filter", object);
    let rate = match kind {
        OperationKind::Replay => fields.optional("rate", rate),
        // A cancel that waits would let go what it is to stop.
        OperationKind::Cancel => None,
    };
    let dry_run = fields.optional("dry_run", values::boolean).unwrap_or(false);
    let given = fields.finish(given)?;
    let mut fields = Fields::of(Value::Object(given))?;
    let filter = filter::read(&mut fields, call.domain());
    if filter.is_everything() {
        fields.mistake("filter", "names nothing; everything is too much at once");
    }
    if kind == OperationKind::Cancel && filter.is_of_ended() {
        fields.mistake("state", "names nothing that is still under way");
    }
    fields.finish(Some(()))?;
    let filter = filter::for_key(&call, filter)?;
    // A cancel is not to wait for a count.
    let patience = if dry_run { PATIENCE } else { PATIENCE / 10 };
    let counted = match (kind, dry_run) {
        (OperationKind::Cancel, false) => books::Count::default(),
        (kind, _) => match books::count(call.app(), &kind.filter(&filter), None, patience).await {
            // Others count: it begins all the same, and nobody knows how many there are.
            Err(BooksError::Crowded) if !dry_run => books::Count::default(),
            counted => counted?,
        },
    };
    if dry_run {
        return ok(&json!({
            "matching": counted.matching, "complete": counted.complete, "states": counted.states, "groups": counted.groups,
        }));
    }
    let sender = call.key.sender.clone();
    let new = NewOperation { kind, sender, filter, rate, matching: counted.matching };
    let begun = books::begin_operation(call.app(), &new).await?;
    made(answer(StatusCode::ACCEPTED, &shape(&begun)), begun.id)
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(format!("is {}, not an object", name_of(&other))),
    }
}

fn rate(value: Value) -> Result<f32, String> {
    let rates = books::OPERATION_RATES;
    let rate = value.as_f64().filter(|rate| rates.contains(rate));
    rate.map(|rate| rate as f32).ok_or_else(|| format!("is not a number from {} to {}", rates.start(), rates.end()))
}

/// What its kind calls the things it counts.
fn shape(operation: &Operation) -> Value {
    let Operation { id, kind, sender, filter, state, rate, matching, seen, done, stopping, skipped, .. } = operation;
    let mut shown = json!({
        "id": id, "kind": kind, "sender": sender, "filter": filter, "state": state, "seen": seen,
        "created_at": operation.created_at, "updated_at": operation.updated_at, "finished_at": operation.finished_at,
    });
    let counts = match kind {
        OperationKind::Replay => json!({"rate": rate, "matching": matching, "replayed": done, "skipped": skipped}),
        OperationKind::Cancel => json!({"stopped": done, "stopping": stopping, "gone": skipped}),
    };
    if let (Some(shown), Value::Object(counts)) = (shown.as_object_mut(), counts) {
        shown.extend(counts);
    }
    shown
}

/// `GET /operations`
pub(in crate::doors::api) async fn operations(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    query.finish(Some(()))?;
    let account = call.key.account.as_ref().map(|account| account.address.as_str());
    let found = books::operations(call.app(), account, wanted.after, wanted.rows()).await?;
    ok(&wanted.page(found, |operation| operation.id).map(|operation| shape(&operation)))
}

/// The operation the path names, if this key may see it.
async fn find(call: &Call) -> Result<Operation, Problem> {
    let found = books::operation(call.app(), call.id(0, "operation")?).await?;
    let own = call.key.account.as_ref().map(|account| account.address.as_str());
    let visible = |operation: &Operation| own.is_none_or(|own| operation.filter.from.as_deref() == Some(own));
    found.filter(visible).ok_or_else(|| Problem::not_found("operation"))
}

/// `GET /operations/{id}`
pub(in crate::doors::api) async fn operation(call: Call) -> Answer {
    call.no_query()?;
    ok(&shape(&find(&call).await?))
}

/// `GET /operations/{id}/results`
pub(in crate::doors::api) async fn results(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    query.finish(Some(()))?;
    let operation = find(&call).await?;
    let limit = wanted.limit();
    let items = books::operation_results(call.app(), operation.id, wanted.after, limit).await?;
    let next = if items.len() as i64 == limit { items.last().map(|item| item.id) } else { None };
    ok(&Page { items, next })
}

/// `POST /operations/{id}/pause`
pub(in crate::doors::api) async fn pause_operation(call: Call) -> Answer {
    steer(call, Steer::Pause).await
}

/// `POST /operations/{id}/resume`
pub(in crate::doors::api) async fn resume_operation(call: Call) -> Answer {
    steer(call, Steer::Resume).await
}

/// `POST /operations/{id}/cancel`
pub(in crate::doors::api) async fn cancel_operation(call: Call) -> Answer {
    steer(call, Steer::Cancel).await
}

async fn steer(mut call: Call, how: Steer) -> Answer {
    call.no_query()?;
    let operation = find(&call).await?;
    call.fields().await?.finish(Some(()))?;
    let steered = books::steer(call.app(), operation.id, how).await?;
    let (operation, done) = steered.ok_or_else(|| Problem::not_found("operation"))?;
    // Asked for twice is as good as once.
    let already = matches!(
        (how, operation.state),
        (Steer::Pause, books::OperationState::Paused)
            | (Steer::Resume, books::OperationState::Running)
            | (Steer::Cancel, books::OperationState::Cancelled)
    );
    match done || already {
        true => ok(&shape(&operation)),
        false => {
            let detail = format!("It is {} already.", json!(operation.state).as_str().unwrap_or("over"));
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}
