//! The private listener's routes in one list.

use http::HeaderMap;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::api::problem::Problem;
use super::{Serve, api, form, health, metrics};

/// `/api/v1`, `/handshake`, `/healthz`, `/readyz`, `/metrics`; anything else is a 404 problem. Call it inside the runtime: it starts the
/// tasks that gather look-ups of concurrent requests.
pub fn private_routes(serve: Serve) -> BoxedFilter<(impl Reply,)> {
    let api = api::routes(serve.clone());
    let form = form::routes(serve.clone());
    let metrics = metrics::routes(&serve.app, &serve.overview);
    let health = health::routes(serve);
    let other = warp::path::full().map(|_: FullPath| Problem::not_found("path on this listener").into_response());
    api.or(form).unify().or(health).unify().or(metrics).unify().or(other).unify().map(harden).boxed()
}

/// Browsers must not guess types, whatever is answered.
fn harden(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    response
}
