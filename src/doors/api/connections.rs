//! Connections and the handshakes that make them.

pub(super) mod describe;

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::accounts;
use crate::connections::{self, Connection};
use crate::doors::Serve;
use crate::handshakes::{self, Handshake, NewHandshake};
use crate::openmsg::{Address, PassCode};

use super::audited::made;
use super::call::{Answer, Call, json, nothing, ok};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;

/// Longest `wait`, in seconds.
const LONGEST_WAIT: u64 = 60;
/// How often a waiting request looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A connection as the API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Connection")]
struct View {
    id: Uuid,
    account: Address,
    other: Address,
    other_name: String,
    #[schemars(extend("enum" = ["active", "broken", "blocked"]))]
    state: &'static str,
    accepts_messages: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Connection> for View {
    fn from(connection: Connection) -> Self {
        Self {
            id: connection.id,
            account: connection.self_address,
            other: connection.other_address,
            other_name: connection.other_name,
            state: connection.state.name(),
            accepts_messages: connection.other_accepts,
            created_at: connection.created_at,
            updated_at: connection.updated_at,
        }
    }
}

/// A handshake as the API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Handshake")]
struct HandshakeView {
    id: Uuid,
    from: Address,
    to: Address,
    #[schemars(extend("enum" = ["pending", "running", "connected", "failed"]))]
    state: &'static str,
    error: Option<String>,
    connection: Option<Uuid>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

impl From<Handshake> for HandshakeView {
    fn from(handshake: Handshake) -> Self {
        let Handshake { id, from, to, state, error, connection, created_at, finished_at, .. } = handshake;
        Self { id, from, to, state: state.name(), error, connection, created_at, finished_at }
    }
}

/// `POST /connections`
pub(super) async fn start(mut call: Call) -> Answer {
    let wait = read_wait(&call)?;
    let _room = (!wait.is_zero()).then(|| call.wait()).transpose()?;
    let mut fields = call.fields().await?;
    let from = fields.required("from", values::our_address(call.domain()));
    let to = fields.required("to", values::parsed::<Address>);
    let code = fields.required("pass_code", values::parsed::<PassCode>);
    let allow_replies = fields.optional("allow_replies", values::boolean).unwrap_or(true);
    if from.is_some() && from == to {
        fields.mistake("to", "is the same address as from");
    }
    let (from, to, code) = fields.finish((|| Some((from?, to?, code?)))())?;
    call.act_for(&from)?;
    let account = accounts::find(call.app(), &from).await?.filter(|account| !account.disabled);
    let account = account.ok_or_else(|| Problem::field("from", "is no account of this node that is in use"))?;
    let sender = call.key.sender.clone();
    let new = NewHandshake { sender, account_id: account.id, from, to, code, allow_replies };
    let id = handshakes::start(call.app(), &new).await?;
    let publisher = call.shared.serve.publisher.clone();
    // Not waited for: if the broker does not take it, the scheduler publishes it again.
    tokio::spawn(async move { publisher.start_handshake(id).await });
    let handshake = wait_for(&call.shared.serve, id, wait).await?.ok_or_else(|| Problem::not_found("handshake"))?;
    let status = if handshake.finished_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    made(json(status, &HandshakeView::from(handshake)), id)
}

/// `GET /handshakes/{id}`
pub(super) async fn handshake(call: Call) -> Answer {
    let wait = read_wait(&call)?;
    let _room = (!wait.is_zero()).then(|| call.wait()).transpose()?;
    let id = call.id(0, "handshake")?;
    // Looked at once before any waiting: a key must not be able to wait for what it may not see.
    let visible = |handshake: &Handshake| call.may_see(&handshake.from);
    let seen = handshakes::get(call.app(), id).await?.filter(visible);
    let seen = seen.ok_or_else(|| Problem::not_found("handshake"))?;
    let handshake = match seen.finished_at {
        Some(_) => seen,
        None => wait_for(&call.shared.serve, id, wait).await?.unwrap_or(seen),
    };
    ok(&HandshakeView::from(handshake))
}

fn read_wait(call: &Call) -> Result<Duration, Problem> {
    let mut query = call.query();
    let wait = query.optional("wait", values::seconds(0..=LONGEST_WAIT));
    query.finish(Some(wait.unwrap_or_default()))
}

/// A handshake when it has ended, or as it is after `wait`, or when the process is asked to stop.
async fn wait_for(serve: &Serve, id: Uuid, wait: Duration) -> Result<Option<Handshake>, handshakes::Error> {
    let until = Instant::now() + wait;
    loop {
        let handshake = handshakes::get(&serve.app, id).await?;
        let ended = handshake.as_ref().is_none_or(|handshake| handshake.finished_at.is_some());
        if ended || Instant::now() >= until || serve.stopping.is_cancelled() {
            return Ok(handshake);
        }
        tokio::time::sleep_until(until.min(Instant::now() + LOOK_EVERY)).await;
    }
}

/// `GET /connections`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let account = query.optional("account", values::our_address(call.domain()));
    query.finish(Some(()))?;
    let account = match (account, &call.key.account) {
        (Some(address), _) => Some(super::inbox::account_id(&call, &address).await?),
        (None, Some(own)) => Some(own.id),
        (None, None) => None,
    };
    let connections = connections::list(call.app(), account, wanted.after, wanted.rows()).await?;
    ok(&wanted.page(connections, |connection| connection.id).map(View::from))
}

/// The connection the path names, if this key may see it.
async fn find(call: &Call) -> Result<Connection, Problem> {
    call.no_query()?;
    let found = connections::get(call.app(), call.id(0, "connection")?).await?;
    let visible = |connection: &Connection| call.may_see(&connection.self_address);
    found.filter(visible).ok_or_else(|| Problem::not_found("connection"))
}

/// `GET /connections/{id}`
pub(super) async fn show(call: Call) -> Answer {
    ok(&View::from(find(&call).await?))
}

/// `POST /connections/{id}/block`
pub(super) async fn block(mut call: Call) -> Answer {
    let id = find(&call).await?.id;
    call.fields().await?.finish(Some(()))?;
    changed(connections::block(call.app(), id).await?)
}

/// `POST /connections/{id}/unblock`
pub(super) async fn unblock(mut call: Call) -> Answer {
    let id = find(&call).await?.id;
    call.fields().await?.finish(Some(()))?;
    changed(connections::unblock(call.app(), id).await?)
}

fn changed(connection: Option<Connection>) -> Answer {
    ok(&View::from(connection.ok_or_else(|| Problem::not_found("connection"))?))
}

/// `DELETE /connections/{id}`
pub(super) async fn delete(call: Call) -> Answer {
    let id = find(&call).await?.id;
    if connections::delete(call.app(), id).await? {
        nothing()
    } else {
        Err(Problem::new(Kind::NotFound, "The connection was deleted by somebody else at the same moment."))
    }
}
