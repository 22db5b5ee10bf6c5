//! What merchants' servers ask: welcomes, how they stand, the hub's keys.

use http::StatusCode;
use serde_json::{Value, json};

use super::Door;
use super::answer::{self, Answer, Refused};
use super::request::Request;
use crate::homing::encode;
use crate::homing::query::{self, Pairs};
use crate::homing::welcome::Request as Welcome;
use crate::hub::keys::Key;
use crate::hub::{challenges, welcomes};

/// `POST /welcome`, as JSON or as a form.
pub(super) async fn ask(door: &Door, request: Request) -> Answer {
    let wanted = if request.is_of_type("application/x-www-form-urlencoded") {
        let bytes = request.bytes(door).await?;
        let pairs = std::str::from_utf8(&bytes).ok().and_then(|text| query::pairs(text).ok());
        pairs.and_then(of_form).ok_or_else(|| Refused::bad("The form needs v, site, payload and sig, each once."))?
    } else {
        request.json::<Welcome>(door).await?
    };
    answer::json(StatusCode::ACCEPTED, &welcomes::ask(&door.hub, &wanted).await?)
}

fn of_form(mut pairs: Pairs) -> Option<Welcome> {
    Some(Welcome {
        v: pairs.get("v")?.parse().ok()?,
        site: pairs.remove("site")?,
        payload: pairs.remove("payload")?,
        sig: pairs.remove("sig")?,
        enc: pairs.remove("enc"),
    })
}

/// `GET /welcome/{id}?site=…&ts=…&sig=…`
pub(super) async fn status(door: &Door, request: Request) -> Answer {
    let query = request.query()?;
    let wanted = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let ts = wanted("ts").parse().map_err(|_| Refused::bad("ts must be Unix seconds."))?;
    let (state, expires_at) =
        challenges::status(&door.app, wanted("site"), request.segment(1), ts, wanted("sig")).await?;
    answer::ok(&json!({ "state": state.name(), "expires_at": expires_at.as_second() }))
}

/// `GET /keys`
pub(super) async fn keys(door: &Door) -> Answer {
    let ring = door.hub.ring().await?;
    let view = |key: &Key| {
        json!({
            "kid": key.kid,
            "use": key.usage.name(),
            "public": encode(&key.public),
            "not_before": key.not_before,
            "not_after": key.not_after,
        })
    };
    let keys: Vec<Value> = ring.shown().iter().map(view).collect();
    answer::ok(&json!({ "keys": keys }))
}
