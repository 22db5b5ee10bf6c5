//! Publishing jobs: one connection, a window of confirms, and no promise beyond the confirm.
//!
//! What is not confirmed is not published: its row says so, and the scheduler publishes it again. So there is no buffer here
//! while the broker is away, and nothing is lost with this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Names, PATIENCE, connect, within};
use crate::App;
use crate::books::Lane;
use crate::failpoint;
use crate::jobs::Job;
use crate::retry::Reconnect;
use crate::telemetry::families::PUBLISHED;
use crate::telemetry::traces::{self, Parent};

/// Confirms outstanding at once: the broker's quorum write is waited for by all of them together.
const WINDOW: usize = 500;

/// Longest wait for a connection that knows its epoch; another one may be meeting the same broker.
const OPENING: Duration = Duration::from_secs(45);

/// The broker has not confirmed it: away, blocked, or it said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker did not confirm")]
pub struct NotPublished;

/// Publishes jobs; cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    names: Names,
    live: watch::Receiver<Option<Live>>,
    blocked: Arc<AtomicBool>,
    window: Arc<Semaphore>,
}

#[derive(Clone)]
struct Live {
    channel: Channel,
    epoch: i32,
}

impl Publisher {
    /// Starts the task that keeps a connection, until `stop`.
    pub fn start(app: &App, stop: CancellationToken) -> Self {
        let (sender, live) = watch::channel(None);
        let blocked = Arc::new(AtomicBool::new(false));
        tokio::spawn(keep_connected(app.clone(), sender, Arc::clone(&blocked), stop));
        Self { names: Names::new(&app.config.amqp), live, blocked, window: Arc::new(Semaphore::new(WINDOW)) }
    }

    /// Whether a connection is up.
    pub fn is_connected(&self) -> bool {
        self.live.borrow().is_some() && !self.blocked.load(Ordering::Relaxed)
    }

    /// The epoch of the broker connected to; `None` while it is away.
    pub fn epoch(&self) -> Option<i32> {
        self.live.borrow().as_ref().map(|live| live.epoch)
    }

    /// Publishes and waits for the confirm; answers the epoch of the broker that confirmed.
    pub async fn publish(&self, lane: Lane, job: &Job) -> Result<i32, NotPublished> {
        let body = serde_json::to_vec(job).map_err(|_| NotPublished)?;
        let queue = self.names.jobs(lane);
        let publisher = self.clone();
        // A task of its own: a confirm that is dropped half-way stays in lapin's memory for good.
        let trace = traces::current();
        let published = tokio::spawn(async move { publisher.publish_to(queue, body, trace).await }).await;
        let published = published.unwrap_or(Err(NotPublished));
        PUBLISHED.one([lane.name(), if published.is_ok() { "confirmed" } else { "failed" }]);
        published
    }

    /// Publishes a handshake job, and leaves it to the scheduler if that fails.
    pub async fn start_handshake(&self, id: uuid::Uuid) {
        let _ = self.publish(Lane::Interactive, &Job::StartHandshake(id)).await;
    }

    async fn publish_to(&self, queue: String, body: Vec<u8>, trace: Option<Parent>) -> Result<i32, NotPublished> {
        let _place = self.window.acquire().await.map_err(|_| NotPublished)?;
        let mut seen = self.live.clone();
        let Some(live) = seen.borrow_and_update().clone() else { return Err(NotPublished) };
        if self.blocked.load(Ordering::Relaxed) {
            return Err(NotPublished);
        }
        let confirm = tokio::select! {
            confirm = confirmed(&live.channel, &queue, &body, trace) => confirm,
            // What lapin was given in the moment the connection broke is sometimes neither confirmed nor refused.
            _ = seen.changed() => return Err(NotPublished),
        };
        match confirm {
            Ok(Confirmation::Ack(None)) => Ok(live.epoch),
            Ok(other) => {
                // An unroutable message is acked and returned: the queue is missing, which declaring at connect prevents.
                tracing::warn!(%queue, returned = ?matches!(other, Confirmation::Ack(Some(_))), "the broker refused a job");
                Err(NotPublished)
            }
            Err(_) => Err(NotPublished),
        }
    }
}

async fn confirmed(channel: &Channel, queue: &str, body: &[u8], trace: Option<Parent>) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut persistent = BasicProperties::default().with_delivery_mode(2);
    if let Some(trace) = trace {
        persistent = persistent.with_headers(super::traced(trace));
    }
    let confirm = channel.basic_publish("".into(), queue.into(), options, body, persistent).await?;
    failpoint::hit(failpoint::Place::AfterPublish);
    confirm.await
}

async fn keep_connected(
    app: App,
    live: watch::Sender<Option<Live>>,
    blocked: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut pace = Reconnect::default();
    let mut said = false;
    while !stop.is_cancelled() {
        let opening = tokio::time::timeout(OPENING, open(&app)).await;
        match opening.unwrap_or_else(|late| Err(late.into())) {
            Ok((connection, opened)) => {
                tracing::info!(epoch = opened.epoch, "publishing to the broker");
                (said, pace) = (false, Reconnect::default());
                let channel = opened.channel.clone();
                live.send_replace(Some(opened));
                until_broken(&connection, &channel, &blocked, &stop).await;
                live.send_replace(None);
                blocked.store(false, Ordering::Relaxed);
                let _ = within(PATIENCE, connection.close(200, "bye".into())).await;
            }
            Err(error) if !said => {
                said = true;
                tracing::warn!(error = %error, "cannot publish to the broker; trying again until it answers");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pace.next_wait()) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn open(app: &App) -> anyhow::Result<(Connection, Live)> {
    let (connection, channel) = connect(&app.config.amqp, "jobs out").await?;
    let epoch = epoch(app, &connection).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, Live { channel, epoch }))
}

/// Finds out whether this broker still has what we published: a broker that lost its disk, or another one, has no marker.
///
/// One connection at a time meets a new broker: two that disagreed about the epoch would take each other's publishes for void,
/// over and over. The epoch is raised before the marker is set, so whoever finds the marker finds the epoch that goes with it.
async fn epoch(app: &App, connection: &Connection) -> anyhow::Result<i32> {
    let node: uuid::Uuid =
        app.db.client().await?.query_one("/* queue::epoch node */ select id from node", &[]).await?.get(0);
    let names = Names::new(&app.config.amqp);
    let marker = names.known(node);
    for _ in 0..super::TRIES {
        let channel = connection.create_channel().await?;
        if is_marked(&channel, &marker).await? {
            let row = app.db.client().await?.query_one("/* queue::epoch */ select broker_epoch from node", &[]).await?;
            return Ok(row.get(0));
        }
        if super::lock(&channel, &names.declaring()).await.is_ok() {
            // Looked again under the lock; where another was first, the next round finds its marker.
            let met = if is_marked(&channel, &marker).await? { None } else { Some(meet(app, &channel, &marker).await) };
            super::unlock(&channel, &names.declaring()).await?;
            if let Some(epoch) = met {
                return epoch;
            }
        }
        tokio::time::sleep(super::BETWEEN).await;
    }
    anyhow::bail!("another connection has been meeting this broker for too long")
}

async fn is_marked(channel: &Channel, marker: &str) -> lapin::Result<bool> {
    Ok(super::quorum(channel, marker, None).await?.message_count() > 0)
}

async fn meet(app: &App, channel: &Channel, marker: &str) -> anyhow::Result<i32> {
    let raise = "/* queue::epoch raise */ update node set broker_epoch = broker_epoch + 1 returning broker_epoch";
    let epoch: i32 = app.db.client().await?.query_one(raise, &[]).await?.get(0);
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let persistent = BasicProperties::default().with_delivery_mode(2);
    channel
        .basic_publish("".into(), marker.into(), BasicPublishOptions::default(), b"known", persistent)
        .await?
        .await?;
    tracing::info!(epoch, "met a new broker: what was published before is published again");
    Ok(epoch)
}

/// Returns when the connection or the channel has ended, or on `stop`.
async fn until_broken(connection: &Connection, channel: &Channel, blocked: &AtomicBool, stop: &CancellationToken) {
    let mut events = std::pin::pin!(connection.events_listener());
    let mut look = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(_)) => {
                    tracing::warn!("the broker is short of memory or disk: jobs wait in the database");
                    blocked.store(true, Ordering::Relaxed);
                }
                Some(Event::ConnectionUnblocked) => blocked.store(false, Ordering::Relaxed),
                Some(Event::Error(_)) | None => return,
                Some(_) => {}
            },
            // Some ends of a connection come without an event.
            _ = look.tick() => if !connection.status().connected() || !channel.status().connected() { return },
            () = stop.cancelled() => return,
        }
    }
}
