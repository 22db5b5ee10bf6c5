//! Changes asked for over the API are written down: before they are begun, and with what was answered.
//!
//! Promises: no change is made that could not be written down; a refusal is written down like a change, from the moment that the key is
//! known. What is traffic is marked in `routes`, and passes by here. Leaves out requests without a good key: nobody is known who
//! asked.

mod subject;

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, header::USER_AGENT};
use uuid::Uuid;
use warp::reply::Response;

use super::call::{Answer, Call};
use super::problem::{Kind, Problem};
use super::routes::Route;
use crate::App;
use crate::audit::{self, Deed, Via};

/// How the command line calls itself; its version follows.
const COMMAND_LINE: &str = "handfast-cli/";

/// What a change made, for the record: put into the answer's extensions by endpoints that make something with an id.
#[derive(Clone)]
pub(super) struct Made(pub(super) String);

/// Marks an answer with what it made.
pub(super) fn made(answer: Answer, id: Uuid) -> Answer {
    answer.map(|mut response| {
        response.extensions_mut().insert(Made(id.to_string()));
        response
    })
}

/// Runs an endpoint that changes something, with a row before and its end after.
pub(super) async fn run(route: &'static Route, mut call: Call) -> Answer {
    let gathered = if has_body(route) { call.gather().await } else { Ok(Bytes::new()) };
    let body = gathered.as_ref().map(Bytes::as_ref).unwrap_or_default();
    let id = begin(route, &call, body).await?;
    let app = call.app().clone();
    let answer = match gathered {
        Ok(_) => caught(route, (route.run)(call)).await,
        Err(problem) => Err(problem),
    };
    end(&app, id, &answer).await;
    answer
}

/// Writes down what was refused before its body was looked at.
pub(super) async fn refused(route: &'static Route, call: &Call, problem: Problem) -> Answer {
    let id = begin(route, call, &[]).await?;
    let answer = Err(problem);
    end(call.app(), id, &answer).await;
    answer
}

async fn begin(route: &'static Route, call: &Call, body: &[u8]) -> Result<Uuid, Problem> {
    let deed = Deed {
        via: via(&call.headers),
        actor: &call.key.sender,
        key: Some(call.key.id),
        action: route.name(),
        subject: subject::of(route.path(), &call.parameters, body),
    };
    audit::begin(call.app(), &deed).await.map_err(|error| Problem::failure(&error))
}

async fn end(app: &App, id: Uuid, answer: &Answer) {
    let (status, made) = match answer {
        Ok(response) => (response.status(), response.extensions().get::<Made>().map(|made| made.0.as_str())),
        Err(problem) => (problem.status(), None),
    };
    if let Err(error) = audit::end_with(app, id, status.as_u16(), made).await {
        tracing::warn!(%id, error = &error as &dyn std::error::Error, "how a change ended could not be written down");
    }
}

/// A panic is an outcome too.
async fn caught(route: &'static Route, work: impl Future<Output = Answer>) -> Result<Response, Problem> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(route = route.path(), "an endpoint panicked");
        Err(Problem::new(Kind::Internal, "The failure is in the node's log."))
    })
}

fn has_body(route: &Route) -> bool {
    *route.method() != Method::DELETE
}

fn via(headers: &HeaderMap) -> Via {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if agent.starts_with(COMMAND_LINE) { Via::Cli } else { Via::Api }
}
