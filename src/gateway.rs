//! A Homing Space merchant's side: attempts to sign in, accounts, sessions.
//!
//! | file | what |
//! |---|---|
//! | `site` | the settings as types; what a login begins with |
//! | `attempts` | logins that a hub made a welcome for |
//! | `arrival` | the checks of a browser that comes back, in their order, and what follows |
//! | `elsewhere` | logins that begin on one device and are approved on another |
//! | `accounts` | who is who: fingerprint, personas, policy, what people said of themselves |
//! | `sessions` | browsers that are signed in |
//!
//! Promises: an attempt exists only after the hub made its welcome, and is used once, by one conditional update; nobody is signed in
//! under a name, a time or a fingerprint that the hub's signature does not cover (unless the settings do without it); fingerprints
//! never reach a page. Leaves out HTTP (`doors::homing::gateway`) and the call to the hub (`workers/call_hub.rs`).

mod accounts;
mod arrival;
mod attempts;
mod elsewhere;
mod sessions;
mod site;

pub use accounts::Account;
pub use arrival::{Arrival, Came, Refusal, SignedIn, arrive};
pub use attempts::keep;
pub use elsewhere::{Standing, compare, stand};
pub use sessions::{Session, end, find};
pub use site::{Begun, Site, SiteError};

use crate::App;
use crate::db::DbError;

/// Why a login could not be judged: nothing that the browser could do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Something sealed that does not open.
    #[error("something sealed does not open: {0}")]
    Seal(#[from] crate::crypto::OpenError),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Removes up to 1,000 attempts and as many sessions that have had their time; returns how many.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    Ok(attempts::purge(app).await? + sessions::purge(app).await?)
}
