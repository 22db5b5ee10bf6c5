//! `POST /homing/endpoint`: the user's browser comes back from the hub.

use http::StatusCode;
use warp::reply::Response;

use super::{Turned, Visit, cookies, pages};
use crate::crypto::{encode_hex, random};
use crate::gateway::{self, Arrival, Came, Refusal};

pub(super) async fn arrive(visit: &Visit) -> Result<Response, Turned> {
    let body = visit.form().await?;
    let Ok(body) = std::str::from_utf8(&body) else { return Ok(refused(visit, Refusal::Form)) };
    let arrival = Arrival { query: &visit.query, body, state: cookies::state(visit.site(), &visit.headers) };
    let door = &visit.door;
    match gateway::arrive(&door.app, &door.acceptor, &door.site, arrival).await? {
        Ok(Came::In(signed_in)) => visit.begin_session(&signed_in).await,
        Ok(Came::Elsewhere(token)) => Ok(pages::digits(&door.site, &token)),
        Err(refusal) => Ok(refused(visit, refusal)),
    }
}

/// One page for all reasons but the merchant's own policy, which the user must hear to understand it.
pub(super) fn refused(visit: &Visit, refusal: Refusal) -> Response {
    let reference = encode_hex(&random::<6>());
    tracing::info!(reference, reason = refusal.word(), "somebody who came back from the hub was not signed in");
    match refusal {
        Refusal::Policy => pages::known_already(visit.site()),
        _ => pages::refused(visit.site(), StatusCode::BAD_REQUEST, &reference),
    }
}
