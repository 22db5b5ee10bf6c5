//! Prekeys: what strangers begin an encrypted conversation with while the other device is away.
//!
//! Promises: a one-time key is given to one caller and to no other, whatever runs at once and whoever dies; lowest key id first; the
//! last-resort key is given when none is left, and stays. An upload takes the place of all that was there before, for everybody at
//! the same moment. A device that is not active costs nobody a key. Keys outlive a registration. Both forms of keys (version 1 and 2
//! of 2013 and 2014, and the later one with a signed key) are one store: what was uploaded in one is given out in the other.
//! Leaves out how often a key may be fetched, and what it is: keys are text here.

use tokio_postgres::types::ToSql;

use crate::App;
use crate::db::{Client, DbError, Row, Transaction};
use crate::phones::{self, Device};
use crate::textsecure::Number;

/// Names this lock among PostgreSQL's advisory ones: uploads of a number hold it alone, fetches share it. Without it, a fetch during
/// an upload found the old keys taken and the new ones not there yet, and gave out the last resort. Not the number's row: there,
/// fetches without end would keep an upload, or a registration, waiting for ever.
const LOCK: i32 = 4_860_448;

/// A key with the identity it belongs to; text as it was uploaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Chosen by the client, 0 to 16,777,215 by convention; not necessarily used once.
    pub id: i32,
    /// Public key.
    pub public: String,
    /// Identity key of the device.
    pub identity: String,
}

/// A key that its identity key has signed; of the later form.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// Chosen by the client.
    pub id: i32,
    /// Public key.
    pub public: String,
    /// Made with the identity key.
    pub signature: String,
}

/// Everything that a device uploads at once.
pub struct Upload {
    /// One-time keys.
    pub keys: Vec<Key>,
    /// For when none of them is left.
    pub last_resort: Key,
    /// Of the later form: the identity key, which stands beside the keys there, and the signed one.
    pub signed: Option<(String, Signed)>,
}

/// Whether keys were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Yes.
    Yes,
    /// The device is not the one any more that signed in: it was registered again, or taken away.
    Gone,
}

/// Whose keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceWanted {
    /// Those of one device.
    One(i16),
    /// A key of each active device.
    All,
}

/// What is given out for a device: `key` or `signed` or both.
pub struct DeviceKeys {
    /// Which.
    pub device: i16,
    /// Of the device.
    pub registration_id: i32,
    /// Its identity key.
    pub identity: String,
    /// A one-time key, now taken, or the last resort.
    pub key: Option<Key>,
    /// Whether `key` is the last resort.
    pub last_resort: bool,
    /// Its signed key.
    pub signed: Option<Signed>,
}

const LOCK_ALONE: &str = "/* prekeys::lock_alone */ select pg_advisory_xact_lock($1, hashtext($2))";
const LOCK_SHARED: &str = "/* prekeys::lock_shared */ select pg_advisory_xact_lock_shared($1, hashtext($2))";

const IS_THERE: &str = "/* prekeys::is_there */
select from devices where number = $1 and device = $2 and generation = $3";

const CLEAR: &str = "/* prekeys::replace clear */
delete from prekeys where number = $1 and device = $2";

const FILL: &str = "/* prekeys::replace fill */
insert into prekeys (number, device, key_id, place, public_key, identity_key)
select $1, $2, k.id, k.place::int4, k.public_key, k.identity_key
from unnest($3::int4[], $4::text[], $5::text[]) with ordinality as k (id, public_key, identity_key, place)";

const LASTING: &str = "/* prekeys::replace lasting */
insert into device_keys (number, device, last_resort_id, last_resort_key, last_resort_identity,
                         identity_key, signed_id, signed_key, signature, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (number, device) do update
set last_resort_id = excluded.last_resort_id, last_resort_key = excluded.last_resort_key,
    last_resort_identity = excluded.last_resort_identity, identity_key = excluded.identity_key,
    signed_id = excluded.signed_id, signed_key = excluded.signed_key, signature = excluded.signature,
    updated_at = excluded.updated_at";

const SET_SIGNED: &str = "/* prekeys::set_signed */
insert into device_keys (number, device, signed_id, signed_key, signature, updated_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (number, device) do update
set signed_id = excluded.signed_id, signed_key = excluded.signed_key, signature = excluded.signature,
    updated_at = excluded.updated_at";

const SIGNED: &str = "/* prekeys::signed */
select signed_id, signed_key, signature from device_keys where number = $1 and device = $2";

const COUNT: &str = "/* prekeys::count */
select count(*) from prekeys where number = $1 and device = $2";

/// The number as a whole must be active too: its first device is (specification §1.6). Locked rows are passed over: somebody is
/// taking them. Two of the parts are materialized so that each is worked out once, whatever the planner thinks of joining it.
const TAKE: &str = "/* prekeys::take */
with wanted as materialized (
    select d.device, d.registration_id
    from phones p join devices f on f.number = p.number and f.device = 1 join devices d on d.number = p.number
    where p.number = $1 and p.disabled_at is null and (f.fetches_messages or f.push is not null)
      and ($2::smallint is null or d.device = $2) and (d.fetches_messages or d.push is not null)
), picked as materialized (
    select w.device, k.key_id, k.place
    from wanted w cross join lateral (
        select key_id, place from prekeys where number = $1 and device = w.device
        order by key_id, place limit 1 for update skip locked
    ) k
), taken as (
    delete from prekeys k using picked p
    where k.number = $1 and k.device = p.device and k.key_id = p.key_id and k.place = p.place
    returning k.device, k.key_id, k.public_key, k.identity_key
)
select w.device, w.registration_id, t.key_id, t.public_key, t.identity_key,
       l.last_resort_id, l.last_resort_key, l.last_resort_identity, l.identity_key, l.signed_id, l.signed_key, l.signature
from wanted w left join taken t on t.device = w.device left join device_keys l on l.number = $1 and l.device = w.device
order by w.device";

/// Puts these keys in the place of all that the device had.
pub async fn replace(app: &App, device: &Device, upload: &Upload) -> Result<Stored, DbError> {
    let mut client = app.db.client().await?;
    let Some(tx) = begin(&mut client, device).await? else { return Ok(Stored::Gone) };
    let clear = tx.prepare_cached(CLEAR).await?;
    tx.execute(&clear, &[&device.number.as_str(), &device.id]).await?;
    fill(&tx, device, &upload.keys).await?;
    let (last, signed) = (&upload.last_resort, upload.signed.as_ref());
    let lasting = tx.prepare_cached(LASTING).await?;
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &device.number.as_str(),
        &device.id,
        &last.id,
        &last.public,
        &last.identity,
        &signed.map(|(identity, _)| identity),
        &signed.map(|(_, key)| key.id),
        &signed.map(|(_, key)| &key.public),
        &signed.map(|(_, key)| &key.signature),
        &app.clock.now(),
    ];
    tx.execute(&lasting, &parameters).await?;
    tx.commit().await?;
    Ok(Stored::Yes)
}

/// Puts this key in the place of the signed one.
pub async fn set_signed(app: &App, device: &Device, key: &Signed) -> Result<Stored, DbError> {
    let mut client = app.db.client().await?;
    let Some(tx) = begin(&mut client, device).await? else { return Ok(Stored::Gone) };
    let set = tx.prepare_cached(SET_SIGNED).await?;
    let (number, now) = (device.number.as_str(), app.clock.now());
    tx.execute(&set, &[&number, &device.id, &key.id, &key.public, &key.signature, &now]).await?;
    tx.commit().await?;
    Ok(Stored::Yes)
}

/// The signed key of a device.
pub async fn signed(app: &App, device: &Device) -> Result<Option<Signed>, DbError> {
    let row = app.db.row(SIGNED, &[&device.number.as_str(), &device.id]).await?;
    Ok(row.and_then(|row| read_signed(&row, 0)))
}

/// How many one-time keys are left.
pub async fn count(app: &App, device: &Device) -> Result<i64, DbError> {
    let row = app.db.row(COUNT, &[&device.number.as_str(), &device.id]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Takes a one-time key of each wanted device, and says what else is given out. None: the number is unknown, disabled or inactive,
/// and so with its device; or there are no keys.
pub async fn fetch(app: &App, number: &Number, wanted: DeviceWanted) -> Result<Vec<DeviceKeys>, DbError> {
    let device = match wanted {
        DeviceWanted::One(device) => Some(device),
        DeviceWanted::All => None,
    };
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    // A statement of its own: what the next one sees begins after the lock was had.
    let lock = tx.prepare_cached(LOCK_SHARED).await?;
    tx.execute(&lock, &[&LOCK, &number.as_str()]).await?;
    let take = tx.prepare_cached(TAKE).await?;
    let rows = tx.query(&take, &[&number.as_str(), &device]).await?;
    tx.commit().await?;
    Ok(rows.iter().filter_map(read).collect())
}

/// A transaction that alone changes the keys of this device, if it still is the one that signed in.
async fn begin<'a>(client: &'a mut Client, device: &Device) -> Result<Option<Transaction<'a>>, DbError> {
    let tx = client.transaction().await?;
    phones::lock(&tx, &device.number).await?;
    let there = tx.prepare_cached(IS_THERE).await?;
    if tx.query_opt(&there, &[&device.number.as_str(), &device.id, &device.generation]).await?.is_none() {
        return Ok(None);
    }
    let alone = tx.prepare_cached(LOCK_ALONE).await?;
    tx.execute(&alone, &[&LOCK, &device.number.as_str()]).await?;
    Ok(Some(tx))
}

async fn fill(tx: &Transaction<'_>, device: &Device, keys: &[Key]) -> Result<(), DbError> {
    let ids: Vec<i32> = keys.iter().map(|key| key.id).collect();
    let publics: Vec<&str> = keys.iter().map(|key| key.public.as_str()).collect();
    let identities: Vec<&str> = keys.iter().map(|key| key.identity.as_str()).collect();
    let fill = tx.prepare_cached(FILL).await?;
    tx.execute(&fill, &[&device.number.as_str(), &device.id, &ids, &publics, &identities]).await?;
    Ok(())
}

fn read(row: &Row) -> Option<DeviceKeys> {
    let one_time = read_key(row, 2);
    let last_resort = one_time.is_none();
    let key = one_time.or_else(|| read_key(row, 5));
    let signed = read_signed(row, 9);
    // The key's own comes first: the other one may be of an upload in the later form that this key is not of.
    let identity = key.as_ref().map(|key| key.identity.clone()).or_else(|| row.get(8));
    let identity = identity.filter(|_| key.is_some() || signed.is_some())?;
    Some(DeviceKeys { device: row.get(0), registration_id: row.get(1), identity, key, last_resort, signed })
}

fn read_key(row: &Row, first: usize) -> Option<Key> {
    let (id, public) = (row.get::<_, Option<i32>>(first)?, row.get::<_, Option<String>>(first + 1)?);
    Some(Key { id, public, identity: row.get::<_, Option<String>>(first + 2)? })
}

fn read_signed(row: &Row, first: usize) -> Option<Signed> {
    let (id, public) = (row.get::<_, Option<i32>>(first)?, row.get::<_, Option<String>>(first + 1)?);
    Some(Signed { id, public, signature: row.get::<_, Option<String>>(first + 2)? })
}
