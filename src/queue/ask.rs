//! Asks: an HTTP request hands a job to a worker and waits for the answer.
//!
//! Asks and replies are sealed under the node key, transient, and void after their deadline. Asks that wait together travel in
//! one broker message, and so do replies: the cost of the broker is per message, not per ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Names, PATIENCE, Taken, connect, within};
use crate::App;
use crate::batch::Batcher;
use crate::crypto::Purpose;
use crate::jobs::{Ask, Reply};
use crate::retry::Reconnect;
use crate::telemetry::{families, traces};

/// Asks, or replies, in one broker message.
const TOGETHER: usize = 64;
/// A reply committed in time is waited for this much longer.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// How long an ask waits for a connection to the broker.
const COMING_BACK: Duration = Duration::from_secs(3);
/// RabbitMQ's name for the consumer of direct replies.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";
/// Binds the seals, so that a reply cannot pass for an ask.
const ASKS: &[u8] = b"asks";
const REPLIES: &[u8] = b"replies";

/// Why an ask brought no answer: for the caller, always "temporarily".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No connection to the broker: certainly no worker has seen it.
    #[error("the broker is away")]
    NotSent,
    /// The deadline passed, or the broker went away meanwhile: a worker may have it.
    #[error("no worker answered in time")]
    TimedOut,
}

/// An ask as a worker takes it.
#[derive(Clone, Serialize, Deserialize)]
pub struct AskTaken {
    /// Names it in the reply, and in the books of codes.
    pub id: Uuid,
    /// After this it is void.
    pub deadline: Timestamp,
    /// What is asked.
    pub ask: Ask,
    /// The trace that it belongs to, as `traceparent` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

type Waiting = Arc<Mutex<HashMap<Uuid, oneshot::Sender<Reply>>>>;

/// The asking side, in the ingress; cheap to clone.
#[derive(Clone)]
pub struct Asker {
    app: App,
    live: watch::Receiver<Option<Channel>>,
    waiting: Waiting,
    out: Batcher<AskTaken, Result<(), AskError>>,
}

impl Asker {
    /// Starts the task that keeps a connection, until `stop`.
    pub fn start(app: &App, stop: CancellationToken) -> Self {
        let waiting = Waiting::default();
        let (live, channel) = watch::channel(None);
        tokio::spawn(keep_connected(app.clone(), live, Arc::clone(&waiting), stop));
        let (for_batches, of_batches) = (app.clone(), channel.clone());
        let out = Batcher::spawn(TOGETHER, Duration::from_micros(500), move |asks: Vec<AskTaken>| {
            let (app, channel) = (for_batches.clone(), of_batches.borrow().clone());
            async move {
                let sent = send_asks(&app, channel, &asks).await;
                vec![sent; asks.len()]
            }
        });
        Self { app: app.clone(), live: channel, waiting, out }
    }

    /// Whether a connection is up.
    pub fn is_connected(&self) -> bool {
        self.live.borrow().is_some()
    }

    /// Asks, and waits until `deadline` for the reply. `id` is the caller's to choose, so that it can burn a code for it before.
    pub async fn ask(&self, id: Uuid, deadline: Timestamp, ask: Ask) -> Result<Reply, AskError> {
        let begun = Instant::now();
        let answered = self.hand_over(id, deadline, ask).await;
        families::ASK_TIMES.took([], begun.elapsed());
        families::ASKS.one([match &answered {
            Ok(_) => "answered",
            Err(AskError::NotSent) => "not-sent",
            Err(AskError::TimedOut) => "timed-out",
        }]);
        answered
    }

    async fn hand_over(&self, id: Uuid, deadline: Timestamp, ask: Ask) -> Result<Reply, AskError> {
        // A broker that is just coming back is worth a moment; one that is away is said to be.
        let mut live = self.live.clone();
        let connected = live.wait_for(Option::is_some).map(|found| found.is_ok());
        if !tokio::time::timeout(COMING_BACK.min(self.left(deadline)), connected).await.unwrap_or(false) {
            return Err(AskError::NotSent);
        }
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let _forget = Forget { waiting: &self.waiting, id };
        self.out
            .call(AskTaken { id, deadline, ask, trace: traces::current().map(|trace| trace.header()) })
            .await
            .unwrap_or(Err(AskError::NotSent))?;
        // The worker may commit until the deadline; its word then needs a moment to get here.
        match tokio::time::timeout(self.left(deadline) + ON_THE_WAY, reply).await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(AskError::TimedOut),
        }
    }

    fn left(&self, deadline: Timestamp) -> Duration {
        Duration::try_from(deadline.duration_since(self.app.clock.now())).unwrap_or_default()
    }
}

/// Takes an ask that nobody waits for any more off the list, also when the HTTP client has gone.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: Uuid,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

async fn send_asks(app: &App, channel: Option<Channel>, asks: &[AskTaken]) -> Result<(), AskError> {
    let channel = channel.ok_or(AskError::NotSent)?;
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(asks).map_err(|_| AskError::NotSent)?);
    let sealed = app.keys.seal(Purpose::Ask, ASKS, &plain);
    let last = asks.iter().map(|a| a.deadline).max().unwrap_or(Timestamp::UNIX_EPOCH);
    let left = last.duration_since(app.clock.now()).as_millis().max(1);
    let properties = BasicProperties::default()
        .with_delivery_mode(1)
        .with_expiration(left.to_string().into())
        .with_reply_to(DIRECT_REPLY.into());
    let queue = Names::new(&app.config.amqp).asks();
    let sent =
        channel.basic_publish("".into(), queue.as_str().into(), BasicPublishOptions::default(), &sealed, properties);
    within(PATIENCE, sent).await.map(|_| ()).map_err(|_| AskError::NotSent)
}

async fn keep_connected(app: App, live: watch::Sender<Option<Channel>>, waiting: Waiting, stop: CancellationToken) {
    let mut pace = Reconnect::default();
    while !stop.is_cancelled() {
        if let Err(error) = take_replies(&app, &live, &waiting, &stop, &mut pace).await {
            tracing::debug!(%error, "asks lost their broker");
        }
        live.send_replace(None);
        // Replies go to the channel that asked, and it is no more: whoever waits is told now, not at the deadline.
        waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        tokio::select! {
            () = tokio::time::sleep(pace.next_wait()) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn take_replies(
    app: &App,
    live: &watch::Sender<Option<Channel>>,
    waiting: &Waiting,
    stop: &CancellationToken,
    pace: &mut Reconnect,
) -> lapin::Result<()> {
    let (_connection, channel): (Connection, Channel) = connect(&app.config.amqp, "asks out").await?;
    // Direct reply-to wants request and reply on one channel, and no acks.
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consuming = channel.basic_consume(DIRECT_REPLY.into(), "".into(), options, FieldTable::default());
    let mut replies = within(PATIENCE, consuming).await?;
    live.send_replace(Some(channel));
    pace.reset();
    loop {
        let delivery = tokio::select! {
            delivery = replies.next() => delivery,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(delivery) = delivery else { return Ok(()) };
        for (id, reply) in open_replies(app, &delivery?.data) {
            let asker = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(asker) = asker {
                let _ = asker.send(reply);
            }
        }
    }
}

fn open_replies(app: &App, sealed: &[u8]) -> Vec<(Uuid, Reply)> {
    let opened = app.keys.open(Purpose::Ask, REPLIES, sealed).ok();
    opened.and_then(|plain| serde_json::from_slice(&plain).ok()).unwrap_or_default()
}

/// The answering side, in the workers; cheap to clone.
#[derive(Clone)]
pub struct Replier {
    app: App,
    live: watch::Receiver<Option<Channel>>,
    out: Batcher<(String, Uuid, Reply), ()>,
}

impl Replier {
    /// Starts the task that keeps a connection, until `stop`.
    pub fn start(app: &App, stop: CancellationToken) -> Self {
        let (live, channel) = watch::channel(None);
        tokio::spawn(keep_channel(app.clone(), live, stop));
        let (for_batches, of_batches) = (app.clone(), channel.clone());
        let out = Batcher::spawn(TOGETHER, Duration::from_micros(500), move |replies: Vec<(String, Uuid, Reply)>| {
            let (app, channel) = (for_batches.clone(), of_batches.borrow().clone());
            async move {
                let n = replies.len();
                send_replies(&app, channel, replies).await;
                vec![(); n]
            }
        });
        Self { app: app.clone(), live: channel, out }
    }

    /// The asks in a broker message; none if it is not ours or not whole.
    pub fn open(&self, taken: &Taken) -> Vec<AskTaken> {
        let opened = self.app.keys.open(Purpose::Ask, ASKS, &taken.body).ok();
        opened.and_then(|plain| serde_json::from_slice(&plain).ok()).unwrap_or_default()
    }

    /// Answers one ask. An answer that cannot be sent while the broker is coming back is forgotten: its asker says "temporarily".
    pub async fn reply(&self, to: Option<String>, id: Uuid, reply: Reply) {
        let Some(to) = to else { return };
        // Asks come over a connection of their own, which may be there before ours is.
        let _ = tokio::time::timeout(COMING_BACK, self.live.clone().wait_for(Option::is_some)).await;
        let _ = self.out.call((to, id, reply)).await;
    }
}

impl Taken {
    /// Where the answer to the asks in this message goes.
    pub fn reply_to(&self) -> Option<String> {
        self.reply_to.clone()
    }
}

async fn send_replies(app: &App, channel: Option<Channel>, replies: Vec<(String, Uuid, Reply)>) {
    let Some(channel) = channel else { return };
    let mut by_asker: HashMap<String, Vec<(Uuid, Reply)>> = HashMap::new();
    for (to, id, reply) in replies {
        by_asker.entry(to).or_default().push((id, reply));
    }
    for (to, replies) in by_asker {
        let Ok(plain) = serde_json::to_vec(&replies) else { continue };
        let sealed = app.keys.seal(Purpose::Ask, REPLIES, &zeroize::Zeroizing::new(plain));
        let transient = BasicProperties::default().with_delivery_mode(1);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("".into(), to.as_str().into(), options, &sealed, transient);
        let _ = within(PATIENCE, sent).await;
    }
}

async fn keep_channel(app: App, live: watch::Sender<Option<Channel>>, stop: CancellationToken) {
    let mut pace = Reconnect::default();
    while !stop.is_cancelled() {
        if let Ok((connection, channel)) = connect(&app.config.amqp, "replies").await {
            pace.reset();
            live.send_replace(Some(channel.clone()));
            let mut look = tokio::time::interval(Duration::from_millis(300));
            while connection.status().connected() && channel.status().connected() && !stop.is_cancelled() {
                tokio::select! {
                    _ = look.tick() => {}
                    () = stop.cancelled() => {}
                }
            }
            live.send_replace(None);
        }
        tokio::select! {
            () = tokio::time::sleep(pace.next_wait()) => {}
            () = stop.cancelled() => {}
        }
    }
}
