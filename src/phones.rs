//! Phone numbers and their devices.
//!
//! Promises: registering replaces everything that the number had but its prekeys; what was verified or sent for a device that
//! registered again is not taken for the new one ([`Device::generation`]); the directory follows in the same transaction. The
//! number's row is locked by whoever changes its devices. Leaves out codes ([`crate::codes`]) and passwords
//! ([`crate::passwords`]).

mod listening;
mod operate;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use listening::{Listener, Listening, Standing, concerned};
pub(crate) use operate::mark;
pub use operate::{Phone, PhoneDevice, is_disabled, list, set_disabled, show, unregister};

use crate::App;
use crate::crypto::Purpose;
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::directory;
use crate::textsecure::Number;

/// Bytes of a signaling key: 32 for AES, 20 for the MAC.
pub const SIGNALING_KEY_BYTES: usize = 52;

/// A device, as far as everybody needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whose.
    pub number: Number,
    /// 1 is the one that registered.
    pub id: i16,
    /// Made anew with every registration.
    pub generation: Uuid,
    /// Chosen by the client at install time; 0: unknown.
    pub registration_id: i32,
    /// Whether messages can reach it: by the websocket or by push.
    pub active: bool,
    /// How it is woken.
    pub push: Option<Push>,
}

/// What signing in needs.
pub struct SignIn {
    /// The device.
    pub device: Device,
    /// Stored form of its password.
    pub password: String,
    /// It was not here today.
    pub first_today: bool,
}

/// How a device is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Google's: FCM or GCM.
    Google = 1,
    /// Apple's APNs.
    Apple = 2,
    /// Web Push or UnifiedPush.
    Web = 3,
}

impl Push {
    /// As stored.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// As read.
    pub fn from_number(number: i16) -> Option<Self> {
        [Self::Google, Self::Apple, Self::Web].into_iter().find(|push| push.number() == number)
    }

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Apple => "apple",
            Self::Web => "web",
        }
    }
}

/// What a client registers with.
pub struct Registration {
    /// Made for it.
    pub generation: Uuid,
    /// Stored form of its password.
    pub password: String,
    /// What its envelopes are encrypted with.
    pub signaling_key: Zeroizing<[u8; SIGNALING_KEY_BYTES]>,
    /// Chosen by the client at install time; 0: unknown.
    pub registration_id: i32,
    /// It reads over the websocket.
    pub fetches_messages: bool,
    /// It can take SMS.
    pub supports_sms: bool,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// As this device.
    As(i16),
    /// An operator has disabled the number.
    Disabled,
    /// There is no such number to add a device to.
    Unknown,
    /// It has as many devices as it may.
    Full,
}

const LOCK: &str = "/* phones::lock */
select disabled_at is not null from phones where number = $1 for update";

const HOLD: &str = "/* phones::hold */
select from phones where number = $1 and disabled_at is null for share";

const OPEN: &str = "/* phones::open */
insert into phones (number, created_at, registered_at) values ($1, $2, $2)
on conflict (number) do update set registered_at = excluded.registered_at
returning disabled_at is not null";

const EMPTY: &str = "/* phones::empty */
with gone as (delete from devices where number = $1 returning device)
delete from envelopes e using gone g where e.number = $1 and e.device = g.device";

const OTHERS_KEYS: &str = "/* phones::others_keys */
with keys as (delete from prekeys where number = $1 and device <> 1)
delete from device_keys where number = $1 and device <> 1";

const NEXT: &str = "/* phones::next */
select coalesce(max(device), 0) + 1::smallint as next, count(*) from devices where number = $1";

const INSERT: &str = "/* phones::insert */
insert into devices (number, device, generation, password, signaling_key, registration_id, fetches_messages, supports_sms,
                     created_at, seen_on)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9::timestamptz::date)";

const DEVICES: &str = "/* phones::devices */
select d.number, d.device, d.generation, d.registration_id, d.fetches_messages, d.push
from devices d join phones p on p.number = d.number
where d.number = $1 and p.disabled_at is null order by d.device";

const SIGN_IN: &str = "/* phones::sign_in */
select d.number, d.device, d.generation, d.registration_id, d.fetches_messages, d.push, d.password, d.seen_on < $3::timestamptz::date
from devices d join phones p on p.number = d.number
where d.number = $1 and d.device = $2 and p.disabled_at is null";

const SEEN: &str = "/* phones::seen */
update devices set seen_on = $3::timestamptz::date where number = $1 and device = $2";

const CLEAR_PUSH: &str = "/* phones::clear_push */
update devices set push = null, push_address = null where number = $1 and device = $2 and generation = $3 and push = $4";

/// Makes the number new: one device, and nothing of what was there before but the prekeys of device 1.
pub async fn register(
    tx: &Transaction<'_>,
    app: &App,
    number: &Number,
    new: &Registration,
) -> Result<Registered, DbError> {
    let now = app.clock.now();
    let open = tx.prepare_cached(OPEN).await?;
    if tx.query_one(&open, &[&number.as_str(), &now]).await?.get(0) {
        return Ok(Registered::Disabled);
    }
    for statement in [EMPTY, OTHERS_KEYS] {
        let statement = tx.prepare_cached(statement).await?;
        tx.execute(&statement, &[&number.as_str()]).await?;
    }
    insert(tx, app, number, 1, new, now).await?;
    directory::follow(tx, number).await?;
    Ok(Registered::As(1))
}

/// Adds a device to a number.
pub async fn add_device(
    tx: &Transaction<'_>,
    app: &App,
    number: &Number,
    new: &Registration,
) -> Result<Registered, DbError> {
    match lock(tx, number).await? {
        None => return Ok(Registered::Unknown),
        Some(true) => return Ok(Registered::Disabled),
        Some(false) => {}
    }
    let next = tx.prepare_cached(NEXT).await?;
    let row = tx.query_one(&next, &[&number.as_str()]).await?;
    let (id, count): (i16, i64) = (row.get::<_, i32>(0) as i16, row.get(1));
    if count == 0 {
        return Ok(Registered::Unknown);
    }
    if count >= i64::from(app.config.textsecure.devices) {
        return Ok(Registered::Full);
    }
    insert(tx, app, number, id, new, app.clock.now()).await?;
    directory::follow(tx, number).await?;
    Ok(Registered::As(id))
}

/// Its devices, least first; none where the number is unknown or disabled.
pub async fn devices(client: &impl GenericClient, number: &Number) -> Result<Vec<Device>, DbError> {
    let statement = client.prepare_cached(DEVICES).await?;
    Ok(client.query(&statement, &[&number.as_str()]).await?.iter().filter_map(read).collect())
}

/// A device and the stored form of its password; none where the number is unknown or disabled.
pub async fn sign_in(app: &App, number: &Number, device: i16) -> Result<Option<SignIn>, DbError> {
    let row = app.db.row(SIGN_IN, &[&number.as_str(), &device, &app.clock.now()]).await?;
    Ok(row.and_then(|row| Some(SignIn { device: read(&row)?, password: row.get(6), first_today: row.get(7) })))
}

/// Notes the day on which a device was last there: an update a day at the most.
pub async fn seen(app: &App, device: &Device) -> Result<(), DbError> {
    app.db.execute(SEEN, &[&device.number.as_str(), &device.id, &app.clock.now()]).await?;
    Ok(())
}

/// Takes away this way of waking a device, if it is the present one.
pub async fn clear_push(app: &App, device: &Device, push: Push) -> Result<(), DbError> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&device.number.as_str(), &device.id, &device.generation, &push.number()];
    change(app, &device.number, CLEAR_PUSH, &parameters).await
}

/// What a push address is bound to at rest.
pub fn push_context(number: &Number, device: i16) -> Vec<u8> {
    format!("push {}.{device}", number.as_str()).into_bytes()
}

/// What a signaling key is bound to at rest.
pub fn signaling_context(number: &Number, device: i16) -> Vec<u8> {
    format!("signaling {}.{device}", number.as_str()).into_bytes()
}

/// Locks the number; says whether it is disabled, none where it is unknown.
pub(crate) async fn lock(tx: &Transaction<'_>, number: &Number) -> Result<Option<bool>, DbError> {
    let statement = tx.prepare_cached(LOCK).await?;
    Ok(tx.query_opt(&statement, &[&number.as_str()]).await?.map(|row| row.get(0)))
}

/// Its devices, least first, which stay as they are until the transaction ends: for who writes something for them. Any number of
/// transactions may hold a number at once. None where it is unknown or disabled.
pub(crate) async fn hold(tx: &Transaction<'_>, number: &Number) -> Result<Vec<Device>, DbError> {
    let statement = tx.prepare_cached(HOLD).await?;
    // Two statements: the second one sees what the first one waited for. They travel together.
    let number_text = number.as_str();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&number_text];
    let (held, devices) = tokio::join!(tx.query_opt(&statement, &parameters), devices(tx, number));
    Ok(if held?.is_some() { devices? } else { Vec::new() })
}

async fn change(
    app: &App,
    number: &Number,
    sql: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<(), DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    lock(&tx, number).await?;
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(&statement, parameters).await?;
    directory::follow(&tx, number).await?;
    tx.commit().await?;
    Ok(())
}

async fn insert(
    tx: &Transaction<'_>,
    app: &App,
    number: &Number,
    id: i16,
    new: &Registration,
    now: Timestamp,
) -> Result<(), DbError> {
    let sealed = app.keys.seal(Purpose::Credential, &signaling_context(number, id), new.signaling_key.as_slice());
    let statement = tx.prepare_cached(INSERT).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &number.as_str(),
        &id,
        &new.generation,
        &new.password,
        &sealed,
        &new.registration_id,
        &new.fetches_messages,
        &new.supports_sms,
        &now,
    ];
    tx.execute(&statement, &parameters).await?;
    Ok(())
}

fn read(row: &Row) -> Option<Device> {
    let push = row.get::<_, Option<i16>>(5).and_then(Push::from_number);
    Some(Device {
        number: row.get::<_, &str>(0).parse().ok()?,
        id: row.get(1),
        generation: row.get(2),
        registration_id: row.get(3),
        active: row.get::<_, bool>(4) || push.is_some(),
        push,
    })
}
