//! handfast: a messaging node that delivers until it is settled.
//!
//! # The journey
//!
//! 1. A request enters by a door ([`doors`]) on one of two listeners ([`listen`]): strangers' nodes on the public one, our own
//!    applications on the private one. The door parses it into types that cannot be wrong ([`openmsg`]).
//! 2. *Out*: the message, its deliveries and their chunk are committed to the [`books`] in one statement; then 202; then the chunk's
//!    id is published as a job ([`jobs`], [`queue`]).
//! 3. A worker process takes the job, claims the chunk under its lease, runs each delivery, settles, acknowledges: the loop in
//!    [`worker`] knows no job, the files of [`workers`] know one each.
//! 4. `deliver_openmsg` seals the text, commits an outbox row, posts to the other node ([`outbound`]) and judges the answer; what
//!    must wait gets a due time in Postgres by the rules of [`retry`].
//! 5. *In*: the other node's door checks everything that needs no call, and asks a worker (an ask on the broker) to call us back;
//!    our door answers from the outbox; their worker decrypts and stores into the [`inbox`].
//! 6. *Handshake*: the same two shapes. Starting one is a job ([`handshakes`]); receiving one burns a pass code ([`codes`]) and is
//!    an ask; both sides store a connection ([`connections`]).
//!
//! Nothing is acknowledged before it is committed, the broker carries ids only, and nothing is knowingly sent twice.
//!
//! # The rooms, in reading order
//!
//! | | |
//! |---|---|
//! | what is served | [`doors`], [`listen`], [`tls`] |
//! | who is served | [`accounts`], [`senders`], [`codes`], [`guessing`], [`limits`], [`connections`], [`handshakes`], [`inbox`], [`mailbox`], [`webhooks`], [`phones`], [`passwords`], [`prekeys`], [`directory`], [`envelopes`], [`attachments`], [`pushes`], [`federation`], [`logins`], [`hub`], [`gateway`] |
//! | what is promised | [`books`], [`campaigns`], [`destinations`], [`jobs`], [`queue`], [`retry`], [`events`] |
//! | what is done | [`worker`], [`workers`], [`outbound`], [`providers`] |
//! | what all use | [`openmsg`], [`textsecure`], [`homing`], [`crypto`], [`clock`], [`db`], [`batch`], [`rows`], [`template`], [`failure`], [`failpoint`], [`config`], [`telemetry`], [`audit`], [`keyring`] |
//! | how it is run | [`run`], [`overview`], [`service`], [`supervise`], [`embedded`], [`doctor`], [`backup`], [`arguments`], [`cli`], [`demo`] |

// The documentation is read with its private items: it is for those who work on the node.
#![allow(rustdoc::private_intra_doc_links)]

pub mod accounts;
pub mod arguments;
pub mod attachments;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod books;
pub mod campaigns;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod config;
pub mod connections;
pub mod crypto;
pub mod db;
pub mod demo;
pub mod destinations;
pub mod directory;
pub mod doctor;
pub mod doors;
pub mod embedded;
pub mod envelopes;
pub mod events;
pub mod failpoint;
pub mod failure;
pub mod federation;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod guessing;
pub mod handshakes;
pub mod homing;
pub mod hub;
pub mod inbox;
pub mod jobs;
pub mod keyring;
pub mod limits;
pub mod listen;
pub mod logins;
pub mod mailbox;
pub mod openmsg;
pub mod outbound;
pub mod overview;
pub mod passwords;
pub mod phones;
pub mod prekeys;
pub mod providers;
pub mod pushes;
pub mod queue;
pub mod retry;
pub mod rows;
pub mod run;
pub mod senders;
pub mod service;
pub mod supervise;
pub mod telemetry;
pub mod template;
pub mod textsecure;
pub mod tls;
pub mod webhooks;
pub mod worker;

// A module tree of its own at the top level, so that adding a worker is one file in one place.
#[path = "../workers/mod.rs"]
pub mod workers;

use std::sync::Arc;

use clock::Clock;
use config::Config;
use crypto::NodeKeys;
use db::Db;
use uuid::Uuid;

/// The description of the API, OpenAPI 3.1, as JSON: what `GET /api/v1/openapi.json` answers.
pub fn openapi() -> &'static str {
    &doors::api::describe::DOCUMENT
}

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
    /// A new id: a UUID of version 7 of the node's time, so that ids sort by time and fall into the right partition.
    pub fn new_id(&self) -> Uuid {
        let now = self.clock.now();
        let nanos = now.subsec_nanosecond().unsigned_abs();
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now.as_second().unsigned_abs(), nanos))
    }
}

#[cfg(any(test, fuzzing))]
impl App {
    /// For the tests of what needs settings, time and keys, and never asks the database.
    pub(crate) fn for_tests(domain: &str) -> Self {
        let database =
            config::Database { url: String::from("postgres://nobody@127.0.0.1:1/none").into(), ..Default::default() };
        // Unwrap safety: the URL is well formed, and nothing connects.
        let db = Db::new(&database).expect("a pool that is never used");
        let config = Arc::new(Config { domain: domain.into(), database, ..Config::default() });
        Self { config, clock: Clock::system(), db, keys: Arc::new(NodeKeys::ephemeral()) }
    }
}
