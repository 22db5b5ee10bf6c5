//! Applications that people sign in to, and who is signed in, as operators see them.
//!
//! A back end's token and a verifier's secret can be set, not read; a secret that the node makes is shown in the answer that made it.

pub(super) mod describe;

mod draft;

use http::StatusCode;
use serde_json::{Value, json};

use crate::logins::apps::{self, Change, Listed};
use crate::logins::sessions::{self, Session};

use super::call::{Answer, Call, json as answer, nothing, ok};
use super::page::Wanted;
use super::problem::{Kind, Problem};
use super::values;
use draft::Edit;

fn view(listed: &Listed) -> Value {
    let app = &listed.application;
    json!({
        "appid": app.appid,
        "name": app.name,
        "enabled": app.enabled,
        "result_style": app.result_style.name(),
        "legacy_errors": app.legacy_errors,
        "ways": app.ways.iter().map(|way| way.name()).collect::<Vec<_>>(),
        "countries": app.countries,
        "countries_refused": app.countries_refused,
        "text": app.text,
        "backend": app.backend.mode.name(),
        "backend_url": app.backend.url,
        "has_backend_token": !app.backend.token.is_empty(),
        "token_minutes": app.backend.token_minutes,
        "makes_codes": app.backend.makes_codes,
        "revoke_op": app.backend.revoke_op,
        "verifier_url": app.verifier.as_ref().map(|verifier| &verifier.url),
        "created_at": listed.created_at,
        "updated_at": listed.updated_at,
    })
}

/// With the verifier's secret, where this very request made it.
fn view_with_secret(listed: &Listed, made: bool) -> Value {
    let mut shown = view(listed);
    if let Some(verifier) = listed.application.verifier.as_ref().filter(|_| made) {
        shown["verifier_secret"] = verifier.secret.reveal().into();
    }
    shown
}

/// The id the path names.
fn appid(call: &Call) -> Result<String, Problem> {
    call.unbound()?;
    let appid = call.parameters.first().cloned();
    // No application has such an id, and the database would not take it.
    appid.filter(|appid| !appid.chars().any(char::is_control)).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("application")
}

/// `POST /apps`
pub(super) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let (application, made) = Edit::draft(call.fields().await?, call.app().config.mode)?;
    let Some(listed) = apps::create(call.app(), &application).await? else {
        let detail = format!("There is an application {} already.", application.appid);
        return Err(Problem::new(Kind::Conflict, detail));
    };
    answer(StatusCode::CREATED, &view_with_secret(&listed, made))
}

/// `GET /apps`
pub(super) async fn list(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read_names(&mut query);
    query.finish(Some(()))?;
    let found = apps::list(call.app(), wanted.after.as_deref(), wanted.rows()).await?;
    ok(&wanted.page(found, |listed| listed.application.appid.clone()).map(|listed| view(&listed)))
}

/// `GET /apps/{appid}`
pub(super) async fn show(call: Call) -> Answer {
    call.no_query()?;
    let found = apps::show(call.app(), &appid(&call)?).await?;
    ok(&view(&found.ok_or_else(missing)?))
}

/// `PATCH /apps/{appid}`
pub(super) async fn update(mut call: Call) -> Answer {
    call.no_query()?;
    let appid = appid(&call)?;
    let edit = Edit::read(call.fields().await?)?;
    let mode = call.app().config.mode;
    let mut made = false;
    let changed = apps::change(call.app(), &appid, |application| {
        made = edit.apply(application, mode)?;
        Ok(())
    });
    match changed.await? {
        Change::Made(listed) => ok(&view_with_secret(&listed, made)),
        Change::Missing => Err(missing()),
        Change::Refused(problem) => Err(problem),
    }
}

/// `DELETE /apps/{appid}`
pub(super) async fn delete(call: Call) -> Answer {
    call.no_query()?;
    if apps::delete(call.app(), &appid(&call)?).await? { nothing() } else { Err(missing()) }
}

/// `POST /apps/{appid}/unlock`
pub(super) async fn unlock(mut call: Call) -> Answer {
    call.no_query()?;
    let appid = appid(&call)?;
    let mut fields = call.fields().await?;
    let address = fields.required("address", values::text);
    let address = fields.finish(address)?;
    if apps::show(call.app(), &appid).await?.is_none() {
        return Err(missing());
    }
    ok(&json!({"unlocked": call.logins().unlock(&appid, &address).await?}))
}

fn session(session: &Session) -> Value {
    json!({
        "id": session.id,
        "app": session.appid,
        "address": session.who.address,
        "kind": session.who.kind,
        "name": session.who.name,
        "device": session.who.device,
        "device_type": session.who.device_type,
        "ip": session.who.ip,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
        "revoked_at": session.revoked_at,
    })
}

/// `GET /sessions`
pub(super) async fn sessions(call: Call) -> Answer {
    call.unbound()?;
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let app = query.optional("app", values::plain);
    let address = query.optional("address", values::plain);
    if address.is_some() && app.is_none() {
        query.mistake("address", "needs `app` beside it");
    }
    query.finish(Some(()))?;
    // A `+` in a query is a blank to who reads forms; around an address neither says anything.
    let found = sessions::list(call.app(), app.as_deref(), address.as_deref(), wanted.after, wanted.rows()).await?;
    ok(&wanted.page(found, |session| session.id).map(|one| session(&one)))
}

/// `DELETE /sessions/{id}`
pub(super) async fn revoke(call: Call) -> Answer {
    call.no_query()?;
    call.unbound()?;
    let id = call.id(0, "session")?;
    if call.logins().revoke(id).await? { nothing() } else { Err(Problem::not_found("session")) }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(fields: super::fields::Fields) -> Result<(), Problem> {
    draft::Edit::draft(fields, crate::config::Mode::Production).map(drop)
}
