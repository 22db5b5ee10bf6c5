//! The sites of a space: for merchants who look after theirs.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Door;
use super::answer::{self, Answer};
use super::request::Request;
use crate::homing::Persona;
use crate::hub::sites::{self, FingerprintMode, OtpAlg, Site, Wanted};
use crate::hub::{Refusal, sauces, stats};

#[derive(Deserialize)]
struct NewSite {
    persona: String,
    name: String,
    endpoints: Vec<String>,
    #[serde(default)]
    fingerprint_mode: FingerprintMode,
    #[serde(default)]
    otp_alg: OtpAlg,
}

#[derive(Default, Deserialize)]
struct Rotation {
    /// The old sauces are good no longer: somebody else has one.
    #[serde(default)]
    at_once: bool,
}

/// `POST /sites`: the only time that its sauce is to be had.
pub(super) async fn create(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let NewSite { persona, name, endpoints, fingerprint_mode, otp_alg } = request.json(door).await?;
    let persona = Persona::parse(&persona).map_err(|_| Refusal::NotFound)?;
    let wanted = Wanted { persona, name, endpoints, fingerprint_mode, otp_alg };
    let (site, sauce) = sites::create(&door.app, space, &wanted).await?;
    let made = json!({
        "site": site.id,
        "scope_prefix": site.scope_prefix,
        "sauce": sauce.as_str(),
        "trial_ends_at": site.trial_ends_at,
    });
    answer::json(StatusCode::CREATED, &made)
}

/// `GET /sites`
pub(super) async fn list(door: &Door, request: Request) -> Answer {
    let found = sites::list(&door.app, request.space(door).await?).await?;
    let now = door.app.clock.now();
    let view = |site: &Site| {
        json!({
            "site": site.id,
            "name": site.name,
            "persona": site.persona,
            "endpoints": site.endpoints,
            "scope_prefix": site.scope_prefix,
            "fingerprint_mode": site.fingerprint_mode,
            "otp_alg": site.otp_alg,
            "state": site.state(now),
            "trial_ends_at": site.trial_ends_at,
            "created_at": site.created_at,
        })
    };
    let shown: Vec<Value> = found.iter().map(view).collect();
    answer::ok(&json!({ "sites": shown }))
}

/// `POST /sites/{id}/sauce`
pub(super) async fn new_sauce(door: &Door, request: Request) -> Answer {
    let site = sites::own(&door.app, request.space(door).await?, request.segment(1)).await?;
    let Rotation { at_once } = request.json_or_default(door).await?;
    let sauce = sauces::rotate(&door.app, &site.id, at_once).await?;
    answer::ok(&json!({ "sauce": sauce.as_str() }))
}

/// `DELETE /sites/{id}`
pub(super) async fn delete(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    if !sites::delete(&door.app, space, request.segment(1)).await? {
        return Err(Refusal::NotFound.into());
    }
    answer::nothing()
}

/// `GET /sites/{id}/stats`
pub(super) async fn stats(door: &Door, request: Request) -> Answer {
    let site = sites::own(&door.app, request.space(door).await?, request.segment(1)).await?;
    let days = stats::list(&door.app, &site.id).await?;
    let state = site.state(door.app.clock.now());
    answer::ok(&json!({ "days": days, "state": state, "trial_ends_at": site.trial_ends_at }))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    use super::request::read;
    let _ = read::<NewSite>(body).is_ok();
    let _ = read::<Rotation>(body).is_ok();
}
