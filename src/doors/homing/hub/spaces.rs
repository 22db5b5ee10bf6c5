//! Spaces, signing in to them, and their vaults.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::Door;
use super::answer::{self, Answer};
use super::request::Request;
use crate::hub::{Refusal, spaces, vaults};

#[derive(Deserialize)]
struct NewSpace {
    sign_pk: String,
    vault: String,
    sig: String,
}

#[derive(Deserialize)]
struct OfSpace {
    space: String,
}

#[derive(Deserialize)]
struct SignIn {
    space: String,
    nonce: String,
    sig: String,
}

#[derive(Deserialize)]
struct NewVault {
    vault: String,
    version: i64,
}

/// `POST /spaces`
pub(super) async fn create(door: &Door, request: Request) -> Answer {
    let ip = request.ip;
    let NewSpace { sign_pk, vault, sig } = request.json(door).await?;
    let space = spaces::create(&door.app, ip, &sign_pk, &vault, &sig).await?;
    answer::json(StatusCode::CREATED, &json!({ "space": space.as_str() }))
}

/// `POST /spaces/challenge`
pub(super) async fn challenge(door: &Door, request: Request) -> Answer {
    let ip = request.ip;
    let OfSpace { space } = request.json(door).await?;
    let nonce = spaces::challenge(&door.app, ip, &space).await?;
    answer::ok(&json!({ "nonce": nonce.as_str() }))
}

/// `POST /spaces/login`
pub(super) async fn login(door: &Door, request: Request) -> Answer {
    let SignIn { space, nonce, sig } = request.json(door).await?;
    let session = spaces::login(&door.app, &space, &nonce, &sig).await?;
    answer::ok(&json!({ "token": session.token.as_str(), "expires_at": session.expires_at }))
}

/// `POST /spaces/logout`
pub(super) async fn logout(door: &Door, request: Request) -> Answer {
    let token = request.token().ok_or(Refusal::SignedOut)?;
    spaces::logout(&door.app, token).await?;
    answer::nothing()
}

/// `POST /vault/fetch`: in the body, because the id of a space is a secret.
pub(super) async fn fetch_vault(door: &Door, request: Request) -> Answer {
    let ip = request.ip;
    let OfSpace { space } = request.json(door).await?;
    let found = vaults::fetch(&door.app, ip, &space).await?;
    answer::ok(&json!({ "vault": found.vault, "version": found.version }))
}

/// `PUT /vault`
pub(super) async fn put_vault(door: &Door, request: Request) -> Answer {
    let space = request.space(door).await?;
    let NewVault { vault, version } = request.json(door).await?;
    vaults::put(&door.app, space, &vault, version).await?;
    answer::ok(&json!({ "version": version }))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    use super::request::read;
    let _ = read::<NewSpace>(body).is_ok();
    let _ = read::<OfSpace>(body).is_ok();
    let _ = read::<SignIn>(body).is_ok();
    let _ = read::<NewVault>(body).is_ok();
}
