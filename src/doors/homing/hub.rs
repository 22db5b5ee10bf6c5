//! The hub's door, `/homing/hub/…`: its API, for merchants' servers and for the programs of those who have a space; and the pages
//! for those who use it in a browser.
//!
//! `docs/homing-hub.md` is its contract. JSON in and out; every refusal is `{"error","message","request_id"}` with a word of the
//! protocol's table (logins, B.4). Who is signed in sends a bearer token: there are no cookies, so nothing can be sent in somebody's
//! name by another site, and nothing is allowed to other origins.
//!
//! | file | what |
//! |---|---|
//! | `routes` | the list of all endpoints |
//! | `request`, `answer` | what an endpoint is given, and what it answers |
//! | `merchant` | welcomes asked for, how they stand, the hub's keys |
//! | `spaces` | spaces and vaults |
//! | `personas`, `welcomes`, `sites`, `notices` | what is in a space |
//! | `pages` | what browsers show, and the scripts that use all this there |
//!
//! Promises: every body is bounded; a request that has begun is brought to its end also where its caller leaves, but for one that
//! only waits; tokens, names, ids
//! of spaces and query strings reach no log. Leaves out what is decided ([`crate::hub`]).

mod answer;
mod merchant;
mod notices;
mod pages;
mod personas;
mod request;
mod routes;
mod sites;
mod spaces;
mod welcomes;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::answer::Refused;
use self::request::Request;
use crate::App;
use crate::doors::Serve;
use crate::doors::places::Places;
use crate::hub::{Hub, Refusal};

/// Requests of one space that may wait for welcomes at once.
const WAITING_OF_SPACE: usize = 4;

/// What the endpoints share.
struct Door {
    app: App,
    hub: Hub,
    /// How many requests may wait for welcomes at once.
    waiting: Arc<Semaphore>,
    /// The same, of one space.
    waiting_of_space: Places,
    /// Requests being answered, of one address.
    places: Places,
    stopping: CancellationToken,
}

/// The door's routes. Call it inside the runtime.
pub fn routes(serve: &Serve) -> BoxedFilter<(Response,)> {
    let door = Arc::new(Door {
        app: serve.app.clone(),
        hub: Hub::new(&serve.app, &serve.acceptor),
        // Those who wait hold a connection each; they may have half of them.
        waiting: Arc::new(Semaphore::new((serve.app.config.public.connections / 2).max(1))),
        waiting_of_space: Places::new(WAITING_OF_SPACE),
        places: Places::new(serve.app.config.public.connections_per_ip),
        stopping: serve.stopping.clone(),
    });
    let api = warp::path("homing").and(warp::path("hub")).and(warp::path("api")).and(warp::path("v1"));
    let api = api.and(request::request()).then(move |request| answer_one(Arc::clone(&door), request));
    pages::routes(&serve.app).or(api).unify().boxed()
}

async fn answer_one(door: Arc<Door>, request: Request) -> Response {
    // Work outlives a client that leaves, so connections do not bound it: places do.
    let Some(place) = door.places.take(request.ip) else {
        return Refused::from(Refusal::RateLimited(None)).response();
    };
    // Who only waits, and has left, waits for nothing.
    if routes::waits(&request) {
        let answer = routes::answer(&door, request).await;
        return answer.unwrap_or_else(Refused::response);
    }
    // A client that leaves drops its request; what has begun must still be brought to its end.
    let work = tokio::spawn(async move {
        let _place = place;
        routes::answer(&door, request).await
    });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => refused.response(),
        Err(_) => Refused::internal(&"an endpoint panicked").response(),
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    notices::fuzzed(body);
    sites::fuzzed(body);
    spaces::fuzzed(body);
    personas::fuzzed(body);
    welcomes::fuzzed(body);
    let _ = request::read::<crate::homing::welcome::Request>(body).is_ok();
}
