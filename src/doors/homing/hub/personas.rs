//! The personas of a space.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Door;
use super::answer::{self, Answer, Refused};
use super::request::Request;
use crate::homing::{Persona as Name, decode_exact};
use crate::hub::Refusal;
use crate::hub::personas::{self, Persona, Wanted};

#[derive(Deserialize)]
struct NewPersona {
    name: String,
    index: i64,
    box_pk: String,
    sign_pk: String,
}

fn view(persona: &Persona) -> Value {
    json!({
        "name": persona.name,
        "slot": persona.slot,
        "index": persona.index,
        "created_at": persona.created_at,
    })
}

/// `GET /personas`
pub(super) async fn list(door: &Door, request: Request) -> Answer {
    let (found, next_index) = personas::list(&door.app, request.space(door).await?).await?;
    let shown: Vec<Value> = found.iter().map(view).collect();
    answer::ok(&json!({ "personas": shown, "next_index": next_index }))
}

/// `POST /personas`
pub(super) async fn create(door: &Door, request: Request) -> Answer {
    let (space, ip) = (request.space(door).await?, request.ip);
    let NewPersona { name, index, box_pk, sign_pk } = request.json(door).await?;
    let name = Name::parse(&name).map_err(|_| Refusal::BadUsername)?;
    let key = |text: &str| decode_exact(text).ok_or_else(|| Refused::bad("A key must be 32 bytes in base64url."));
    let wanted = Wanted { name: &name, index, box_pk: key(&box_pk)?, sign_pk: key(&sign_pk)? };
    answer::json(StatusCode::CREATED, &view(&personas::create(&door.app, space, ip, &wanted).await?))
}

/// `DELETE /personas/{name}`
pub(super) async fn delete(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let name = Name::parse(request.segment(1)).map_err(|_| Refusal::NotFound)?;
    personas::delete(&door.app, space, &name).await?;
    answer::nothing()
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    use super::request::read;
    let _ = read::<NewPersona>(body).is_ok();
}
