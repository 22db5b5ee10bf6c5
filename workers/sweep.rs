//! Hands on what the dead held, and deletes what has had its time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::books;
use crate::clock::Instant;
use crate::worker::Crew;
use crate::{handshakes, hub, inbox, limits};

/// With a lease of 8 s this keeps the promise of taking over within 10 s.
const EVERY: Duration = Duration::from_secs(1);
/// Deleting is less urgent.
const DELETE_EVERY: Duration = Duration::from_secs(10);

/// Ended handshakes are shown for this long.
const HANDSHAKES_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Sweeps every second, until `stop`.
pub async fn run(crew: Crew, stop: CancellationToken) {
    let lease = crew.app.config.delivery.lease.duration();
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // After the database was away everybody looks dead: they get the length of a lease to report.
    let mut trusted = Instant::now().after(lease);
    let mut deleted = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if crew.app.db.now().await.is_err() {
            trusted = Instant::now().after(lease);
            continue;
        }
        if trusted.is_past() {
            hand_on(&crew).await;
        }
        if deleted.is_past() {
            delete(&crew).await;
            deleted = Instant::now().after(DELETE_EVERY);
        }
    }
}

async fn hand_on(crew: &Crew) {
    match books::hand_on_dead(&crew.app).await {
        Ok(0) => {}
        Ok(n) => tracing::warn!(workers = n, "workers died; what they held is handed on"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the dead could not be looked for"),
    }
}

async fn delete(crew: &Crew) {
    let app = &crew.app;
    let now = app.clock.now();
    let swept = [
        ("handshakes past their deadline", handshakes::expire(app).await.map_err(anyhow::Error::from)),
        ("ended handshakes", handshakes::purge(app, now - HANDSHAKES_KEPT).await.map_err(anyhow::Error::from)),
        (
            "acknowledged inbox entries",
            inbox::purge_acknowledged(app, now - app.config.retention.inbox.duration())
                .await
                .map_err(anyhow::Error::from),
        ),
        ("outbox", books::purge(app).await.map_err(anyhow::Error::from)),
        ("idempotency keys", books::purge_keys(app).await.map_err(anyhow::Error::from)),
        ("ended operations", books::purge_operations(app).await.map_err(anyhow::Error::from)),
        ("seen messages", inbox::purge_seen(app).await.map_err(anyhow::Error::from)),
        ("the record of changes", crate::audit::purge(app).await.map_err(anyhow::Error::from)),
        ("codes", crate::codes::purge(app).await.map_err(anyhow::Error::from)),
        ("messages for devices", crate::envelopes::purge(app).await.map_err(anyhow::Error::from)),
        ("logins", crate::logins::purge(app).await.map_err(anyhow::Error::from)),
        ("sessions of the mailbox", crate::mailbox::purge(app).await.map_err(anyhow::Error::from)),
        ("Homing logins and sessions", crate::gateway::purge(app).await.map_err(anyhow::Error::from)),
        ("buckets", limits::purge_buckets(app).await.map_err(anyhow::Error::from)),
        ("what a hub keeps for a while", hub::purge(app).await.map_err(anyhow::Error::from)),
        ("counters", limits::purge(app).await.map_err(anyhow::Error::from)),
    ];
    for (what, done) in swept {
        if let Err(error) = done {
            tracing::warn!(what, %error, "old rows could not be deleted");
        }
    }
}
