//! The table of webhooks.

use jiff::Timestamp;

use super::{Definition, Error, Webhook, WebhookName};
use crate::App;
use crate::db::{DbError, GenericClient, Row};
use crate::destinations;

/// What [`change`] did.
#[derive(Debug)]
pub enum Change<E> {
    /// As it is now.
    Made(Box<Webhook>),
    /// There is no such webhook.
    Missing,
    /// The change itself said no; nothing was written.
    Refused(E),
}

/// Whoever wants events is sent what happens from this very transaction on.
const CREATE: &str = "/* webhooks::create */
with made as (
    insert into webhooks (name, sender, host, definition, events, created_at, updated_at)
    values ($1, $2, $3, $4, $5, $6, $6) on conflict (name) do nothing
    returning name, sender, definition, events, disabled_at, gone_at, created_at, updated_at
), fed as (
    insert into feeds (webhook, xid, n, part, at, updated_at)
    select name, pg_snapshot_xmin(pg_current_snapshot()), 0, 0, $6, $6 from made where events <> '{}'
)
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at from made";

const FIND: &str = "/* webhooks::find */
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at from webhooks where name = $1";

const LIST: &str = "/* webhooks::list */
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at
from webhooks where name > $1 order by name limit $2";

const LOCK: &str = "/* webhooks::change (look) */
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at
from webhooks where name = $1 for update";

/// Every change has a time of its own: who keeps a copy compares it. Events that are wanted anew begin now; who wanted some
/// before keeps its place.
const WRITE: &str = "/* webhooks::change */
with changed as (
    update webhooks set host = $2, definition = $3, events = $4,
        updated_at = greatest($5, updated_at + interval '1 microsecond'),
        gone_at = case when $6 then null else gone_at end
    where name = $1
    returning name, sender, definition, events, disabled_at, gone_at, created_at, updated_at
), fed as (
    insert into feeds (webhook, xid, n, part, at, updated_at)
    select name, pg_snapshot_xmin(pg_current_snapshot()), 0, 0, $5, $5 from changed where events <> '{}'
    on conflict (webhook) do nothing
), unfed as (
    delete from feeds f using changed where f.webhook = changed.name and changed.events = '{}'
)
select name, sender, definition, events, disabled_at, gone_at, created_at, updated_at from changed";

const SET_DISABLED: &str = "/* webhooks::set_disabled */
update webhooks set disabled_at = case when $2 then coalesce(disabled_at, $3) end,
    updated_at = greatest($3, updated_at + interval '1 microsecond')
where name = $1
returning name, sender, definition, events, disabled_at, gone_at, created_at, updated_at";

const DELETE: &str = "/* webhooks::delete */
delete from webhooks where name = $1";

/// Once a minute at the most: a thousand deliveries may learn it at the same time. Without its type the parameter would be taken
/// for an interval.
const MARK_GONE: &str = "/* webhooks::mark_gone */
update webhooks set gone_at = $2
where name = $1 and (gone_at is null or gone_at < $2::timestamptz - interval '1 minute')";

/// Makes a webhook; `None`: the name is taken.
pub async fn create(
    app: &App,
    sender: &str,
    name: &WebhookName,
    definition: &Definition,
    events: &[String],
) -> Result<Option<Webhook>, Error> {
    let sealed = definition.seal(app, name)?;
    let host = definition.target.host();
    let now = app.clock.now();
    let row = app.db.row(CREATE, &[&name.as_str(), &sender, &host, &sealed, &events, &now]).await?;
    Ok(row.map(|row| read(app, &row)).transpose()?)
}

/// The webhook of this name.
pub async fn find(app: &App, name: &WebhookName) -> Result<Option<Webhook>, Error> {
    Ok(app.db.row(FIND, &[&name.as_str()]).await?.map(|row| read(app, &row)).transpose()?)
}

/// Up to `limit` webhooks by name, those after the name `after`.
pub async fn list(app: &App, after: Option<&str>, limit: i64) -> Result<Vec<Webhook>, Error> {
    let rows = app.db.rows(LIST, &[&after.unwrap_or_default(), &limit]).await?;
    Ok(rows.iter().map(|row| read(app, row)).collect::<Result<_, _>>()?)
}

/// Changes definition and events, nobody else in between. A new URL lets the hint of a 410 be forgotten, and what was learnt about the
/// health of the old one.
pub async fn change<E>(
    app: &App,
    name: &WebhookName,
    change: impl FnOnce(&mut Definition, &mut Vec<String>) -> Result<(), E>,
) -> Result<Change<E>, Error> {
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await.map_err(DbError::from)?;
    let statement = transaction.prepare_cached(LOCK).await.map_err(DbError::from)?;
    let Some(row) = transaction.query_opt(&statement, &[&name.as_str()]).await.map_err(DbError::from)? else {
        return Ok(Change::Missing);
    };
    let Webhook { mut definition, mut events, .. } = read(app, &row)?;
    let before = definition.target.clone();
    if let Err(refusal) = change(&mut definition, &mut events) {
        return Ok(Change::Refused(refusal));
    }
    let sealed = definition.seal(app, name)?;
    let moved = before != definition.target;
    let statement = transaction.prepare_cached(WRITE).await.map_err(DbError::from)?;
    let host = definition.target.host();
    let row = transaction
        .query_one(&statement, &[&name.as_str(), &host, &sealed, &events, &app.clock.now(), &moved])
        .await
        .map_err(DbError::from)?;
    if moved {
        destinations::moved(&transaction, app.clock.now(), name.as_str()).await?;
    }
    transaction.commit().await.map_err(DbError::from)?;
    Ok(Change::Made(Box::new(read(app, &row)?)))
}

/// Stops sending, or goes on; `None`: there is no such webhook.
pub async fn set_disabled(app: &App, name: &WebhookName, disabled: bool) -> Result<Option<Webhook>, Error> {
    let row = app.db.row(SET_DISABLED, &[&name.as_str(), &disabled, &app.clock.now()]).await?;
    Ok(row.map(|row| read(app, &row)).transpose()?)
}

/// Deletes it; false: there was none. What still waits for it fails.
pub async fn delete(app: &App, name: &WebhookName) -> Result<bool, Error> {
    Ok(app.db.execute(DELETE, &[&name.as_str()]).await? == 1)
}

/// It has answered 410.
pub async fn mark_gone(app: &App, name: &str) -> Result<(), Error> {
    app.db.execute(MARK_GONE, &[&name, &app.clock.now()]).await?;
    Ok(())
}

pub(super) fn read(app: &App, row: &Row) -> Result<Webhook, DbError> {
    let name: &str = row.get("name");
    Ok(Webhook {
        name: name.parse().map_err(|_| DbError::Stored("webhook"))?,
        sender: row.get("sender"),
        definition: Definition::open(app, name, row.get("definition"))?,
        events: row.get("events"),
        disabled_at: row.get::<_, Option<Timestamp>>("disabled_at"),
        gone_at: row.get("gone_at"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
