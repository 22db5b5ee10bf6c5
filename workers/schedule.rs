//! Publishes what is due and not in the broker: what waited for its next attempt, what an ingress process could not publish before
//! it died or while the broker was away, what was handed back, what lay in a broker that is no more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::books::{self, BooksError, DeliveryId, Due, Lane, Pending};
use crate::handshakes;
use crate::jobs::{ChunkRef, Job};
use crate::worker::Crew;

/// How late a due delivery may be published on an idle node.
const EVERY: Duration = Duration::from_millis(100);
/// What is less urgent is done every so many rounds.
const SELDOM: u64 = 10;
/// What waits is looked after.
const MEND_EVERY: Duration = Duration::from_secs(1);
/// Rows taken at once.
const AT_ONCE: i64 = 500;
/// Single deliveries named by one broker message.
const PER_JOB: usize = 100;
/// Deliveries of chunks that one broker message names.
const PER_MESSAGE: usize = 400;

/// Looks every 100 ms, until `stop`.
pub async fn run(crew: Crew, stop: CancellationToken) {
    // What may take long beside what must not wait.
    tokio::join!(publish(&crew, &stop), mend(&crew, &stop));
}

async fn publish(crew: &Crew, stop: &CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut said, mut n) = (false, 0);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        n += 1;
        match round(crew, n % SELDOM == 0).await {
            Ok(()) => said = false,
            Err(error) if !said => {
                said = true;
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "the scheduler could not look; it goes on trying"
                );
            }
            Err(_) => {}
        }
    }
}

/// Ends what is past its life while it waits, and mends lines. Nothing is sent of it, and much may have to be looked at.
async fn mend(crew: &Crew, stop: &CancellationToken) {
    let mut beat = tokio::time::interval(MEND_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        let ended = books::expire_waiting(&crew.app).await.map(crate::worker::expired);
        for done in [ended, books::turns::repair(&crew.app).await.map(drop)] {
            if let Err(error) = done {
                tracing::debug!(error = &error as &dyn std::error::Error, "what waits could not be looked after");
            }
        }
    }
}

/// Whichever step cannot be done now, the others are; the first error is answered.
async fn round(crew: &Crew, seldom: bool) -> anyhow::Result<()> {
    let pending = books::pending(&crew.app).await.unwrap_or(Pending::ALL);
    let mut done = if pending.again { expire(crew).await } else { Ok(()) };
    let Some(epoch) = crew.publisher.epoch() else { return done };
    done = done.and(start_handshakes(crew).await);
    if seldom {
        done = done.and(release_singles(crew).await);
    }
    if pending.again {
        done = done.and(publish_again(crew, epoch).await);
    }
    if pending.ready || pending.waiting.contains(&true) {
        done = done.and(publish_chunks(crew, epoch, pending.waiting).await.map_err(anyhow::Error::from));
    }
    done
}

async fn expire(crew: &Crew) -> anyhow::Result<()> {
    let ended = books::expire_due(&crew.app).await?;
    crate::worker::expired(ended);
    if ended > 0 {
        tracing::info!(deliveries = ended, "deliveries expired before their next attempt");
    }
    Ok(())
}

async fn start_handshakes(crew: &Crew) -> anyhow::Result<()> {
    for id in handshakes::due(&crew.app, AT_ONCE).await? {
        if crew.publisher.publish(Lane::Interactive, &Job::StartHandshake(id)).await.is_err() {
            handshakes::not_published(&crew.app, &[id]).await?;
        }
    }
    Ok(())
}

async fn release_singles(crew: &Crew) -> anyhow::Result<()> {
    let freed = books::release_singles(&crew.app).await?;
    Ok(publish_singles(crew, freed).await?)
}

async fn publish_again(crew: &Crew, epoch: i32) -> anyhow::Result<()> {
    let again = books::due_again(&crew.app, epoch, AT_ONCE).await?;
    Ok(publish_singles(crew, again).await?)
}

async fn publish_singles(crew: &Crew, again: Vec<Due<DeliveryId>>) -> Result<(), BooksError> {
    for lane in Lane::ALL {
        let mine: Vec<DeliveryId> = again.iter().filter(|due| due.lane == lane).map(|due| due.what).collect();
        for part in mine.chunks(PER_JOB) {
            let job = Job::DeliverAgain(part.iter().map(|id| id.uuid()).collect());
            match crew.publisher.publish(lane, &job).await {
                Ok(epoch) => books::confirmed(&crew.app, epoch, &[], part).await?,
                Err(_) => books::unpublish(&crew.app, &[], part).await?,
            }
        }
    }
    Ok(())
}

async fn publish_chunks(crew: &Crew, epoch: i32, waiting: [bool; 3]) -> Result<(), BooksError> {
    let ahead = books::published_ahead(&crew.app).await?;
    if ahead.iter().all(|n| *n >= i64::from(crew.app.config.amqp.publish_ahead)) {
        return Ok(());
    }
    let mut due = books::due_chunks(&crew.app, epoch, AT_ONCE).await?;
    let limit = i64::from(crew.app.config.amqp.publish_ahead);
    for (lane, ahead) in Lane::ALL.into_iter().zip(ahead) {
        if ahead < limit && waiting[lane as usize] {
            due.extend(books::release_chunks(&crew.app, lane, limit - ahead).await?);
        }
    }
    for lane in Lane::ALL {
        let mine: Vec<ChunkRef> = due.iter().filter(|due| due.lane == lane).map(|due| due.what.clone()).collect();
        for part in parts(&mine) {
            let ids: Vec<Uuid> = part.iter().map(|chunk| chunk.id).collect();
            match crew.publisher.publish(lane, &Job::Deliver(part.to_vec())).await {
                Ok(epoch) => books::confirmed(&crew.app, epoch, &ids, &[]).await?,
                Err(_) => books::unpublish(&crew.app, &ids, &[]).await?,
            }
        }
    }
    Ok(())
}

/// Cut so that no broker message names more than [`PER_MESSAGE`] deliveries, or one chunk.
fn parts(chunks: &[ChunkRef]) -> Vec<&[ChunkRef]> {
    let (mut parts, mut rest) = (Vec::new(), chunks);
    while !rest.is_empty() {
        let mut n = 0;
        let fit = rest.iter().take_while(|chunk| {
            n += usize::try_from(chunk.n).unwrap_or(1).max(1);
            n <= PER_MESSAGE
        });
        let (part, after) = rest.split_at(fit.count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}
