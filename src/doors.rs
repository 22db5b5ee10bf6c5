//! The doors: which one owns which path on which listener.
//!
//! | listener | path | door |
//! |---|---|---|
//! | public | `/openmsg/…` | [`openmsg`]: strangers' nodes |
//! | private | `/api/v1/…` | [`api`]: our own applications |
//! | private | `/handshake…` | [`form`]: people who start a handshake in a browser |
//! | private | `/healthz`, `/readyz` | [`health`]: whoever supervises the process |
//!
//! Doors never name one another's wire types; each answers mistakes in its own shape. In warp that means: prefix outside,
//! failures as values inside, boxed at the end, because a rejection that leaves a door would be tried against the next one.

pub mod api;
pub mod form;
pub mod health;
pub mod openmsg;

mod private;
mod public;

pub use private::private_routes;
pub use public::public_routes;

use std::error::Error;
use std::fmt::Write;

use tokio_util::sync::CancellationToken;

use crate::App;
use crate::batch::Stopped;
use crate::books::{Acceptor, BooksError};
use crate::db::DbError;
use crate::queue::Publisher;

/// What doors are given; cheap to clone.
#[derive(Clone)]
pub struct Serve {
    /// Settings, time, database, keys.
    pub app: App,
    /// Takes messages into the books.
    pub acceptor: Acceptor,
    /// Puts jobs on the broker.
    pub publisher: Publisher,
    /// Cancelled when the process is asked to stop: open streams and waits end.
    pub stopping: CancellationToken,
}

/// An error of the modules behind the doors.
pub trait Failure: Error + 'static {
    /// Whether trying again later may help.
    fn is_passing(&self) -> bool;
}

macro_rules! failures {
    ($($error:ident: $($path:ident)::+),* $(,)?) => {$(
        impl Failure for crate::$($path)::+::$error {
            fn is_passing(&self) -> bool {
                matches!(self, Self::Db(error) if error.is_passing())
            }
        }
    )*};
}
failures!(Error: codes, Error: connections, Error: handshakes, Error: inbox, Error: senders);

impl Failure for DbError {
    fn is_passing(&self) -> bool {
        self.is_passing()
    }
}

impl Failure for BooksError {
    fn is_passing(&self) -> bool {
        self.is_passing()
    }
}

impl Failure for Stopped {
    fn is_passing(&self) -> bool {
        true
    }
}

/// An answer that could not be written as JSON: a defect.
impl Failure for serde_json::Error {
    fn is_passing(&self) -> bool {
        false
    }
}

/// An error and what is behind it, in one line for the log.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
