//! Coming in and going out: sign-in, invitation, sign-out.

use http::header::{REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};
use warp::reply::Response;

use super::page::{go, outside};
use super::{Answer, User, Visit, shown};
use crate::doors::site::fields::Fields;
use crate::doors::site::frame::see_other;
use crate::doors::site::pieces::alert;
use crate::doors::site::session::{self, Session};
use crate::mailbox::{self, Outcome, Set};
use crate::openmsg::Address;
use crate::passwords::Busy;

/// In the query of the sign-in page: somebody has just signed in.
const BEGUN: &str = "begun";
const BUSY: &str = "Many people are signing in at this moment. Please try again in a few seconds.";
const VOID: &str = "This invitation is not good any more: it was used, replaced by a newer one, or its time is over. \
                    Ask whoever runs this node for another.";

/// `GET /me/sign-in`
pub(super) async fn show(visit: &Visit) -> Answer {
    if visit.signed_in().await?.is_some() {
        return Ok(see_other("/me"));
    }
    // Who has just signed in comes by here, and is not here if the browser has dropped the cookie.
    let words = (!visit.query.get(BEGUN).is_empty()).then(|| {
        let url = visit.app().config.mailbox_url();
        format!("Your browser did not keep the cookie by which you would be known, so you are not signed in. This mailbox is at {url}, and nowhere else.")
    });
    Ok(form(visit, StatusCode::OK, "", words.as_deref()))
}

/// Whoever is not signed in. The cookie stays: another tab may have begun a session since it was sent.
pub(super) fn to_sign_in() -> Response {
    see_other("/me/sign-in")
}

fn form(visit: &Visit, status: StatusCode, typed: &str, error: Option<&str>) -> Response {
    let domain = &visit.app().config.domain;
    let main = html! {
        h1 { "Sign in" }
        @if let Some(error) = error { (alert(error)) }
        form .card method="post" action="/me/sign-in" {
            div .field {
                label for="address" { "Your address" }
                input #address name="address" value=(typed) required autofocus autocomplete="username" autocapitalize="none"
                    spellcheck="false" maxlength="300" aria-describedby="about-address";
                small #about-address { "Such as 1000*" (domain) "; the digits before the star will do." }
            }
            (password_field("password", "Password", "current-password"))
            button { "Sign in" }
        }
        p .quietly { "No password yet, or forgotten? Whoever runs this node can send you an invitation." }
    };
    outside(visit, status, "Sign in", &main)
}

/// A field for a password.
pub(super) fn password_field(name: &str, label: &str, autocomplete: &str) -> Markup {
    let new = autocomplete == "new-password";
    html! {
        div .field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="password" required autocomplete=(autocomplete) maxlength="1024"
                minlength=[new.then_some("10")] aria-describedby=[new.then(|| format!("about-{name}"))];
            @if new { small id={ "about-" (name) } { "At least 10 characters. A few words that do not belong together are good." } }
        }
    }
}

/// `POST /me/sign-in`
pub(super) async fn sign_in(visit: &Visit, fields: &Fields) -> Answer {
    let typed = fields.get("address").trim();
    let Some(_place) = visit.check() else { return Ok(busy(visit, typed)) };
    let outcome = visit.door.serve.mailbox.sign_in(typed, fields.get("password"), visit.source()).await?;
    Ok(match outcome {
        Outcome::In(token) => {
            // Whoever was signed in before in this browser is not any more.
            if let Some(before) = visit.signed_in().await? {
                mailbox::sign_out(visit.app(), before.who.account.id, before.who.session).await?;
            }
            let mut response = see_other(&format!("/me/sign-in?{BEGUN}=yes"));
            let cookie = Session::begin(visit.app(), &visit.door.site, &token).cookie(visit.app(), &visit.door.site);
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Outcome::Wrong => {
            let words =
                "This address and this password do not go together, or nobody with this address can sign in here.";
            form(visit, StatusCode::FORBIDDEN, typed, Some(words))
        }
        Outcome::Later(seconds) => {
            later(form(visit, StatusCode::TOO_MANY_REQUESTS, typed, Some(&later_words(seconds))), seconds)
        }
        Outcome::Busy => busy(visit, typed),
    })
}

/// Too many wrong passwords, in words.
pub(super) fn later_words(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    let minutes = if minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") };
    format!("There were too many wrong passwords. Please try again in {minutes}.")
}

fn busy(visit: &Visit, typed: &str) -> Response {
    later(form(visit, StatusCode::SERVICE_UNAVAILABLE, typed, Some(BUSY)), 2)
}

pub(super) fn later(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// `POST /me/sign-out`
pub(super) async fn sign_out(visit: &Visit, user: &User) -> Answer {
    mailbox::sign_out(visit.app(), user.who.account.id, user.who.session).await?;
    Ok(gone(visit, "You are signed out."))
}

/// To the sign-in page, without the session.
pub(super) fn gone(visit: &Visit, words: &str) -> Response {
    let mut response = go(visit, "/me/sign-in", true, words);
    response.headers_mut().append(SET_COOKIE, session::end(&visit.door.site));
    response
}

/// `GET /me/invite/{token}`
pub(super) async fn show_invitation(visit: &Visit, token: &str) -> Answer {
    Ok(match visit.door.serve.mailbox.invited(token).await? {
        Some(address) => invitation(visit, StatusCode::OK, token, &address, None),
        None => void(visit),
    })
}

fn void(visit: &Visit) -> Response {
    let main = html! { h1 { "Invitation" } (alert(VOID)) p { a href="/me/sign-in" { "Sign in" } } };
    silent(outside(visit, StatusCode::NOT_FOUND, "Invitation", &main))
}

fn invitation(visit: &Visit, status: StatusCode, token: &str, address: &Address, error: Option<&str>) -> Response {
    let main = html! {
        h1 { "Welcome" }
        p { "Choose a password for " strong { (address) } ". The invitation is good for this once." }
        @if let Some(error) = error { (alert(error)) }
        form .card method="post" action={ "/me/invite/" (token) } {
            // So that a password keeper knows whose it is.
            input type="hidden" name="address" value=(address) autocomplete="username";
            (password_field("new", "New password", "new-password"))
            (password_field("again", "The same again", "new-password"))
            button { "Set password" }
        }
    };
    silent(outside(visit, status, "Welcome", &main))
}

/// The page's own address is a secret: no request says that it comes from there. It says from which site, or else browsers that send
/// no `Sec-Fetch-Site` could not send the form.
fn silent(mut response: Response) -> Response {
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    response
}

/// `POST /me/invite/{token}`
pub(super) async fn accept(visit: &Visit, token: &str, fields: &Fields) -> Answer {
    let Some(address) = visit.door.serve.mailbox.invited(token).await? else { return Ok(void(visit)) };
    let new = match chosen(fields) {
        Ok(new) => new,
        Err(words) => return Ok(invitation(visit, StatusCode::UNPROCESSABLE_ENTITY, token, &address, Some(&words))),
    };
    let Some(_place) = visit.check() else {
        return Ok(later(invitation(visit, StatusCode::SERVICE_UNAVAILABLE, token, &address, Some(BUSY)), 2));
    };
    Ok(match visit.door.serve.mailbox.accept_invitation(token, new).await? {
        Ok(Set::Done) => go(visit, "/me/sign-in", true, "Your password is set. Please sign in with it."),
        Ok(Set::Nobody) => void(visit),
        Err(Busy) => later(invitation(visit, StatusCode::SERVICE_UNAVAILABLE, token, &address, Some(BUSY)), 2),
    })
}

/// A new password, given twice, or words for what is wrong with it.
pub(super) fn chosen(fields: &Fields) -> Result<&str, String> {
    let new = fields.get("new");
    if new != fields.get("again") {
        return Err("The two passwords differ.".into());
    }
    mailbox::check_new(new).map_err(|fault| shown::words(&format!("Please choose another one: {fault}.")))?;
    Ok(new)
}
