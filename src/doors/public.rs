//! The public listener's routes in one list.

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::hosts::on_hosts;
use super::{Serve, attachments, homing, me, mesibo, openmsg, textsecure};
use crate::attachments::Attachments;
use crate::config::mailbox::Listener;

/// Why a door of the public listener cannot open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The configured domain is none.
    #[error(transparent)]
    Domain(#[from] crate::openmsg::DomainError),
    /// A Homing Space site.
    #[error(transparent)]
    Site(#[from] crate::gateway::SiteError),
}

/// `/openmsg/…`, `/v1/…` and `/v2/…`, `/homing/…`, `/me…`, and `/` with `/index.php` and `/api.php` where these doors are open,
/// `/attachments/…` where files are kept in a directory of this node; anything else is an empty 404. `files` is there where the
/// TextSecure door is open. Call it inside the runtime.
///
/// # Errors
/// When a door cannot open with these settings.
pub fn public_routes(serve: &Serve, files: Option<&Attachments>) -> Result<BoxedFilter<(Response,)>, DoorError> {
    let Serve { app, acceptor, asker, .. } = serve;
    let (gateway, hub) = (&app.config.homing.gateway, &app.config.homing.hub);
    // Pages with keys in them share their origin with nothing else: under the hub's own names there is the hub only.
    let elsewhere = |door: BoxedFilter<(Response,)>, hosts: &[String]| on_hosts(door, hosts, &hub.hosts);
    let mut routes = warp::path::full().map(|_| http::StatusCode::NOT_FOUND.into_response()).boxed();
    if let Some(files) = files {
        routes = elsewhere(textsecure::routes(app, acceptor, asker, files), &[]).or(routes).unify().boxed();
    }
    if let Some(files) = files.filter(|files| files.are_served_here()) {
        routes = elsewhere(attachments::routes(app, files), &[]).or(routes).unify().boxed();
    }
    if app.config.mesibo.enabled {
        routes = elsewhere(mesibo::routes(app, acceptor, asker), &app.config.mesibo.hosts).or(routes).unify().boxed();
    }
    if app.config.openmsg.enabled {
        routes = elsewhere(openmsg::routes(app, asker)?, &[]).or(routes).unify().boxed();
    }
    let mailbox = &app.config.mailbox;
    if mailbox.enabled && mailbox.listener == Listener::Public {
        let door = on_hosts(me::routes(serve), &mailbox.hosts, &app.config.not_the_mailboxes_hosts());
        routes = door.or(routes).unify().boxed();
    }
    if gateway.enabled {
        routes = elsewhere(homing::gateway::routes(serve)?, &gateway.hosts).or(routes).unify().boxed();
    }
    if hub.enabled {
        let door = on_hosts(homing::hub::routes(serve), &hub.hosts, &gateway.hosts);
        routes = door.or(routes).unify().boxed();
    }
    Ok(routes)
}
