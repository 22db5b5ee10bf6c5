//! What the node is doing now, all processes together: what `/metrics`, the console and `handfast top` show.
//!
//! Promises: what it costs does not grow with what the node holds (every question reads an index of what is open, and no further
//! than some thousand rows); the broker being away is an answer, not an error. Rates come from [`activity`], which all processes
//! write. Leaves out what concerns one process only (its memory, its connections): that is for its own metrics.
//!
//! Whoever shows it asks [`Watch`], which asks the database at most once in two seconds, however many look.

pub mod activity;
mod places;
mod watch;

pub use watch::{Look, Watch};

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::App;
use crate::books::{self, Standing};
use crate::db::DbError;
use crate::queue::{Depth, Depths};

/// The whole of it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Overview {
    /// When this was true.
    pub at: Timestamp,
    /// Behind the `*` of the node's addresses.
    pub domain: String,
    /// Of the program that answers.
    pub version: &'static str,
    /// Events a second, over the last whole minute.
    pub rates: Rates,
    /// The last 60 minutes, oldest first, those without events included; the last one is still going on.
    pub minutes: Vec<Minute>,
    /// Open deliveries, one entry a lane: `interactive`, `bulk`, `status`.
    pub lanes: Vec<Standing>,
    /// The broker's queues.
    pub broker: Broker,
    /// What deliveries go to.
    pub destinations: Destinations,
    /// Worker processes alive.
    pub workers: Vec<Worker>,
    /// Campaigns that are not over.
    pub campaigns: Campaigns,
}

/// Events a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Rates {
    /// Deliveries accepted.
    pub accepted: f64,
    /// Tries settled.
    pub attempts: f64,
    /// Deliveries that ended well.
    pub delivered: f64,
    /// Deliveries that failed, expired, or whose outcome nobody knows.
    pub failed: f64,
    /// Messages of other nodes stored for our accounts.
    pub received: f64,
}

/// What happened in a minute: numbers, not rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Minute {
    /// When it began.
    pub at: Timestamp,
    /// As in [`Rates`].
    pub accepted: i64,
    /// As in [`Rates`].
    pub attempts: i64,
    /// As in [`Rates`].
    pub delivered: i64,
    /// As in [`Rates`].
    pub failed: i64,
    /// As in [`Rates`].
    pub received: i64,
}

/// RabbitMQ.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Broker {
    /// Whether it answered just now.
    pub reachable: bool,
    /// Its queues; none while it is away.
    pub queues: Vec<Depth>,
}

/// Destinations, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "DestinationCounts")]
pub struct Destinations {
    /// That something was ever delivered to, or that were set up; 100,000 stands for that many or more.
    pub known: i64,
    /// Whose breaker is open.
    pub open: i64,
    /// That are being probed after that.
    pub half_open: i64,
    /// That asked for a pause (`Retry-After`), which goes on.
    pub retry_after: i64,
    /// Paused by an operator.
    pub paused: i64,
}

/// A worker process.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Worker {
    /// Made anew at each start.
    pub id: Uuid,
    /// Which machine.
    pub host: String,
    /// Its process there.
    pub pid: i32,
    /// When it started.
    pub since: Timestamp,
    /// When it last reported.
    pub last_seen: Timestamp,
    /// Chunks in its hands.
    pub chunks: i64,
    /// Deliveries in its hands.
    pub deliveries: i64,
}

/// Campaigns that are not over.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "OpenCampaigns")]
pub struct Campaigns {
    /// How many are running.
    pub running: i64,
    /// How many are paused.
    pub paused: i64,
    /// The newest of both, at most 20.
    pub newest: Vec<Running>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[schemars(rename = "OpenCampaign")]
pub struct Running {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// Whose it is.
    pub sender: String,
    /// Whether it is paused.
    pub paused: bool,
    /// No more rows are taken.
    pub closed: bool,
    /// Deliveries a second; none: as fast as they go.
    pub rate: Option<f64>,
    /// Rows that became messages.
    pub accepted: i64,
    /// Rows that could not be accepted.
    pub refused: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Looks. See [`Watch`] for who looks often.
///
/// # Errors
/// When the database is away. The broker being away is part of the answer.
pub async fn read(app: &App, queues: &Depths) -> Result<Overview, DbError> {
    let look = queues.look();
    let books = async {
        let (rates, minutes) = activity::read(app).await?;
        let lanes = books::standing(app).await?;
        let (destinations, workers) = (places::destinations(app).await?, places::workers(app).await?);
        Ok::<_, DbError>((rates, minutes, lanes, destinations, workers, places::campaigns(app).await?))
    };
    let (queues, books) = tokio::join!(look, books);
    let (rates, minutes, lanes, destinations, workers, campaigns) = books?;
    Ok(Overview {
        at: app.clock.now(),
        domain: app.config.domain.clone(),
        version: env!("CARGO_PKG_VERSION"),
        rates,
        minutes,
        lanes,
        broker: Broker { reachable: queues.is_some(), queues: queues.unwrap_or_default() },
        destinations,
        workers,
        campaigns,
    })
}
