//! Statements that concurrent claims share: claim, settle, hand back.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::lease::Hold;
use crate::App;
use crate::batch::Batcher;
use crate::books::{self, Claimed, Settle, Written};
use crate::retry::Reconnect;
use crate::telemetry::families::{CLAIMED, CLAIMS_VOID, SETTLE_TIMES};

/// Claims, settles and parkings in one statement.
const TOGETHER: usize = 100;

/// Claims chunks; none: done, cancelled, or another's.
pub(super) fn claims(app: &App) -> Batcher<(Uuid, Hold), Option<Claimed>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(5), move |asked: Vec<(Uuid, Hold)>| {
        let app = app.clone();
        async move {
            let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
            let worker = asked.last().map(|(_, hold)| hold.worker).unwrap_or_default();
            let claim = app.new_id();
            match until_it_answers(|| books::claim_chunks(&app, worker, claim, &ids)).await {
                Ok(mut claimed) => {
                    for delivery in claimed.values().flat_map(|claimed| &claimed.deliveries) {
                        CLAIMED.one([delivery.lane.name()]);
                    }
                    CLAIMS_VOID.add([], ids.len().saturating_sub(claimed.len()));
                    ids.iter().map(|id| claimed.remove(id)).collect()
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "chunks could not be claimed");
                    let held: Vec<_> = ids.iter().map(|id| (*id, claim)).collect();
                    let _ = books::give_back(&app, &held, app.clock.now() + Duration::from_secs(60)).await;
                    ids.iter().map(|_| None).collect()
                }
            }
        }
    })
}

/// Asks until the database answers: what it may have done without our knowing is found again under the same claim.
pub(crate) async fn until_it_answers<T, F>(mut ask: impl FnMut() -> F) -> Result<T, books::BooksError>
where
    F: Future<Output = Result<T, books::BooksError>>,
{
    let mut pace = Reconnect::default();
    loop {
        match ask().await {
            Err(error) if error.is_passing() => tokio::time::sleep(pace.next_wait()).await,
            answer => return answer,
        }
    }
}

/// Settles; says whether the claim still held, or, as an error, whether trying again may help.
pub(super) fn settles(
    app: &App,
    next_in_line: mpsc::UnboundedSender<Vec<Uuid>>,
) -> Batcher<Settle, Result<bool, bool>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(10), move |settles: Vec<Settle>| {
        let (app, next_in_line) = (app.clone(), next_in_line.clone());
        async move {
            let begun = Instant::now();
            let settled = books::settle_many(&app, &settles).await;
            SETTLE_TIMES.took([], begun.elapsed());
            match settled {
                Ok(written) => {
                    tell_next(&next_in_line, &written);
                    written.held.into_iter().map(Ok).collect()
                }
                // Whatever is wrong with one of them is not the others' fault.
                Err(error) if !error.is_passing() && settles.len() > 1 => {
                    let mut each = Vec::with_capacity(settles.len());
                    for settle in &settles {
                        each.push(settle_alone(&app, settle, &next_in_line).await);
                    }
                    each
                }
                Err(error) => settles.iter().map(|_| Err(refused(&error))).collect(),
            }
        }
    })
}

/// Whoever is next in a line goes on in this process, at once.
fn tell_next(next_in_line: &mpsc::UnboundedSender<Vec<Uuid>>, written: &Written) {
    if !written.next.is_empty() {
        // Nobody hears it when the process stops: then the scheduler of another finds them.
        let _ = next_in_line.send(written.next.iter().map(|(_, id)| id.uuid()).collect());
    }
}

async fn settle_alone(
    app: &App,
    settle: &Settle,
    next_in_line: &mpsc::UnboundedSender<Vec<Uuid>>,
) -> Result<bool, bool> {
    match books::settle_many(app, std::slice::from_ref(settle)).await {
        Ok(written) => {
            tell_next(next_in_line, &written);
            Ok(written.held.first().copied().unwrap_or(false))
        }
        Err(error) => Err(refused(&error)),
    }
}

/// Says so; answers whether trying again may help.
fn refused(error: &books::BooksError) -> bool {
    tracing::error!(error = error as &dyn std::error::Error, "results could not be settled");
    error.is_passing()
}

/// Hands chunks of a full destination back, each for a while.
pub(super) fn parkings(app: &App) -> Batcher<(Uuid, Duration), ()> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, Duration::from_millis(5), move |chunks: Vec<(Uuid, Duration)>| {
        let app = app.clone();
        async move {
            let now = app.clock.now();
            let aside: Vec<_> = chunks.iter().map(|(chunk, away)| (*chunk, now + *away)).collect();
            // The broker is about to forget them: until the books know better they count as published.
            if let Err(error) = until_it_answers(|| books::park(&app, &aside)).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "chunks could not be put aside; they come back after five minutes"
                );
            }
            vec![(); chunks.len()]
        }
    })
}
