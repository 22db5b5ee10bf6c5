//! After the commit: the chunks' ids go to the broker, and what it confirmed is written down.

use std::time::Duration;

use uuid::Uuid;

use super::Chunks;
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, Lane};
use crate::db::DbError;
use crate::jobs::{ChunkRef, Job};
use crate::queue::Publisher;

/// Deliveries named by one broker message.
const PER_JOB: usize = 200;

/// Publishes what was committed, and writes down what the broker confirmed.
#[derive(Clone)]
pub(super) struct Publishing {
    publisher: Publisher,
    ahead: crate::books::due::Ahead,
    confirmed: Batcher<(Vec<Uuid>, i32), ()>,
}

impl Publishing {
    pub(super) fn start(app: &App, publisher: &Publisher) -> Self {
        let for_marks = app.clone();
        let confirmed = Batcher::spawn(64, Duration::from_millis(5), move |marks: Vec<(Vec<Uuid>, i32)>| {
            let app = for_marks.clone();
            async move {
                let n = marks.len();
                // Where this fails the scheduler publishes once more, and the claim finds nothing to do.
                if let Err(error) = mark_published(&app, marks).await {
                    tracing::debug!(%error, "published chunks could not be marked");
                }
                vec![(); n]
            }
        });
        Self { publisher: publisher.clone(), ahead: crate::books::due::Ahead::watch(app), confirmed }
    }

    /// In the background: the caller's 202 does not wait for the broker.
    pub(super) fn publish(&self, chunks: Chunks) {
        for lane in Lane::ALL {
            let mine = chunks.iter().filter(|(l, _)| *l == lane).map(|(_, chunk)| chunk.clone());
            for job in into_jobs(mine) {
                let n: i64 = job.iter().map(|c| i64::from(c.n)).sum();
                if !self.ahead.has_room(lane, n) {
                    // The scheduler publishes it when the workers have caught up.
                    continue;
                }
                let this = self.clone();
                tokio::spawn(async move {
                    let ids = job.iter().map(|c| c.id).collect();
                    if let Ok(epoch) = this.publisher.publish(lane, &Job::Deliver(job)).await {
                        let _ = this.confirmed.call((ids, epoch)).await;
                    }
                });
            }
        }
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

async fn mark_published(app: &App, marks: Vec<(Vec<Uuid>, i32)>) -> Result<(), DbError> {
    let (mut ids, mut epochs) = (Vec::new(), Vec::new());
    for (chunks, epoch) in marks {
        epochs.extend(std::iter::repeat_n(epoch, chunks.len()));
        ids.extend(chunks);
    }
    books::published(app, &ids, &epochs).await
}
