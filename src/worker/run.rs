//! Taking, running, settling.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::attempt::Ran;
use super::cancelled::Cancelled;
use super::counted;
use super::gate::{Admits, Gate};
use super::in_hand::{self, InHand};
use super::intake;
use super::lease::{Hold, Lease};
use super::statements::{claims, parkings, settles, until_it_answers};
use super::{Channel, Crew};
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, ChannelName, Claimed, DeliveryId, Held, Settle, Settled, Then};
use crate::failpoint;
use crate::federation::Peers;
use crate::jobs::{ChunkRef, Job};
use crate::keyring::Pass;
use crate::outbound::Outbound;
use crate::queue::{Publisher, Replier, Source, Taken};
use crate::retry::{Ladder, Reconnect};
use crate::service;
use crate::telemetry::families::CLAIMED;
use crate::telemetry::traces::{self, Parent, Step};

/// When a chunk that found its destination full is looked at again.
const SOON: Duration = Duration::from_secs(1);

/// Longest wait for the broker to take its leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the tasks of this process share.
pub(super) struct Worker {
    pub(super) crew: Crew,
    pub(super) channels: HashMap<ChannelName, Box<dyn Channel>>,
    pub(super) ladder: Ladder,
    pub(super) webhook_ladder: Ladder,
    pub(super) code_ladder: Ladder,
    pub(super) push_ladder: Ladder,
    pub(super) gate: Gate,
    pub(super) cancelled: Cancelled,
    in_hand: InHand,
    /// Deliveries held by this process.
    held: Arc<Semaphore>,
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
    let outbound = Outbound::new(&app.config)?;
    let crew = Crew {
        shared: super::Shared::start(&app),
        callbacks: crate::workers::peer::Callbacks::new(&app.config.openmsg),
        peers: Peers::new(&app.config, &outbound)?,
        backends: crate::workers::call_backend::Backends::new(&app.config)?,
        hub: crate::workers::call_hub::Hub::new(&app.config)?,
        outbound,
        publisher: Publisher::start(&app, end.clone()),
        replier: Replier::start(&app, end.clone()),
        lease: Lease::start(&app, end.clone()).await?,
        pass: Pass::default(),
        app: app.clone(),
    };
    let (next_in_line, mut first_in_line) = mpsc::unbounded_channel();
    let worker = Arc::new(Worker::new(crew.clone(), next_in_line, stop.clone(), end.clone())?);
    let (into, mut taken) = mpsc::channel(usize::from(intake::PREFETCH));
    let mut consumers = JoinSet::new();
    for source in intake::SOURCES {
        consumers.spawn(intake::feed(crew.clone(), source, into.clone(), stop.clone(), end.clone()));
    }
    drop(into);
    // Who rotates node keys waits for this process until what is in its hands is done.
    let drained = CancellationToken::new();
    let mut keepers = crate::workers::keep(&crew, &stop, &drained);
    let tasks = TaskTracker::new();
    tracing::info!(worker = %crew.lease.hold().worker, "working");
    service::ready();
    let mut broken = false;
    loop {
        let taken = tokio::select! {
            taken = next(&mut taken, &stop) => taken,
            Some(ids) = first_in_line.recv(), if !stop.is_cancelled() => {
                tasks.spawn(Arc::clone(&worker).go_on(ids));
                continue;
            }
            () = keepers.one_ended(), if !stop.is_cancelled() => {
                broken = !stop.is_cancelled();
                stop.cancel();
                None
            }
        };
        let Some(taken) = taken else { break };
        tasks.spawn(Arc::clone(&worker).handle(taken));
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
    failpoint::hit(failpoint::Place::WhileDraining);
    let grace = app.config.delivery.grace.duration();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "the grace time is over; what is left is handed on");
    }
    drained.cancel();
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

/// The process stops, or lacks a node key: what was not begun is for others.
struct Stopping;

/// A claim, with what it takes of this process.
struct Work {
    claimed: Claimed,
    places: Option<OwnedSemaphorePermit>,
    taken: in_hand::Taken,
    /// Whether its deliveries go to several destinations, or go each by its own row.
    mixed: bool,
    hold: Hold,
    /// None: exceptions.
    chunk: Option<Uuid>,
}

/// Hands a claim to who runs it; false where this process stops.
fn begin_claimed(begin: &mpsc::UnboundedSender<Work>, claimed: Result<Option<Work>, Stopping>) -> bool {
    if let Ok(Some(work)) = claimed {
        // Whoever runs it listens until the last claim is made.
        let _ = begin.send(work);
        return true;
    }
    claimed.is_ok()
}

impl Worker {
    fn new(
        crew: Crew,
        next: mpsc::UnboundedSender<Vec<Uuid>>,
        stop: CancellationToken,
        end: CancellationToken,
    ) -> anyhow::Result<Self> {
        let app = crew.app.clone();
        let settings = &app.config.delivery;
        let ladder = |waits: &[crate::config::Period]| {
            Ladder::new(waits.iter().map(|wait| wait.duration()).collect(), settings.jitter)
        };
        Ok(Self {
            channels: crate::workers::channels(&crew)?,
            ladder: ladder(&settings.schedule),
            webhook_ladder: ladder(&settings.webhook_schedule),
            code_ladder: ladder(&app.config.providers.schedule),
            push_ladder: ladder(&app.config.providers.push.schedule),
            gate: Gate::start(&app, &crew.lease, end.clone()),
            held: Arc::new(Semaphore::new(settings.held)),
            in_hand: InHand::start(&app, &crew.lease, end.clone()),
            cancelled: Cancelled::start(&app, end),
            handshakes: Arc::new(Semaphore::new(settings.handshakes)),
            claims: claims(&app),
            settles: settles(&app, next),
            parkings: parkings(&app),
            stop,
            crew,
        })
    }

    async fn handle(self: Arc<Self>, taken: Taken) {
        match taken.source {
            Source::Asks | Source::Jobs(_) if self.crew.pass.lacks().is_some() => taken.hand_back().await,
            Source::Asks => self.answer(taken).await,
            Source::Dead => self.reconcile(taken).await,
            Source::Jobs(_) => match serde_json::from_slice(&taken.body) {
                Ok(job) => self.take_on(job, taken).await,
                Err(_) => {
                    tracing::warn!(bytes = taken.body.len(), "a job that is none of ours was dropped");
                    taken.ack().await;
                }
            },
        }
    }

    /// Claims what a job names, then lets the broker forget it: from then on the books say who holds it, under which lease, and
    /// the broker would know nothing better. So what is slow here takes no place in the broker's window from what is not. What is
    /// claimed runs at once: if it waited for the rest of its job, jobs could hold each other's places for ever.
    async fn take_on(&self, job: Job, taken: Taken) {
        let (begin, mut begun) = mpsc::unbounded_channel();
        let span = traces::step("claim", Step::Take, taken.trace);
        let claim = async move {
            // Dropped with this block: then there is nothing more to run.
            let begin = begin;
            let claims: Vec<bool> = match job {
                Job::Deliver(chunks) => {
                    let begin = &begin;
                    let claims = chunks
                        .into_iter()
                        .map(|chunk| async move { begin_claimed(begin, self.claim_chunk(chunk).await) });
                    futures_util::future::join_all(claims).await
                }
                Job::DeliverAgain(ids) => vec![begin_claimed(&begin, self.claim_again(&ids).await)],
                Job::StartHandshake(id) => return self.start_handshake(id, taken).await,
            };
            failpoint::hit(failpoint::Place::BeforeAck);
            if claims.into_iter().all(|done| done) {
                taken.ack().await;
            } else {
                taken.hand_back().await;
            }
        };
        let run = async {
            let (mut running, mut more) = (FuturesUnordered::new(), true);
            loop {
                tokio::select! {
                    work = begun.recv(), if more => match work {
                        Some(work) => running.push(self.run_claimed(work)),
                        None => more = false,
                    },
                    Some(()) = running.next(), if !running.is_empty() => {}
                    else => return,
                }
            }
        };
        let claim = async move { span.around(claim).await };
        tokio::join!(claim, run);
    }

    /// Those that have become first in their lines. What is left here is due, and the scheduler finds it.
    async fn go_on(self: Arc<Self>, ids: Vec<Uuid>) {
        if let Ok(Some(work)) = self.claim_again(&ids).await {
            self.run_claimed(work).await;
        }
    }

    async fn start_handshake(&self, id: Uuid, taken: Taken) {
        let Ok(_place) = self.handshakes.acquire().await else { return taken.hand_back().await };
        if self.may_claim().await.is_err() {
            return taken.hand_back().await;
        }
        let span = traces::step("handshake", Step::Take, taken.trace);
        let run =
            AssertUnwindSafe(span.around(crate::workers::start_handshake::run(&self.crew, id))).catch_unwind().await;
        if run.is_err() {
            tracing::error!(handshake = %id, "a handshake panicked");
        }
        taken.ack().await;
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
                let span = traces::step("ask", Step::Take, ask.trace.as_deref().and_then(Parent::from_header));
                match AssertUnwindSafe(span.around(crate::workers::answer(&self.crew, ask))).catch_unwind().await {
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
        let chunks: Vec<Uuid> = match serde_json::from_slice(&taken.body) {
            Ok(Job::Deliver(chunks)) => chunks.iter().map(|chunk| chunk.id).collect(),
            _ => Vec::new(),
        };
        tracing::warn!(
            chunks = chunks.len(),
            "a job was handed out too often; its deliveries are looked at again in a minute"
        );
        let until = self.crew.app.clock.now() + Duration::from_secs(60);
        let aside: Vec<_> = chunks.into_iter().map(|chunk| (chunk, until)).collect();
        if books::park(&self.crew.app, &aside).await.is_ok() {
            taken.ack().await;
        }
    }

    /// A chunk that is this worker's now; none where it is done, cancelled, another's or put aside.
    async fn claim_chunk(&self, chunk: ChunkRef) -> Result<Option<Work>, Stopping> {
        self.may_claim().await?;
        let n = usize::try_from(chunk.n).unwrap_or(1).max(1);
        // A mixed chunk's deliveries are looked at one by one.
        let mixed = chunk.destination.is_empty();
        if !mixed && let Some(away) = self.must_wait(&chunk.destination, n).await {
            return self.parkings.call((chunk.id, away)).await.map(|()| None).map_err(|_| Stopping);
        }
        let places = self.places(n).await?;
        let (taken, hold) = (self.in_hand.take(vec![chunk.id]), self.crew.lease.hold());
        match self.claims.call((chunk.id, hold)).await {
            Ok(Some(claimed)) => {
                Ok(Some(Work { claimed, places: Some(places), taken, mixed, hold, chunk: Some(chunk.id) }))
            }
            // Done, cancelled, or another's.
            Ok(None) => Ok(None),
            Err(_) => Err(Stopping),
        }
    }

    /// How long a chunk waits in Postgres for its destination; none: it may be claimed.
    async fn must_wait(&self, destination: &str, n: usize) -> Option<Duration> {
        match self.gate.room(destination, n).await {
            Admits::Now => None,
            Admits::Wait => Some(SOON),
            // Its row knows for how long, and that may end sooner: an operator resumes it.
            Admits::Away(left) => Some(left.min(SOON)),
        }
    }

    async fn claim_again(&self, ids: &[Uuid]) -> Result<Option<Work>, Stopping> {
        self.may_claim().await?;
        let deliveries: Vec<DeliveryId> = ids.iter().filter_map(|id| DeliveryId::from_uuid(*id)).collect();
        let places = Some(self.places(deliveries.len()).await?);
        let taken = self.in_hand.take(deliveries.iter().map(|delivery| delivery.uuid()).collect());
        let (app, hold) = (&self.crew.app, self.crew.lease.hold());
        let claim = app.new_id();
        match until_it_answers(|| books::claim_again(app, hold.worker, claim, &deliveries)).await {
            Ok(claimed) => {
                claimed.deliveries.iter().for_each(|delivery| CLAIMED.one([delivery.lane.name()]));
                Ok(Some(Work { claimed, places, taken, mixed: true, hold, chunk: None }))
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "deliveries could not be claimed");
                Ok(None)
            }
        }
    }

    /// Returns when this process holds every node key for sure: one that was out of reach has to look first.
    async fn may_claim(&self) -> Result<(), Stopping> {
        if self.crew.pass.is_good(&self.stop).await { Ok(()) } else { Err(Stopping) }
    }

    /// Room in this process for so many deliveries.
    async fn places(&self, n: usize) -> Result<OwnedSemaphorePermit, Stopping> {
        let n = u32::try_from(n.min(self.crew.app.config.delivery.held)).unwrap_or(u32::MAX);
        tokio::select! {
            places = Arc::clone(&self.held).acquire_many_owned(n) => places.map_err(|_| Stopping),
            () = self.stop.cancelled() => Err(Stopping),
        }
    }

    /// Runs what a claim holds, settling what is finished on the way.
    async fn run_claimed(&self, work: Work) {
        let Work { claimed: Claimed { claim, deliveries }, mut places, taken, mixed, hold, chunk } = work;
        if deliveries.is_empty() && chunk.is_none() {
            return;
        }
        let held = |then| chunk.map_or(Held::Again, |id| Held::Chunk { id, then });
        let watched: Vec<_> = deliveries.iter().map(|d| self.cancelled.watch(d.id.chunk)).collect();
        let mut running: FuturesUnordered<_> = deliveries
            .into_iter()
            .map(|delivery| {
                let place = places.as_mut().and_then(|places| places.split(1));
                self.run_one(delivery, mixed, hold).map(move |ran| (ran, place).0)
            })
            .collect();
        drop(places);
        let every = self.crew.app.config.delivery.settle_every.duration();
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (mut results, mut left, mut shut, mut written) = (Vec::new(), false, false, true);
        // Settling goes on beside the deliveries, never instead of them: one that is not polled may hold the very database
        // connection that settling waits for.
        let settling = Fuse::terminated();
        tokio::pin!(settling);
        loop {
            tokio::select! {
                ran = running.next() => match ran {
                    Some(Ran::Settled(settled)) => {
                        failpoint::hit(failpoint::Place::AfterResponse);
                        results.push(*settled);
                    }
                    Some(Ran::Gone) => {}
                    Some(Ran::Left) => left = true,
                    Some(Ran::Shut) => shut = true,
                    None => break,
                },
                _ = beat.tick(), if !results.is_empty() && settling.is_terminated() => {
                    let part = std::mem::take(&mut results);
                    settling.set(self.settle(claim, held(Then::Stay), part, hold).fuse());
                }
                done = &mut settling, if !settling.is_terminated() => written &= done,
            }
        }
        if !settling.is_terminated() {
            written &= settling.await;
        }
        drop(watched);
        let then = match (left, shut) {
            (true, _) => Then::Stay,
            (false, true) => Then::Wait,
            (false, false) => Then::Done,
        };
        written &= self.settle(claim, held(then), results, hold).await;
        if !written {
            // What was sent and cannot be written down must not be sent again by this process, over and over.
            taken.keep();
        }
    }

    /// Tries until the books take it: while Postgres is away, nobody can take over what we hold. False where they never will.
    async fn settle(&self, claim: Uuid, held: Held, results: Vec<Settled>, hold: Hold) -> bool {
        let settle = Settle { claim, held, results, worker: hold.worker };
        let mut pace = Reconnect::default();
        loop {
            match self.settles.call(settle.clone()).await {
                Ok(Ok(still)) => {
                    failpoint::hit(failpoint::Place::AfterSettle);
                    counted::settled(&settle.results, still);
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
