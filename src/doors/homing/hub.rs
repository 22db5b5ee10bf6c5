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
//! Promises: every body is bounded; a request that has begun is brought to its end also where its caller leaves; tokens, names, ids
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
use crate::hub::Hub;

/// What the endpoints share.
struct Door {
    app: App,
    hub: Hub,
    /// How many requests may wait for welcomes at once.
    waiting: Arc<Semaphore>,
    stopping: CancellationToken,
}

/// The door's routes. Call it inside the runtime.
pub fn routes(serve: &Serve) -> BoxedFilter<(Response,)> {
    let door = Arc::new(Door {
        app: serve.app.clone(),
        hub: Hub::new(&serve.app, &serve.acceptor),
        // Those who wait hold a connection each; they may have half of them.
        waiting: Arc::new(Semaphore::new((serve.app.config.public.connections / 2).max(1))),
        stopping: serve.stopping.clone(),
    });
    let api = warp::path("homing").and(warp::path("hub")).and(warp::path("api")).and(warp::path("v1"));
    let api = api.and(request::request()).then(move |request| answer_one(Arc::clone(&door), request));
    pages::routes(&serve.app).or(api).unify().boxed()
}

async fn answer_one(door: Arc<Door>, request: Request) -> Response {
    // A client that leaves drops its request; what has begun must still be brought to its end.
    let work = tokio::spawn(async move { routes::answer(&door, request).await });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => refused.response(),
        Err(_) => Refused::internal(&"an endpoint panicked").response(),
    }
}
