//! What operators have pushed: a test, and what has waited while a number was disabled.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{ToPush, destination_for, waiting};
use crate::App;
use crate::books::{Accepted, Acceptor, BooksError, NewMessage};
use crate::db::{DbError, Transaction};
use crate::envelopes;
use crate::phones::{self, Device};
use crate::textsecure::envelope::RECEIPT;
use crate::textsecure::{Envelope, Number};

/// Life of a test: somebody is looking at it now.
const TEST_LIFE: Duration = Duration::from_secs(600);

/// A test that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The delivery.
    pub id: Uuid,
    /// The device that is to be woken.
    pub device: i16,
    /// By whom: the destination of the delivery.
    pub destination: String,
}

/// Why a device was not pushed to.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The number is not registered here.
    #[error("the number is not registered here")]
    Unknown,
    /// The number is disabled.
    #[error("the number is disabled")]
    Disabled,
    /// The number has no such device.
    #[error("the number has no such device")]
    NoDevice,
    /// The device, or all of them, has no push address.
    #[error("no device has a push address")]
    NoAddress,
    /// Nothing is configured for the kind of push address there is.
    #[error("no push service is configured for the address")]
    NoService,
    /// As many messages wait for the device as may.
    #[error("too many messages wait for the device")]
    Full,
    /// The books, or the database.
    #[error(transparent)]
    Books(#[from] BooksError),
}

impl From<DbError> for TestError {
    fn from(error: DbError) -> Self {
        Self::Books(error.into())
    }
}

impl From<tokio_postgres::Error> for TestError {
    fn from(error: tokio_postgres::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<envelopes::Error> for TestError {
    fn from(error: envelopes::Error) -> Self {
        match error {
            envelopes::Error::Db(error) => error.into(),
            envelopes::Error::Full => Self::Full,
            envelopes::Error::Sealed(error) => Self::Books(error.into()),
        }
    }
}

const SHORTEN: &str = "/* pushes::test */
update envelopes set expires_at = $2 where id = $1";

/// Wakes a device, or the first one that can be woken, through its push service, like any delivery.
///
/// What it is given is a receipt from itself for a moment in which it sent nothing: clients that know receipts look for the
/// message and find none, those that do not know them skip it. An empty message would be shown by the clients of 2014.
pub async fn test(app: &App, acceptor: &Acceptor, number: &Number, device: Option<i16>) -> Result<Test, TestError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    match phones::lock(&tx, number).await? {
        None => return Err(TestError::Unknown),
        Some(true) => return Err(TestError::Disabled),
        Some(false) => {}
    }
    let (device, destination) = woken(&tx, app, number, device).await?;
    let delivery = store(&tx, app, &device, &destination).await?;
    let (answers, to_publish) = acceptor.accept_in(&tx, vec![delivery]).await?;
    // Without a key nothing can have come before.
    let Some(Accepted::New(id)) = answers.first().copied() else {
        return Err(BooksError::Shared { passing: false }.into());
    };
    tx.commit().await?;
    acceptor.publish(to_publish);
    Ok(Test { id, device: device.id, destination })
}

/// Ends what [`phones::set_disabled`] began. What waits for the number is pushed anew: meanwhile nobody was woken for it. False:
/// there is no such number.
pub async fn enable(app: &App, acceptor: &Acceptor, number: &Number) -> Result<bool, BooksError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await.map_err(DbError::from)?;
    let Some(was_disabled) = phones::lock(&tx, number).await? else { return Ok(false) };
    if !was_disabled {
        return Ok(true);
    }
    phones::mark(&tx, app, number, false).await?;
    let mut deliveries = Vec::new();
    for device in phones::devices(&tx, number).await? {
        if let Some((push, destination)) = device.push.zip(destination_for(&tx, app, &device).await?) {
            deliveries.extend(waiting(&tx, app, &device, push, &destination).await?);
        }
    }
    let (_, to_publish) = acceptor.accept_in(&tx, deliveries).await?;
    tx.commit().await.map_err(DbError::from)?;
    acceptor.publish(to_publish);
    Ok(true)
}

/// The device to wake, and by whom.
async fn woken(
    tx: &Transaction<'_>,
    app: &App,
    number: &Number,
    wanted: Option<i16>,
) -> Result<(Device, String), TestError> {
    let mut devices = phones::devices(tx, number).await?;
    devices.retain(|device| wanted.is_none_or(|id| device.id == id));
    if devices.is_empty() && wanted.is_some() {
        return Err(TestError::NoDevice);
    }
    devices.retain(|device| device.push.is_some());
    if devices.is_empty() {
        return Err(TestError::NoAddress);
    }
    for device in devices {
        if let Some(destination) = destination_for(tx, app, &device).await? {
            return Ok((device, destination));
        }
    }
    Err(TestError::NoService)
}

async fn store(tx: &Transaction<'_>, app: &App, device: &Device, destination: &str) -> Result<NewMessage, TestError> {
    let now = app.clock.now();
    let receipt = Envelope {
        kind: Some(RECEIPT),
        source: Some(device.number.as_str().to_owned()),
        timestamp: Some(now.as_millisecond().unsigned_abs()),
        source_device: u32::try_from(device.id).ok(),
        ..Envelope::default()
    };
    let id = envelopes::store(tx, app, device, receipt.plaintext(), true).await?;
    let expires_at = now + TEST_LIFE;
    let statement = tx.prepare_cached(SHORTEN).await?;
    let parameters: [&(dyn ToSql + Sync); 2] = [&id, &expires_at];
    tx.execute(&statement, &parameters).await?;
    Ok(ToPush::new(device, id).message(destination.to_owned(), expires_at))
}
