//! Messages: handing them over, alone or many at once, looking at them, withdrawing them.
//!
//! | file | what |
//! |---|---|
//! | `row` | one message of a request into types |
//! | `ways` | the connection each one goes over, many look-ups in one statement |
//! | `batch` | many rows at once: each is answered for itself |
//! | `lines` | rows a line each, any number, as they arrive |
//!
//! Nothing is answered as accepted before the books have committed it.

pub(super) mod describe;

mod batch;
mod lines;
pub(super) mod row;
mod ways;

pub(super) use batch::{Desk, accept_many};
pub(super) use row::{Keyed, Row};
pub(super) use ways::Ways;

use http::{HeaderValue, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::books::{self, Accepted, Lane, MessageFilter, MessageView};

use super::call::{Answer, Call, json as answer, ok};
use super::fields::Fields;
use super::page::{Page, Wanted};
use super::problem::{Kind, Problem};
use super::values;
use row::To;

/// Told with an answer that repeats an earlier one.
const REPLAYED: &str = "idempotent-replayed";

/// `POST /messages`
pub(super) async fn accept(mut call: Call) -> Answer {
    call.no_query()?;
    let key = call.idempotency_key()?;
    let fields = Fields::parse_with_raw(&call.json().await?)?;
    let row = Row::read(fields, call.app(), Lane::Interactive, Keyed::ByHeader(key))?;
    match &row.to {
        To::Peer { from, .. } => call.act_for(from)?,
        To::Webhook(_) => call.unbound()?,
    }
    let connection = call.shared.ways.open(&row.to).await?;
    let message = row.into_message(&call.key.sender, connection);
    let (id, replayed) = match call.shared.serve.acceptor.accept(message).await? {
        Accepted::New(id) => (id, false),
        Accepted::Replayed(id) => (id, true),
        Accepted::Mismatch | Accepted::RefusedBefore => return Err(mismatch()),
    };
    let mut response = answer(StatusCode::ACCEPTED, &json!({"id": id, "state": "pending"}))?;
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn mismatch() -> Problem {
    let detail = "The same idempotency key came before with other content; nothing was accepted this time.";
    Problem::new(Kind::IdempotencyMismatch, detail)
}

/// `GET /messages`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let from = query.optional("from", values::our_address(call.domain()));
    let to = query.optional("to", values::parsed::<crate::openmsg::Address>);
    let state = query.optional("state", values::state);
    let tag = query.optional("tag", values::tag);
    query.finish(Some(()))?;
    if let Some(from) = &from {
        call.act_for(from)?;
    }
    let from = from.or_else(|| call.key.account.as_ref().map(|account| account.address.clone()));
    let filter = MessageFilter {
        from: from.map(|address| address.to_string()),
        to: to.map(|address| address.to_string()),
        state,
        tag,
        after: wanted.after,
        limit: wanted.limit(),
    };
    let (items, next) = books::list(call.app(), &filter).await?;
    ok(&Page { items, next })
}

/// `GET /messages/summary`
pub(super) async fn summary(call: Call) -> Answer {
    let mut query = call.query();
    let tag = query.optional("tag", values::tag);
    query.finish(Some(()))?;
    let from = call.key.account.as_ref().map(|account| &account.address);
    ok(&books::summary(call.app(), tag.as_deref(), from).await?)
}

/// The message the path names, if this key may see it.
async fn find(call: &Call, id: Uuid) -> Result<MessageView, Problem> {
    let message = books::find(call.app(), id).await?;
    let own = call.key.account.as_ref().map(|account| account.address.as_str());
    let visible = |message: &MessageView| own.is_none_or(|own| message.from.as_deref() == Some(own));
    message.filter(visible).ok_or_else(|| Problem::not_found("message"))
}

/// `GET /messages/{id}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    ok(&find(&call, call.id(0, "message")?).await?)
}

/// `POST /messages/{id}/cancel`
pub(super) async fn cancel(mut call: Call) -> Answer {
    call.no_query()?;
    let id = call.id(0, "message")?;
    call.fields().await?.finish(Some(()))?;
    if call.key.account.is_some() {
        find(&call, id).await?;
    }
    let result = books::cancel(call.app(), id).await?.ok_or_else(|| Problem::not_found("message"))?;
    ok(&json!({"id": id, "result": result}))
}
