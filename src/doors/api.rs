//! The API door, `/api/v1`: what our own applications use. `docs/api.md` is its contract.
//!
//! A request passes, in this order: its route (404, 405), its key (401), the key's scope (403), then the endpoint, which reads
//! query, path and body into types and answers a value: a response, or a [`problem::Problem`].
//!
//! | file | what |
//! |---|---|
//! | `routes` | the list of all endpoints: method, path, scope, function |
//! | `call` | what an endpoint is given |
//! | `fields`, `values` | requests into types, all mistakes together |
//! | `streamed` | rows of any number, taken and answered as they arrive |
//! | `problem` | the one error shape |
//! | `describe` | the description of all of it, OpenAPI 3.1, which each endpoint's file has its part of |
//! | `sse` | what streams have in common |
//! | `audited` | the record of who changed what: every route that writes, but for those marked as traffic |
//! | `accounts`, `passcodes`, `connections`, `messages`, `campaigns`, `deliveries`, `inbox`, `events`, `webhooks`, `destinations`, `phones`, `otp`, `apps`, `homing`, `hub`, `keys`, `audit`, `overview` | the endpoints |
//!
//! Promises: a panic in an endpoint is answered 500 and ends nothing else; no body, path, code or key is logged. Leaves out what happens
//! behind: the books, the broker and the workers are other modules'.

pub mod describe;
pub mod problem;

mod accounts;
mod apps;
mod audit;
mod audited;
mod call;
mod campaigns;
mod connections;
mod deliveries;
mod destinations;
mod events;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod homing;
mod hub;
mod inbox;
mod keys;
mod messages;
mod otp;
mod overview;
mod page;
mod passcodes;
mod people;
mod phones;
mod routes;
mod streamed;
mod values;
mod webhooks;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{HeaderMap, Method};
use tokio::sync::Semaphore;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, path::Tail};

use crate::envelopes::Bell;
use crate::listen::{self, Body};

use crate::senders::Authenticator;

use super::Serve;
use call::{Answer, Call, Shared, Unread};
use problem::{Kind, Problem};

/// The door. Call it inside the runtime.
pub fn routes(serve: Serve) -> BoxedFilter<(Response,)> {
    let shared = Arc::new(Shared {
        keys: Authenticator::new(serve.app.clone()),
        ways: messages::Ways::start(serve.app.clone()),
        arrivals: crate::inbox::Arrivals::new(serve.app.clone(), serve.stopping.clone()),
        bell: Bell::start(&serve.app),
        news: events::News::new(serve.app.clone(), serve.stopping.clone()),
        // Those who wait hold a connection each; they may have half of them.
        bodies: Arc::new(Semaphore::new(call::MOST_BODIES_KIB as usize)),
        waiting: Arc::new(Semaphore::new((serve.app.config.private.connections / 2).max(1))),
        serve,
    });
    warp::path("api")
        .and(warp::path("v1"))
        .and(warp::path::tail())
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(listen::body())
        .then(move |tail: Tail, method: Method, query: String, headers: HeaderMap, body: Body| {
            let shared = Arc::clone(&shared);
            async move { answer(shared, tail.as_str(), method, query, headers, body).await }
        })
        .boxed()
}

/// The query string as it came, or nothing.
pub(super) fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

async fn answer(
    shared: Arc<Shared>,
    path: &str,
    method: Method,
    query: String,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let bodyless = method == Method::HEAD;
    let work = async {
        if path == describe::PATH {
            return describe::serve(&method, &headers);
        }
        let (route, parameters) = routes::find(&method, path)?;
        let key = call::authenticate(&shared.keys, &headers).await?;
        let allowed = key.scopes.allows(route.scope, route.writes());
        let call = Call { shared, key, parameters, query, headers, body: Unread::new(body), room: None };
        match allowed {
            true if route.is_audited() => audited::run(route, call).await,
            true => (route.run)(call).await,
            false => {
                let scope = route.scope;
                let refusal = Problem::new(Kind::Forbidden, format!("This needs a key with the scope `{scope}`."));
                if route.is_audited() { audited::refused(route, &call, refusal).await } else { Err(refusal) }
            }
        }
    };
    let answer = caught(work, || routes::name(&method, path)).await;
    let mut response = answer.unwrap_or_else(Problem::into_response);
    if bodyless {
        *response.body_mut() = Default::default();
    }
    response
}

/// A panic is a defect of one request: it is answered and logged, and ends nothing else.
async fn caught(work: impl Future<Output = Answer>, route: impl FnOnce() -> &'static str) -> Answer {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(route = route(), "an endpoint panicked");
        Err(Problem::new(Kind::Internal, "The failure is in the node's log."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered() {
        let answer = caught(async { panic!("a defect") }, || "test").await;
        assert_eq!(answer.err().map(|problem| problem.kind()), Some(Kind::Internal));
        assert!(caught(async { call::nothing() }, || "test").await.is_ok());
    }
}
