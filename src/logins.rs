//! Logins by code: applications, the codes that sign somebody in, sessions.

pub mod address;
pub mod apps;
pub mod parse;

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
pub use apps::Application;

/// What logins need; cheap to clone.
#[derive(Clone)]
pub struct Logins {
    app: App,
    acceptor: Acceptor,
    asker: Asker,
}

/// Where a request came from, as far as it says.
#[derive(Clone, Default)]
pub struct Origin {
    /// The caller's address; none for applications that do not pass it on.
    pub ip: Option<IpAddr>,
    /// The device's id; empty: not said.
    pub device: String,
    /// The device's type; empty: not said.
    pub device_type: String,
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

    /// Step 1: sends a code, or begins whatever the application's own verifier does.
    pub async fn start(
        &self,
        _application: &Application,
        _address: &Address,
        _origin: &Origin,
    ) -> Result<Started, Error> {
        let _ = (&self.app, &self.acceptor, &self.asker);
        Ok(Started::Unavailable)
    }

    /// Step 2: takes the code, and gives a token.
    pub async fn verify(
        &self,
        _application: &Application,
        _address: &Address,
        _secret: &str,
        _name: &str,
        _origin: &Origin,
    ) -> Result<Verified, Error> {
        Ok(Verified::Unavailable)
    }

    /// Revokes the session of a token; false: there is none. The caller's answer is the same.
    pub async fn sign_out(&self, _token: &str) -> Result<bool, Error> {
        Ok(false)
    }
}
