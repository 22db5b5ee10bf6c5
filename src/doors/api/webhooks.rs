//! Webhooks: making, changing, rotating their secrets, trying them out.
//!
//! An HMAC secret is shown in the answer that made it, and never again; an Ed25519 key never leaves the node, its public half is
//! always shown. Header values and credentials can be set, not read.

pub(super) mod describe;

mod draft;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::destinations::{self, Setting};
use crate::webhooks::{self, Auth, Change, Definition, FINAL_STATUSES, SecretKind, Webhook, WebhookName};

use super::audited::made;
use super::call::{Answer, Call, json as answer, nothing, ok};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;
use draft::{Draft, Edit};

/// How long replaced secrets go on signing, unless said.
const OVERLAP: Duration = Duration::from_secs(86_400);
/// Longest overlap, in seconds.
const LONGEST_OVERLAP: u64 = 30 * 86_400;

fn view(webhook: &Webhook) -> Value {
    let Definition { target, signing, secrets, headers, auth, final_statuses, timeout, .. } = &webhook.definition;
    let secrets: Vec<Value> = secrets
        .iter()
        .map(|dated| {
            json!({"kind": dated.secret.kind().name(), "public_key": dated.secret.public_key(), "until": dated.until})
        })
        .collect();
    let auth = auth.as_ref().map(|auth| match auth {
        Auth::Basic { username, .. } => json!({"type": "basic", "username": username}),
        Auth::Bearer { .. } => json!({"type": "bearer"}),
    });
    json!({
        "name": webhook.name.as_str(),
        "url": target.reveal(),
        "sender": webhook.sender,
        "signing": signing.name(),
        "secrets": secrets,
        "headers": headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        "auth": auth,
        "final_statuses": final_statuses.as_deref().unwrap_or(&FINAL_STATUSES),
        "timeout_seconds": timeout.map(|timeout| timeout.as_secs()),
        "events": webhook.events,
        "disabled": webhook.disabled_at.is_some(),
        "gone_at": webhook.gone_at,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    })
}

/// With the HMAC secret that was just made or given.
fn view_with_secret(webhook: &Webhook) -> Value {
    let mut shown = view(webhook);
    if let Some(secret) = webhook.definition.current(SecretKind::Hmac) {
        shown["secret"] = secret.reveal().reveal().into();
    }
    shown
}

/// The webhook the path names, if there is one.
fn name(call: &Call) -> Result<WebhookName, Problem> {
    call.unbound()?;
    call.parameters.first().and_then(|text| text.parse().ok()).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("webhook")
}

/// `POST /webhooks`
pub(super) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let fields = call.fields().await?;
    let Draft { name, definition, events, pace } = Draft::read(fields, &call.app().config)?;
    let made = webhooks::begin(call.app(), &call.key.sender, &name, (&definition, &events), pace).await?;
    let webhook = made.ok_or_else(|| Problem::new(Kind::Conflict, format!("There is a webhook {name} already.")))?;
    answer(StatusCode::CREATED, &view_with_secret(&webhook))
}

/// `GET /webhooks`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    query.finish(Some(()))?;
    let found = webhooks::list(call.app(), wanted.after.as_deref(), wanted.rows()).await?;
    ok(&wanted.page(found, |webhook| webhook.name.to_string()).map(|webhook| view(&webhook)))
}

/// `GET /webhooks/{name}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    let found = webhooks::find(call.app(), &name(&call)?).await?;
    ok(&view(&found.ok_or_else(missing)?))
}

/// `PATCH /webhooks/{name}`
pub(super) async fn update(mut call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    let (edit, pace) = Edit::read(call.fields().await?, &call.app().config)?;
    let mut made = false;
    let changed = webhooks::change(call.app(), &name, |definition, events| {
        let had = definition.current(SecretKind::Hmac).is_some();
        edit.apply(definition, events)?;
        made = !had && definition.current(SecretKind::Hmac).is_some();
        Ok(())
    });
    let webhook = changed_one(changed.await?)?;
    if pace != Setting::default() {
        destinations::set(call.app(), name.as_str(), &pace).await?;
    }
    ok(&if made { view_with_secret(&webhook) } else { view(&webhook) })
}

/// `DELETE /webhooks/{name}`
pub(super) async fn delete(call: Call) -> Answer {
    call.no_query()?;
    if webhooks::delete(call.app(), &name(&call)?).await? { nothing() } else { Err(missing()) }
}

/// `POST /webhooks/{name}/rotate`
pub(super) async fn rotate(mut call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    let mut fields = call.fields().await?;
    let overlap = fields.optional("overlap_seconds", values::seconds(0..=LONGEST_OVERLAP)).unwrap_or(OVERLAP);
    let given = fields.optional("secret", draft::secret);
    fields.finish(Some(()))?;
    let now = call.app().clock.now();
    let changed = webhooks::change(call.app(), &name, |definition, _| {
        draft::fits(given.as_ref(), definition.signing).map_err(|why| Problem::field("secret", why))?;
        definition.rotate(given, overlap, now).map_err(|error| Problem::new(Kind::Conflict, error.to_string()))
    });
    let webhook = changed_one(changed.await?)?;
    ok(&view_with_secret(&webhook))
}

fn changed_one(change: Change<Problem>) -> Result<Box<Webhook>, Problem> {
    match change {
        Change::Made(webhook) => Ok(webhook),
        Change::Missing => Err(missing()),
        Change::Refused(problem) => Err(problem),
    }
}

/// `POST /webhooks/{name}/test`
pub(super) async fn test(call: Call) -> Answer {
    call.no_query()?;
    let name = name(&call)?;
    webhooks::find(call.app(), &name).await?.ok_or_else(missing)?;
    let id = webhooks::ping(call.app(), &call.shared.serve.acceptor, &call.key.sender, &name).await?;
    made(answer(StatusCode::ACCEPTED, &json!({"id": id, "state": "pending"})), id)
}

/// `POST /webhooks/{name}/disable`
pub(super) async fn disable(call: Call) -> Answer {
    set_disabled(call, true).await
}

/// `POST /webhooks/{name}/enable`
pub(super) async fn enable(call: Call) -> Answer {
    set_disabled(call, false).await
}

async fn set_disabled(call: Call, disabled: bool) -> Answer {
    call.no_query()?;
    let webhook = webhooks::switch(call.app(), &name(&call)?, !disabled).await?;
    ok(&view(&webhook.ok_or_else(missing)?))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(fields: super::fields::Fields, config: &crate::config::Config) -> Result<(), Problem> {
    draft::Draft::read(fields, config).map(drop)
}
