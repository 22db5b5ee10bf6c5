//! Handshakes that our accounts start: a job each, with the peer's confirmation in the middle.
//!
//! Promises: one worker has a handshake at a time, by a claim that a late result no longer matches; the pass code lies sealed and is
//! gone when the handshake ends; a peer's `auth-confirm` finds a handshake exactly while our own request to that peer is open, and
//! tries are counted before they are compared. Leaves out the requests themselves and what is published to whom.
//!
//! A handshake waits (state 0), is claimed by a worker (1), which opens its asking and sends `auth`, and ends connected (2) or
//! failed (3). A worker that dies gives it back by [`hand_on`]: asking a second time is harmless, for a code is good once.

mod asking;
mod work;

pub use asking::{Confirmed, confirm, open_asking};
pub use work::{
    Claimed, claim, due, expire, finish_connected, finish_failed, hand_on, is_open, not_published, purge, retry_at,
};

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::crypto::{OpenError, Purpose};
use crate::db::{DbError, Row};
use crate::openmsg::{Address, PassCode};

/// How long a handshake may take in all; its user waits.
pub const LIFE: Duration = Duration::from_secs(90);

/// A handshake as its starter may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Its id.
    pub id: Uuid,
    /// The owner of the key that started it.
    pub sender: String,
    /// Our account's address.
    pub from: Address,
    /// The peer's address.
    pub to: Address,
    /// Where it is.
    pub state: State,
    /// Why it failed, for the user.
    pub error: Option<String>,
    /// What it has made.
    pub connection: Option<Uuid>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Pending,
    /// A worker has it.
    Running,
    /// There is a connection.
    Connected,
    /// There is none.
    Failed,
}

impl State {
    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Connected => "connected",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Connected | Self::Failed)
    }

    fn from_number(number: i16) -> Self {
        match number {
            0 => Self::Pending,
            1 => Self::Running,
            2 => Self::Connected,
            _ => Self::Failed,
        }
    }
}

/// A handshake to be started.
#[derive(Debug, Clone)]
pub struct NewHandshake {
    /// The owner of the key.
    pub sender: String,
    /// Our account.
    pub account_id: Uuid,
    /// Our account's address.
    pub from: Address,
    /// The peer's address.
    pub to: Address,
    /// The code that the peer passed on.
    pub code: PassCode,
    /// Whether our user takes messages from the peer.
    pub allow_replies: bool,
}

/// Why handshakes could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A pass code that does not open.
    #[error("the pass code of handshake {id} cannot be opened")]
    Sealed {
        /// The handshake.
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

const START: &str = "/* handshakes::start */
insert into handshakes (id, sender, account_id, self_address, other_address, allow_replies, code, state, due_at, created_at, deadline)
values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8, $9)";

const GET: &str = "/* handshakes::get */
select id, sender, self_address, other_address, state, error, connection_id, created_at, finished_at
from handshakes where id = $1";

/// Notes a handshake that is due at once and given up after [`LIFE`]; returns its id.
pub async fn start(app: &App, new: &NewHandshake) -> Result<Uuid, Error> {
    let (id, now) = (app.new_id(), app.clock.now());
    let code = app.keys.seal(Purpose::Handshake, &context(id), new.code.as_str().as_bytes());
    let (own, other) = (new.from.as_str(), new.to.as_str());
    let deadline = now + LIFE;
    app.db
        .execute(START, &[&id, &new.sender, &new.account_id, &own, &other, &new.allow_replies, &code, &now, &deadline])
        .await?;
    Ok(id)
}

/// The handshake with this id.
pub async fn get(app: &App, id: Uuid) -> Result<Option<Handshake>, Error> {
    Ok(app.db.row(GET, &[&id]).await?.map(|row| read(&row)).transpose()?)
}

fn context(id: Uuid) -> Vec<u8> {
    [b"handshake ", id.as_bytes().as_slice()].concat()
}

fn open_code(app: &App, id: Uuid, sealed: &[u8]) -> Result<PassCode, Error> {
    let code = app.keys.open(Purpose::Handshake, &context(id), sealed);
    let code = code.map_err(|source| Error::Sealed { id, source })?;
    let code = std::str::from_utf8(&code).ok().and_then(|code| code.parse().ok());
    Ok(code.ok_or(DbError::Stored("pass code"))?)
}

fn address(row: &Row, column: &str) -> Result<Address, DbError> {
    row.get::<_, &str>(column).parse().map_err(|_| DbError::Stored("address"))
}

fn read(row: &Row) -> Result<Handshake, DbError> {
    Ok(Handshake {
        id: row.get("id"),
        sender: row.get("sender"),
        from: address(row, "self_address")?,
        to: address(row, "other_address")?,
        state: State::from_number(row.get("state")),
        error: row.get("error"),
        connection: row.get("connection_id"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
    })
}
