//! The Homing Space hub as its operators see it: sites with their trials, and the hub's own keys.
//!
//! Whose a site is beyond its persona, nobody is told: a space is known to its owner only.

pub(super) mod describe;

use std::time::Duration;

use serde_json::{Value, json};

use crate::homing::encode;
use crate::hub::keys::{self, Key, Ring};
use crate::hub::sites::{self, Site};
use crate::hub::stats;
use crate::hub::trial::{self, Change};

use super::call::{Answer, Call, ok};
use super::page::{Page, Wanted};
use super::problem::{Kind, Problem};
use super::values;

/// How long a new signing key is only shown.
const AFTER: Duration = Duration::from_secs(24 * 3600);
/// The longest, in seconds.
const LONGEST: u64 = 90 * 86_400;

fn view(call: &Call, site: &Site) -> Value {
    json!({
        "id": site.id,
        "name": site.name,
        "persona": site.persona,
        "state": if site.deleted { "deleted" } else { site.state(call.app().clock.now()) },
        "trial_ends_at": site.trial_ends_at,
        "created_at": site.created_at,
        "revoked_at": site.revoked_at,
        "endpoints": site.endpoints,
        "fingerprint_mode": site.fingerprint_mode,
        "otp_alg": site.otp_alg,
    })
}

fn missing() -> Problem {
    Problem::not_found("site")
}

async fn shown(call: &Call, id: &str) -> Answer {
    let site = sites::find(call.app(), id).await?.ok_or_else(missing)?;
    let mut shown = view(call, &site);
    shown["days"] = stats::list(call.app(), &site.id).await?.iter().map(|day| json!(day)).collect();
    ok(&shown)
}

fn id(call: &Call) -> Result<String, Problem> {
    call.unbound()?;
    call.parameters.first().cloned().ok_or_else(missing)
}

/// `GET /homing/sites`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    query.finish(Some(()))?;
    let found = sites::page(call.app(), wanted.after.as_deref(), wanted.rows()).await?;
    ok(&wanted.page(found, |site| site.id.clone()).map(|site| view(&call, &site)))
}

/// `GET /homing/sites/{id}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    shown(&call, &id(&call)?).await
}

/// `PATCH /homing/sites/{id}`
pub(super) async fn change(mut call: Call) -> Answer {
    let id = id(&call)?;
    let mut fields = call.fields().await?;
    let trial_ends_at = fields.nullable("trial_ends_at", values::moment);
    let revoked = fields.optional("state", |value| match values::text(value)?.as_str() {
        "active" => Ok(false),
        "revoked" => Ok(true),
        _ => Err("is neither active nor revoked".into()),
    });
    fields.finish(Some(()))?;
    sites::find(call.app(), &id).await?.ok_or_else(missing)?;
    if !trial::change(call.app(), &id, Change { trial_ends_at, revoked }).await? {
        return Err(Problem::new(Kind::Conflict, "Its owner has given the site up: it does not come back."));
    }
    tracing::info!(site = %id, "an operator has changed a site of the hub");
    shown(&call, &id).await
}

/// `GET /homing/keys`
pub(super) async fn keys(call: Call) -> Answer {
    call.unbound()?;
    call.no_query()?;
    answer(&keys::ring(call.app()).await.map_err(failed)?)
}

/// `POST /homing/keys/rotate`
pub(super) async fn rotate(mut call: Call) -> Answer {
    call.unbound()?;
    let mut fields = call.fields().await?;
    let after = fields.optional("after", values::seconds(0..=LONGEST));
    fields.finish(Some(()))?;
    answer(&keys::rotate(call.app(), after.unwrap_or(AFTER)).await.map_err(failed)?)
}

fn answer(ring: &Ring) -> Answer {
    let view = |key: &Key| {
        json!({
            "id": key.kid,
            "use": key.usage.name(),
            "public": encode(&key.public),
            "not_before": key.not_before,
            "not_after": key.not_after,
        })
    };
    ok(&Page::whole(ring.shown().iter().map(view).collect::<Vec<_>>()))
}

fn failed(error: crate::hub::Error) -> Problem {
    Problem::failure(&error)
}
