//! After the commit: the chunks' ids go to the broker.
//!
//! A chunk is inserted as "being published". Most are claimed within milliseconds, and then nothing more is to be said; what still
//! lies there when its broker has long confirmed is marked with that broker, and what no broker confirmed is unmarked, for the
//! scheduler. Where this process dies in between, the mark is void after a few seconds.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::ahead::Ahead;
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, DeliveryId, Lane};
use crate::clock::Clock;
use crate::failpoint;
use crate::jobs::{ChunkRef, Job};
use crate::overview::activity::{self, Deed};
use crate::queue::Publisher;
use crate::telemetry::families::ACCEPTED;
use crate::telemetry::traces::{self, Parent, Step};

/// Deliveries named by one broker message.
const PER_JOB: usize = 200;
/// What is not claimed by then is marked as confirmed.
const UNCLAIMED: Duration = Duration::from_secs(2);

/// What a commit left to be published.
pub struct ToPublish {
    pub(super) chunks: Vec<(Lane, ChunkRef)>,
    pub(super) heads: Vec<(Lane, DeliveryId)>,
    /// How many deliveries are new in the books, by lane.
    pub(super) accepted: [usize; 3],
    /// The trace that the jobs belong to.
    pub(super) trace: Option<Parent>,
}

/// Publishes what was committed, and writes down what became of it where that matters.
#[derive(Clone)]
pub(super) struct Publishing {
    publisher: Publisher,
    ahead: Ahead,
    clock: Clock,
    marks: Batcher<Mark, ()>,
}

/// Chunks of one job.
struct Mark {
    chunks: Vec<Uuid>,
    /// When they were given to the broker: what was published after that is no business of this mark.
    at: Timestamp,
    /// The epoch of the broker that confirmed; none: no broker did.
    epoch: Option<i32>,
}

impl Publishing {
    pub(super) fn start(app: &App, publisher: &Publisher) -> Self {
        let app_for_marks = app.clone();
        let marks = Batcher::spawn(64, Duration::from_millis(5), move |marks: Vec<Mark>| {
            let app = app_for_marks.clone();
            async move {
                let n = marks.len();
                // Where this fails the scheduler publishes once more, and the claim finds nothing to do.
                if let Err(error) = write_down(&app, marks).await {
                    tracing::debug!(%error, "published chunks could not be marked");
                }
                vec![(); n]
            }
        });
        Self { publisher: publisher.clone(), ahead: Ahead::watch(app), clock: app.clock.clone(), marks }
    }

    /// Whether `n` more deliveries may lie in the broker.
    pub(super) fn has_room(&self, lane: Lane, sender: &str, destination: &str, n: i64) -> bool {
        self.ahead.has_room(lane, sender, destination, n)
    }

    /// In the background: the caller's 202 does not wait for the broker.
    pub(super) fn publish(&self, what: ToPublish) {
        for (lane, n) in Lane::ALL.into_iter().zip(what.accepted) {
            ACCEPTED.add([lane.name()], n);
            activity::count(Deed::Accepted, n);
        }
        for lane in Lane::ALL {
            for job in into_jobs(what.chunks.iter().filter(|(l, _)| *l == lane).map(|(_, chunk)| chunk.clone())) {
                tokio::spawn(self.clone().publish_chunks(lane, job, what.trace));
            }
            let heads = what.heads.iter().filter(|(l, _)| *l == lane).map(|(_, id)| id.uuid());
            let heads: Vec<Uuid> = heads.collect();
            for part in heads.chunks(PER_JOB) {
                let (publisher, job) = (self.publisher.clone(), Job::DeliverAgain(part.to_vec()));
                // Where it fails, they are due, and the scheduler finds them.
                tokio::spawn(async move { publisher.publish(lane, &job).await });
            }
        }
    }

    async fn publish_chunks(self, lane: Lane, job: Vec<ChunkRef>, trace: Option<Parent>) {
        let (chunks, at) = (job.iter().map(|c| c.id).collect(), self.clock.now());
        let span = traces::step("publish", Step::Publish, trace);
        let epoch = span.around(self.publisher.publish(lane, &Job::Deliver(job))).await.ok();
        drop(span);
        if epoch.is_some() {
            failpoint::hit(failpoint::Place::AfterConfirm);
            tokio::time::sleep(UNCLAIMED).await;
        }
        let _ = self.marks.call(Mark { chunks, at, epoch }).await;
    }
}

fn into_jobs(chunks: impl Iterator<Item = ChunkRef>) -> Vec<Vec<ChunkRef>> {
    let mut jobs: Vec<Vec<ChunkRef>> = Vec::new();
    let mut room = 0;
    for chunk in chunks {
        if chunk.n as usize > room {
            jobs.push(Vec::new());
            room = PER_JOB;
        }
        room = room.saturating_sub(chunk.n as usize);
        if let Some(job) = jobs.last_mut() {
            job.push(chunk);
        }
    }
    jobs
}

async fn write_down(app: &App, marks: Vec<Mark>) -> Result<(), books::BooksError> {
    let (mut ids, mut epochs, mut ats, mut unconfirmed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Mark { chunks, at, epoch } in marks {
        match epoch {
            Some(epoch) => {
                epochs.extend(std::iter::repeat_n(epoch, chunks.len()));
                ats.extend(std::iter::repeat_n(at, chunks.len()));
                ids.extend(chunks);
            }
            None => unconfirmed.extend(chunks),
        }
    }
    if !ids.is_empty() {
        books::published(app, &ids, &epochs, &ats).await?;
    }
    if !unconfirmed.is_empty() {
        books::unpublish(app, &unconfirmed, &[]).await?;
    }
    Ok(())
}
