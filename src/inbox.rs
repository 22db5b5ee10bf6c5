//! The inbox: what our accounts received.
//!
//! Promises: what was stored once is known for as long as a repeat could be believed, and a repeat is told from a reused nonce; a
//! text is sealed at rest; nothing is stored after its deadline (its asker has gone). Leaves out who may send, callbacks and
//! decryption.
//!
//! Entries are listed in the order of their ids, which workers assign: an entry that another worker was just committing can appear
//! with an id below one already listed. Whoever follows an inbox closely looks back a few seconds.

mod arrivals;
mod receive;
mod recent;

pub use arrivals::{Arrivals, News, Subscription};
pub use receive::{NewEntry, Seen, Stored, purge_seen, seen_many, store_many};
pub use recent::{Outline, find_many, outlines, recent};

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::crypto::{OpenError, Purpose};
use crate::db::{DbError, Row};
use crate::openmsg::{Address, AddressId, DisplayName};

/// The id in the address of the node's own notices: no account can have it.
const NOTICE_ID: &str = "0";
/// The name notices come under.
const NOTICE_NAME: &str = "This node";

/// A message received. Its text is not for logs, so it has no `Debug`.
#[derive(Clone)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account: Address,
    /// Who wrote.
    pub from: Address,
    /// How they were called then.
    pub from_name: String,
    /// What they wrote.
    pub text: String,
    /// When it was stored.
    pub received_at: Timestamp,
    /// When it was sent, as the peer says.
    pub sent_at: Timestamp,
    /// When one of our applications had dealt with it.
    pub acknowledged_at: Option<Timestamp>,
}

/// Why the inbox could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A text that does not open.
    #[error("the text of inbox entry {id} cannot be opened")]
    Sealed {
        /// The entry.
        id: Uuid,
        /// Why.
        source: OpenError,
    },
}

const LIST: &str = "/* inbox::list */
select i.id, a.address, i.from_address, i.from_name, i.content, i.received_at, i.sent_at, i.acknowledged_at
from (select * from inbox where account_id = $1 and id > $2 order by id limit $3) i
join accounts a on a.id = i.account_id order by i.id";

const LIST_OPEN: &str = "/* inbox::list_unacknowledged */
select i.id, a.address, i.from_address, i.from_name, i.content, i.received_at, i.sent_at, i.acknowledged_at
from (select * from inbox where account_id = $1 and id > $2 and acknowledged_at is null order by id limit $3) i
join accounts a on a.id = i.account_id order by i.id";

const GET: &str = "/* inbox::get */
select i.id, a.address, i.from_address, i.from_name, i.content, i.received_at, i.sent_at, i.acknowledged_at
from inbox i join accounts a on a.id = i.account_id where i.id = $1";

const ACKNOWLEDGE: &str = "/* inbox::acknowledge */
update inbox set acknowledged_at = $3
where id = any ($1) and acknowledged_at is null and ($2::uuid is null or account_id = $2)";

const COUNT: &str = "/* inbox::count */
select count(*), count(*) filter (where acknowledged_at is null) from inbox where account_id = $1";

const COUNT_ALL: &str = "/* inbox::count_all */
select count(*), count(*) filter (where acknowledged_at is null) from inbox";

/// The account's entries after the id `after`, oldest first, up to `limit`. An entry that cannot be opened is left out and logged.
pub async fn list(
    app: &App,
    account: Uuid,
    after: Option<Uuid>,
    limit: i64,
    unacknowledged: bool,
) -> Result<Vec<Entry>, Error> {
    let sql = if unacknowledged { LIST_OPEN } else { LIST };
    let rows = app.db.rows(sql, &[&account, &after.unwrap_or(Uuid::nil()), &limit]).await?;
    Ok(read_all(app, &rows))
}

/// One entry.
pub async fn get(app: &App, id: Uuid) -> Result<Option<Entry>, Error> {
    app.db.row(GET, &[&id]).await?.map(|row| read(app, &row)).transpose()
}

/// Notes that entries were dealt with, only those of `account` where one is given; returns how many were not before.
pub async fn acknowledge(app: &App, account: Option<Uuid>, ids: &[Uuid]) -> Result<u64, Error> {
    Ok(app.db.execute(ACKNOWLEDGE, &[&ids, &account, &app.clock.now()]).await?)
}

/// How many entries there are, and how many of them are not acknowledged: of one account or of all.
pub async fn count(app: &App, account: Option<Uuid>) -> Result<(i64, i64), Error> {
    let row = match account {
        Some(account) => app.db.row(COUNT, &[&account]).await?,
        None => app.db.row(COUNT_ALL, &[]).await?,
    };
    Ok(row.map_or((0, 0), |row| (row.get(0), row.get(1))))
}

/// Removes up to 1,000 entries that were acknowledged before `until`; returns how many.
pub async fn purge_acknowledged(app: &App, until: Timestamp) -> Result<u64, Error> {
    const PURGE: &str = "/* inbox::purge_acknowledged */
        delete from inbox where id = any (array(
            select id from inbox where id < $2 and acknowledged_at < $1 order by id limit 1000))";
    Ok(app.db.execute(PURGE, &[&until, &crate::clock::uuid_at(until)]).await?)
}

/// The node itself tells an account something. It comes from `0*` and our domain, an address nobody is given.
pub async fn notice(app: &App, account_id: Uuid, text: &str) -> Result<(), Error> {
    let now = app.clock.now();
    let notice = NewEntry {
        connection_id: None,
        account_id,
        from: notice_address(app)?,
        from_name: NOTICE_NAME.parse().map_err(|_| DbError::Stored("name"))?,
        text: text.to_owned(),
        sent_at: now,
        nonce: None,
        hash: [0; 32],
        message_id: None,
        deadline: None,
    };
    store_many(app, vec![notice]).await?;
    Ok(())
}

fn notice_address(app: &App) -> Result<Address, DbError> {
    let id: Result<AddressId, _> = NOTICE_ID.parse();
    let address = id.ok().zip(app.config.domain.parse().ok());
    let address = address.and_then(|(id, domain)| Address::new(&id, &domain).ok());
    address.ok_or(DbError::Stored("address"))
}

fn context(id: Uuid) -> Vec<u8> {
    [b"inbox ", id.as_bytes().as_slice()].concat()
}

fn read_all(app: &App, rows: &[Row]) -> Vec<Entry> {
    let read = |row: &Row| {
        read(app, row)
            .inspect_err(|error| tracing::error!(entry = %row.get::<_, Uuid>("id"), %error, "left out of a list"))
            .ok()
    };
    rows.iter().filter_map(read).collect()
}

fn read(app: &App, row: &Row) -> Result<Entry, Error> {
    let address = |column| row.get::<_, &str>(column).parse().map_err(|_| DbError::Stored("address"));
    let id: Uuid = row.get("id");
    let text = app.keys.open(Purpose::Inbox, &context(id), row.get("content"));
    let text = text.map_err(|source| Error::Sealed { id, source })?;
    Ok(Entry {
        id,
        account: address("address")?,
        from: address("from_address")?,
        from_name: row.get("from_name"),
        text: std::str::from_utf8(&text).map_err(|_| DbError::Stored("text"))?.to_owned(),
        received_at: row.get("received_at"),
        sent_at: row.get("sent_at"),
        acknowledged_at: row.get("acknowledged_at"),
    })
}
