//! Push addresses of devices, and deliveries that wake them.
//!
//! Promises: what waits for a device is pushed to a new address of it as soon as that is known, in the same transaction, so nothing
//! that came while it had none lies there unheard (a device that fetches what waits is woken for the newest only); an address is
//! taken away or replaced only while it is the one that the push service spoke of; the directory follows. Addresses and signaling
//! keys lie sealed. Leaves out the services ([`crate::providers`]), what their answers mean for a delivery
//! (`workers/wake_device.rs`), and what waits ([`crate::envelopes`]).

mod operate;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use operate::{Test, TestError, enable, test};

use crate::App;
use crate::books::{Acceptor, BooksError, ChannelName, NewMessage};
use crate::crypto::Purpose;
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::directory;
use crate::outbound::Ports;
use crate::phones::{self, Device, Push, SIGNALING_KEY_BYTES};
use crate::providers::push::Subscription;
use crate::textsecure::{Number, SERVICE};

/// What the names of push services begin with, among destinations.
pub const PREFIX: &str = "push:";

/// What a delivery says: which envelope is for which device. The envelope itself lies elsewhere, and goes when it is taken.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToPush {
    number: Box<str>,
    /// Which of the number's devices.
    pub device: i16,
    /// Of which registration.
    pub generation: Uuid,
    /// What waits for it.
    pub envelope: Uuid,
}

/// A device, as far as pushing needs it.
pub struct Recipient {
    /// Whose.
    pub number: Number,
    /// Which of the number's devices.
    pub device: i16,
    /// Of which registration.
    pub generation: Uuid,
    /// What its envelopes are sealed with.
    pub signaling_key: Zeroizing<[u8; SIGNALING_KEY_BYTES]>,
    /// How it is woken, if it is.
    pub address: Option<Address>,
}

/// How a device is woken.
pub struct Address {
    /// By whom.
    pub push: Push,
    /// What its service knows it by.
    pub text: Zeroizing<String>,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// As it is stored, which no other has, not even the same address set anew.
    sealed: Vec<u8>,
}

const RECIPIENT: &str = "/* pushes::recipient */
select d.generation, d.signaling_key, d.push, d.push_address, d.push_set_at
from devices d join phones p on p.number = d.number
where d.number = $1 and d.device = $2 and d.generation = $3 and p.disabled_at is null";

const ADDRESS: &str = "/* pushes::destination_for */
select push_address from devices where number = $1 and device = $2 and generation = $3 and push_address is not null";

const PRESENT: &str = "/* pushes::set_address (present) */
select push, push_address from devices where number = $1 and device = $2 and generation = $3";

const SET: &str = "/* pushes::set_address */
update devices set push = $4, push_address = $5, push_set_at = $6, push_failed_at = null
where number = $1 and device = $2 and generation = $3";

const WAITING: &str = "/* pushes::set_address (waiting) */
select id, expires_at from envelopes where number = $1 and device = $2 and expires_at > $3
order by receipt, id desc limit $4";

const UNREGISTERED: &str = "/* pushes::unregistered */
update devices set push = null, push_address = null, push_set_at = null, push_failed_at = $5
where number = $1 and device = $2 and generation = $3 and push_address = $4";

const CANONICAL: &str = "/* pushes::canonical */
update devices set push_address = $5 where number = $1 and device = $2 and generation = $3 and push_address = $4";

impl ToPush {
    /// That an envelope is for a device.
    pub fn new(device: &Device, envelope: Uuid) -> Self {
        Self { number: device.number.as_str().into(), device: device.id, generation: device.generation, envelope }
    }

    /// The delivery that says so, to be given up when the envelope expires.
    pub fn message(&self, destination: String, expires_at: Timestamp) -> NewMessage {
        // Unwrap safety: text and numbers are always JSON.
        let content = serde_json::to_vec(self).expect("ids are JSON");
        NewMessage::own(SERVICE, ChannelName::Push, destination, content, expires_at)
    }

    /// From a delivery's content.
    pub fn decode(content: &[u8]) -> Option<Self> {
        serde_json::from_slice(content).ok()
    }
}

/// Whether this can be an address of that kind. Google's and Apple's are for these to judge; one of the web is a place to call.
pub fn is_address(app: &App, push: Push, text: &str) -> bool {
    match push {
        Push::Web => Subscription::parse(text, &Ports::of(&app.config)).is_some(),
        Push::Google | Push::Apple => !text.is_empty(),
    }
}

/// What a device's deliveries go to; none where it is not pushed to, or nobody is set up who could. Of the web each service's host
/// is a destination of its own.
pub async fn destination_for(
    client: &impl GenericClient,
    app: &App,
    device: &Device,
) -> Result<Option<String>, DbError> {
    let Some(push) = device.push else { return Ok(None) };
    if push != Push::Web {
        return Ok(destination_of(app, push, ""));
    }
    let statement = client.prepare_cached(ADDRESS).await?;
    let row = client.query_opt(&statement, &[&device.number.as_str(), &device.id, &device.generation]).await?;
    let Some(row) = row else { return Ok(None) };
    let address = open_address(app, &device.number, device.id, row.get(0))?;
    Ok(destination_of(app, push, &address))
}

/// The device that a delivery is for; none where another registration has taken its place, or the number is disabled.
pub async fn recipient(app: &App, to: &ToPush) -> Result<Option<Recipient>, DbError> {
    let number: Number = to.number.parse().map_err(|_| DbError::Stored("phone number"))?;
    let row = app.db.row(RECIPIENT, &[&number.as_str(), &to.device, &to.generation]).await?;
    row.map(|row| read(app, number, to.device, &row)).transpose()
}

/// Says how a device is woken from now on. What waits for it is pushed there, unless it is the address that it had. False: another
/// device has registered in its place, and nothing was changed.
pub async fn set_address(
    app: &App,
    acceptor: &Acceptor,
    device: &Device,
    push: Push,
    address: &str,
) -> Result<bool, BooksError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await.map_err(DbError::from)?;
    phones::lock(&tx, &device.number).await?;
    let same = present(&tx, app, device).await?.is_some_and(|(kind, text)| kind == push && *text == *address);
    let sealed =
        app.keys.seal(Purpose::Credential, &phones::push_context(&device.number, device.id), address.as_bytes());
    let values: [&(dyn ToSql + Sync); 3] = [&push.number(), &sealed, &app.clock.now()];
    if !change(&tx, &device.number, SET, device.id, device.generation, &values).await? {
        return Ok(false);
    }
    let deliveries = match destination_of(app, push, address) {
        Some(destination) if !same => waiting(&tx, app, device, push, &destination).await?,
        _ => Vec::new(),
    };
    let (_, to_publish) = acceptor.accept_in(&tx, deliveries).await?;
    tx.commit().await.map_err(DbError::from)?;
    acceptor.publish(to_publish);
    Ok(true)
}

/// The push service knows nothing of this address: it is taken away, unless the device has given another one meanwhile. True: it was.
pub async fn unregistered(app: &App, recipient: &Recipient, address: &Address) -> Result<bool, DbError> {
    alter(app, recipient, UNREGISTERED, &[&address.sealed, &app.clock.now()]).await
}

/// The push service calls the device otherwise from now on. False: the device has given another address meanwhile.
pub async fn canonical(app: &App, recipient: &Recipient, address: &Address, new: &str) -> Result<bool, DbError> {
    let context = phones::push_context(&recipient.number, recipient.device);
    let sealed = app.keys.seal(Purpose::Credential, &context, new.as_bytes());
    alter(app, recipient, CANONICAL, &[&address.sealed, &sealed]).await
}

fn destination_of(app: &App, push: Push, address: &str) -> Option<String> {
    let set = &app.config.providers.push;
    match push {
        Push::Google if set.fcm.is_set() => Some("push:fcm".into()),
        Push::Google if set.gcm.is_set() => Some("push:gcm".into()),
        Push::Apple if set.apns.is_set() => Some("push:apns".into()),
        Push::Web if set.web.is_set() => {
            Some(format!("{PREFIX}{}", Subscription::parse(address, &Ports::of(&app.config))?.host()))
        }
        Push::Google | Push::Apple | Push::Web => None,
    }
}

async fn present(
    tx: &Transaction<'_>,
    app: &App,
    device: &Device,
) -> Result<Option<(Push, Zeroizing<String>)>, DbError> {
    let statement = tx.prepare_cached(PRESENT).await?;
    let row = tx.query_opt(&statement, &[&device.number.as_str(), &device.id, &device.generation]).await?;
    let Some(row) = row else { return Ok(None) };
    let push = row.get::<_, Option<i16>>(0).and_then(Push::from_number);
    let Some((push, sealed)) = push.zip(row.get::<_, Option<&[u8]>>(1)) else { return Ok(None) };
    // What does not open is no address: the new one takes its place.
    Ok(open_address(app, &device.number, device.id, sealed).ok().map(|text| (push, text)))
}

/// A delivery for everything that waits, where the service carries all of it; else for the newest, which wakes the device: it
/// fetches the others. A receipt calls nobody to the screen, so it is the newest only where nothing else waits.
async fn waiting(
    tx: &Transaction<'_>,
    app: &App,
    device: &Device,
    push: Push,
    destination: &str,
) -> Result<Vec<NewMessage>, DbError> {
    let most: Option<i64> = match push {
        Push::Google => None,
        Push::Apple | Push::Web => Some(1),
    };
    let statement = tx.prepare_cached(WAITING).await?;
    let rows = tx.query(&statement, &[&device.number.as_str(), &device.id, &app.clock.now(), &most]).await?;
    let message = |row: &Row| ToPush::new(device, row.get(0)).message(destination.to_owned(), row.get(1));
    Ok(rows.iter().rev().map(message).collect())
}

async fn alter(app: &App, recipient: &Recipient, sql: &str, further: &[&(dyn ToSql + Sync)]) -> Result<bool, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    phones::lock(&tx, &recipient.number).await?;
    let changed = change(&tx, &recipient.number, sql, recipient.device, recipient.generation, further).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Under the lock of the number's row.
async fn change(
    tx: &Transaction<'_>,
    number: &Number,
    sql: &str,
    device: i16,
    generation: Uuid,
    further: &[&(dyn ToSql + Sync)],
) -> Result<bool, DbError> {
    let number_text = number.as_str();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&number_text, &device, &generation];
    parameters.extend(further);
    let statement = tx.prepare_cached(sql).await?;
    let changed = tx.execute(&statement, &parameters).await? > 0;
    directory::follow(tx, number).await?;
    Ok(changed)
}

fn read(app: &App, number: Number, device: i16, row: &Row) -> Result<Recipient, DbError> {
    let context = phones::signaling_context(&number, device);
    let key = app.keys.open(Purpose::Credential, &context, row.get(1)).map_err(|_| DbError::Stored("signaling key"))?;
    let mut signaling_key = Zeroizing::new([0; SIGNALING_KEY_BYTES]);
    if key.len() != SIGNALING_KEY_BYTES {
        return Err(DbError::Stored("signaling key"));
    }
    signaling_key.copy_from_slice(&key);
    let push = row.get::<_, Option<i16>>(2).and_then(Push::from_number);
    let address = match push.zip(row.get::<_, Option<Vec<u8>>>(3)) {
        Some((push, sealed)) => {
            let text = open_address(app, &number, device, &sealed)?;
            Some(Address { push, text, since: row.get(4), sealed })
        }
        None => None,
    };
    Ok(Recipient { number, device, generation: row.get(0), signaling_key, address })
}

fn open_address(app: &App, number: &Number, device: i16, sealed: &[u8]) -> Result<Zeroizing<String>, DbError> {
    let unreadable = || DbError::Stored("push address");
    let context = phones::push_context(number, device);
    let opened = app.keys.open(Purpose::Credential, &context, sealed).map_err(|_| unreadable())?;
    std::str::from_utf8(&opened).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, providers};

    fn app(set: providers::Push) -> App {
        let mut app = App::for_tests("a.example");
        let mut config = Config::clone(&app.config);
        config.providers.push = set;
        app.config = Arc::new(config);
        app
    }

    #[tokio::test]
    async fn a_device_goes_to_whom_it_is_set_up_for_and_else_to_nobody() {
        let mut set = providers::Push::default();
        let none = app(set.clone());
        set.gcm.url = "https://gcm.example/gcm/send".into();
        set.web.key = "vapid.pem".into();
        let both = app(set);
        let url = "https://push.example/x";
        for (push, address, to) in [
            (Push::Google, "id", Some("push:gcm")),
            (Push::Apple, "ab", None),
            (Push::Web, url, Some("push:push.example")),
            (Push::Web, "no place", None),
        ] {
            assert_eq!(destination_of(&both, push, address).as_deref(), to, "{push:?}");
            assert_eq!(destination_of(&none, push, address), None);
        }
        assert!(is_address(&both, Push::Web, url) && !is_address(&both, Push::Web, "https://10.0.0.1/"));
        assert!(is_address(&both, Push::Google, "x") && !is_address(&both, Push::Google, ""));
    }

    #[test]
    fn what_a_delivery_says_is_read_again() {
        let number: Number = "+14155550101".parse().unwrap();
        let device =
            Device { number, id: 2, generation: Uuid::from_u128(7), registration_id: 0, active: true, push: None };
        let to = ToPush::new(&device, Uuid::from_u128(9));
        let message = to.message("push:fcm".into(), Timestamp::UNIX_EPOCH);
        assert!(ToPush::decode(&message.content).is_some_and(|read| read == to));
        assert!(ToPush::decode(b"{}").is_none());
    }
}
