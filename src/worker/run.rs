//! Taking, running, settling.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::attempt::Ran;
use super::cancelled::Cancelled;
use super::in_hand::{self, InHand};
use super::lease::{Hold, Lease};
use super::load::Load;
use super::statements::{claims, parkings, settles, until_it_answers};
use super::{Channel, Crew};
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, ChannelName, Claimed, DeliveryId, Held, Lane, Settle, Settled};
use crate::jobs::{ChunkRef, Job};
use crate::outbound::Outbound;
use crate::queue::{Consumer, Publisher, Replier, Source, Taken};
use crate::retry::{Ladder, Reconnect};

/// Broker messages taken and not acknowledged, per lane.
const PREFETCH: u16 = 100;

/// Longest wait for the broker to take its leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the tasks of this process share.
pub(super) struct Worker {
    pub(super) crew: Crew,
    pub(super) channels: HashMap<ChannelName, Box<dyn Channel>>,
    pub(super) ladder: Ladder,
    pub(super) load: Load,
    pub(super) cancelled: Cancelled,
    in_hand: InHand,
    handshakes: Arc<Semaphore>,
    claims: Batcher<(Uuid, Hold), Option<Claimed>>,
    settles: Batcher<Settle, Result<bool, bool>>,
    parkings: Batcher<(Uuid, Duration), ()>,
    pub(super) stop: CancellationToken,
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
    let mut consumers = JoinSet::new();
    for source in sources {
        let consumer =
            Consumer::start(app.config.amqp.clone(), source, PREFETCH, into.clone(), stop.clone(), end.clone());
        consumers.spawn(consumer);
    }
    drop(into);
    let mut keepers = crate::workers::keep(&crew, &stop);
    let tasks = TaskTracker::new();
    tracing::info!(worker = %crew.lease.hold().worker, "working");
    let mut broken = false;
    loop {
        let taken = tokio::select! {
            taken = next(&mut taken, &stop) => taken,
            () = keepers.one_ended(), if !stop.is_cancelled() => {
                broken = !stop.is_cancelled();
                stop.cancel();
                None
            }
        };
        let Some(taken) = taken else { break };
        let worker = Arc::clone(&worker);
        tasks.spawn(async move { worker.handle(taken).await });
    }
    // What was taken and not begun is for others, at once.
    tasks.spawn(async move {
        let back = async {
            while let Some(taken) = taken.recv().await {
                taken.hand_back().await
            }
        };
        // A consumer that is just connecting may be late to see the end.
        let _ = tokio::time::timeout(FAREWELL, back).await;
    });
    tasks.close();
    let grace = app.config.delivery.grace.duration();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "the grace time is over; what is left is handed on");
    }
    keepers.end().await;
    books::die(&app, crew.lease.hold().worker).await?;
    end.cancel();
    let farewell = async { while consumers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    anyhow::ensure!(!broken, "a loop of this worker ended, which none may; what it held is handed on");
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
            channels: crate::workers::channels(&crew),
            ladder: Ladder::new(waits, settings.jitter),
            load: Load::new(settings),
            in_hand: InHand::start(&app, &crew.lease, end.clone()),
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
                Ok(job) => match self.run_job(job).await {
                    true => taken.ack().await,
                    false => taken.hand_back().await,
                },
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
                // Each is run to its end, also when another one was left.
                all.fold(true, |all, done| async move { all && done }).await
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
        // A mixed chunk's deliveries are looked at one by one.
        let mixed = chunk.destination.is_empty();
        let room = match mixed {
            true => None,
            false => tokio::select! {
                room = self.load.room(&chunk.destination, usize::try_from(chunk.n).unwrap_or(1)) => Some(room),
                () = self.stop.cancelled() => return false,
            },
        };
        if let Some(Err(away)) = room {
            return self.parkings.call((chunk.id, away)).await.is_ok();
        }
        let (taken, hold) = (self.in_hand.take(vec![chunk.id]), self.crew.lease.hold());
        match self.claims.call((chunk.id, hold)).await {
            Ok(Some(claimed)) => {
                let held = |done| Held::Chunk { id: chunk.id, done };
                self.run_claimed(claimed, taken, mixed, hold, held).await
            }
            // Done, cancelled, or another's.
            Ok(None) => true,
            Err(_) => false,
        }
    }

    async fn deliver_again(&self, ids: &[Uuid]) -> bool {
        let deliveries: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
        let taken = self.in_hand.take(deliveries.iter().map(|delivery| delivery.uuid()).collect());
        let (app, hold) = (&self.crew.app, self.crew.lease.hold());
        let claim = app.new_id();
        match until_it_answers(|| books::claim_again(app, hold.worker, claim, &deliveries)).await {
            Ok(claimed) => self.run_claimed(claimed, taken, true, hold, |_| Held::Again).await,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "deliveries could not be claimed");
                true
            }
        }
    }

    /// Runs what a claim holds, settling what is finished on the way. True when all of it is settled.
    async fn run_claimed(
        &self,
        claimed: Claimed,
        taken: in_hand::Taken,
        mixed: bool,
        hold: Hold,
        held: impl Fn(bool) -> Held,
    ) -> bool {
        let Claimed { claim, deliveries } = claimed;
        let watched: Vec<_> = deliveries.iter().map(|d| self.cancelled.watch(d.id.chunk)).collect();
        let mut running: FuturesUnordered<_> = deliveries.into_iter().map(|d| self.run_one(d, mixed, hold)).collect();
        let every = self.crew.app.config.delivery.settle_every.duration();
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (mut results, mut left, mut written) = (Vec::new(), false, true);
        // Settling goes on beside the deliveries, never instead of them: one that is not polled may hold the very database
        // connection that settling waits for.
        let settling = Fuse::terminated();
        tokio::pin!(settling);
        loop {
            tokio::select! {
                ran = running.next() => match ran {
                    Some(Ran::Settled(settled)) => results.push(*settled),
                    Some(Ran::Gone) => {}
                    Some(Ran::Left) => left = true,
                    None => break,
                },
                _ = beat.tick(), if !results.is_empty() && settling.is_terminated() => {
                    let part = std::mem::take(&mut results);
                    settling.set(self.settle(claim, held(false), part, hold).fuse());
                }
                done = &mut settling, if !settling.is_terminated() => written &= done,
            }
        }
        if !settling.is_terminated() {
            written &= settling.await;
        }
        drop(watched);
        written &= self.settle(claim, held(!left), results, hold).await;
        if !written {
            // What was sent and cannot be written down must not be sent again by this process, over and over.
            taken.keep();
        }
        // What is left is handed on as a new job; when stopping, the broker hands this one on.
        !(left && self.stop.is_cancelled())
    }

    /// Tries until the books take it: while Postgres is away, nobody can take over what we hold. False where they never will.
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
                // Refused: said where it was tried. The rows stay claimed, and are handed on when this worker ends.
                Ok(Err(false)) | Err(_) => return false,
            }
        }
    }
}
