//! The TextSecure door: phone numbers with devices, as clients and servers of 2013 and 2014 speak (versions 1 and 2 at once).
//!
//! `/v1/…` and `/v2/keys…` on the public listener, with and without trailing slash. Where the descriptions, the old server and the
//! clients disagree, the summary of the specification (§0.1) decides: 204 where there is nothing to say, 415 for a body that
//! cannot be read, 413 for too much, with `Retry-After` added. Errors have no body unless the specification gives one.
//!
//! Nothing here opens a connection to anybody: what a federated node must answer is an ask for a worker. Numbers, codes, tokens and
//! passwords stand in paths and headers, so this door logs neither.

mod accounts;
mod answer;
mod attachments;
mod credentials;
mod devices;
mod directory;
mod federation;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod keys_v2;
mod messages;
mod newcomer;
mod receipts;
mod registration;
mod relay;
mod request;
mod routes;
mod websocket;

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::answer::Refusal;
use self::request::Request;
use self::websocket::Websockets;
use crate::App;
use crate::attachments::Attachments;
use crate::books::Acceptor;
use crate::envelopes::Bell;
use crate::passwords::Passwords;
use crate::queue::Asker;

/// What the endpoints share; cheap to clone.
#[derive(Clone)]
struct Door {
    app: App,
    acceptor: Acceptor,
    asker: Asker,
    bell: Bell,
    passwords: Passwords,
    files: Attachments,
    websockets: Websockets,
}

/// The door's routes. Call it inside the runtime.
pub fn routes(app: &App, acceptor: &Acceptor, asker: &Asker, files: &Attachments) -> BoxedFilter<(Response,)> {
    let door = Door {
        app: app.clone(),
        acceptor: acceptor.clone(),
        asker: asker.clone(),
        bell: Bell::start(app),
        passwords: Passwords::new(
            app.config.textsecure.password_checks,
            app.config.textsecure.password_checks_waiting,
            crate::crypto::Cost::Device,
        ),
        files: files.clone(),
        websockets: Websockets::new(app),
    };
    let door = Arc::new(door);
    let versions = warp::path("v1").or(warp::path("v2")).unify();
    let routes = versions.and(request::request()).then(move |request| answer_one(Arc::clone(&door), request));
    routes.boxed()
}

async fn answer_one(door: Arc<Door>, request: Request) -> Response {
    // A client that leaves drops its request; what has begun must still be brought to its end.
    let work = tokio::spawn(async move {
        match routes::answer(&door, request).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    });
    answer::with_cors(work.await.unwrap_or_else(|_| Refusal::Unavailable.response()))
}
