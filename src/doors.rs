//! The doors: which one owns which path on which listener.
//!
//! | listener | path | door |
//! |---|---|---|
//! | public | `/openmsg/…` | [`openmsg`]: strangers' nodes |
//! | public | `/v1/…`, `/v2/keys…` | [`textsecure`]: devices of phone numbers, federated nodes |
//! | public | `/`, `/index.php`, `/api.php` | [`mesibo`]: messengers that sign in by code |
//! | public | `/homing/…` | [`homing`]: people who sign in to a merchant through Homing Space |
//! | public | `/homing/hub/…` | [`homing::hub`]: people with a space, merchants' servers |
//! | public | `/me…` | [`me`]: people of this node who read and write (on the private one, where it is so set) |
//! | public | `/attachments/…` | [`attachments`]: whoever holds the URL of a file |
//! | private | `/api/v1/…` | [`api`]: our own applications |
//! | private | `/handshake…` | [`form`]: people who start a handshake in a browser |
//! | private | `/console…` | [`console`]: operators, in a browser |
//! | private | `/readyz` | [`health`]: whoever supervises the process |
//! | private, a worker's own | `/healthz` | [`health`]: likewise |
//! | private, a worker's own | `/metrics` | [`metrics`]: whoever watches it |
//!
//! Doors never name one another's wire types; each answers mistakes in its own shape. In warp that means: prefix outside,
//! failures as values inside, boxed at the end, because a rejection that leaves a door would be tried against the next one.

pub mod api;
pub mod attachments;
pub mod console;
pub mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod health;
pub mod homing;
pub mod me;
pub mod mesibo;
pub mod metrics;
pub mod openmsg;
pub mod textsecure;

mod hosts;
mod observed;
mod page;
mod paths;
mod places;
mod private;
mod public;
mod site;
mod sse;

pub use observed::observed;
pub use private::private_routes;
pub use public::{DoorError, public_routes};

use tokio_util::sync::CancellationToken;

use crate::App;
use crate::books::Acceptor;
use crate::mailbox::Mailbox;
use crate::overview;
use crate::queue::{Asker, Publisher};

/// What doors are given; cheap to clone.
#[derive(Clone)]
pub struct Serve {
    /// Settings, time, database, keys.
    pub app: App,
    /// Takes messages into the books.
    pub acceptor: Acceptor,
    /// Puts jobs on the broker.
    pub publisher: Publisher,
    /// Asks workers.
    pub asker: Asker,
    /// Knows what the node is doing.
    pub overview: overview::Watch,
    /// Signs people in to the mailbox.
    pub mailbox: Mailbox,
    /// Cancelled when the process is asked to stop: open streams and waits end.
    pub stopping: CancellationToken,
}
