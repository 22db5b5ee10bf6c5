//! Carries replays and cancels by filter on: takes one that nobody alive carries, and does it part by part until it ends, is held
//! up, or this process stops. What a worker that died left half done, another takes up exactly where it was.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::books::{self, Carried};
use crate::retry::Reconnect;
use crate::worker::Crew;

/// How soon an operation is begun.
const EVERY: Duration = Duration::from_millis(200);
/// Operations carried at a time by one process: each holds a connection of the database while it does a part.
const AT_ONCE: usize = 6;
/// While so many are carried no further replay is begun: a cancel never waits behind replays that take their time.
const REPLAYS: usize = 3;

/// Looks every 200 ms, until `stop`.
pub async fn run(crew: Crew, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut carried = JoinSet::new();
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => break,
        }
        while let Some(ended) = carried.try_join_next() {
            if ended.is_err() {
                tracing::error!("an operation panicked; it is taken up again when this worker ends");
            }
        }
        if carried.len() >= AT_ONCE {
            continue;
        }
        let worker = crew.lease.hold().worker;
        if let Ok(Some(id)) = books::take_operation(&crew.app, worker, carried.len() < REPLAYS).await {
            carried.spawn(carry(crew.clone(), worker, id, stop.clone()));
        }
    }
    // The part that each is doing is committed or not: nothing is half done.
    while carried.join_next().await.is_some() {}
}

async fn carry(crew: Crew, worker: Uuid, id: Uuid, stop: CancellationToken) {
    tracing::info!(operation = %id, "an operation goes on");
    let mut pace = Reconnect::default();
    while !stop.is_cancelled() {
        let wait = match books::carry(&crew.app, worker, id).await {
            Ok(Carried::More(wait)) => {
                pace.reset();
                wait
            }
            Ok(Carried::Finished) => {
                tracing::info!(operation = %id, "an operation is finished");
                return;
            }
            Ok(Carried::NotOurs) => return,
            Err(error) => {
                tracing::warn!(operation = %id, error = &error as &dyn std::error::Error, "an operation could not go on; it is tried again");
                pace.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}
