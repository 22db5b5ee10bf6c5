//! A page of the mailbox around its content.

use http::header::{ALLOW, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use warp::reply::Response;

use super::{User, Visit, shown};
use crate::doors::site::flash;
use crate::doors::site::flash::Flash;
use crate::doors::site::frame::{Frame, Group, bare, see_other};
use crate::doors::site::pieces::alert;

/// What the site is called.
pub(super) const NAME: &str = "Mailbox";

/// A page for somebody who is signed in.
pub(super) struct Page<'a> {
    title: &'a str,
    here: &'a str,
    status: StatusCode,
    stream: Option<&'a str>,
    unread: Option<i64>,
}

impl<'a> Page<'a> {
    /// Its title, and the path of the link that leads to it.
    pub(super) fn new(title: &'a str, here: &'a str) -> Self {
        Self { title, here, status: StatusCode::OK, stream: None, unread: None }
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Kept up to date by this stream.
    pub(super) fn stream(self, stream: &'a str) -> Self {
        Self { stream: Some(stream), ..self }
    }

    /// How many messages are unread, beside the name of the site.
    pub(super) fn unread(self, unread: i64) -> Self {
        Self { unread: Some(unread), ..self }
    }

    /// The page. `main` begins with its `h1`.
    pub(super) fn respond(self, visit: &Visit, user: &User, main: &Markup) -> Response {
        let groups = [Group {
            words: "",
            links: [
                ("/me", "Conversations"),
                ("/me/connect", "Connect"),
                ("/me/codes", "Pass codes"),
                ("/me/settings", "Settings"),
            ]
            .map(|(path, words)| (path.to_owned(), words))
            .to_vec(),
        }];
        let said = visit.flash();
        let name = shown::words(&user.who.account.name);
        let strip = self.unread.map(unread_words);
        let assets = &visit.door.assets;
        let main = html! {
            link rel="stylesheet" href=(assets.address("me.css"));
            (main)
            script src=(assets.address("me.js")) defer {}
        };
        let frame = Frame {
            site: &visit.door.site,
            assets,
            name: NAME,
            of: &visit.app().config.domain,
            groups: &groups,
            here: self.here,
            signed_in: Some((&name, &user.session)),
            strip,
            flash: said.as_ref(),
            stream: self.stream,
        };
        let mut response = frame.response(self.status, self.title, &main);
        if said.is_some() {
            response.headers_mut().append(SET_COOKIE, flash::said(&visit.door.site));
        }
        response
    }
}

/// How many messages are unread, and the way there.
pub(super) fn unread_words(unread: i64) -> Markup {
    html! {
        @match unread {
            ..=0 => {}
            1 => a href="/me" { "1 unread message" },
            1000.. => a href="/me" { "1,000 or more unread messages" },
            n => a href="/me" { (n) " unread messages" },
        }
    }
}

/// A page for somebody who is not signed in.
pub(super) fn outside(visit: &Visit, status: StatusCode, title: &str, main: &Markup) -> Response {
    let said = visit.flash();
    let assets = &visit.door.assets;
    let main = html! { link rel="stylesheet" href=(assets.address("me.css")); (main) };
    let frame = Frame {
        site: &visit.door.site,
        assets,
        name: NAME,
        of: &visit.app().config.domain,
        groups: &[],
        here: "",
        signed_in: None,
        strip: None,
        flash: said.as_ref(),
        stream: None,
    };
    let mut response = frame.response(status, title, &main);
    if said.is_some() {
        response.headers_mut().append(SET_COOKIE, flash::said(&visit.door.site));
    }
    response
}

/// A page that says why there is no other.
pub(super) fn words(visit: &Visit, status: StatusCode, words: &str) -> Response {
    let main = html! { h1 { "That did not work" } (alert(words)) p { a href="/me" { "Your conversations" } } };
    outside(visit, status, "That did not work", &main)
}

/// Something went wrong that is nobody's doing, or too much was asked for at once.
pub(super) fn failed(status: StatusCode) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta name="viewport" content="width=device-width,initial-scale=1"; title { "That did not work · " (NAME) } }
            body { main {
                h1 { "That did not work" }
                p role="alert" { "The node is busy, restarting, or has a fault. Please try again in a moment." }
                p { a href="/me" { "Your conversations" } }
            } }
        }
    };
    let mut response = bare(status);
    *response.body_mut() = page.into_string().into();
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// 405 with what is allowed.
pub(super) fn wrong_method() -> Response {
    let mut response = failed(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    response
}

/// To another page of ours, with words to be said there.
pub(super) fn go(visit: &Visit, path: &str, good: bool, words: impl Into<String>) -> Response {
    let mut response = see_other(path);
    let cookie = Flash { good, words: words.into() }.cookie(visit.app(), &visit.door.site);
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

/// A moment to the minute; the script says it in the reader's own time and words.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time .own datetime=(at) { (at.strftime("%-d %b %Y, %H:%M")) " UTC" } }
}
