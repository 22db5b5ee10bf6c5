//! handfast: a messaging node. (map: to be written by the lead)

pub mod batch;
pub mod books;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod db;
pub mod embedded;
pub mod listen;
pub mod openmsg;
pub mod outbound;
pub mod supervise;
pub mod tls;

use std::sync::Arc;

use clock::Clock;
use config::Config;
use crypto::NodeKeys;
use db::Db;

/// What every part is given: settings, time, database, keys. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Settings.
    pub config: Arc<Config>,
    /// Time, following the database's.
    pub clock: Clock,
    /// PostgreSQL.
    pub db: Db,
    /// Keys that seal secrets at rest.
    pub keys: Arc<NodeKeys>,
}
