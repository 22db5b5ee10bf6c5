//! The welcomes of a space: what waits, one of them, and what is said to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Door;
use super::answer::{self, Answer, Refused};
use super::request::Request;
use crate::homing::{Persona, encode};
use crate::hub::challenges::{self, Waiting};
use crate::hub::{Refusal, decisions};

/// Longest wait for a welcome, in seconds.
const LONGEST_WAIT: u64 = 60;
/// Welcomes that a client says it knows, at the most.
const MOST_KNOWN: usize = 100;

#[derive(Deserialize)]
struct Approval {
    persona: String,
    granted: String,
    sig: String,
}

#[derive(Deserialize)]
struct Denial {
    persona: String,
    sig: String,
}

/// `GET /inbox?wait=25&known=id,id`
pub(super) async fn inbox(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let query = request.query()?;
    let wait = match query.get("wait") {
        Some(text) => text.parse().map_err(|_| Refused::bad("wait must be whole seconds."))?,
        None => 0,
    };
    let known = query.get("known").map(String::as_str).unwrap_or_default();
    let known: HashSet<String> = known.split(',').take(MOST_KNOWN).map(str::to_owned).collect();
    // Where too many wait already, nobody more does.
    let place = Arc::clone(&door.waiting).try_acquire_owned().ok();
    let own = door.waiting_of_space.take_of(space.to_string());
    let wait = Duration::from_secs(if place.is_some() && own.is_some() { LONGEST_WAIT.min(wait) } else { 0 });
    let found = tokio::select! {
        found = challenges::wait(&door.hub, space, &known, wait) => found?,
        () = door.stopping.cancelled() => challenges::inbox(&door.app, space).await?,
    };
    let welcomes: Vec<Value> = found.iter().map(view).collect();
    answer::ok(&json!({ "welcomes": welcomes }))
}

fn view(waiting: &Waiting) -> Value {
    json!({
        "challenge": waiting.challenge,
        "persona": waiting.persona,
        "created_at": waiting.created_at,
        "expires_at": waiting.expires_at,
    })
}

/// `GET /welcomes/{id}`
pub(super) async fn show(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let found = challenges::find(&door.app, space, request.segment(1)).await?;
    answer::ok(&json!({
        "challenge": found.challenge,
        "persona": found.persona,
        "sealed": encode(&found.sealed),
        "state": found.state.name(),
        "expires_at": found.expires_at,
    }))
}

/// `POST /welcomes/{id}/approve`
pub(super) async fn approve(door: &Door, request: Request) -> Answer {
    let (space, id) = (request.space(door).await?, request.segment(1).to_owned());
    let Approval { persona, granted, sig } = request.json(door).await?;
    let persona = Persona::parse(&persona).map_err(|_| Refusal::NotFound)?;
    let released = decisions::approve(&door.hub, space, &id, persona.as_str(), &granted, &sig).await?;
    answer::ok(&json!({ "action": released.action, "method": "POST", "fields": released.fields }))
}

/// `POST /welcomes/{id}/deny`
pub(super) async fn deny(door: &Door, request: Request) -> Answer {
    let (space, id) = (request.space(door).await?, request.segment(1).to_owned());
    let Denial { persona, sig } = request.json(door).await?;
    let persona = Persona::parse(&persona).map_err(|_| Refusal::NotFound)?;
    decisions::deny(&door.hub, space, &id, persona.as_str(), &sig).await?;
    answer::nothing()
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    use super::request::read;
    let _ = read::<Approval>(body).is_ok();
    let _ = read::<Denial>(body).is_ok();
}
