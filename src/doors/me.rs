//! The mailbox door, `/me`: people of this node sign in, connect, read and write in a browser.
//!
//! | request | answer | file |
//! |---|---|---|
//! | `GET`, `POST /me/sign-in`, `POST /me/sign-out` | begins and ends a session | `entry` |
//! | `GET`, `POST /me/invite/{token}` | sets a password, once | `entry` |
//! | `GET /me` | conversations | `list` |
//! | `GET`, `POST /me/with/{address}`, `POST …/block`, `…/unblock`, `…/delete` | one conversation | `talk` |
//! | `POST /me/read` | what an open page has shown | `talk` |
//! | `GET`, `POST /me/connect`, `GET /me/connect/{id}` | a handshake, and what became of it | `connect` |
//! | `GET`, `POST /me/codes`, `POST /me/codes/{id}/withdraw` | pass codes | `codes` |
//! | `GET /me/settings`, `POST …/name`, `…/password`, `…/sessions/{id}`, `…/sessions` | name, password, sessions | `settings` |
//! | `GET /me/live` | what changes on an open page, as server-sent events | `live` |
//! | `GET /me/assets/{name}` | style sheets and scripts | |
//!
//! Promises: every page works without script; nothing inline, nothing of a third party, nothing kept by browsers or proxies; every
//! change carries its session's own token and comes from our own pages; a pass code is shown once; what strangers write is text that
//! cannot pass for ours (`shown`). Passwords, codes, texts and paths reach no log. Leaves out the rules ([`crate::mailbox`]).

mod codes;
mod connect;
mod entry;
mod list;
mod live;
mod page;
mod settings;
mod shown;
mod talk;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use uuid::Uuid;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use super::Serve;
use super::page::is_own_form;
use super::places::{Place, Places};
use super::site::assets::{Asset, Assets};
use super::site::fields::Fields;
use super::site::flash::Flash;
use super::site::session::{Session, TOKEN_FIELD};
use super::site::{SameSite, Site};
use crate::App;
use crate::config::ByteSize;
use crate::failure::{Failure, chain};
use crate::inbox::Arrivals;
use crate::listen::{self, Body};
use crate::mailbox::{self, From as Source, SignedIn};

/// Largest body: a text of some thousand characters, escaped.
const BODY_LIMIT: ByteSize = ByteSize::kib(128);

/// Of all that may wait: nobody who has many addresses keeps everybody else from signing in.
const CHECKS_PER_NETWORK: usize = 8;

const OWN: [Asset; 2] = [
    Asset { name: "me.css", text: include_str!("me/assets/me.css") },
    Asset { name: "me.js", text: include_str!("me/assets/me.js") },
];

/// What the pages share.
struct Door {
    serve: Serve,
    site: Site,
    assets: Assets,
    arrivals: Arrivals,
    /// Requests at once, per network.
    requests: Places,
    /// Pages that are kept up to date, per account.
    streams: Places,
    /// Passwords being looked at or waiting for it, per IPv4 address or IPv6 /48.
    checks: Places,
}

/// One request of a browser.
struct Visit {
    door: Arc<Door>,
    query: Fields,
    headers: HeaderMap,
    ip: IpAddr,
    /// Only the head is wanted, so that nothing is shown to anybody.
    bodyless: bool,
    /// Behind a lock only because a stream cannot be looked at from two threads, and a request can.
    body: Mutex<Option<Body>>,
}

/// Whose request it is.
#[derive(Clone)]
struct User {
    session: Session,
    who: SignedIn,
}

/// An answer that ends the visit early.
struct Turned(Box<Response>);

type Answer = Result<Response, Turned>;

impl From<Response> for Turned {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl<E: Failure> From<E> for Turned {
    fn from(error: E) -> Self {
        if error.is_too_much() || error.is_passing() {
            tracing::warn!(error = %chain(&error), "a page of the mailbox has to wait");
            return page::failed(StatusCode::SERVICE_UNAVAILABLE).into();
        }
        tracing::error!(error = %chain(&error), "a page of the mailbox failed");
        page::failed(StatusCode::INTERNAL_SERVER_ERROR).into()
    }
}

/// The door. Call it inside the runtime.
pub fn routes(serve: &Serve) -> BoxedFilter<(Response,)> {
    let door = Arc::new(Door::open(serve));
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path("me")
        .and(warp::path::tail())
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::body())
        .then(move |tail: Tail, method: Method, query: String, headers, ip, body| {
            let door = Arc::clone(&door);
            answer(door, method, tail.as_str().trim_end_matches('/').to_owned(), query, headers, ip, body)
        })
        .boxed()
}

impl Door {
    fn open(serve: &Serve) -> Self {
        let config = &serve.app.config;
        let secure = config.mailbox_url().starts_with("https:");
        let life = i64::try_from(config.mailbox.session_life.duration().as_secs()).unwrap_or(i64::MAX);
        let cookie = if secure { "__Host-handfast_me" } else { "handfast_me" };
        let site = Site {
            path: "/me",
            cookie,
            context: "mailbox session",
            life_seconds: life,
            secure,
            same_site: SameSite::Strict,
        };
        Self {
            assets: Assets::of(&site, &OWN),
            site,
            arrivals: Arrivals::new(serve.app.clone(), serve.stopping.clone()),
            requests: Places::new(config.public.connections_per_ip),
            streams: Places::new(config.mailbox.streams_per_account),
            checks: Places::new(CHECKS_PER_NETWORK),
            serve: serve.clone(),
        }
    }
}

async fn answer(
    door: Arc<Door>,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    ip: IpAddr,
    body: Body,
) -> Response {
    if let Some(name) = path.strip_prefix("assets/") {
        return door.assets.response(name, &query, &headers);
    }
    let Some(place) = door.requests.take(ip) else { return page::failed(StatusCode::TOO_MANY_REQUESTS) };
    let bodyless = method == Method::HEAD;
    let visit =
        Visit { door, query: Fields::parse(query.as_bytes()), headers, ip, bodyless, body: Mutex::new(Some(body)) };
    // A browser that leaves drops its request; what it began must still be brought to its end.
    let work = tokio::spawn(async move {
        let _place = place;
        visit.answer(&method, &path).await
    });
    let mut response = work.await.unwrap_or_else(|_| {
        tracing::error!("a page of the mailbox panicked");
        page::failed(StatusCode::INTERNAL_SERVER_ERROR)
    });
    // A page of another site that opened one of ours, or was opened by it, has no hold of its window.
    response.headers_mut().insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    if bodyless {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Default::default();
    }
    response
}

impl Visit {
    async fn answer(self, method: &Method, path: &str) -> Response {
        let segments: Vec<&str> = path.split('/').collect();
        let answer = match *method {
            Method::GET | Method::HEAD => self.show(&segments).await,
            Method::POST => self.change(&segments).await,
            _ => Ok(page::wrong_method()),
        };
        answer.unwrap_or_else(|Turned(response)| *response)
    }

    async fn show(&self, path: &[&str]) -> Answer {
        match path {
            ["sign-in"] => entry::show(self).await,
            ["invite", token] => entry::show_invitation(self, token).await,
            ["live"] => live::stream(self).await,
            _ => {
                let user = self.user().await?;
                match path {
                    [""] => list::show(self, &user).await,
                    ["with", other] => talk::show(self, &user, other).await,
                    ["connect"] => connect::show(self, &user),
                    ["connect", id] => connect::outcome(self, &user, id).await,
                    ["codes"] => codes::show(self, &user).await,
                    ["settings"] => settings::show(self, &user).await,
                    _ => Err(self.nothing_here(&user)),
                }
            }
        }
    }

    async fn change(&self, path: &[&str]) -> Answer {
        if !is_own_form(&self.headers) {
            let words = "This form was sent from another site's page, and was not carried out.";
            return Ok(page::words(self, StatusCode::FORBIDDEN, words));
        }
        let fields = self.fields().await?;
        match path {
            ["sign-in"] => return entry::sign_in(self, &fields).await,
            ["invite", token] => return entry::accept(self, token, &fields).await,
            _ => {}
        }
        let user = self.user().await?;
        if !user.session.owns(fields.get(TOKEN_FIELD)) {
            let words =
                "This form is out of date, and was not carried out. Please go back, load the page anew and try again.";
            return Ok(page::words(self, StatusCode::FORBIDDEN, words));
        }
        match path {
            ["sign-out"] => entry::sign_out(self, &user).await,
            ["read"] => talk::read(self, &user, &fields).await,
            ["with", other] => talk::send(self, &user, other, &fields).await,
            ["with", other, "block"] => talk::block(self, &user, other, true).await,
            ["with", other, "unblock"] => talk::block(self, &user, other, false).await,
            ["with", other, "delete"] => talk::delete(self, &user, other).await,
            ["connect"] => connect::start(self, &user, &fields).await,
            ["codes"] => codes::issue(self, &user).await,
            ["codes", id, "withdraw"] => codes::withdraw(self, &user, id).await,
            ["settings", "name"] => settings::rename(self, &user, &fields).await,
            ["settings", "password"] => settings::change_password(self, &user, &fields).await,
            ["settings", "sessions"] => settings::end_all(self, &user).await,
            ["settings", "sessions", id] => settings::end(self, &user, id).await,
            _ => Err(self.nothing_here(&user)),
        }
    }

    fn app(&self) -> &App {
        &self.door.serve.app
    }

    /// Who is signed in; whoever is not is led to the sign-in page.
    async fn user(&self) -> Result<User, Turned> {
        match self.signed_in().await? {
            Some(user) => Ok(user),
            None => Err(entry::to_sign_in().into()),
        }
    }

    async fn signed_in(&self) -> Result<Option<User>, Turned> {
        let Some(session) = Session::from_headers(self.app(), &self.door.site, &self.headers) else { return Ok(None) };
        let who = mailbox::find_session(self.app(), session.secret()).await?;
        Ok(who.map(|who| User { session, who }))
    }

    /// The form that was posted.
    async fn fields(&self) -> Result<Fields, Turned> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return Ok(Fields::default()) };
        let read = Fields::read(body, BODY_LIMIT).await;
        read.map_err(|status| page::words(self, status, "The form did not arrive as a whole.").into())
    }

    /// A place for a password that is to be looked at; none: too many of that network are.
    fn check(&self) -> Option<Place> {
        self.door.checks.take_of(customer(self.ip))
    }

    /// From where the request comes, for counting.
    fn source(&self) -> Source<'_> {
        let agent = self.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Source { ip: self.ip, agent }
    }

    /// What is said on the next page.
    fn flash(&self) -> Option<Flash> {
        Flash::from_headers(self.app(), &self.door.site, &self.headers)
    }

    fn nothing_here(&self, user: &User) -> Turned {
        let main = maud::html! { h1 { "There is no such page" } p { a href="/me" { "Your conversations" } } };
        page::Page::new("There is no such page", "").status(StatusCode::NOT_FOUND).respond(self, user, &main).into()
    }
}

/// Who may have an address: of IPv6, customers are given up to a /48.
fn customer(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// An id in a path.
fn id(text: &str) -> Option<Uuid> {
    text.parse().ok()
}

/// For the fuzzer: what strangers write is text on a page, and turns nothing round.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_text(any: &str) {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!shown::text(any).contains(turns) && !shown::words(any).contains(|c| turns(c) || c == '\n'));
    let name = shown::name(any).into_string();
    assert_eq!(name.matches('<').count(), 2, "a name that is more than text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_an_address_or_a_network_of_many() {
        let of = |text: &str| customer(text.parse().unwrap());
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:ff::7"), "2001:db8:1::/48");
    }
}
