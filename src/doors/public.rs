//! The public listener's routes in one list.

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::openmsg;
use crate::App;
use crate::queue::Asker;

/// `/openmsg/…` when the door is open; anything else is an empty 404.
///
/// # Errors
/// When the configured domain is none.
pub fn public_routes(app: &App, asker: &Asker) -> Result<BoxedFilter<(Response,)>, crate::openmsg::DomainError> {
    let nothing = warp::path::full().map(|_| http::StatusCode::NOT_FOUND.into_response());
    if !app.config.openmsg.enabled {
        return Ok(nothing.boxed());
    }
    let openmsg = openmsg::routes(app, asker)?;
    Ok(openmsg.or(nothing).unify().boxed())
}
