//! Logins by code: applications, the codes that sign somebody in, sessions.
//!
//! | file | what |
//! |---|---|
//! | `address`, `parse`, `country` | who signs in |
//! | `apps` | applications, and their table |
//! | `start` | step 1: a code on its way |
//! | `verify` | step 2: a token for it |
//! | `ladder`, `standings` | how often an address may be written to, and may be wrong; its table |
//! | `rooms` | how often a network, an application, a country may |
//! | `backend` | asks a worker for what an application's own back end does |
//! | `sessions` | who is signed in |
//!
//! Promises: nobody learns whether an address is known; a code is good once, for its life, for so many tries, which are counted
//! before they are judged; limits are shared by all processes; addresses, codes and tokens are hashed or sealed at rest and in no
//! log. Leaves out how a request looks (the doors) and how a message is carried (`workers/send_code.rs`).

pub mod address;
pub mod apps;
pub mod country;
pub mod ladder;
pub mod parse;
pub mod sessions;

mod backend;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod rooms;
mod standings;
mod start;
mod verify;

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::App;
use crate::books::{Acceptor, BooksError};
use crate::db::DbError;
use crate::queue::Asker;

pub use address::Address;
pub use apps::{Application, Mode, Way};

/// Longest name of a user, and id and type of a device, in characters: strangers choose them.
const LONGEST_NAME: usize = 128;
const LONGEST_DEVICE: usize = 128;
const LONGEST_TYPE: usize = 32;
/// Under which name messages with codes are in the books.
const SENDER: &str = "logins";

/// What logins need; cheap to clone.
#[derive(Clone)]
pub struct Logins {
    app: App,
    acceptor: Acceptor,
    asker: Asker,
}

/// Where a request came from, as far as it says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The caller's address; none for applications that do not pass it on.
    ip: Option<IpAddr>,
    /// The device's id; empty: not said.
    device: String,
    /// The device's type; empty: not said.
    device_type: String,
}

impl Origin {
    /// Of what a client says of itself, as much as is kept, without control characters.
    pub fn new(ip: Option<IpAddr>, device: &str, device_type: &str) -> Self {
        let (device, device_type) = (printable(device, LONGEST_DEVICE), printable(device_type, LONGEST_TYPE));
        Self { ip, device, device_type }
    }
}

/// What became of the first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// A code is on its way, or was not long ago, and is still good.
    Accepted,
    /// Too often: after that time it may be tried again.
    Limited {
        /// How long to wait.
        after: Duration,
    },
    /// The application knows no way to this kind of address, or not to its country.
    BadAddress,
    /// The back end, or a carrier, is not there.
    Unavailable,
    /// The back end said no. Its word, or ours.
    Refused(String),
}

/// What became of the second step.
#[derive(Clone, PartialEq, Eq)]
pub enum Verified {
    /// Signed in.
    Token {
        /// The token: the only time it is to be had.
        token: Zeroizing<String>,
        /// Who signed in.
        address: String,
        /// What the user is called, where that is known.
        name: Option<String>,
        /// Until when the token is good.
        expires_at: Timestamp,
        /// Names the session to operators.
        session: Uuid,
        /// The back end's id of the user, where it said one.
        uid: Option<String>,
    },
    /// Wrong, expired, used, locked, or never sent: they look the same.
    Wrong,
    /// Too often from this network or for this application, whatever the code.
    Limited {
        /// How long to wait.
        after: Duration,
    },
    /// The application knows no way to this kind of address, or not to its country.
    BadAddress,
    /// The back end is not there. The same code may be tried again.
    Unavailable,
    /// The back end said no. Its word, or ours.
    Refused(String),
}

/// Why it could not be said what became of a step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The message could not be taken.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The message could not be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Logins {
    /// With what doors are given.
    pub fn new(app: &App, acceptor: &Acceptor, asker: &Asker) -> Self {
        Self { app: app.clone(), acceptor: acceptor.clone(), asker: asker.clone() }
    }

    /// Lets an address sign in again that was wrong too often; false: nothing was counted against it. What it may be sent stays as
    /// it is. `text` may be any kind of address.
    pub async fn unlock(&self, appid: &str, text: &str) -> Result<bool, Error> {
        let mut client = self.app.db.client().await?;
        let tx = client.transaction().await?;
        let mut changed = false;
        for address in parse::all(text) {
            let mut locked = standings::lock(&tx, &self.app, appid, &address, false).await?;
            let before = locked.standing.clone();
            locked.standing.unlock();
            changed |= locked.standing != before;
            locked.save(&tx, self.app.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }
}

/// Removes what has had its time, up to 1,000 rows of each table; returns how many.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    Ok(standings::purge(app).await? + sessions::purge(app).await?)
}

/// What a stranger calls something: as much of it as is kept, without control characters.
fn printable(text: &str, most: usize) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(most).collect()
}

/// What a code of this address with this application is bound to.
fn code_of(application: &Application, address: &Address) -> String {
    // Neither part holds a nought byte.
    format!("{}\0{}\0{}", application.appid, address.kind(), address.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_call_things_is_cleaned_and_bounded() {
        assert_eq!(printable("Ann \"A\" \u{0}M\u{fc}ller\n", LONGEST_NAME), "Ann \"A\" M\u{fc}ller");
        let origin = Origin::new(None, &"\u{e9}".repeat(500), " 5\u{7f}");
        assert_eq!((origin.device.chars().count(), origin.device_type.as_str()), (LONGEST_DEVICE, "5"));
    }
}
