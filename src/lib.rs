//! handfast: a messaging node. (map: to be written by the lead)

pub mod accounts;
pub mod batch;
pub mod books;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod config;
pub mod connections;
pub mod crypto;
pub mod db;
pub mod doors;
pub mod embedded;
pub mod handshakes;
pub mod inbox;
pub mod jobs;
pub mod limits;
pub mod listen;
pub mod openmsg;
pub mod outbound;
pub mod queue;
pub mod retry;
pub mod senders;
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

impl App {
    /// A new id: UUID version 7 (RFC 9562) of this node's time.
    pub fn new_id(&self) -> uuid::Uuid {
        let now = self.clock.now();
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, now.as_second().max(0) as u64, now.subsec_nanosecond() as u32);
        uuid::Uuid::new_v7(stamp)
    }
}
