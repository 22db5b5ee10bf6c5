//! The public listener's routes in one list.

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::{openmsg, textsecure};
use crate::App;
use crate::books::Acceptor;
use crate::queue::Asker;

/// `/openmsg/…`, `/v1/…` and `/v2/…` where these doors are open; anything else is an empty 404. Call it inside the runtime.
///
/// # Errors
/// When the configured domain is none.
pub fn public_routes(
    app: &App,
    acceptor: &Acceptor,
    asker: &Asker,
) -> Result<BoxedFilter<(Response,)>, crate::openmsg::DomainError> {
    let mut routes = warp::path::full().map(|_| http::StatusCode::NOT_FOUND.into_response()).boxed();
    if app.config.textsecure.enabled {
        routes = textsecure::routes(app, acceptor, asker).or(routes).unify().boxed();
    }
    if app.config.openmsg.enabled {
        routes = openmsg::routes(app, asker)?.or(routes).unify().boxed();
    }
    Ok(routes)
}
