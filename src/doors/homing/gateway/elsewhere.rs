//! `GET /homing/status/{n}` and `POST /homing/match`: the two devices of a login that is approved on the second one.

use http::StatusCode;
use warp::reply::Response;

use super::endpoint::refused;
use super::{Turned, Visit, cookies, pages};
use crate::gateway::{self, Refusal, Standing};
use crate::homing::query::pairs;

/// What the device that began sees.
pub(super) async fn show(visit: &Visit, n: &str) -> Result<Response, Turned> {
    let door = &visit.door;
    let state = cookies::state(&door.site, &visit.headers);
    match gateway::stand(&door.app, &door.acceptor, n, state).await? {
        Standing::Waiting(digits) => Ok(pages::waiting(&door.site, &digits)),
        Standing::In(signed_in) => visit.begin_session(&signed_in).await,
        Standing::Not(Some(refusal)) => Ok(refused(visit, refusal)),
        Standing::Not(None) => {
            let words = "This login is over. Please begin again.";
            Ok(pages::words(&door.site, StatusCode::GONE, words))
        }
    }
}

/// What the other device has typed.
pub(super) async fn compare(visit: &Visit) -> Result<Response, Turned> {
    visit.refuse_other_sites()?;
    let body = visit.form().await?;
    let Some(fields) = std::str::from_utf8(&body).ok().and_then(|text| pairs(text).ok()) else {
        return Ok(refused(visit, Refusal::Form));
    };
    let text = |name: &str| fields.get(name).map_or("", |value| value.trim());
    match gateway::compare(&visit.door.app, text("token"), text("digits")).await? {
        Ok(()) => Ok(pages::go_on(visit.site())),
        Err(refusal) => Ok(refused(visit, refusal)),
    }
}
