//! The private listener's routes in one list.

use http::HeaderMap;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::api::problem::Problem;
use super::hosts::on_hosts;
use super::{Serve, api, console, form, health, me, metrics};
use crate::config::mailbox::Listener;

/// `/api/v1`, `/handshake`, `/console`, `/healthz`, `/readyz`, `/metrics`, and `/me` where it is so set; anything else is a 404
/// problem. Call it inside the runtime: it starts the tasks that gather look-ups of concurrent requests.
pub fn private_routes(serve: Serve) -> BoxedFilter<(impl Reply,)> {
    let api = api::routes(serve.clone());
    let form = form::routes(serve.clone());
    let metrics = metrics::routes(&serve.app, &serve.overview);
    let mailbox = &serve.app.config.mailbox;
    let people = (mailbox.enabled && mailbox.listener == Listener::Private)
        .then(|| on_hosts(me::routes(&serve), &mailbox.hosts, &[]));
    let other = warp::path::full().map(|_: FullPath| Problem::not_found("path on this listener").into_response());
    let other = match people {
        Some(people) => people.or(other).unify().boxed(),
        None => other.boxed(),
    };
    let other = match serve.app.config.console.enabled {
        true => console::routes(serve.clone()).or(other).unify().boxed(),
        false => other,
    };
    let health = health::routes(serve);
    api.or(form).unify().or(health).unify().or(metrics).unify().or(other).unify().map(harden).boxed()
}

/// Browsers must not guess types, whatever is answered.
fn harden(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    response
}
