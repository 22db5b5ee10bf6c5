//! What operators do with numbers.
//!
//! Promises: what is done to a number is one transaction, and the directory follows in it. Leaves out telling those who wait
//! ([`crate::envelopes::Bell`]), and pushing what waited while a number was disabled ([`crate::pushes::enable`]).

use jiff::Timestamp;

use crate::App;
use crate::codes::{self, subject};
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::directory;
use crate::textsecure::Number;

use super::{Push, lock};

/// A number, as operators see it.
#[derive(Debug, Clone)]
pub struct Phone {
    /// The number.
    pub number: Number,
    /// When it first registered.
    pub created_at: Timestamp,
    /// When it was last proven.
    pub registered_at: Timestamp,
    /// Since when it is disabled.
    pub disabled_at: Option<Timestamp>,
    /// Messages can reach it: it is not disabled, and its first device listens or is pushed to.
    pub active: bool,
    /// Its devices.
    pub devices: Vec<PhoneDevice>,
}

/// A device, as operators see it.
#[derive(Debug, Clone)]
pub struct PhoneDevice {
    /// 1 is the one that registered.
    pub id: i16,
    /// It reads over the websocket.
    pub fetches_messages: bool,
    /// How it is woken.
    pub push: Option<Push>,
    /// When its push service last knew nothing of it.
    pub push_failed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The day it last signed in.
    pub seen_on: String,
    /// One-time keys that are left.
    pub prekeys: i64,
    /// Messages that wait for it.
    pub waiting: i64,
}

const LIST: &str = "/* phones::list */
select p.number, p.created_at, p.registered_at, p.disabled_at,
       p.disabled_at is null and coalesce(d.fetches_messages or d.push is not null, false)
from phones p left join devices d on d.number = p.number and d.device = 1
where p.number > $1 order by p.number limit $2";

const SHOW: &str = "/* phones::show */
select p.number, p.created_at, p.registered_at, p.disabled_at,
       p.disabled_at is null and coalesce(d.fetches_messages or d.push is not null, false)
from phones p left join devices d on d.number = p.number and d.device = 1
where p.number = $1";

const DEVICES: &str = "/* phones::show devices */
select d.device, d.fetches_messages, d.push, d.push_failed_at, d.created_at, d.seen_on::text,
       (select count(*) from prekeys k where k.number = d.number and k.device = d.device),
       (select count(*) from envelopes e where e.number = d.number and e.device = d.device)
from devices d where d.number = $1 order by d.device";

const DISABLE: &str = "/* phones::set_disabled */
update phones set disabled_at = case when $2 then coalesce(disabled_at, $3) end where number = $1";

const IS_DISABLED: &str = "/* phones::is_disabled */
select disabled_at is not null from phones where number = $1";

const UNREGISTER: &str = "/* phones::unregister */
with envelopes as (delete from envelopes where number = $1),
     prekeys as (delete from prekeys where number = $1),
     device_keys as (delete from device_keys where number = $1),
     devices as (delete from devices where number = $1)
delete from phones where number = $1";

/// Numbers after `after` in their order; without their devices.
pub async fn list(app: &App, after: Option<&Number>, limit: i64) -> Result<Vec<Phone>, DbError> {
    let rows = app.db.rows(LIST, &[&after.map_or("", Number::as_str), &limit]).await?;
    Ok(rows.iter().filter_map(|row| read(row, Vec::new())).collect())
}

/// A number with its devices.
pub async fn show(app: &App, number: &Number) -> Result<Option<Phone>, DbError> {
    let Some(row) = app.db.row(SHOW, &[&number.as_str()]).await? else { return Ok(None) };
    let devices = app.db.rows(DEVICES, &[&number.as_str()]).await?;
    Ok(read(&row, devices.iter().map(read_device).collect()))
}

/// Disables a number, or enables it again; false: there is none. A disabled one answers like one that does not exist.
pub async fn set_disabled(app: &App, number: &Number, disabled: bool) -> Result<bool, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let known = lock(&tx, number).await?.is_some();
    mark(&tx, app, number, disabled).await?;
    tx.commit().await?;
    Ok(known)
}

/// As [`set_disabled`], of a number that the caller has locked.
pub(crate) async fn mark(tx: &Transaction<'_>, app: &App, number: &Number, disabled: bool) -> Result<(), DbError> {
    tx.execute(DISABLE, &[&number.as_str(), &disabled, &app.clock.now()]).await?;
    directory::follow(tx, number).await
}

/// Whether an operator has disabled it; one that is unknown is not.
pub async fn is_disabled(client: &impl GenericClient, number: &Number) -> Result<bool, DbError> {
    let statement = client.prepare_cached(IS_DISABLED).await?;
    Ok(client.query_opt(&statement, &[&number.as_str()]).await?.is_some_and(|row| row.get(0)))
}

/// Forgets a number with everything that is its: devices, keys, what waits, the code that would prove it, its entry in the
/// directory, also one that a peer claims. A code for a further device opens nothing without the device that asked for it. False:
/// there was nothing.
pub async fn unregister(app: &App, number: &Number) -> Result<bool, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    // Codes before numbers, as who registers has it: two that wait for each other would both fail.
    subject::forget(&tx, app, codes::Purpose::PhoneNumber, number.as_str()).await?;
    let known = lock(&tx, number).await?.is_some();
    tx.execute(UNREGISTER, &[&number.as_str()]).await?;
    let listed = directory::forget(&tx, number).await?;
    tx.commit().await?;
    Ok(known || listed)
}

fn read(row: &Row, devices: Vec<PhoneDevice>) -> Option<Phone> {
    Some(Phone {
        number: row.get::<_, &str>(0).parse().ok()?,
        created_at: row.get(1),
        registered_at: row.get(2),
        disabled_at: row.get(3),
        active: row.get(4),
        devices,
    })
}

fn read_device(row: &Row) -> PhoneDevice {
    PhoneDevice {
        id: row.get(0),
        fetches_messages: row.get(1),
        push: row.get::<_, Option<i16>>(2).and_then(Push::from_number),
        push_failed_at: row.get(3),
        created_at: row.get(4),
        seen_on: row.get(5),
        prekeys: row.get(6),
        waiting: row.get(7),
    }
}
