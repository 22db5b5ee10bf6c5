//! Makes partitions ahead, and drops those past their retention, so that nothing is ever deleted row by row but leftovers.
//!
//! | file | does |
//! |---|---|
//! | `weeks` | which weeks there are, and which are past their time |
//! | `locked` | changes of partitions, which need everybody else to stand still for a moment |
//! | `leftovers` | what lies in the default partitions |
//!
//! Promises: an accept never stands behind a change of partitions for longer than [`locked::PATIENCE`] a table and the change itself, which
//! is a matter of milliseconds; a week with a few deliveries that are still open (scheduled for months ahead, stuck in a line) is
//! dropped all the same: they move to the default partitions first, in the same transaction.

mod leftovers;
mod locked;
mod weeks;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::weeks::Week;
use crate::App;
use crate::db::DbError;
use crate::events;
use crate::failpoint;

const EVERY: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Tables of a message and its delivery. In the order they are locked.
const BOOKS: [&str; 5] = ["messages", "chunks", "exceptions", "attempts", "arrivals"];

/// Looks every hour, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        let done = tokio::select! {
            done = round(&app) => done,
            () = stop.cancelled() => return,
        };
        if let Err(error) = done {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "partitions could not be kept; the next try is in an hour"
            );
        }
    }
}

/// Makes what is needed for the next three weeks, drops what is past retention. Several processes may do it at once.
pub async fn round(app: &App) -> Result<(), DbError> {
    match events::adopt(app).await {
        Ok(0) => {}
        Ok(rows) => tracing::warn!(rows, "events of a database before this one were put before its own"),
        Err(error) => tracing::warn!(error = %crate::failure::chain(&error), "events could not be put in order"),
    }
    make_ahead(app).await?;
    let now = app.clock.now();
    let retention = &app.config.retention;
    let old = now - retention.messages.duration();
    for week in weeks::attached(app, "chunks", old).await? {
        drop_books(app, &week).await?;
        failpoint::hit(failpoint::Place::WhileRotating);
    }
    for week in weeks::attached(app, "events", now - retention.events.duration()).await? {
        locked::drop_week(app, "events", &week).await?;
    }
    for week in weeks::attached(app, "inbox", now - retention.inbox.duration()).await? {
        if weeks::is_empty(app, "inbox", &week).await? {
            locked::drop_week(app, "inbox", &week).await?;
        }
    }
    weeks::drop_detached(app).await?;
    leftovers::of_books(app, old).await?;
    leftovers::of_events(app, now - retention.events.duration()).await
}

async fn make_ahead(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    for parent in BOOKS.iter().chain(&["inbox", "events"]) {
        for ahead in 0..4 {
            let week = weeks::of(app, now + WEEK * ahead).await?;
            if weeks::exists(app, parent, &week).await? {
                continue;
            }
            // A node that was off for weeks finds rows of this week in the default partition, and cannot make this week's any more.
            // The weeks ahead are made all the same, or every week to come would end up there.
            if let Err(error) = locked::make(app, parent, &week).await {
                if error.is_passing() {
                    return Err(error);
                }
                tracing::warn!(
                    parent,
                    %week,
                    error = &error as &dyn std::error::Error,
                    "a week's partition could not be made"
                );
            }
            failpoint::hit(failpoint::Place::WhileRotating);
        }
    }
    Ok(())
}

/// Drops a week of the books, unless too much in it is still open.
async fn drop_books(app: &App, week: &Week) -> Result<(), DbError> {
    let open = locked::open_in(app, week).await?;
    if open > locked::FEW {
        tracing::warn!(%week, "a week past its retention is kept: more than {} deliveries are still open", locked::FEW);
        return Ok(());
    }
    locked::take_out(app, week).await?;
    tracing::info!(%week, kept = open, "a week of the books past its retention goes");
    Ok(())
}
