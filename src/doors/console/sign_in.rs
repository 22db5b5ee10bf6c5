//! Coming in and leaving.

use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};
use warp::reply::Response;

use super::call::Turned;
use super::operator::{self, Tried, try_key};
use super::{Framed, Visit};
use crate::doors::site::fields::Fields;
use crate::doors::site::flash::{self, Flash};
use crate::doors::site::frame;
use crate::doors::site::pieces;
use crate::doors::site::session::{self, Session, TOKEN_FIELD};

const HOME: &str = "/console";
/// Longest address that is remembered over signing in.
const LONGEST_WAY: usize = 1000;

/// Where somebody who is not signed in is led: to sign in, and back to where they wanted to go.
pub(super) fn path(visit: &Visit) -> String {
    let looking = visit.method == http::Method::GET;
    let query = if visit.query.is_empty() { String::new() } else { format!("?{}", visit.query) };
    let wanted = format!("{HOME}/{}{query}", visit.path);
    if !looking || visit.path.is_empty() || !is_ours(&wanted) {
        return format!("{HOME}/sign-in");
    }
    format!("{HOME}/sign-in?{}", Fields::default().with("to", &wanted))
}

/// Whether a way back leads to a page of ours, and nowhere else.
fn is_ours(way: &str) -> bool {
    let plain = way.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let below = way == HOME || way.starts_with("/console/") || way.starts_with("/console?");
    plain && below && way.len() <= LONGEST_WAY && !way.contains("/../")
}

/// The page to sign in on. Who is signed in already is led on.
pub(super) async fn show(visit: &Visit) -> Response {
    let query = Fields::parse(visit.query.as_bytes());
    let way = query.get("to");
    match visit.who().await {
        Ok(Some(signed)) => {
            let mut response = frame::see_other(if is_ours(way) { way } else { HOME });
            if signed.fresh {
                let cookie = signed.session.cookie(&visit.door.serve.app, &visit.door.site);
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Ok(None) => form(visit, StatusCode::OK, None, way).await,
        Err(turned) => visit.door.turned(None, "", turned).await,
    }
}

/// Signs in with a key.
pub(super) async fn enter(visit: &Visit) -> Response {
    match tried(visit).await {
        Ok(response) => response,
        Err(turned) => visit.door.turned(None, "", turned).await,
    }
}

async fn tried(visit: &Visit) -> Result<Response, Turned> {
    let fields = visit.read_fields().await?;
    let (app, site, way) = (&visit.door.serve.app, &visit.door.site, fields.get("to"));
    let (status, words) = match try_key(app, visit.ip, fields.get("api_key").trim()).await? {
        Tried::Welcome(secret) => {
            let mut response = frame::see_other(if is_ours(way) { way } else { HOME });
            let cookie = Session::begin(app, site, &secret).cookie(app, site);
            response.headers_mut().append(SET_COOKIE, cookie);
            return Ok(response);
        }
        Tried::Unknown => (StatusCode::FORBIDDEN, "This key is not known, or was revoked."),
        Tried::Bound => (StatusCode::FORBIDDEN, "This key is for one account. The console needs one that is not."),
        Tried::TooMany => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many wrong keys came from your address. Please wait a few minutes.")
        }
    };
    let mut response = form(visit, status, Some(words), way).await;
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    Ok(response)
}

/// Signs out: the cookie goes, and this process takes it no more.
pub(super) async fn leave(visit: &Visit) -> Response {
    let (app, site) = (&visit.door.serve.app, &visit.door.site);
    let fields = match visit.read_fields().await {
        Ok(fields) => fields,
        Err(turned) => return visit.door.turned(None, "", turned).await,
    };
    if let Some(session) = Session::from_headers(app, site, &visit.headers) {
        if !session.owns(fields.get(TOKEN_FIELD)) {
            return visit.refused("This form is out of date, and was not carried out.").await;
        }
        visit.door.leave(&session);
    }
    let mut response = match by_proxy(visit) {
        true => visit.door.framed(Framed::default(), StatusCode::OK, "Signed out", &of_proxy()).await,
        false => frame::see_other("/console/sign-in"),
    };
    response.headers_mut().append(SET_COOKIE, session::end(site));
    response
}

/// Whether a proxy signs in whoever asks: leaving would lead in again at once.
fn by_proxy(visit: &Visit) -> bool {
    let app = &visit.door.serve.app;
    operator::named(app, &visit.headers, visit.from_proxy)
        .is_some_and(|name| app.config.console.scopes_of(name).is_some())
}

fn of_proxy() -> Markup {
    html! {
        h1 { "Signed out" }
        p { "This session is over. But the proxy in front of this node signs you in: as long as it does, every page lets you in again. To leave for good, sign out there." }
        p { a href=(HOME) { "To the console" } }
    }
}

async fn form(visit: &Visit, status: StatusCode, error: Option<&str>, way: &str) -> Response {
    let (app, site) = (&visit.door.serve.app, &visit.door.site);
    let said = Flash::from_headers(app, site, &visit.headers);
    let main = html! {
        h1 { "Sign in" }
        @if let Some(words) = error { (pieces::alert(words)) }
        form .card method="post" action="/console/sign-in" {
            @if is_ours(way) { input type="hidden" name="to" value=(way); }
            div .field {
                label for="api_key" { "API key" }
                input #api_key name="api_key" type="password" autocomplete="off" required autofocus aria-describedby="about";
                small #about { "It begins with hf_. What you see and may do follows its scopes." }
            }
            button { "Sign in" }
        }
        p .small { "A key is made on the node’s machine: " code { "handfast key create --sender me --scopes '*'" } }
    };
    let framed = Framed { said: said.as_ref(), ..Framed::default() };
    let mut response = visit.door.framed(framed, status, "Sign in", &main).await;
    if said.is_some() {
        response.headers_mut().append(SET_COOKIE, flash::said(site));
    }
    response
}

/// For the fuzzer: a way back leads to this origin.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_way(way: &str) {
    let base = url::Url::parse("https://our.example/console/sign-in");
    let led = base.and_then(|base| base.join(way));
    assert!(!is_ours(way) || led.is_ok_and(|led| led.origin().ascii_serialization() == "https://our.example"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_ours() {
        for good in ["/console", "/console/audit", "/console/audit?actor=x%20y", "/console?x=1"] {
            assert!(is_ours(good), "{good}");
        }
        let long = format!("/console/{}", "x".repeat(LONGEST_WAY));
        for bad in [
            "",
            "//evil.example",
            "/consolex",
            "https://evil.example/console/",
            "/console/\\evil",
            "/console/ x",
            "/console/a\r\nb",
            "/console/../api",
            &long,
        ] {
            assert!(!is_ours(bad), "{bad:?}");
        }
    }
}
