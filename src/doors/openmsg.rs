//! The Openmsg door: four endpoints that strangers' nodes call.
//!
//! `/openmsg/{auth,auth-confirm,message-receive,message-confirm}`, with and without trailing slash, and the same under
//! `/openmsg/sandbox/`. Always HTTP 200 with JSON: peers ignore the JSON of any other status (specification §0, fact 3). Nothing here
//! opens a connection to anybody: what needs a callback is an ask for a worker. The checks stand in the order of the specification
//! (§2.2, §2.4, §3.4, and the end of §6), each in its endpoint's file.

mod auth;
mod auth_confirm;
mod floods;
mod lookups;
mod message_confirm;
mod message_receive;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::floods::Floods;
use self::lookups::Lookups;
use super::places::Places;
use crate::App;
use crate::listen::{self, Body};
use crate::openmsg::answer;
use crate::openmsg::answer::HandshakeRefusal;
use crate::openmsg::{Address, AddressId, Code, Domain, WireError};
use crate::queue::Asker;

/// What the endpoints share.
struct Door {
    app: App,
    domain: Domain,
    asker: Asker,
    lookups: Lookups,
    floods: Floods,
    places: Places,
}

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Auth,
    AuthConfirm,
    MessageReceive,
    MessageConfirm,
}

/// The door's routes: everything below `/openmsg`.
///
/// # Errors
/// When the configured domain is none, which loading the settings excludes.
pub fn routes(app: &App, asker: &Asker) -> Result<BoxedFilter<(Response,)>, crate::openmsg::DomainError> {
    let door = Arc::new(Door {
        app: app.clone(),
        domain: app.config.domain.parse()?,
        asker: asker.clone(),
        lookups: Lookups::start(app),
        floods: Floods::new(app),
        places: Places::new(app.config.public.connections_per_ip),
    });
    let routes = warp::path("openmsg").and(warp::path::tail()).and(listen::client_ip()).and(listen::body()).then(
        move |tail: warp::path::Tail, ip, body| answer_path(Arc::clone(&door), endpoint(tail.as_str()), ip, body),
    );
    Ok(routes.boxed())
}

fn endpoint(path: &str) -> Option<Endpoint> {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.strip_prefix("sandbox/").unwrap_or(path) {
        "auth" => Some(Endpoint::Auth),
        "auth-confirm" => Some(Endpoint::AuthConfirm),
        "message-receive" => Some(Endpoint::MessageReceive),
        "message-confirm" => Some(Endpoint::MessageConfirm),
        _ => None,
    }
}

async fn answer_path(door: Arc<Door>, endpoint: Option<Endpoint>, ip: IpAddr, body: Body) -> Response {
    let Some(endpoint) = endpoint else {
        let mut response = json(b"{\"error\":true,\"error_message\":\"no such endpoint\"}".to_vec());
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return response;
    };
    let settings = &door.app.config.public;
    let Ok(body) = body.read(settings.body_limit, settings.read_timeout).await else {
        // Too large, too slow or broken off: as good as nothing, in this protocol's words.
        return json(unreadable(endpoint));
    };
    // Work outlives a client that leaves, so connections do not bound it: places do, as many as a source may have connections.
    let Some(place) = door.places.take(ip) else { return json(temporarily(endpoint)) };
    // A client that leaves drops its request; what is burnt and asked by then must still be brought to its end.
    let work = tokio::spawn(async move {
        let _place = place;
        door.answer(endpoint, ip, body).await
    });
    json(work.await.unwrap_or_else(|_| temporarily(endpoint)))
}

impl Door {
    async fn answer(&self, endpoint: Endpoint, ip: IpAddr, body: Bytes) -> Vec<u8> {
        match endpoint {
            Endpoint::Auth => auth::answer(self, ip, &body).await,
            Endpoint::AuthConfirm => auth_confirm::answer(self, ip, &body).await,
            Endpoint::MessageReceive => message_receive::answer(self, &body).await,
            Endpoint::MessageConfirm => message_confirm::answer(self, ip, &body).await,
        }
    }

    fn own_address(&self, id: &AddressId) -> Option<Address> {
        Address::new(id, &self.domain).ok()
    }

    fn deadline(&self) -> jiff::Timestamp {
        self.app.clock.now() + self.app.config.openmsg.ask_deadline.duration()
    }
}

fn unreadable(endpoint: Endpoint) -> Vec<u8> {
    match endpoint {
        Endpoint::Auth => HandshakeRefusal::of_auth(&WireError::NotJson).body(),
        Endpoint::AuthConfirm => HandshakeRefusal::of_confirm(&WireError::NotJson).body(),
        Endpoint::MessageReceive => answer::message_malformed(&WireError::NotJson),
        Endpoint::MessageConfirm => answer::message_confirm_malformed(&WireError::NotJson),
    }
}

fn temporarily(endpoint: Endpoint) -> Vec<u8> {
    match endpoint {
        Endpoint::Auth | Endpoint::AuthConfirm => HandshakeRefusal::Temporarily.body(),
        Endpoint::MessageReceive | Endpoint::MessageConfirm => answer::message_refused(Code::RejectedForNow),
    }
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_slash_forms_and_the_sandbox_lead_to_the_same_endpoints() {
        for path in ["auth", "auth/", "sandbox/auth", "sandbox/auth/"] {
            assert_eq!(endpoint(path), Some(Endpoint::Auth), "{path}");
        }
        for path in
            ["", "/", "auth//", "Auth", "auth/confirm", "sandbox", "sandbox/sandbox/auth", "message/receive/", "auth/x"]
        {
            assert_eq!(endpoint(path), None, "{path}");
        }
    }
}
