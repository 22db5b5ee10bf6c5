//! `/healthz` and `/readyz`, for whoever supervises the process. No key needed, and nothing in the answers to hide.
//!
//! Healthy means the process runs: it is no reason to restart it that the database is away. Ready means that work handed over now
//! goes on its way: the database answers, the broker is connected, and a worker's heartbeat is alive.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

use super::Serve;
use super::api::problem::Problem;
use crate::App;
use crate::db::DbError;

/// A database that takes longer than this is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is missing to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The database does not answer.
    Database,
    /// The broker is not connected.
    Broker,
    /// No worker is alive.
    Worker,
}

impl Missing {
    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Worker => "worker",
        }
    }
}

/// What is missing to be ready; empty when nothing is.
pub async fn readiness(serve: &Serve) -> Vec<Missing> {
    let mut missing = Vec::new();
    match tokio::time::timeout(PATIENCE, workers_alive(&serve.app)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => missing.push(Missing::Worker),
        Ok(Err(_)) | Err(_) => missing.push(Missing::Database),
    }
    if !serve.publisher.is_connected() || !serve.asker.is_connected() {
        missing.push(Missing::Broker);
    }
    missing
}

/// Also the question whether the database answers.
async fn workers_alive(app: &App) -> Result<bool, DbError> {
    const ALIVE: &str = "/* health::workers_alive */ select exists (select from workers where lease_until > $1)";
    Ok(app.db.client().await?.query_one(ALIVE, &[&app.clock.now()]).await?.get(0))
}

/// The routes.
pub fn routes(serve: Serve) -> BoxedFilter<(Response,)> {
    let readyz = warp::path!("readyz").and(warp::method()).then(move |method: Method| {
        let serve = serve.clone();
        async move {
            match only_looking(&method) {
                Some(refused) => refused,
                None => ready(&readiness(&serve).await),
            }
        }
    });
    alive().or(readyz).unify().boxed()
}

/// `/healthz` alone.
pub(super) fn alive() -> BoxedFilter<(Response,)> {
    let healthz = warp::path!("healthz").and(warp::method()).then(|method: Method| async move {
        only_looking(&method).unwrap_or_else(|| answer(StatusCode::OK, &json!({"status": "ok"})))
    });
    healthz.boxed()
}

/// A 404 for the rest of a listener.
pub(super) fn nothing_else() -> BoxedFilter<(Response,)> {
    warp::path::full().map(|_: FullPath| Problem::not_found("path on this listener").into_response()).boxed()
}

pub(super) fn only_looking(method: &Method) -> Option<Response> {
    let looking = [Method::GET, Method::HEAD].contains(method);
    (!looking).then(|| Problem::method_not_allowed("GET, HEAD".into()).into_response())
}

fn ready(missing: &[Missing]) -> Response {
    if missing.is_empty() {
        return answer(StatusCode::OK, &json!({"status": "ok"}));
    }
    let names: Vec<&str> = missing.iter().map(|missing| missing.name()).collect();
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not ready", "missing": names}));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
