//! `/metrics`: this process in numbers, for Prometheus; and, from `serve`, the whole node's.
//!
//! No key needed: it is for the private listener, or a worker's own, and says nothing of anybody. A database that is away is a
//! number too: the answer comes all the same.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::health;
use crate::App;
use crate::overview::{Look, Overview, Watch};
use crate::telemetry::{families, metrics};

/// Longest wait for the database: a scrape has seconds, and what this process knows by itself must arrive.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the gauges of the whole node, of which a process has one set, were last set from: microseconds since 1970; 0: nothing.
static SHOWN_AT: AtomicI64 = AtomicI64::new(0);

/// The route of `serve`, which knows the whole node.
pub fn routes(app: &App, overview: &Watch) -> BoxedFilter<(Response,)> {
    let (app, overview) = (app.clone(), overview.clone());
    route(move || {
        let (app, overview) = (app.clone(), overview.clone());
        async move {
            // A look that takes longer goes on, and is what the next scrape shows. Until then the last one counts.
            let _ = tokio::time::timeout(PATIENCE, overview.now()).await;
            show(&app, overview.last());
            app.db.show();
        }
    })
}

/// The routes of a worker's own listener: `/metrics` and `/healthz`.
pub fn worker_routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let metrics = route(move || {
        app.db.show();
        std::future::ready(())
    });
    metrics.or(health::alive()).unify().or(health::nothing_else()).unify().boxed()
}

fn route<F: Future<Output = ()> + Send>(
    look: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Response,)> {
    warp::path!("metrics")
        .and(warp::method())
        .then(move |method: Method| {
            let look = look.clone();
            async move {
                match health::only_looking(&method) {
                    Some(refused) => refused,
                    None => {
                        look().await;
                        answer(metrics::text())
                    }
                }
            }
        })
        .boxed()
}

/// The numbers of the last look that succeeded stay as they are, and age. Slow is not away: other numbers tell of that.
fn show(app: &App, look: Option<Look>) {
    match look {
        Some(Ok(overview)) => {
            families::OVERVIEW_UP.set([], 1.0);
            show_overview(app, &overview);
            SHOWN_AT.store(overview.at.as_microsecond(), Ordering::Relaxed);
        }
        Some(Err(error)) if error.is_slow() => families::OVERVIEW_UP.set([], 1.0),
        Some(Err(_)) => families::OVERVIEW_UP.set([], 0.0),
        // Not even the first look has ended.
        None => {}
    }
    let shown_at = Timestamp::from_microsecond(SHOWN_AT.load(Ordering::Relaxed)).unwrap_or_default();
    if shown_at != Timestamp::UNIX_EPOCH {
        families::OVERVIEW_AGE.set([], app.clock.now().duration_since(shown_at).as_secs_f64().max(0.0));
    }
}

fn show_overview(app: &App, overview: &Overview) {
    let now = app.clock.now();
    for lane in &overview.lanes {
        let name = lane.lane.name();
        for (state, n) in lane.states() {
            families::OPEN.set([name, state], n as f64);
        }
        let waited =
            |since: Option<Timestamp>| since.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0));
        families::OLDEST.set([name, "worker"], waited(lane.oldest_ready_since));
        families::OLDEST.set([name, "anything"], waited(lane.oldest_waiting_since));
        families::AHEAD.set([name], lane.published_ahead as f64);
    }
    families::BROKER_UP.set([], f64::from(u8::from(overview.broker.reachable)));
    for queue in &overview.broker.queues {
        families::QUEUE.set([queue.carries], f64::from(queue.messages));
        families::CONSUMERS.set([queue.carries], f64::from(queue.consumers));
    }
    let destinations = &overview.destinations;
    for (state, n) in [
        ("known", destinations.known),
        ("open", destinations.open),
        ("half_open", destinations.half_open),
        ("retry_after", destinations.retry_after),
        ("paused", destinations.paused),
    ] {
        families::DESTINATIONS.set([state], n as f64);
    }
    families::WORKERS.set([], overview.workers.len() as f64);
    families::IN_HAND.set([], overview.workers.iter().map(|worker| worker.deliveries).sum::<i64>() as f64);
    families::CAMPAIGNS.set(["running"], overview.campaigns.running as f64);
    families::CAMPAIGNS.set(["paused"], overview.campaigns.paused as f64);
}

fn answer(text: String) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
