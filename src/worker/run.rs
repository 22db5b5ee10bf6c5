//! Taking, running, settling.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::cancelled::Cancelled;
use super::lease::{Hold, Lease};
use super::load::Load;
use super::{Channel, Crew, Report};
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, Attempt, Claimed, ClaimedDelivery, DeliveryId, Held, Lane, Outcome, Settle, Settled};
use crate::jobs::{ChunkRef, Job};
use crate::outbound::Outbound;
use crate::queue::{Consumer, Publisher, Replier, Source, Taken};
use crate::retry::{Ladder, Next, Reconnect};

/// Broker messages taken and not acknowledged, per lane.
const PREFETCH: u16 = 100;
/// What a full destination hands back is looked at again after this long.
const PARKED: Duration = Duration::from_secs(5);
/// Claims, settles and parkings that share a statement.
const TOGETHER: usize = 100;

struct Worker {
    crew: Crew,
    channel: Arc<dyn Channel>,
    ladder: Ladder,
    load: Load,
    cancelled: Cancelled,
    handshakes: Arc<Semaphore>,
    claims: Batcher<(Uuid, Hold), Result<Option<Claimed>, bool>>,
    settles: Batcher<Settle, Result<bool, bool>>,
    parkings: Batcher<Uuid, ()>,
    stop: CancellationToken,
}

/// How a delivery of a claim ended here.
enum Ran {
    /// To be settled.
    Settled(Box<Settled>),
    /// Cancelled: its row says so already.
    Gone,
    /// Not run: the lease is past, or the process stops. Another worker's.
    Left,
}

/// Works until `stop`, then finishes what is in hand within the grace time. An error means it could not begin.
pub async fn start(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    // Connections outlive `stop` until what is in hand is settled and answered.
    let end = CancellationToken::new();
    let _ended = end.clone().drop_guard();
    let crew = Crew {
        shared: super::Shared::start(&app),
        callbacks: crate::workers::peer::Callbacks::new(&app.config.openmsg),
        outbound: Outbound::new(&app.config)?,
        publisher: Publisher::start(&app, end.clone()),
        replier: Replier::start(&app, end.clone()),
        lease: Lease::start(&app, end.clone()).await?,
        app: app.clone(),
    };
    let worker = Arc::new(Worker::new(crew.clone(), stop.clone(), end.clone()));
    let (into, mut taken) = mpsc::channel(usize::from(PREFETCH));
    let sources = [Source::Asks, Source::Jobs(Lane::Interactive), Source::Jobs(Lane::Bulk), Source::Dead];
    for source in sources {
        Consumer::start(app.config.amqp.clone(), source, PREFETCH, into.clone(), stop.clone());
    }
    drop(into);
    let keepers = crate::workers::keep(&crew, &stop);
    let tasks = TaskTracker::new();
    tracing::info!(worker = %crew.lease.hold().worker, "working");
    while let Some(taken) = next(&mut taken, &stop).await {
        let worker = Arc::clone(&worker);
        tasks.spawn(async move { worker.handle(taken).await });
    }
    taken.close();
    tasks.close();
    let grace = app.config.delivery.grace.duration();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "the grace time is over; what is left is handed on");
    }
    keepers.end().await;
    books::die(&app, crew.lease.hold().worker).await?;
    Ok(())
}

async fn next(taken: &mut mpsc::Receiver<Taken>, stop: &CancellationToken) -> Option<Taken> {
    tokio::select! {
        taken = taken.recv() => taken,
        () = stop.cancelled() => None,
    }
}

impl Worker {
    fn new(crew: Crew, stop: CancellationToken, end: CancellationToken) -> Self {
        let app = crew.app.clone();
        let settings = &app.config.delivery;
        let waits = settings.schedule.iter().map(|wait| wait.duration()).collect();
        Self {
            channel: crate::workers::channel(&crew),
            ladder: Ladder::new(waits, settings.jitter),
            load: Load::new(settings),
            cancelled: Cancelled::start(&app, end),
            handshakes: Arc::new(Semaphore::new(settings.handshakes)),
            claims: claims(&app),
            settles: settles(&app),
            parkings: parkings(&app),
            stop,
            crew,
        }
    }

    async fn handle(&self, taken: Taken) {
        match taken.source {
            Source::Asks => self.answer(taken).await,
            Source::Dead => self.reconcile(taken).await,
            Source::Jobs(_) => match serde_json::from_slice(&taken.body) {
                Ok(job) => {
                    if self.run_job(job).await {
                        taken.ack().await;
                    }
                }
                Err(_) => {
                    tracing::warn!(bytes = taken.body.len(), "a job that is none of ours was dropped");
                    taken.ack().await;
                }
            },
        }
    }

    /// True when the broker may forget the job.
    async fn run_job(&self, job: Job) -> bool {
        match job {
            Job::Deliver(chunks) => {
                let all = chunks.into_iter().map(|chunk| self.deliver_chunk(chunk)).collect::<FuturesUnordered<_>>();
                all.all(|done| async move { done }).await
            }
            Job::DeliverAgain(ids) => self.deliver_again(&ids).await,
            Job::StartHandshake(id) => {
                let Ok(_place) = self.handshakes.acquire().await else { return false };
                let run = AssertUnwindSafe(crate::workers::start_handshake::run(&self.crew, id)).catch_unwind().await;
                if run.is_err() {
                    tracing::error!(handshake = %id, "a handshake panicked");
                }
                true
            }
        }
    }

    async fn answer(&self, taken: Taken) {
        let reply_to = taken.reply_to();
        let asks = self.crew.replier.open(&taken);
        let answers = asks.into_iter().map(|ask| {
            let reply_to = reply_to.clone();
            async move {
                let id = ask.id;
                if ask.deadline <= self.crew.app.clock.now() {
                    return;
                }
                match AssertUnwindSafe(crate::workers::answer(&self.crew, ask)).catch_unwind().await {
                    Ok(reply) => self.crew.replier.reply(reply_to, id, reply).await,
                    Err(_) => tracing::error!(ask = %id, "an ask panicked"),
                }
            }
        });
        futures_util::future::join_all(answers).await;
        taken.ack().await;
    }

    /// A job that was handed out over and over: its workers died of it, or of something else. Its rows say what is true; those
    /// still open go back to the scheduler, not at once.
    async fn reconcile(&self, taken: Taken) {
        let chunks = match serde_json::from_slice(&taken.body) {
            Ok(Job::Deliver(chunks)) => chunks.iter().map(|chunk| chunk.id).collect(),
            _ => Vec::new(),
        };
        tracing::warn!(
            chunks = chunks.len(),
            "a job was handed out too often; its deliveries are looked at again in a minute"
        );
        let until = self.crew.app.clock.now() + Duration::from_secs(60);
        if books::park(&self.crew.app, &chunks, until).await.is_ok() {
            taken.ack().await;
        }
    }

    async fn deliver_chunk(&self, chunk: ChunkRef) -> bool {
        if self.load.is_full(&chunk.destination) {
            return self.parkings.call(chunk.id).await.is_ok();
        }
        let hold = self.crew.lease.hold();
        let mut pace = Reconnect::default();
        loop {
            match self.claims.call((chunk.id, hold)).await {
                Ok(Ok(None)) => return true,
                Ok(Ok(Some(claimed))) => {
                    let held = |done| Held::Chunk { id: chunk.id, done };
                    return self.run_claimed(claimed, chunk.destination.is_empty(), hold, held).await;
                }
                Ok(Err(passing)) if passing && !self.stop.is_cancelled() => tokio::time::sleep(pace.next_wait()).await,
                _ => return false,
            }
        }
    }

    async fn deliver_again(&self, ids: &[Uuid]) -> bool {
        let deliveries: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
        let hold = self.crew.lease.hold();
        match books::claim_again(&self.crew.app, hold.worker, &deliveries).await {
            Ok(claimed) => self.run_claimed(claimed, true, hold, |_| Held::Again).await,
            Err(error) => {
                tracing::warn!(%error, "deliveries could not be claimed");
                false
            }
        }
    }

    /// Runs what a claim holds, settling what is finished on the way. True when all of it is settled.
    async fn run_claimed(&self, claimed: Claimed, mixed: bool, hold: Hold, held: impl Fn(bool) -> Held) -> bool {
        let Claimed { claim, deliveries } = claimed;
        let watched: Vec<_> = deliveries.iter().map(|d| self.cancelled.watch(d.id.chunk)).collect();
        let mut running: FuturesUnordered<_> = deliveries.into_iter().map(|d| self.run_one(d, mixed, hold)).collect();
        let every = self.crew.app.config.delivery.settle_every.duration();
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (mut results, mut left) = (Vec::new(), false);
        loop {
            tokio::select! {
                ran = running.next() => match ran {
                    Some(Ran::Settled(settled)) => results.push(*settled),
                    Some(Ran::Gone) => {}
                    Some(Ran::Left) => left = true,
                    None => break,
                },
                _ = beat.tick() => if !results.is_empty() {
                    let part = std::mem::take(&mut results);
                    self.settle(claim, held(false), part, hold).await;
                },
            }
        }
        drop(watched);
        self.settle(claim, held(!left), results, hold).await && !left
    }

    /// Tries until the books take it: while Postgres is away, nobody can take over what we hold.
    async fn settle(&self, claim: Uuid, held: Held, results: Vec<Settled>, hold: Hold) -> bool {
        let settle = Settle { claim, held, results, worker: hold.worker };
        let mut pace = Reconnect::default();
        loop {
            match self.settles.call(settle.clone()).await {
                Ok(Ok(still)) => {
                    if !still {
                        tracing::warn!(%claim, "a result came late: another worker had taken over");
                    }
                    return true;
                }
                Ok(Err(true)) => tokio::time::sleep(pace.next_wait()).await,
                Ok(Err(false)) | Err(_) => return false,
            }
        }
    }

    async fn run_one(&self, delivery: ClaimedDelivery, mixed: bool, hold: Hold) -> Ran {
        if mixed && self.load.is_full(&delivery.destination) {
            return settled(&delivery, 0, None, Next::Again(PARKED), None);
        }
        let place = self.load.hold(&delivery.destination);
        let slot = tokio::select! {
            slot = place.slot() => slot,
            () = self.stop.cancelled() => None,
        };
        if slot.is_none() || !self.crew.lease.covers(&hold) {
            return Ran::Left;
        }
        if self.cancelled.contains(delivery.id) {
            return Ran::Gone;
        }
        let app = &self.crew.app;
        let at = app.clock.now();
        if delivery.expires_at <= at {
            return settled(&delivery, 0, None, Next::Expire, Some("expired".into()));
        }
        let trying = AssertUnwindSafe(self.channel.deliver(&delivery, &hold)).catch_unwind().await;
        let report = trying.unwrap_or_else(|_| {
            tracing::error!(delivery = %delivery.id, "a delivery panicked");
            Report::of(Outcome::Unknown, crate::retry::Advice::Later).code("internal")
        });
        self.judge(&delivery, report, at)
    }

    fn judge(&self, delivery: &ClaimedDelivery, report: Report, at: jiff::Timestamp) -> Ran {
        let now = self.crew.app.clock.now();
        let made = u16::from(report.outcome.is_some());
        let left = Duration::try_from(delivery.expires_at.duration_since(now)).unwrap_or_default();
        let random = f64::from(crate::crypto::random_below(1 << 20)) / f64::from(1 << 20);
        let next = self.ladder.next(&report.advice, u32::from(delivery.tries + made), left, random);
        let reason = match &next {
            Next::Delivered => None,
            Next::Fail(why) => Some((*why).to_owned()),
            Next::Expire => Some("expired".to_owned()),
            Next::Again(_) | Next::Unconfirmed => report.note.map(str::to_owned).or_else(|| report.code.clone()),
        };
        let attempt = report.outcome.map(|outcome| Attempt {
            at,
            ms: i32::try_from(now.duration_since(at).as_millis()).unwrap_or(i32::MAX),
            outcome,
            status: report.status,
            code: report.code.clone(),
            answer: report.answer.clone(),
        });
        let ran = settled(delivery, made, attempt, next, reason);
        if let Ran::Settled(mut settled) = ran {
            settled.hash = report.hash;
            return Ran::Settled(settled);
        }
        ran
    }
}

fn settled(delivery: &ClaimedDelivery, made: u16, attempt: Option<Attempt>, next: Next, reason: Option<String>) -> Ran {
    Ran::Settled(Box::new(Settled {
        id: delivery.id,
        lane: delivery.lane,
        destination: delivery.destination.clone(),
        tries: delivery.tries + made,
        attempt,
        next,
        reason,
        hash: None,
    }))
}

fn claims(app: &App) -> Batcher<(Uuid, Hold), Result<Option<Claimed>, bool>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(5), move |asked: Vec<(Uuid, Hold)>| {
        let app = app.clone();
        async move {
            let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
            let worker = asked.last().map(|(_, hold)| hold.worker).unwrap_or_default();
            match books::claim_chunks(&app, worker, &ids).await {
                Ok(mut claimed) => ids.iter().map(|id| Ok(claimed.remove(id))).collect(),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "chunks could not be claimed");
                    ids.iter().map(|_| Err(error.is_passing())).collect()
                }
            }
        }
    })
}

fn settles(app: &App) -> Batcher<Settle, Result<bool, bool>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(10), move |settles: Vec<Settle>| {
        let app = app.clone();
        async move {
            match books::settle_many(&app, &settles).await {
                Ok(held) => held.into_iter().map(Ok).collect(),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "results could not be settled");
                    settles.iter().map(|_| Err(error.is_passing())).collect()
                }
            }
        }
    })
}

fn parkings(app: &App) -> Batcher<Uuid, ()> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(5), move |chunks: Vec<Uuid>| {
        let app = app.clone();
        async move {
            let until = app.clock.now() + PARKED;
            if let Err(error) = books::park(&app, &chunks, until).await {
                // They stay published and unclaimed, and come back after five minutes.
                tracing::warn!(%error, "chunks of a full destination could not be handed back");
            }
            vec![(); chunks.len()]
        }
    })
}
