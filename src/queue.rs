//! RabbitMQ: topology, publish, consume, ask. The only module that names lapin.
//!
//! | queue | kind | carries |
//! |---|---|---|
//! | `PREFIX.v1.jobs.interactive`, `PREFIX.v1.jobs.bulk` | quorum, delivery limit, dead letters to `PREFIX.v1.dead` | [`Job`](crate::jobs::Job)s: ids only |
//! | `PREFIX.v2.asks` | quorum, bounded; messages with a TTL | sealed [`Ask`](crate::jobs::Ask)s; answers by direct reply-to |
//! | `PREFIX.v1.dead` | quorum | jobs that killed their workers over and over: reconciled with Postgres |
//! | `PREFIX.v2.known.NODE` | quorum | one marker: a broker without it is new, and everything published before is void |
//! | `PREFIX.v1.declaring` | exclusive, for a moment | held by the connection that declares the others |
//!
//! Every loss of a connection, whatever the cause, takes one way: drop it, wait, connect anew, declare, consume. The broker's
//! own recovery features are not used: what was in flight is known to Postgres. Arguments of a queue never change under its
//! name; a change gets a new version in the name.
//!
//! Every queue that lasts is a quorum queue: a classic one lives on one node of a cluster, and while that node is away nobody can
//! even declare it.

mod ask;
mod consume;
mod depth;
mod publish;
mod version;

pub use ask::{AskError, AskTaken, Asker, Replier};
pub use consume::{Consumer, Source, Taken};
pub use depth::{Depth, Depths};
pub use publish::{NotPublished, Publisher};
pub use version::version;

use std::io;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use crate::books::Lane;
use crate::config;
use crate::telemetry::families;
use crate::telemetry::traces::Parent;

/// A job that was handed out this often without an ack has something the matter with it.
const DELIVERY_LIMIT: i64 = 20;

/// Messages of asks that wait; beyond that the oldest go, whose askers are nearest to giving up.
const MOST_ASKS: i64 = 10_000;

/// Seconds; both sides give a connection up that has been silent for twice as long. Where the URL does not say otherwise: RabbitMQ's
/// own minute is how long the jobs of a worker that was cut off without a word would wait.
const HEARTBEAT: u16 = 4;

/// Names the trace that a job belongs to.
const TRACEPARENT: &str = "traceparent";

/// Longest wait for a new connection, with all greetings.
const CONNECT: Duration = Duration::from_secs(5);

/// What lapin is given in the moment a connection breaks is sometimes neither done nor refused. Nothing waits longer than this for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Another connection is declaring: looked again this often, this much later.
const TRIES: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(200);

/// Names under the configured prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    fn new(settings: &config::Amqp) -> Self {
        Self { prefix: settings.prefix.clone() }
    }
    fn jobs(&self, lane: Lane) -> String {
        format!("{}.v1.jobs.{}", self.prefix, lane.name())
    }
    fn asks(&self) -> String {
        format!("{}.v2.asks", self.prefix)
    }
    fn dead(&self) -> String {
        format!("{}.v1.dead", self.prefix)
    }
    fn declaring(&self) -> String {
        format!("{}.v1.declaring", self.prefix)
    }
    fn known(&self, node: uuid::Uuid) -> String {
        format!("{}.v2.known.{node}", self.prefix)
    }
}

/// As `done`, or the error that it took too long.
async fn within<T>(time: Duration, done: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    tokio::time::timeout(time, done).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// A connection with all queues declared, and a channel on it.
async fn connect(settings: &config::Amqp, purpose: &'static str) -> lapin::Result<(Connection, Channel)> {
    within(CONNECT + PATIENCE + BETWEEN * TRIES, connect_and_declare(settings, purpose)).await
}

async fn connect_and_declare(settings: &config::Amqp, purpose: &'static str) -> lapin::Result<(Connection, Channel)> {
    let connection = dial(settings, purpose).await?;
    let names = Names::new(settings);
    let mut tries = 0;
    loop {
        let channel = connection.create_channel().await?;
        if all_there(&channel, &names).await.is_ok() {
            return Ok((connection, channel));
        }
        // What was missing has closed the channel.
        let channel = connection.create_channel().await?;
        match declare_alone(&channel, &names).await {
            Ok(()) => return Ok((connection, channel)),
            Err(error) if tries == TRIES => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn dial(settings: &config::Amqp, purpose: &'static str) -> lapin::Result<Connection> {
    let name = format!("handfast {purpose}");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let mut uri: AMQPUri = settings.url.reveal().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    // Nothing tells of a server that stops answering half-way: heartbeats come later.
    let connected = within(CONNECT, Connection::connect_uri(uri, properties)).await;
    match &connected {
        Ok(_) => families::BROKER_CONNECTS.one([purpose]),
        Err(_) => families::BROKER_FAILURES.one([]),
    }
    connected
}

async fn all_there(channel: &Channel, names: &Names) -> lapin::Result<()> {
    let looking = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let jobs = Lane::ALL.map(|lane| names.jobs(lane));
    for name in jobs.iter().chain(&[names.asks(), names.dead()]) {
        channel.queue_declare(name.as_str().into(), looking, FieldTable::default()).await?;
    }
    Ok(())
}

/// Declares everything while no other connection does: of two that declare one quorum queue at the same moment, RabbitMQ lets one
/// fail, and deletes the queue that the other one is already using.
async fn declare_alone(channel: &Channel, names: &Names) -> lapin::Result<()> {
    lock(channel, &names.declaring()).await?;
    let declared = declare(channel, names).await;
    unlock(channel, &names.declaring()).await?;
    declared
}

/// Only one connection has an exclusive queue of a name; it goes with its connection. An error, which closes the channel, means
/// that another has it.
async fn lock(channel: &Channel, name: &str) -> lapin::Result<()> {
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), exclusive, FieldTable::default()).await?;
    Ok(())
}

async fn unlock(channel: &Channel, name: &str) -> lapin::Result<()> {
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
    Ok(())
}

async fn declare(channel: &Channel, names: &Names) -> lapin::Result<()> {
    quorum(channel, &names.dead(), None).await?;
    for lane in Lane::ALL {
        quorum(channel, &names.jobs(lane), Some(&names.dead())).await?;
    }
    let mut bounded = quorum_arguments();
    bounded.insert("x-max-length".into(), AMQPValue::LongLongInt(MOST_ASKS));
    channel.queue_declare(names.asks().as_str().into(), durable(), bounded).await?;
    Ok(())
}

async fn quorum(channel: &Channel, name: &str, dead: Option<&str>) -> lapin::Result<lapin::Queue> {
    let mut arguments = quorum_arguments();
    if let Some(dead) = dead {
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
        arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
        arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.into()));
    }
    channel.queue_declare(name.into(), durable(), arguments).await
}

fn quorum_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// A job's headers: the trace that it belongs to, where it is sampled (W3C Trace Context: AMQP, which names the header as HTTP does).
fn traced(trace: Parent) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(TRACEPARENT.into(), AMQPValue::LongString(trace.header().into()));
    headers
}

fn trace_of(properties: &BasicProperties) -> Option<Parent> {
    match properties.headers().as_ref()?.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(text) => Parent::from_header(std::str::from_utf8(text.as_bytes()).ok()?),
        _ => None,
    }
}

/// Checks that the broker can be reached and the queues are as this program declares them; for `doctor`.
pub async fn check(settings: &config::Amqp) -> Result<(), String> {
    let (connection, _channel) = connect(settings, "doctor").await.map_err(|e| e.to_string())?;
    connection.close(200, "checked".into()).await.map_err(|e| e.to_string())
}
