//! The public listener's routes in one list.

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::hosts::on_hosts;
use super::{Serve, attachments, mesibo, openmsg, textsecure};
use crate::attachments::Attachments;

/// `/openmsg/…`, `/v1/…` and `/v2/…`, and `/` with `/index.php` and `/api.php` where these doors are open, `/attachments/…` where
/// files are kept in a directory of this node; anything else is an empty 404. `files` is there where the TextSecure door is open. Call it inside the runtime.
///
/// # Errors
/// When the configured domain is none.
pub fn public_routes(
    serve: &Serve,
    files: Option<&Attachments>,
) -> Result<BoxedFilter<(Response,)>, crate::openmsg::DomainError> {
    let Serve { app, acceptor, asker, .. } = serve;
    let mut routes = warp::path::full().map(|_| http::StatusCode::NOT_FOUND.into_response()).boxed();
    if let Some(files) = files {
        routes = textsecure::routes(app, acceptor, asker, files).or(routes).unify().boxed();
    }
    if let Some(files) = files.filter(|files| files.are_served_here()) {
        routes = attachments::routes(app, files).or(routes).unify().boxed();
    }
    if app.config.mesibo.enabled {
        let door = mesibo::routes(app, acceptor, asker);
        routes = on_hosts(door, &app.config.mesibo.hosts, &[]).or(routes).unify().boxed();
    }
    if app.config.openmsg.enabled {
        routes = openmsg::routes(app, asker)?.or(routes).unify().boxed();
    }
    Ok(routes)
}
