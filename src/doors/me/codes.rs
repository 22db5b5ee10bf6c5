//! Pass codes: asked for here, shown once, told to somebody who then connects.

use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use warp::reply::Response;

use super::page::{Page, go, time};
use super::{Answer, User, Visit, id};
use crate::App;
use crate::codes::{self, Issued, Live, Purpose};
use crate::doors::site::pieces::{alert, form};
use crate::doors::site::session::Session;
use crate::mailbox::{Allowance, SignedIn, allowed};

const STREAM: &str = "/me/live?page=codes";

/// `GET /me/codes`
pub(super) async fn show(visit: &Visit, user: &User) -> Answer {
    respond(visit, user, StatusCode::OK, None, None).await
}

/// `POST /me/codes`: the answer is the only page that has the code, and nobody keeps it.
pub(super) async fn issue(visit: &Visit, user: &User) -> Answer {
    let app = visit.app();
    if !allowed(app, user.who.account.id, Allowance::PassCode).await? {
        let words = "That were many pass codes within an hour. Please try again later.";
        return respond(visit, user, StatusCode::TOO_MANY_REQUESTS, None, Some(words)).await;
    }
    let life = app.config.codes.pass_code_life.duration();
    match codes::issue(app, Purpose::PassCode, user.who.account.id, life).await {
        Ok(issued) => respond(visit, user, StatusCode::OK, Some(&issued), None).await,
        Err(codes::Error::Exhausted) => {
            let words = "There is no free code at this moment. Please wait until older ones have expired.";
            respond(visit, user, StatusCode::CONFLICT, None, Some(words)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn respond(
    visit: &Visit,
    user: &User,
    status: StatusCode,
    issued: Option<&Issued>,
    error: Option<&str>,
) -> Answer {
    let (app, now) = (visit.app(), visit.app().clock.now());
    let live = live(app, &user.who).await?;
    let most = app.config.codes.live_per_account;
    let main = html! {
        h1 { "Pass codes" }
        p {
            "Tell somebody your address, " strong { (user.who.account.address) } ", and a pass code: with both they can connect with you, once. "
            "Tell them in a way that nobody else hears."
        }
        @if let Some(error) = error { (alert(error)) }
        @if let Some(issued) = issued { (new_code(issued, now)) }
        (form(&user.session, "/me/codes", &html! {}, if issued.is_some() { "Another pass code" } else { "Ask for a pass code" }))
        p role="status" data-live="connected" {}
        h2 { "Good at this moment" }
        div data-live="codes" { (list(&user.session, &live)) }
        p .quietly { "You have " (most) " at most: a further one takes the place of the oldest." }
    };
    Ok(Page::new("Pass codes", "/me/codes").status(status).stream(STREAM).respond(visit, user, &main))
}

fn new_code(issued: &Issued, now: Timestamp) -> Markup {
    let (first, last) = issued.code.as_str().split_at(3);
    html! {
        div .card.fresh role="status" {
            p { "Your pass code" }
            p .digits { span { (first) } " " span { (last) } }
            p {
                "Good for " span .countdown role="timer" data-until=(issued.expires_at) { (left(now, issued.expires_at)) }
                ", until " (time(issued.expires_at)) ". It is shown this once."
            }
        }
    }
}

/// How long something is still good, in words.
fn left(now: Timestamp, until: Timestamp) -> String {
    let seconds = until.as_second().saturating_sub(now.as_second()).max(0);
    let many = |n: i64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    match (seconds / 60, seconds % 60) {
        (0, seconds) => many(seconds, "second"),
        (minutes, 0) => many(minutes, "minute"),
        (minutes, seconds) => format!("{} {}", many(minutes, "minute"), many(seconds, "second")),
    }
}

/// The account's codes, without the codes.
pub(super) async fn live(app: &App, who: &SignedIn) -> Result<Vec<Live>, codes::Error> {
    codes::live(app, Purpose::PassCode, who.account.id).await
}

/// The list alone.
pub(super) fn list(session: &Session, live: &[Live]) -> Markup {
    html! {
        @if live.is_empty() { p .empty { "None." } }
        ul .codes { @for code in live { li {
            span { "Asked for " (time(code.created_at)) ", good until " (time(code.expires_at)) }
            " " (form(session, &format!("/me/codes/{}/withdraw", code.id), &html! {}, "Withdraw"))
        } } }
    }
}

/// `POST /me/codes/{id}/withdraw`
pub(super) async fn withdraw(visit: &Visit, user: &User, text: &str) -> Answer {
    let Some(id) = id(text) else { return Err(visit.nothing_here(user)) };
    let withdrawn = codes::withdraw(visit.app(), Purpose::PassCode, user.who.account.id, Some(id)).await?;
    Ok(said(visit, withdrawn > 0))
}

fn said(visit: &Visit, withdrawn: bool) -> Response {
    match withdrawn {
        true => go(visit, "/me/codes", true, "The pass code is withdrawn."),
        false => go(visit, "/me/codes", false, "That pass code was not good any more."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_words() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(left(at(0), at(600)), "10 minutes");
        assert_eq!(left(at(0), at(599)), "9 minutes 59 seconds");
        assert_eq!(left(at(0), at(61)), "1 minute 1 second");
        assert_eq!(left(at(100), at(59)), "0 seconds");
    }
}
