//! `POST /homing/entry`: somebody named a persona. The hub makes a welcome; only then is there an attempt.

use http::StatusCode;
use http::header::{ACCEPT_LANGUAGE, SET_COOKIE};
use jiff::Timestamp;
use serde::Deserialize;
use warp::reply::Response;

use super::{Turned, Visit, cookies, pages, redirect, retry_after};
use crate::gateway;
use crate::guessing::network;
use crate::homing::Persona;
use crate::homing::query::{Pairs, pairs};
use crate::homing::welcome::Made;
use crate::jobs::{Ask, CallHub, Reply};
use crate::limits::{Spent, spend};

const LIMIT: &str = "homing-entry";
/// Longest address of a welcome, in bytes.
const LONGEST_URL: usize = 2048;

/// What a captcha service says.
#[derive(Deserialize)]
struct Verified {
    success: bool,
}

/// What a hub says when it makes no welcome.
#[derive(Deserialize)]
struct No {
    error: String,
}

pub(super) async fn enter(visit: &Visit) -> Result<Response, Turned> {
    visit.refuse_other_sites()?;
    limit(visit).await?;
    let (site, app) = (visit.site(), &visit.door.app);
    let body = visit.form().await?;
    let fields = std::str::from_utf8(&body).ok().and_then(|text| pairs(text).ok());
    let again = |typed: &str, words: &str| pages::login(site, StatusCode::UNPROCESSABLE_ENTITY, typed, Some(words));
    let Some(fields) = fields else { return Ok(again("", "The form could not be read.")) };
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let typed = text("username");
    if text("scopes") != site.scopes.text() {
        let words = "This page is out of date: what it says will be asked for is not what will be. Please begin again.";
        return Ok(again(typed, words));
    }
    let Ok(username) = Persona::parse(typed) else {
        let words = "That is not the name of a persona: it has 3 to 32 letters, digits, _ or -, a letter first.";
        return Ok(again(typed, words));
    };
    if !is_person(visit, &fields).await? {
        return Ok(again(typed, "Please answer the question below once more."));
    }
    let begun = site.begin(&username, app.clock.unix_seconds(), language(visit));
    let elsewhere = site.settings.cross_device && text("device") == "other";
    let begun = if elsewhere { begun.for_another_device() } else { begun };
    let made = welcome(visit, &begun.request).await?;
    gateway::keep(app, &begun, &made.challenge).await?;
    let own = format!("/homing/status/{}", begun.n);
    let mut response = redirect(if elsewhere { &own } else { &made.welcome_url });
    let life = site.settings.attempt_life.duration().as_secs();
    let cookie = cookies::set_state(site, &begun.state, i64::try_from(life).unwrap_or(i64::MAX));
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

async fn limit(visit: &Visit) -> Result<(), Turned> {
    let settings = &visit.site().settings;
    match spend(&visit.door.app, LIMIT, &network(visit.ip), settings.entries_per_ip, 1).await? {
        Spent::Within => Ok(()),
        Spent::Over(after) => {
            let words = "There were too many logins from your network just now. Please wait a minute.";
            let response = pages::words(visit.site(), StatusCode::TOO_MANY_REQUESTS, words);
            Err(retry_after(response, after.map_or(60, |after| after.as_secs() + 1)).into())
        }
    }
}

/// Whether the captcha service says so, where there is one.
async fn is_person(visit: &Visit, fields: &Pairs) -> Result<bool, Turned> {
    let captcha = &visit.site().settings.captcha;
    if !captcha.is_set() {
        return Ok(true);
    }
    let Some(response) = fields.get(&captcha.field).filter(|answer| !answer.is_empty()) else { return Ok(false) };
    let reply = ask(visit, CallHub::Captcha { response: response.clone() }).await;
    match reply {
        Some((200, body)) => match serde_json::from_str::<Verified>(&body) {
            Ok(verified) => Ok(verified.success),
            Err(_) => Err(unavailable(visit, "the captcha service's answer cannot be read")),
        },
        Some(_) => Err(unavailable(visit, "the captcha service does not verify")),
        None => Err(unavailable(visit, "the captcha service gave no answer")),
    }
}

/// The hub's welcome; else a page that says why there is none, as far as that is the user's business.
async fn welcome(visit: &Visit, request: &str) -> Result<Made, Turned> {
    let site = visit.site();
    match ask(visit, CallHub::Welcome(request.to_owned())).await {
        Some((202, body)) => {
            let made: Option<Made> = serde_json::from_str(&body).ok();
            let within = |url: &str| {
                let path = url.strip_prefix(&site.hub_origin).is_some_and(|path| path.starts_with('/'));
                path && url.len() <= LONGEST_URL && url.bytes().all(|byte| byte.is_ascii_graphic())
            };
            let made = made.filter(|made| within(&made.welcome_url));
            made.ok_or_else(|| unavailable(visit, "the hub's answer leads nowhere that a browser may be sent"))
        }
        Some((429, _)) => {
            let words = "This persona was asked for too often just now. Please wait some minutes.";
            Err(retry_after(pages::words(site, StatusCode::TOO_MANY_REQUESTS, words), 60).into())
        }
        Some((status, body)) => {
            let word = serde_json::from_str::<No>(&body).map(|no| no.error).unwrap_or_default();
            let plain = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            tracing::warn!(status, word = if plain { word.as_str() } else { "other" }, "the hub makes no welcome");
            Err(pages::unavailable(site).into())
        }
        None => Err(unavailable(visit, "the hub gave no answer")),
    }
}

fn unavailable(visit: &Visit, why: &'static str) -> Turned {
    tracing::warn!(why, "nobody can sign in through Homing Space");
    pages::unavailable(visit.site()).into()
}

/// Status and body of the answer that a worker brought.
async fn ask(visit: &Visit, call: CallHub) -> Option<(u16, String)> {
    let app = &visit.door.app;
    let deadline: Timestamp = app.clock.now() + visit.site().settings.hub_timeout.duration();
    match visit.door.asker.ask(app.new_id(), deadline, Ask::CallHub(call)).await {
        Ok(Reply::Hub { status, body }) => Some((status, body)),
        _ => None,
    }
}

/// The first language that the browser names.
fn language(visit: &Visit) -> &str {
    let header = visit.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = header.split([',', ';']).next().unwrap_or_default().trim();
    let plain = first.len() <= 35 && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { first } else { "" }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = serde_json::from_slice::<Verified>(body);
    let _ = serde_json::from_slice::<No>(body);
    let _ = serde_json::from_slice::<crate::homing::welcome::Made>(body);
}
