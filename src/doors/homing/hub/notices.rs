//! Where a space wants to hear of welcomes.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Door;
use super::answer::{self, Answer};
use super::request::Request;
use crate::hub::Refusal;
use crate::hub::notices::{self, Kind, Notice};

#[derive(Deserialize)]
struct NewNotice {
    kind: Kind,
    address: String,
}

#[derive(Deserialize)]
struct Confirmation {
    code: String,
}

/// `GET /notices`
pub(super) async fn list(door: &Door, request: Request) -> Answer {
    let found = notices::list(&door.app, request.space(door).await?).await?;
    let view = |notice: &Notice| {
        json!({
            "id": notice.id,
            "kind": notice.kind,
            "address": notice.to,
            "confirmed": notice.confirmed,
            "failed_at": notice.failed_at,
            "created_at": notice.created_at,
        })
    };
    let shown: Vec<Value> = found.iter().map(view).collect();
    answer::ok(&json!({ "notices": shown }))
}

/// `POST /notices`: the only time that a webhook's secret is to be had.
pub(super) async fn add(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let NewNotice { kind, address } = request.json(door).await?;
    let added = notices::add(&door.hub, space, kind, &address).await?;
    let mut made = json!({ "id": added.id, "kind": kind, "confirmed": kind != Kind::Email });
    if let Some(secret) = &added.secret {
        made["secret"] = secret.as_str().into();
    }
    answer::json(StatusCode::CREATED, &made)
}

/// `POST /notices/{id}/confirm`
pub(super) async fn confirm(door: &Door, request: Request) -> Answer {
    let (space, id) = (request.space(door).await?, id(&request)?);
    let Confirmation { code } = request.json(door).await?;
    notices::confirm(&door.app, space, id, &code).await?;
    answer::nothing()
}

/// `DELETE /notices/{id}`
pub(super) async fn remove(door: &Door, request: Request) -> Answer {
    let (space, id) = (request.space(door).await?, id(&request)?);
    notices::remove(&door.app, space, id).await?;
    answer::nothing()
}

fn id(request: &Request) -> Result<Uuid, Refusal> {
    request.segment(1).parse().map_err(|_| Refusal::NotFound)
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    use super::request::read;
    let _ = read::<NewNotice>(body).is_ok();
    let _ = read::<Confirmation>(body).is_ok();
}
