//! Connections: finished Openmsg handshakes, seen from one of our accounts.
//!
//! Promises: the secrets are sealed at rest and bound to the pair of addresses; a repeated handshake keeps the row, its id and the
//! secrets that last proved good (make before break: the peer may never have received the new ones); what is judged of a message
//! (proved, preferred, broken) touches only the [`Version`] of the secrets it was judged under. A block outlives a new handshake.
//! Leaves out the wire, and how secrets are made.
//!
//! [`keyed`](keyed_many) reads them with their secrets, [`store()`] writes them, the rest is for the API.

mod keyed;
mod store;
mod ways;

pub use keyed::{Found, Keyed, Secrets, Version, find_by_ident, find_by_ident_many, ident_for, keyed_many};
pub use store::{NewConnection, mark_broken, prefer_older, prove_current, rename_other, set_padded, store};
pub use ways::{Way, find_many_by_addresses};

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::crypto::OpenError;
use crate::db::{DbError, Row};
use crate::openmsg::Address;

/// A connection without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id; kept when the handshake is repeated.
    pub id: Uuid,
    /// Our account.
    pub account_id: Uuid,
    /// Our account's address.
    pub self_address: Address,
    /// The peer's address.
    pub other_address: Address,
    /// How the peer is called.
    pub other_name: String,
    /// We take messages over it.
    pub self_accepts: bool,
    /// The peer takes messages.
    pub other_accepts: bool,
    /// The peer's node is one of ours: it knows a repeated message by its id.
    pub other_remembers: bool,
    /// The peer's node reads standard, padded base64 only.
    pub other_padded: bool,
    /// Whether it can be used.
    pub state: State,
    /// Why it is broken, in a word; kept beside a block.
    pub broken_why: Option<String>,
    /// When the first handshake was finished.
    pub created_at: Timestamp,
    /// When anything was last changed.
    pub updated_at: Timestamp,
}

/// Whether a connection can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Active,
    /// The peer answers that our secrets are void; a new handshake mends it.
    Broken,
    /// Our user has blocked it, broken or not.
    Blocked,
}

impl State {
    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Broken => "broken",
            Self::Blocked => "blocked",
        }
    }
}

/// Why connections could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Secrets that do not open.
    #[error("the secrets of connection {id} cannot be opened")]
    Sealed {
        /// The connection.
        id: Uuid,
        /// Why.
        source: OpenError,
    },
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The columns [`read`] needs.
macro_rules! columns {
    () => {
        "id, account_id, self_address, other_address, other_name, self_accepts, other_accepts, other_remembers, other_padded, \
         blocked_at, broken_at, broken_why, created_at, updated_at"
    };
}

const FIND: &str = concat!(
    "/* connections::find_by_addresses */ select ",
    columns!(),
    " from connections where self_address = $1 and other_address = $2"
);

const FIND_OF: &str = concat!(
    "/* connections::find_many */ select ",
    columns!(),
    " from connections where self_address = $1 and other_address = any ($2)"
);

const GET: &str = concat!("/* connections::get */ select ", columns!(), " from connections where id = $1");

const LIST: &str =
    concat!("/* connections::list */ select ", columns!(), " from connections where id > $1 order by id limit $2");

const LIST_ACCOUNT: &str = concat!(
    "/* connections::list_account */ select ",
    columns!(),
    " from connections where account_id = $3 and id > $1 order by id limit $2"
);

const NEWEST: &str = "/* connections::newest */
select id from connections where account_id = $1 order by id desc limit 1";

const SET_BLOCKED: &str = concat!(
    "/* connections::set_blocked */ update connections
    set blocked_at = case when $2 then coalesce(blocked_at, $3) end, updated_at = $3 where id = $1 returning ",
    columns!()
);

const DELETE: &str = "/* connections::delete */ delete from connections where id = $1";

/// The connection between one of our accounts and a peer.
pub async fn find_by_addresses(app: &App, own: &Address, other: &Address) -> Result<Option<Connection>, Error> {
    let row = app.db.row(FIND, &[&own.as_str(), &other.as_str()]).await?;
    Ok(row.map(|row| read(&row)).transpose()?)
}

/// The connections between one of our accounts and any of these peers, in no order.
pub async fn find_many(app: &App, own: &Address, others: &[&str]) -> Result<Vec<Connection>, Error> {
    let rows = app.db.rows(FIND_OF, &[&own.as_str(), &others]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The connection with this id.
pub async fn get(app: &App, id: Uuid) -> Result<Option<Connection>, Error> {
    Ok(app.db.row(GET, &[&id]).await?.map(|row| read(&row)).transpose()?)
}

/// Up to `limit` connections, of one account or of all, oldest first, those after the id `after`.
pub async fn list(app: &App, account: Option<Uuid>, after: Option<Uuid>, limit: i64) -> Result<Vec<Connection>, Error> {
    let after = after.unwrap_or(Uuid::nil());
    let rows = match account {
        Some(account) => app.db.rows(LIST_ACCOUNT, &[&after, &limit, &account]).await?,
        None => app.db.rows(LIST, &[&after, &limit]).await?,
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The id of the account's newest connection.
pub async fn newest(app: &App, account: Uuid) -> Result<Option<Uuid>, Error> {
    let row = app.db.row(NEWEST, &[&account]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// From now on the peer is answered SM_E002 and nothing is sent; `None`: there is no such connection.
pub async fn block(app: &App, id: Uuid) -> Result<Option<Connection>, Error> {
    set_blocked(app, id, true).await
}

/// Takes a block back; `None`: there is no such connection.
pub async fn unblock(app: &App, id: Uuid) -> Result<Option<Connection>, Error> {
    set_blocked(app, id, false).await
}

/// Forgets a connection, which the peer learns by SM_E001; false: there is none.
pub async fn delete(app: &App, id: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(DELETE, &[&id]).await? == 1)
}

async fn set_blocked(app: &App, id: Uuid, blocked: bool) -> Result<Option<Connection>, Error> {
    let row = app.db.row(SET_BLOCKED, &[&id, &blocked, &app.clock.now()]).await?;
    Ok(row.map(|row| read(&row)).transpose()?)
}

fn read(row: &Row) -> Result<Connection, DbError> {
    let address = |column| row.get::<_, &str>(column).parse().map_err(|_| DbError::Stored("address"));
    let is_set = |column| row.get::<_, Option<Timestamp>>(column).is_some();
    let state = match (is_set("blocked_at"), is_set("broken_at")) {
        (true, _) => State::Blocked,
        (false, true) => State::Broken,
        (false, false) => State::Active,
    };
    Ok(Connection {
        id: row.get("id"),
        account_id: row.get("account_id"),
        self_address: address("self_address")?,
        other_address: address("other_address")?,
        other_name: row.get("other_name"),
        self_accepts: row.get("self_accepts"),
        other_accepts: row.get("other_accepts"),
        other_remembers: row.get("other_remembers"),
        other_padded: row.get("other_padded"),
        state,
        broken_why: row.get("broken_why"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
