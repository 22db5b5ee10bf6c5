//! Every setting, one struct per concern.
//!
//! Settings come from a TOML file and from `HANDFAST_…` environment variables (`HANDFAST_DATABASE__URL` is `database.url`).
//! Unknown keys are refused, and all mistakes are reported together, so that one edit mends a file. Secrets are of type
//! [`Secret`], which prints dots. What only tests and demonstrations may do lives in [`Development`], and is refused unless
//! `mode = "development"`.

mod audit;
mod bucket;
pub mod console;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod homing;
mod host;
mod load;
pub mod mailbox;
pub mod mesibo;
pub mod providers;
mod secret;
mod size;
pub mod telemetry;
pub mod textsecure;

pub use audit::Audit;
pub use bucket::Bucket;
pub use console::Console;
pub use homing::Homing;
use host::is_host;
pub(crate) use host::is_http_url;
pub use load::{ConfigError, load};
pub use mailbox::Mailbox;
pub use mesibo::{Mesibo, TestCode};
pub use providers::Providers;
pub use secret::Secret;
pub use size::{ByteSize, Period};
pub use telemetry::{Telemetry, Work};
pub use textsecure::Textsecure;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A commented file with every setting; `handfast config --example` prints it.
pub const EXAMPLE: &str = include_str!("../docs/handfast.toml");

/// All settings of one node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `production` refuses everything in [`Development`].
    pub mode: Mode,
    /// The domain behind the `*` of this node's addresses, lower-case, without a port.
    pub domain: String,
    /// Where the node keeps what is not in the database: the embedded pair, the node keys, the first API key.
    pub data_dir: PathBuf,
    /// PostgreSQL.
    pub database: Database,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// The listener strangers reach.
    pub public: Public,
    /// The listener our own applications reach.
    pub private: Private,
    /// A worker's own listener.
    pub work: Work,
    /// The console on it.
    pub console: Console,
    /// Keys that seal secrets at rest.
    pub keys: Keys,
    /// The Openmsg door.
    pub openmsg: Openmsg,
    /// The TextSecure door.
    pub textsecure: Textsecure,
    /// The mesibo door, and logins by code.
    pub mesibo: Mesibo,
    /// The Homing Space doors: a merchant's gateway, and a hub.
    pub homing: Homing,
    /// The mailbox: pages for people of this node.
    pub mailbox: Mailbox,
    /// What carries codes and wakes devices.
    pub providers: Providers,
    /// Pass codes.
    pub codes: Codes,
    /// Outbound deliveries: pace, retries, lifetimes.
    pub delivery: Delivery,
    /// What is refused when too much comes in.
    pub admission: Admission,
    /// Pace and health of what deliveries go to.
    pub destinations: Destinations,
    /// Outbound calls: time-outs, caps, trust.
    pub outbound: Outbound,
    /// How long finished things are kept.
    pub retention: Retention,
    /// The record of who changed what.
    pub audit: Audit,
    /// Log output.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// For tests and demonstrations only.
    pub development: Development,
}

/// What the node is run for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Strangers on both sides: nothing of [`Development`] is allowed.
    #[default]
    Production,
    /// One's own machine: loopback targets and made-up names are allowed.
    Development,
}

/// PostgreSQL, 15 or later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `postgres://user:password@host:port/name[?sslmode=require]`. Empty: `handfast up` starts a private server.
    pub url: Secret,
    /// Connections a process may open.
    pub pool: usize,
    /// How long a request waits for a free connection before it is answered "temporarily".
    pub wait: Period,
}

/// RabbitMQ, 3.10 or later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Amqp {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`. Empty: `handfast up` starts a private broker.
    pub url: Secret,
    /// Put before every queue name, so that several nodes can share a vhost.
    pub prefix: String,
    /// How many deliveries of one lane may lie in the broker, published ahead of the workers.
    pub publish_ahead: u32,
    /// How many of these may be of one sender: the others' do not wait behind them.
    pub publish_ahead_per_sender: u32,
    /// How many of these may go to one destination.
    pub publish_ahead_per_destination: u32,
}

/// The public listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Public {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain; empty means plain HTTP behind a proxy.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key.
    pub tls_key: Option<PathBuf>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Connections open at once from one address (a trusted proxy is not counted).
    pub connections_per_ip: usize,
    /// Largest request body.
    pub body_limit: ByteSize,
    /// How long a client may take to send a whole head, and again a whole body.
    pub read_timeout: Period,
}

/// The private listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Private {
    /// Address and port.
    pub listen: SocketAddr,
    /// Connections open at once.
    pub connections: usize,
    /// Largest body of a request that is not streamed.
    pub body_limit: ByteSize,
    /// How long a client may take to send a whole head, or to send the next part of a streamed body.
    pub read_timeout: Period,
    /// Networks of proxies in front of it, whose `X-Forwarded-For` is believed, and whose word for who is signed in to the console.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Whether the session cookies of the form and the console carry `Secure` (set it behind an HTTPS proxy).
    pub secure_cookie: bool,
}

/// Node keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// File with one key a line, `<number> <64 hex digits>`; the first seals, all open. Empty: `<data_dir>/node.keys`.
    pub file: Option<PathBuf>,
}

/// The Openmsg door.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Openmsg {
    /// Whether the door is open.
    pub enabled: bool,
    /// Whole time an `auth` or `message-receive` caller waits for our worker before "temporarily".
    pub ask_deadline: Period,
    /// Send only the hash in `auth-confirm`, never the code (1.0 peers only).
    pub strict_confirm: bool,
    /// Wrong pass codes per account and hour before its live codes are withdrawn.
    pub wrong_codes_per_account: u32,
    /// Wrong pass codes per source address and hour before `auth` is refused.
    pub wrong_codes_per_ip: u32,
    /// Wrong pass codes per claimed sending domain and hour before `auth` is refused. Far above that of an address, because a claim
    /// is free: with as few, one machine could shut out any domain.
    pub wrong_codes_per_domain: u32,
    /// `message-receive` requests per connection and minute before SM_E008.
    pub messages_per_connection: u32,
    /// `message-confirm` and `auth-confirm` requests per source address and minute that found nothing, before they are refused.
    pub unknown_confirms_per_ip: u32,
    /// Confirm callbacks to one domain at once, over all workers of a process.
    pub callbacks_per_domain: usize,
    /// Confirm callbacks at once in one worker process.
    pub callbacks: usize,
    /// Domains whose endpoints live under `/openmsg/sandbox/`.
    pub sandbox_domains: Vec<String>,
    /// How long a nonce is remembered per connection.
    pub nonce_memory: Period,
    /// How long a handfast peer's message ids are remembered.
    pub id_memory: Period,
}

/// Pass codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Codes {
    /// Life of a pass code; at most one hour (Openmsg: "1 hour or less").
    pub pass_code_life: Period,
    /// Live pass codes per account; a further one withdraws the oldest.
    pub live_per_account: u32,
}

/// Outbound deliveries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// Life of a message that names no `expires_in`.
    pub lifetime: Period,
    /// Longest text, in characters (2,000 is what the PHP reference can store).
    pub text_limit: usize,
    /// Waits between attempts; the last one repeats until the message expires.
    pub schedule: Vec<Period>,
    /// The same for webhooks that have no schedule of their own.
    pub webhook_schedule: Vec<Period>,
    /// How much of a wait is random, 0 to 1.
    pub jitter: f64,
    /// Deliveries in one chunk.
    pub chunk: usize,
    /// POSTs in flight in one worker process.
    pub in_flight: usize,
    /// Deliveries held by one worker process.
    pub held: usize,
    /// Deliveries of one destination held by one worker process before further chunks go back to Postgres.
    pub held_per_destination: usize,
    /// Handshakes at once in one worker process.
    pub handshakes: usize,
    /// A worker that has not renewed its lease for this long is dead.
    pub lease: Period,
    /// How long finished work may wait before it is settled.
    pub settle_every: Period,
    /// How long SIGTERM waits for what is in hand.
    pub grace: Period,
    /// Settle without waiting for the disk: faster, and a crash of Postgres may repeat the last second.
    pub asynchronous_settle: bool,
}

/// What is refused when too much comes in: volume at these limits, what somebody waits for at twice as much.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Admission {
    /// Deliveries of a lane that are due and not settled.
    pub backlog: u32,
    /// How long a commit may take.
    pub lag: Period,
    /// Messages that wait for their commit in one process.
    pub waiting: u32,
}

/// Pace and health of what deliveries go to, over all processes, where a destination has no setting of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Destinations {
    /// Calls at once to one destination.
    pub concurrency: u32,
    /// An answer that took longer says that the destination is at its limit.
    pub slow_after: Period,
    /// Failures in a row that open the breaker.
    pub failures_in_a_row: u32,
    /// Share of failures, above 0 and at most 1, that opens the breaker.
    pub failures_share: f64,
    /// Fewer calls than this say nothing about the share.
    pub failures_least: u32,
    /// How long calls are counted together for the share.
    pub failures_within: Period,
    /// How long the breaker stays open the first time; twice as long each time that the probe fails.
    pub open_for: Period,
    /// Longest time that it stays open before the next probe.
    pub open_at_most: Period,
}

/// Outbound calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbound {
    /// Name resolution, TCP and TLS together.
    pub connect_timeout: Period,
    /// Whole confirm callback.
    pub confirm_timeout: Period,
    /// Whole `auth` or `message-receive` POST; it contains the peer's callback.
    pub post_timeout: Period,
    /// Ports that the URL of a webhook may name; in development any.
    pub ports: Vec<u16>,
    /// Largest answer read.
    pub answer_limit: ByteSize,
    /// PEM file with further certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Further networks never connected to (private and special ones always are refused).
    pub refused_networks: Vec<ipnet::IpNet>,
}

/// How long finished things are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Messages, deliveries and attempts.
    pub messages: Period,
    /// Acknowledged inbox entries.
    pub inbox: Period,
    /// Idempotency keys.
    pub idempotency: Period,
    /// Status events: for so long a consumer may be away and miss nothing.
    pub events: Period,
}

/// Log output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or a `tracing` filter.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// For tests and demonstrations only; any of these in production is a mistake that `load` reports.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Development {
    /// Names answered without DNS, with the port to use instead of 443: `"shop.test" = "127.0.0.1:8443"`.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// Addresses that may be connected to although the guard would refuse them.
    pub allow_addresses: Vec<IpAddr>,
}

impl Config {
    /// The file with the node keys.
    pub fn keys_file(&self) -> PathBuf {
        self.keys.file.clone().unwrap_or_else(|| self.data_dir.join("node.keys"))
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: Secret::default(), pool: 16, wait: Period::seconds(5) }
    }
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            prefix: "handfast".into(),
            publish_ahead: 100_000,
            publish_ahead_per_sender: 50_000,
            publish_ahead_per_destination: 10_000,
        }
    }
}

impl Default for Public {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            connections: 8192,
            connections_per_ip: 2048,
            body_limit: ByteSize::kib(64),
            read_timeout: Period::seconds(10),
        }
    }
}

impl Default for Private {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            connections: 1024,
            body_limit: ByteSize::mib(8),
            read_timeout: Period::seconds(30),
            trusted_proxies: Vec::new(),
            secure_cookie: false,
        }
    }
}

impl Default for Openmsg {
    fn default() -> Self {
        Self {
            enabled: true,
            ask_deadline: Period::seconds(15),
            strict_confirm: false,
            wrong_codes_per_account: 10,
            wrong_codes_per_ip: 30,
            wrong_codes_per_domain: 300,
            messages_per_connection: 6000,
            unknown_confirms_per_ip: 600,
            callbacks_per_domain: 64,
            callbacks: 256,
            sandbox_domains: Vec::new(),
            nonce_memory: Period::hours(24),
            id_memory: Period::days(8),
        }
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self { pass_code_life: Period::seconds(600), live_per_account: 2 }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            lifetime: Period::days(3),
            text_limit: 2000,
            schedule: [60, 300, 1800, 7200, 21_600, 86_400].map(Period::seconds).to_vec(),
            webhook_schedule: [5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200].map(Period::seconds).to_vec(),
            jitter: 0.2,
            chunk: 100,
            in_flight: 2000,
            held: 10_000,
            held_per_destination: 1000,
            handshakes: 64,
            lease: Period::seconds(8),
            settle_every: Period::millis(500),
            grace: Period::seconds(30),
            asynchronous_settle: false,
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self { backlog: 5_000_000, lag: Period::seconds(2), waiting: 20_000 }
    }
}

impl Default for Destinations {
    fn default() -> Self {
        Self {
            concurrency: 10,
            slow_after: Period::seconds(5),
            failures_in_a_row: 10,
            failures_share: 0.5,
            failures_least: 20,
            failures_within: Period::seconds(60),
            open_for: Period::seconds(5),
            open_at_most: Period::seconds(600),
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            connect_timeout: Period::seconds(5),
            confirm_timeout: Period::seconds(8),
            post_timeout: Period::seconds(30),
            ports: vec![443, 8443],
            answer_limit: ByteSize::kib(64),
            ca_file: None,
            refused_networks: Vec::new(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            messages: Period::days(90),
            inbox: Period::days(90),
            idempotency: Period::hours(24),
            events: Period::days(30),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}
