//! A Homing Space hub: spaces with their personas, sites with their sauces, welcomes.
//!
//! A *space* is somebody's: it signs in with a key, never with a password, and has up to seven *personas*. A *site* belongs to one of
//! them, and has a secret *sauce*. A merchant asks for a *welcome*; the hub checks it in the order of the specification (logins,
//! B.3), seals it to the persona and waits. Who approves gets a *release*: where to go, signed with the time and the *fingerprint*,
//! which is one for all personas of a space.
//!
//! | file | what |
//! |---|---|
//! | `keys` | the hub's own keys |
//! | `spaces`, `vaults`, `personas` | people |
//! | `names` | look-alikes |
//! | `sites`, `sauces`, `trial` | merchants |
//! | `welcomes` | a merchant asks: all checks |
//! | `challenges`, `decisions` | what waits, and what people say to it |
//! | `blocks` | who keeps saying no is left alone |
//! | `stats` | what a site's owner sees |
//! | `notices` | people are told |
//! | `bell` | pages that wait are told |
//! | `secrets` | how what is secret is stored |
//!
//! Promises: a name that nobody has is answered like one that somebody has, at the same cost; a welcome is decided once, by one
//! conditional statement; values of scopes never come here; secrets lie sealed under the node key or as keyed hashes of themselves.
//! Leaves out HTTP (`doors/homing/hub`), the merchant's side ([`crate::gateway`]) and what both share ([`crate::homing`]).

mod bell;
mod blocks;
pub mod challenges;
pub mod decisions;
pub mod keys;
mod names;
pub mod notices;
pub mod personas;
pub mod sauces;
mod secrets;
pub mod sites;
pub mod spaces;
pub mod stats;
pub mod trial;
pub mod vaults;
pub mod welcomes;

pub use bell::Bell;

use std::net::IpAddr;
use std::time::Duration;

use crate::App;
use crate::books::{Acceptor, BooksError};
use crate::config::Bucket;
use crate::crypto::OpenError;
use crate::db::DbError;
use crate::guessing::network;
use crate::limits::{self, Spent};

/// The sender of what a hub itself sends, among deliveries.
pub const SENDER: &str = "homing";

/// What a hub needs; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    app: App,
    acceptor: Acceptor,
    keys: keys::Known,
    bell: Bell,
}

/// Why the hub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// Sealed with a key that the node no longer has, or damaged.
    #[error("a sealed value of the hub does not open")]
    Sealed(#[from] OpenError),
    /// It must not be done; the caller is told why.
    #[error("refused: {0:?}")]
    Refused(Refusal),
}

/// Why not (logins, B.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not what it should be; what is wrong, in words.
    BadRequest(&'static str),
    /// The scopes are none.
    BadScopes,
    /// The query holds what is the hub's.
    ReservedParam,
    /// No persona can be called so.
    BadUsername,
    /// The merchant's clock is too far off.
    ClockSkew,
    /// A signature does not fit.
    BadSignature,
    /// The one-time password is another.
    BadOtp,
    /// Nobody is signed in.
    SignedOut,
    /// The site's trial is over.
    TrialEnded,
    /// The place is not one of the site's.
    EndpointNotRegistered,
    /// The site was taken back.
    SiteRevoked,
    /// A scope that this site may not ask for, or did not.
    ScopeNotAllowed,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// This was asked before.
    Replayed,
    /// It is decided.
    AlreadyDecided,
    /// Somebody has, or had, this name or one that looks like it.
    Taken,
    /// There is no room for more.
    Full,
    /// Another index is next.
    BadIndex,
    /// It was changed meanwhile.
    Conflict,
    /// Its time is over.
    Expired,
    /// A mandatory scope was not granted.
    MissingScope,
    /// The code is not the one that was sent.
    WrongCode,
    /// Too often; after that time there is room.
    RateLimited(Option<Duration>),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Hub {
    /// Makes the hub's keys as soon as somebody needs them.
    pub fn new(app: &App, acceptor: &Acceptor) -> Self {
        let (keys, bell) = (keys::Known::default(), Bell::new(app));
        Self { app: app.clone(), acceptor: acceptor.clone(), keys, bell }
    }

    /// Settings, time, database, keys.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Tells pages that wait.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The hub's keys, as they were at most a few seconds ago.
    pub async fn ring(&self) -> Result<std::sync::Arc<keys::Ring>, Error> {
        self.keys.get(&self.app).await
    }
}

/// Where browsers reach the hub's pages, without a slash at the end: `https://hub.example/homing/hub`.
pub fn url(app: &App) -> String {
    let set = app.config.homing.hub.url.trim_end_matches('/');
    let origin = if set.is_empty() { format!("https://{}", app.config.domain) } else { set.to_owned() };
    format!("{origin}/homing/hub")
}

/// Ends what has had its time, and forgets what is long over, each in bounded batches; returns how many rows went.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    let mut gone = challenges::expire(app).await?;
    gone += welcomes::purge(app).await?;
    gone += spaces::purge(app).await?;
    gone += sauces::purge(app).await?;
    gone += blocks::purge(app).await?;
    gone += stats::purge(app).await?;
    Ok(gone + notices::purge(app).await?)
}

/// [`within`], per IPv4 address or IPv6 /64.
pub(crate) async fn within_of(app: &App, scope: &str, ip: IpAddr, bucket: Bucket) -> Result<(), Error> {
    within(app, scope, &network(ip), bucket).await
}

/// Goes on, or answers that it is too often.
pub(crate) async fn within(app: &App, scope: &str, key: &str, bucket: Bucket) -> Result<(), Error> {
    match limits::spend(app, scope, key, bucket, 1).await? {
        Spent::Within => Ok(()),
        Spent::Over(after) => Err(Refusal::RateLimited(after).into()),
    }
}
