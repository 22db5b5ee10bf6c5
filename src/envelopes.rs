//! Messages for devices, from when they are accepted until the device has them.
//!
//! Promises: what [`store_many`] was given is there once its transaction is committed, and stays until it is taken, expires, or the
//! device is replaced; it is for the device that was read in the same transaction ([`crate::phones`]), never for the one that
//! registers in its place; nothing is put aside to make room. Contents are sealed, each bound to its id. Leaves out who may send
//! what (`doors/textsecure`), and waking ([`Bell`], `workers/wake_device.rs`).

mod bell;
mod news;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;
use zeroize::Zeroizing;

pub use bell::{Bell, CHANNEL};
pub use news::{News, Subscription};

use crate::App;
use crate::crypto::{self, OpenError, Purpose};
use crate::db::{DbError, Row, Transaction};
use crate::phones::Device;
use crate::textsecure::Number;

/// Bytes of a mailbox's name, before they are written as hexadecimal digits.
const NAME_BYTES: usize = 16;

/// A message that waits.
pub struct Stored {
    /// Its id. Ids sort by time.
    pub id: Uuid,
    /// For whom.
    pub number: Number,
    /// For which of their devices.
    pub device: i16,
    /// The envelope in the clear of its protocol: not encrypted to the device yet ([`crate::textsecure::Envelope`]).
    pub content: Zeroizing<Vec<u8>>,
    /// It is a delivery receipt: it is pushed under another name, and makes none itself.
    pub receipt: bool,
}

/// A message to be stored.
pub struct New<'a> {
    /// For which device.
    pub device: &'a Device,
    /// The envelope in the clear of its protocol.
    pub content: Zeroizing<Vec<u8>>,
    /// It is a delivery receipt.
    pub receipt: bool,
}

/// What waits for a device, as much as is read in one piece.
pub struct Page {
    /// Oldest first.
    pub stored: Vec<Stored>,
    /// What is there and does not open: sealed with a key that the node no longer has, or damaged.
    pub unreadable: Vec<Uuid>,
    /// How many both are: none, there is no more.
    pub rows: usize,
}

/// Why messages could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// As many wait for the device as may (`textsecure.messages_per_device`; half of it for a receipt).
    #[error("too many messages wait for the device")]
    Full,
    /// It was sealed with another key, or is damaged.
    #[error("a stored message does not open")]
    Sealed(#[from] OpenError),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What has room, by the order in its mailbox; the ids of that. A receipt has only the first half of the room.
const STORE: &str = "/* envelopes::store_many */
with given as materialized (
    select e.*, row_number() over (partition by e.number, e.device order by e.id) as place
    from unnest($1::uuid[], $2::text[], $3::int2[], $4::bytea[], $5::bool[]) as e (id, number, device, content, receipt)
), mailboxes as materialized (
    select b.number, b.device,
           (select count(*) from (select from envelopes w where w.number = b.number and w.device = b.device limit $7::int8) as w) as waiting
    from (select distinct number, device from given) as b
), fitting as materialized (
    select g.id, g.number, g.device, g.content, g.receipt
    from given g join mailboxes m on m.number = g.number and m.device = g.device
    where m.waiting + g.place <= case when g.receipt then $7::int8 / 2 else $7::int8 end
), stored as (
    insert into envelopes (id, number, device, content, receipt, expires_at)
    select id, number, device, content, receipt, $6 from fitting
)
select id from fitting";

/// The lengths are read without the contents. The first one goes whatever its size.
const NEXT: &str = "/* envelopes::next */
select id, number, device, content, receipt from (
    select e.*, row_number() over (order by e.id) as place, sum(octet_length(e.content)) over (order by e.id) as bytes
    from (select id, number, device, content, receipt from envelopes
          where number = $1 and device = $2 and expires_at > $3 and id <> all ($4::uuid[])
          order by id limit $5) as e
) as p
where place = 1 or bytes <= $6::int8
order by id";

const FIND: &str = "/* envelopes::find */
select id, number, device, content, receipt from envelopes where id = $1 and expires_at > $2";

const TAKE: &str = "/* envelopes::take */
delete from envelopes where id = any ($3) and number = $1 and device = $2";

const PURGE: &str = "/* envelopes::purge */
delete from envelopes where id = any (array(select id from envelopes where expires_at <= $1 order by expires_at limit 5000))";

/// Stores one message; answers its id. [`Error::Full`]: it has no room. See [`store_many`].
pub async fn store(
    tx: &Transaction<'_>,
    app: &App,
    device: &Device,
    content: Zeroizing<Vec<u8>>,
    receipt: bool,
) -> Result<Uuid, Error> {
    let ids = store_many(tx, app, &[New { device, content, receipt }]).await?;
    ids.first().copied().flatten().ok_or(Error::Full)
}

/// Stores what there is room for, the first of a mailbox first; answers for each its id, which rise in the order given, or none where
/// its mailbox is full. Receipts take no more than half of a mailbox: the messages that they could keep out matter more. The devices
/// are to be held by the same transaction ([`crate::phones::hold`]). After the commit: [`Bell::ring`].
pub async fn store_many(tx: &Transaction<'_>, app: &App, new: &[New<'_>]) -> Result<Vec<Option<Uuid>>, Error> {
    let ids = rising(app, new.len());
    let numbers: Vec<&str> = new.iter().map(|new| new.device.number.as_str()).collect();
    let devices: Vec<i16> = new.iter().map(|new| new.device.id).collect();
    let seal = |(id, new): (&Uuid, &New<'_>)| app.keys.seal(Purpose::Envelope, id.as_bytes(), &new.content);
    let contents: Vec<Vec<u8>> = ids.iter().zip(new).map(seal).collect();
    let receipts: Vec<bool> = new.iter().map(|new| new.receipt).collect();
    let settings = &app.config.textsecure;
    let expires_at = app.clock.now() + settings.message_life.duration();
    let most = i64::from(settings.messages_per_device);
    let statement = tx.prepare_cached(STORE).await?;
    let fitting = tx.query(&statement, &[&ids, &numbers, &devices, &contents, &receipts, &expires_at, &most]).await?;
    let fitting: HashSet<Uuid> = fitting.iter().map(|row| row.get(0)).collect();
    Ok(ids.into_iter().map(|id| fitting.contains(&id).then_some(id)).collect())
}

/// What waits for a device apart from what is `known`, oldest first: `limit` messages and `bytes` at the most, but one whatever its
/// size. Concurrent senders may commit in another order than their ids have; who asks like this misses nothing.
pub async fn next(
    app: &App,
    number: &Number,
    device: i16,
    known: &[Uuid],
    limit: i64,
    bytes: i64,
) -> Result<Page, Error> {
    let now = app.clock.now();
    let rows = app.db.rows(NEXT, &[&number.as_str(), &device, &now, &known, &limit, &bytes]).await?;
    let (mut stored, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        match open(app, row) {
            Some(one) => stored.push(one),
            None => unreadable.push(row.get(0)),
        }
    }
    Ok(Page { stored, unreadable, rows: rows.len() })
}

/// One message; none: it was taken, has expired, or its device was replaced.
pub async fn find(app: &App, id: Uuid) -> Result<Option<Stored>, Error> {
    let row = app.db.row(FIND, &[&id, &app.clock.now()]).await?;
    row.map(|row| read(app, &row)).transpose()
}

/// The device has these: they are forgotten. Answers how many of them were still there; of two that take the same, one is told so.
pub async fn take(app: &App, number: &Number, device: i16, ids: &[Uuid]) -> Result<u64, Error> {
    Ok(app.db.execute(TAKE, &[&number.as_str(), &device, &ids]).await?)
}

/// Removes up to 5,000 expired messages; returns how many.
pub async fn purge(app: &App) -> Result<u64, Error> {
    Ok(app.db.execute(PURGE, &[&app.clock.now()]).await?)
}

/// What a device's mailbox is called where it is told that there is something ([`CHANNEL`]): a keyed hash, which says nothing of the
/// number. All processes with the same node key call it the same.
pub fn mailbox(app: &App, number: &Number, device: i16) -> String {
    let hash = app.keys.lasting_hash(Purpose::Envelope, &[number.as_str().as_bytes(), &device.to_be_bytes()]);
    crypto::encode_hex(&hash[..NAME_BYTES])
}

/// New ids, each above those that this process gave out before: devices get in order what was stored in order, also within one
/// millisecond. After a clock has jumped back they begin anew from there.
fn rising(app: &App, n: usize) -> Vec<Uuid> {
    /// The time stands in the upper 48 bits, in milliseconds.
    const JUMP: u128 = 1000 << 80;
    static LAST: Mutex<u128> = Mutex::new(0);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let next = |_| {
        let id = app.new_id().as_u128();
        let follows = id > *last || *last - id > JUMP;
        *last = if follows { id } else { *last + 1 };
        Uuid::from_u128(*last)
    };
    (0..n).map(next).collect()
}

/// One that does not open must not keep the others from being read.
fn open(app: &App, row: &Row) -> Option<Stored> {
    let error = match read(app, row) {
        Ok(stored) => return Some(stored),
        Err(error) => error,
    };
    let id: Uuid = row.get(0);
    tracing::error!(%id, error = &error as &dyn std::error::Error, "a message cannot be read");
    None
}

fn read(app: &App, row: &Row) -> Result<Stored, Error> {
    let id: Uuid = row.get(0);
    Ok(Stored {
        id,
        number: row.get::<_, &str>(1).parse().map_err(|_| DbError::Stored("phone number"))?,
        device: row.get(2),
        content: app.keys.open(Purpose::Envelope, id.as_bytes(), row.get(3))?,
        receipt: row.get(4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_stored_later_has_the_higher_id() {
        let app = App::for_tests("a.example");
        let ids: Vec<Uuid> = (0..500).flat_map(|_| rising(&app, 3)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[tokio::test]
    async fn mailboxes_have_names_of_their_own_that_say_nothing() {
        let app = App::for_tests("a.example");
        let (one, other): (Number, Number) = ("+14155550101".parse().unwrap(), "+14155550102".parse().unwrap());
        let name = mailbox(&app, &one, 1);
        assert_eq!(name, mailbox(&app, &one, 1));
        assert_ne!(name, mailbox(&app, &one, 2));
        assert_ne!(name, mailbox(&app, &other, 1));
        assert!(name.len() == 32 && !name.contains("4155550101"));
    }
}
