//! `POST /homing/endpoint`: the user's browser comes back from the hub.

use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::{Turned, Visit, cookies, pages, redirect};
use crate::crypto::{encode_hex, random};
use crate::gateway::{self, Arrival, Refusal, SignedIn};

pub(super) async fn arrive(visit: &Visit) -> Result<Response, Turned> {
    let site = visit.site();
    let body = visit.form().await?;
    let Ok(body) = std::str::from_utf8(&body) else { return Ok(refused(visit, Refusal::Form)) };
    let arrival = Arrival { query: &visit.query, body, state: cookies::get(&visit.headers, cookies::STATE) };
    let door = &visit.door;
    let SignedIn { session, .. } = match gateway::arrive(&door.app, &door.acceptor, site, arrival).await? {
        Ok(signed_in) => signed_in,
        Err(refusal) => return Ok(refused(visit, refusal)),
    };
    // Whoever was signed in before in this browser is not any more.
    if let Some(old) = cookies::get(&visit.headers, cookies::SESSION) {
        gateway::end(&door.app, old).await?;
    }
    let mut response = redirect(site.landing());
    let life = i64::try_from(site.settings.session_life.duration().as_secs()).unwrap_or(i64::MAX);
    set(&mut response, cookies::session(site, &session, life));
    set(&mut response, cookies::state("", 0));
    Ok(response)
}

fn set(response: &mut Response, cookie: HeaderValue) {
    response.headers_mut().append(SET_COOKIE, cookie);
}

/// One page for all reasons but the merchant's own policy, which the user must hear to understand it.
fn refused(visit: &Visit, refusal: Refusal) -> Response {
    let reference = encode_hex(&random::<6>());
    tracing::info!(reference, reason = refusal.word(), "somebody who came back from the hub was not signed in");
    match refusal {
        Refusal::Policy => pages::known_already(visit.site()),
        _ => pages::refused(visit.site(), StatusCode::BAD_REQUEST, &reference),
    }
}
