//! Streams that keep pages up to date: parts of the page, as HTML, by the names that the page's script looks for.
//!
//! Promises: however many streams are open, one task of this process looks, and only while one is open; their number is bounded, in all
//! and of one key; a stream ends with its session, with its key, when the process stops, and after some minutes anyway, so that
//! whoever is in between looks again. A client that does not read is let go.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use warp::reply::Response;

use super::health::{self, Health};
use super::{Door, Signed, overview};
use crate::App;
use crate::doors::Serve;
use crate::doors::places::{Place, Places};
use crate::doors::site::frame;
use crate::doors::sse::{self, COMMENT_EVERY, Ended, Outlet};
use crate::overview::Watch;
use crate::senders::{Scope, Standing};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Open at once, in one process.
const MOST: usize = 128;
/// Open at once, of one key, or of one person whom a proxy names. Sessions are free: counted by them, anybody could take all.
const MOST_OF_ONE: usize = 16;
/// A stream is begun anew after this.
const LONGEST: Duration = Duration::from_secs(600);
/// Told to a page whose session is over.
const OVER: &str = "event: over\ndata: {}\n\n";

/// What is sent, ready made.
#[derive(Default)]
struct Parts {
    /// The strip only.
    strip: Bytes,
    /// The strip and what the overview shows.
    overview: Bytes,
}

/// All streams of this process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    app: App,
    health: Health,
    watch: Watch,
    parts: Arc<watch::Sender<Arc<Parts>>>,
    /// Whether a task looks.
    looking: Arc<Mutex<bool>>,
    room: Arc<Semaphore>,
    of_one: Places,
}

impl Live {
    pub(super) fn new(serve: &Serve, health: &Health) -> Self {
        Self {
            app: serve.app.clone(),
            health: health.clone(),
            watch: serve.overview.clone(),
            parts: Arc::new(watch::Sender::default()),
            looking: Arc::default(),
            room: Arc::new(Semaphore::new(MOST)),
            of_one: Places::new(MOST_OF_ONE),
        }
    }

    /// What is looked at from now on; begins looking if nobody does.
    fn subscribe(&self) -> watch::Receiver<Arc<Parts>> {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut receiver = self.parts.subscribe();
        // Also what was there before: the page may be older.
        receiver.mark_changed();
        if !*looking {
            *looking = true;
            tokio::spawn(self.clone().look());
        }
        receiver
    }

    async fn look(self) {
        loop {
            // A page that cannot be drawn this once must not end looking for everybody.
            match AssertUnwindSafe(self.parts()).catch_unwind().await {
                Ok(parts) => drop(self.parts.send(Arc::new(parts))),
                Err(_) => tracing::error!("a page of the console panicked"),
            }
            sleep(LOOK_EVERY).await;
            let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            if self.parts.receiver_count() == 0 {
                *looking = false;
                return;
            }
        }
    }

    async fn parts(&self) -> Parts {
        let missing = self.health.missing().await;
        let mut parts = Map::new();
        parts.insert("health".into(), health::strip(&missing).into_string().into());
        let strip = event(&parts);
        match overview::parts(&self.app, &self.watch).await {
            Ok(more) => parts.extend(more.into_iter().map(|(name, html)| (name.to_owned(), html.into_string().into()))),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the overview cannot be read"),
        }
        Parts { strip, overview: event(&parts) }
    }
}

fn event(parts: &Map<String, Value>) -> Bytes {
    let json = serde_json::to_string(parts).unwrap_or_default();
    // JSON has no line breaks of its own.
    format!("event: parts\ndata: {json}\n\n").into()
}

/// For a page whose session is over.
pub(super) fn over() -> Response {
    let mut response = frame::bare(StatusCode::OK);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    *response.body_mut() = OVER.into();
    response
}

/// `GET /console/stream`, with `?page=overview` for that page.
pub(super) fn open(door: &Arc<Door>, signed: &Signed, query: &str) -> Response {
    let of_proxy = || format!("proxy {}", signed.operator.name);
    let place = door.live.of_one.take_of(signed.operator.key.map_or_else(of_proxy, |key| key.to_string()));
    let room = Arc::clone(&door.live.room).try_acquire_owned().ok();
    let Some((place, room)) = place.zip(room) else {
        let mut response = frame::bare(StatusCode::TOO_MANY_REQUESTS);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
        return response;
    };
    let (outlet, response) = sse::open();
    let overview = query == "page=overview" && signed.operator.scopes.allows(Scope::Node, false);
    let standing = signed.operator.key.map(|key| Standing::of_id(&door.serve.app, key));
    let stream = Stream {
        door: Arc::clone(door),
        session: signed.session.clone(),
        standing,
        overview,
        outlet,
        _held: (place, room),
    };
    tokio::spawn(stream.run());
    response
}

/// One open stream.
struct Stream {
    door: Arc<Door>,
    session: crate::doors::site::session::Session,
    /// Of the key, where it is a key's.
    standing: Option<Standing>,
    overview: bool,
    outlet: Outlet,
    _held: (Place, OwnedSemaphorePermit),
}

impl Stream {
    async fn run(mut self) {
        let mut parts = self.door.live.subscribe();
        let (end, mut comment) = (Instant::now() + LONGEST, Instant::now() + COMMENT_EVERY);
        loop {
            let stopping = self.door.serve.stopping.clone();
            let sent = tokio::select! {
                () = stopping.cancelled() => return,
                () = self.outlet.closed() => return,
                () = sleep_until(end) => return,
                () = sleep_until(comment) => {
                    comment = Instant::now() + COMMENT_EVERY;
                    self.outlet.send(": still here\n\n").await
                }
                changed = parts.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = Arc::clone(&parts.borrow_and_update());
                    self.send(&now).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn send(&mut self, parts: &Parts) -> Result<(), Ended> {
        if !self.holds().await {
            let _ = self.outlet.send(OVER).await;
            return Err(Ended);
        }
        let piece = if self.overview { &parts.overview } else { &parts.strip };
        if piece.is_empty() { Ok(()) } else { self.outlet.send(piece.clone()).await }
    }

    /// Whether the session still opens anything. While the database is away, the strip goes on saying so.
    async fn holds(&mut self) -> bool {
        if self.session.is_past(&self.door.serve.app) || self.door.has_left(&self.session) {
            return false;
        }
        match &mut self.standing {
            Some(standing) => standing.holds().await.unwrap_or(true),
            None => true,
        }
    }
}
