//! A handshake as a job: published, claimed, ended.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Error, address, open_code};
use crate::App;
use crate::clock::SKEW;
use crate::db::GenericClient;
use crate::openmsg::{Address, PassCode};

/// A publish that nothing has claimed for this long is repeated: a claim is conditional, so once too often does no harm.
const PUBLISH_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// Told to the user when the deadline has passed.
const NO_ANSWER: &str = "no answer in time; ask for a new pass code and try again";

/// A handshake that a worker has.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its id.
    pub id: Uuid,
    /// Our account.
    pub account_id: Uuid,
    /// Our account's address.
    pub from: Address,
    /// How our account is called.
    pub from_name: String,
    /// The peer's address.
    pub to: Address,
    /// The code to present.
    pub code: PassCode,
    /// Whether our user takes messages from the peer.
    pub allow_replies: bool,
    /// Which try this is, from 1.
    pub tries: i16,
    /// Failed when not connected by then.
    pub deadline: Timestamp,
}

const DUE: &str = "/* handshakes::due */
with due as (
    select id from handshakes
    where state = 0 and due_at <= $1 and deadline > $1
        and (published_at is null or published_at < $2 or published_to is distinct from (select broker_epoch from node))
    order by due_at limit $3 for update skip locked)
update handshakes h set published_at = $1, published_to = (select broker_epoch from node)
from due where h.id = due.id returning h.id";

const NOT_PUBLISHED: &str = "/* handshakes::not_published */
update handshakes set published_at = null, published_to = null where id = any ($1) and state = 0";

const CLAIM: &str = "/* handshakes::claim */
update handshakes h set state = 1, worker = $2, claim = $3, tries = h.tries + 1
from accounts a
where h.id = $1 and h.state = 0 and h.due_at <= $5 and h.deadline > $4 and a.id = h.account_id and a.disabled_at is null
    and exists (select from workers w where w.id = $2 and w.lease_until > $4)
returning h.id, h.account_id, h.self_address, a.name, h.other_address, h.code, h.allow_replies, h.tries, h.deadline";

/// A finished handshake is never reopened; an unfinished one is ended also by a worker that lost its claim: the keys are true.
const FINISH_CONNECTED: &str = "/* handshakes::finish_connected */
update handshakes set state = 2, connection_id = $2, finished_at = $3,
    code = null, claim = null, worker = null, asking = false
where id = $1 and state in (0, 1)";

const FINISH_FAILED: &str = "/* handshakes::finish_failed */
update handshakes set state = 3, error = $3, finished_at = $4, code = null, claim = null, worker = null, asking = false
where id = $1 and state = 1 and claim = $2";

const RETRY_AT: &str = "/* handshakes::retry_at */
update handshakes set state = 0, due_at = $3, published_at = null, published_to = null,
    claim = null, worker = null, asking = false
where id = $1 and state = 1 and claim = $2";

const HAND_ON: &str = "/* handshakes::hand_on */
update handshakes set state = 0, due_at = $2, published_at = null, published_to = null,
    claim = null, worker = null, asking = false
where state = 1 and worker = any ($1)";

const EXPIRE: &str = "/* handshakes::expire */
update handshakes set state = 3, error = $2, finished_at = $1, code = null, claim = null, worker = null, asking = false
where id = any (array(select id from handshakes where state in (0, 1) and deadline <= $1 limit 1000 for update skip locked))";

const IS_OPEN: &str = "/* handshakes::is_open */
select from handshakes where state = 0 and self_address = $1 and other_address = $2
union all select from handshakes where state = 1 and self_address = $1 and other_address = $2 limit 1";

const PURGE: &str = "/* handshakes::purge */
delete from handshakes where id = any (array(
    select id from handshakes where finished_at <= $1 order by finished_at limit 1000))";

/// Up to `limit` handshakes to publish, noted as published to the present broker epoch: those never published, published to an
/// older epoch, or published and not claimed for 10 s. What then cannot be published goes to [`not_published`].
pub async fn due(app: &App, limit: i64) -> Result<Vec<Uuid>, Error> {
    let now = app.clock.now();
    let rows = app.db.rows(DUE, &[&now, &(now - PUBLISH_AGAIN), &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a handshake between these two waits or runs.
pub async fn is_open(app: &App, from: &Address, to: &Address) -> Result<bool, Error> {
    Ok(app.db.row(IS_OPEN, &[&from.as_str(), &to.as_str()]).await?.is_some())
}

/// These could not be published: they are due again at once.
pub async fn not_published(app: &App, ids: &[Uuid]) -> Result<(), Error> {
    app.db.execute(NOT_PUBLISHED, &[&ids]).await?;
    Ok(())
}

/// Takes a handshake for `worker` under the new id `claim`. `None`: another has it, it has ended, is not due, its account is
/// disabled, or this worker's lease has run out.
pub async fn claim(app: &App, id: Uuid, worker: Uuid, claim: Uuid) -> Result<Option<Claimed>, Error> {
    let Some(row) = app.db.row(CLAIM, &[&id, &worker, &claim, &app.clock.now(), &(app.clock.now() + SKEW)]).await?
    else {
        return Ok(None);
    };
    Ok(Some(Claimed {
        id,
        account_id: row.get("account_id"),
        from: address(&row, "self_address")?,
        from_name: row.get("name"),
        to: address(&row, "other_address")?,
        code: open_code(app, id, row.get("code"))?,
        allow_replies: row.get("allow_replies"),
        tries: row.get("tries"),
        deadline: row.get("deadline"),
    }))
}

/// There is a connection; to be called in the transaction that stores it. False: the handshake had ended before.
pub async fn finish_connected(
    client: &impl GenericClient,
    app: &App,
    id: Uuid,
    connection: Uuid,
) -> Result<bool, Error> {
    let statement = client.prepare_cached(FINISH_CONNECTED).await?;
    Ok(client.execute(&statement, &[&id, &connection, &app.clock.now()]).await? == 1)
}

/// There will be none. `error` is told to the user; it holds no code and no secret. False: the claim is lost.
pub async fn finish_failed(app: &App, id: Uuid, claim: Uuid, error: &str) -> Result<bool, Error> {
    // A peer's words may be in it: what a text column cannot hold is left out, and it ends somewhere.
    let error: String = error.chars().filter(|c| *c != '\0').take(500).collect();
    Ok(app.db.execute(FINISH_FAILED, &[&id, &claim, &error, &app.clock.now()]).await? == 1)
}

/// The peer could not be reached: again at `due`, if the deadline allows. False: the claim is lost.
pub async fn retry_at(app: &App, id: Uuid, claim: Uuid, due: Timestamp) -> Result<bool, Error> {
    Ok(app.db.execute(RETRY_AT, &[&id, &claim, &due]).await? == 1)
}

/// Frees what these workers hold, who are dead or stop; due now.
pub async fn hand_on(client: &impl GenericClient, workers: &[Uuid], now: Timestamp) -> Result<(), crate::db::DbError> {
    let statement = client.prepare_cached(HAND_ON).await?;
    client.execute(&statement, &[&workers, &now]).await?;
    Ok(())
}

/// Fails up to 1,000 handshakes whose deadline has passed; returns how many.
pub async fn expire(app: &App) -> Result<u64, Error> {
    Ok(app.db.execute(EXPIRE, &[&app.clock.now(), &NO_ANSWER]).await?)
}

/// Removes up to 1,000 handshakes that ended before `ended`; returns how many.
pub async fn purge(app: &App, ended: Timestamp) -> Result<u64, Error> {
    Ok(app.db.execute(PURGE, &[&ended]).await?)
}
