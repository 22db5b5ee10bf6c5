//! A handshake with a pass code, and what became of it.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use maud::{Markup, html};
use tokio::time::Instant;
use warp::reply::Response;

use super::page::Page;
use super::{Answer, User, Visit, id, shown};
use crate::connections;
use crate::doors::site::fields::Fields;
use crate::doors::site::frame::see_other;
use crate::doors::site::pieces::{alert, status, token};
use crate::handshakes::{self, Handshake, NewHandshake, State};
use crate::mailbox::{Allowance, SENDER, allowed};
use crate::openmsg::{Address, PassCode};

/// How long a page waits for the end of a handshake; then it is loaded again.
const WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `GET /me/connect`
pub(super) fn show(visit: &Visit, user: &User) -> Answer {
    let to = visit.query.get("to");
    Ok(respond(visit, user, StatusCode::OK, to, None))
}

fn respond(visit: &Visit, user: &User, code: StatusCode, to: &str, error: Option<&str>) -> Response {
    let main = html! {
        h1 { "Connect" }
        p { "Somebody told you their address and a pass code. With them you may write to each other." }
        @if let Some(error) = error { (alert(error)) }
        form .card method="post" action="/me/connect" {
            (token(&user.session))
            div .field {
                label for="to" { "Their address" }
                input #to name="to" value=(to) required autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="300"
                    aria-describedby="about-to";
                small #about-to { "Digits, a star and a domain, such as 0012345*other.example" }
            }
            div .field {
                label for="code" { "Pass code" }
                input #code .code name="code" required inputmode="numeric" pattern="[0-9 ]{6,8}" maxlength="8" autocomplete="off"
                    aria-describedby="about-code";
                small #about-code { "Six digits, good for one connection and a short time." }
            }
            p { label .check { input type="checkbox" name="replies" value="yes" checked; " They may answer" } }
            button { "Connect" }
        }
    };
    Page::new("Connect", "/me/connect").status(code).respond(visit, user, &main)
}

/// `POST /me/connect`
pub(super) async fn start(visit: &Visit, user: &User, fields: &Fields) -> Answer {
    let app = visit.app();
    let (to, code) = match read(fields, &user.who.account.address) {
        Ok(read) => read,
        Err(words) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(respond(visit, user, status, fields.get("to"), Some(&words)));
        }
    };
    // A handshake would burn the code and change nothing: a block outlives it.
    let known = connections::find_by_addresses(app, &user.who.account.address, &to).await?;
    if known.is_some_and(|known| known.state == connections::State::Blocked) {
        let words =
            format!("You have blocked {to}. Unblock it first, in your conversation with it; nothing was tried.");
        return Ok(respond(visit, user, StatusCode::CONFLICT, to.as_str(), Some(&words)));
    }
    if !allowed(app, user.who.account.id, Allowance::Handshake).await? {
        let words = "That were many tries within an hour. Please try again later.";
        return Ok(respond(visit, user, StatusCode::TOO_MANY_REQUESTS, fields.get("to"), Some(words)));
    }
    let new = NewHandshake {
        sender: SENDER.to_owned(),
        account_id: user.who.account.id,
        from: user.who.account.address.clone(),
        to,
        code,
        allow_replies: !fields.get("replies").is_empty(),
    };
    let id = handshakes::start(app, &new).await?;
    let publisher = visit.door.serve.publisher.clone();
    // Not waited for: if the broker does not take it, the scheduler publishes it again.
    tokio::spawn(async move { publisher.start_handshake(id).await });
    Ok(see_other(&format!("/me/connect/{id}")))
}

/// What the form asks for, or words for what is wrong with it; the code is not in the words.
fn read(fields: &Fields, own: &Address) -> Result<(Address, PassCode), String> {
    let to: Address = fields.get("to").parse().map_err(|error| format!("Their address is not valid: {error}."))?;
    let code: String = fields.get("code").chars().filter(|c| !c.is_whitespace()).collect();
    let code = code.parse().map_err(|_| "The pass code is not valid: it consists of six digits.".to_owned())?;
    if to == *own {
        return Err("This is your own address.".into());
    }
    Ok((to, code))
}

/// `GET /me/connect/{id}`
pub(super) async fn outcome(visit: &Visit, user: &User, text: &str) -> Answer {
    let Some(id) = id(text) else { return Err(visit.nothing_here(user)) };
    let until = Instant::now() + WAIT;
    let handshake = loop {
        let found = handshakes::get(visit.app(), id).await?;
        let own = found.filter(|handshake| handshake.from == user.who.account.address);
        let Some(handshake) = own else { return Err(visit.nothing_here(user)) };
        if handshake.state.is_final() || Instant::now() >= until || visit.door.serve.stopping.is_cancelled() {
            break handshake;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let (title, words) = in_words(&handshake);
    let main = html! { h1 { (title) } (words) };
    let mut response = Page::new(title, "/me/connect").respond(visit, user, &main);
    if !handshake.state.is_final() {
        // A header, since a page without script has no other way to look again.
        response.headers_mut().insert("refresh", HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn in_words(handshake: &Handshake) -> (&'static str, Markup) {
    let to = &handshake.to;
    match handshake.state {
        State::Connected => (
            "Connected",
            html! {
                (status(&format!("You are connected with {to}.")))
                p { a .button href={ "/me/with/" (to) } { "Write to them" } }
            },
        ),
        State::Failed => (
            "Not connected",
            html! {
                (alert(&format!("You are not connected with {to}: {}", shown::words(handshake.error.as_deref().unwrap_or("no reason was given")))))
                p { "A pass code works once. Ask for a new one before you try again." }
                p { a href={ "/me/connect?to=" (to) } { "Try again" } }
            },
        ),
        State::Pending | State::Running => (
            "Still trying",
            html! {
                p role="status" { (to) " has not answered yet. This page looks again by itself; within a minute and a half it says what became of it." }
                p { a href="" { "Look now" } }
            },
        ),
    }
}
