//! A merchant's gateway: people sign in to the merchant with a persona of their Homing Space.
//!
//! | request | answer |
//! |---|---|
//! | `GET /homing/login` | the form: a persona, and what will be asked for |
//! | `POST /homing/entry` | has the hub make a welcome, then 303 there; also for forms of the merchant's own pages |
//! | `POST /homing/endpoint?…` | where the user's browser comes back to: 303 to the landing page, with a session |
//! | `GET /homing/status/{n}` | how a login stands that is approved on another device: digits to show, then 303 with a session |
//! | `POST /homing/match` | the digits, typed on that device |
//! | `GET /homing/` | the landing page, where the merchant names no other |
//! | `POST /homing/logout` | ends the session |
//!
//! Promises: no script; nothing is kept by browsers or proxies; forms of other sites begin nothing; whatever is wrong with what comes
//! back, the page says the same, with a reference under which the log has the reason in a word. Nothing here calls the hub: that is
//! an ask for a worker. Queries, names of personas and values reach no log. Leaves out the merchant's application, which learns who
//! is signed in by the API and by a webhook.

mod cookies;
mod elsewhere;
mod endpoint;
mod entry;
mod pages;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use crate::App;
use crate::books::Acceptor;
use crate::config::ByteSize;
use crate::doors::Serve;
use crate::doors::page::is_own_form;
use crate::doors::places::Places;
use crate::failure::{Failure, chain};
use crate::gateway::{self, SignedIn, Site, SiteError};
use crate::listen::{self, Body};
use crate::queue::Asker;

/// Largest body: 32 values of 2,000 characters, escaped, would be more, and nobody has them.
const BODY_LIMIT: ByteSize = ByteSize::kib(256);

/// What the pages share.
struct Door {
    app: App,
    acceptor: Acceptor,
    asker: Asker,
    site: Site,
    places: Places,
}

/// One request of a browser.
struct Visit {
    door: Arc<Door>,
    query: String,
    headers: HeaderMap,
    ip: IpAddr,
    /// Behind a lock only because a stream cannot be looked at from two threads, and a request can.
    body: Mutex<Option<Body>>,
}

/// An answer that ends the visit early.
struct Turned(Box<Response>);

impl From<Response> for Turned {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl<E: Failure> From<E> for Turned {
    fn from(error: E) -> Self {
        tracing::error!(error = %chain(&error), "a page of the Homing gateway failed");
        let passing = error.is_passing();
        let status = if passing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        pages::failed(status).into()
    }
}

/// The door.
///
/// # Errors
/// When the site's key file cannot be used.
pub fn routes(serve: &Serve) -> Result<BoxedFilter<(Response,)>, SiteError> {
    let Serve { app, acceptor, asker, .. } = serve.clone();
    let site = Site::of(&app.config)?;
    let places = Places::new(app.config.public.connections_per_ip);
    let door = Arc::new(Door { app, acceptor, asker, site, places });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let routes = warp::path("homing")
        .and(warp::path::tail())
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::body())
        .then(move |tail: Tail, method: Method, query, headers, ip, body| {
            let visit = Visit { door: Arc::clone(&door), query, headers, ip, body: Mutex::new(Some(body)) };
            answer(visit, method, tail.as_str().trim_end_matches('/').to_owned())
        });
    Ok(routes.boxed())
}

async fn answer(visit: Visit, method: Method, path: String) -> Response {
    let bodyless = method == Method::HEAD;
    let Some(place) = visit.door.places.take(visit.ip) else {
        return pages::failed(StatusCode::TOO_MANY_REQUESTS);
    };
    // A browser that leaves drops its request; an attempt that is being used up must still be brought to its end.
    let work = tokio::spawn(async move {
        let _place = place;
        visit.answer(&method, &path).await
    });
    let mut response = work.await.unwrap_or_else(|_| {
        tracing::error!("a page of the Homing gateway panicked");
        pages::failed(StatusCode::INTERNAL_SERVER_ERROR)
    });
    if bodyless {
        *response.body_mut() = Default::default();
    }
    response
}

impl Visit {
    async fn answer(self, method: &Method, path: &str) -> Response {
        let looking = [Method::GET, Method::HEAD].contains(method);
        let answer = match (path, method) {
            ("login", _) if looking => Ok(pages::login(self.site(), StatusCode::OK, "", None)),
            ("", _) if looking => self.land().await,
            ("entry", &Method::POST) => entry::enter(&self).await,
            ("endpoint", &Method::POST) => endpoint::arrive(&self).await,
            ("logout", &Method::POST) => self.log_out().await,
            ("match", &Method::POST) if self.site().settings.cross_device => elsewhere::compare(&self).await,
            (status, _) if looking && self.attempt(status).is_some() => {
                elsewhere::show(&self, self.attempt(status).unwrap_or_default()).await
            }
            ("login" | "", _) => Ok(pages::wrong_method(self.site(), "GET, HEAD")),
            ("entry" | "endpoint" | "logout", _) => Ok(pages::wrong_method(self.site(), "POST")),
            _ => Ok(pages::words(self.site(), StatusCode::NOT_FOUND, "There is no such page.")),
        };
        answer.unwrap_or_else(|Turned(response)| *response)
    }

    /// The attempt that a path names, where another device may approve it.
    fn attempt<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix("status/").filter(|_| self.site().settings.cross_device)
    }

    /// Signed in: to the landing page, with a new session. Whoever was signed in before in this browser is not any more.
    async fn begin_session(&self, signed_in: &SignedIn) -> Result<Response, Turned> {
        if let Some(old) = cookies::session(self.site(), &self.headers) {
            gateway::end(&self.door.app, old).await?;
        }
        let mut response = redirect(self.site().landing());
        let life = i64::try_from(self.site().settings.session_life.duration().as_secs()).unwrap_or(i64::MAX);
        response.headers_mut().append(SET_COOKIE, cookies::set_session(self.site(), &signed_in.session, life));
        response.headers_mut().append(SET_COOKIE, cookies::set_state(self.site(), "", 0));
        Ok(response)
    }

    fn site(&self) -> &Site {
        &self.door.site
    }

    async fn land(&self) -> Result<Response, Turned> {
        let session = match cookies::session(self.site(), &self.headers) {
            Some(token) => gateway::find(&self.door.app, token).await?,
            None => None,
        };
        Ok(pages::landing(self.site(), session.as_ref()))
    }

    async fn log_out(&self) -> Result<Response, Turned> {
        self.refuse_other_sites()?;
        if let Some(token) = cookies::session(self.site(), &self.headers) {
            gateway::end(&self.door.app, token).await?;
        }
        let mut response = redirect(self.site().landing());
        response.headers_mut().insert(SET_COOKIE, cookies::set_session(self.site(), "", 0));
        Ok(response)
    }

    /// The form that was posted.
    async fn form(&self) -> Result<Bytes, Turned> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return Ok(Bytes::new()) };
        let read = body.read(BODY_LIMIT, self.door.app.config.public.read_timeout).await;
        read.map_err(|_| {
            let words = "The form did not arrive as a whole.";
            pages::words(self.site(), StatusCode::BAD_REQUEST, words).into()
        })
    }

    fn refuse_other_sites(&self) -> Result<(), Turned> {
        if is_own_form(&self.headers) {
            return Ok(());
        }
        let words = "This form was sent from another site's page, and was not carried out.";
        Err(pages::words(self.site(), StatusCode::FORBIDDEN, words).into())
    }
}

/// To a place that was checked: a path of ours, or the hub.
fn redirect(to: &str) -> Response {
    let mut response = pages::bare(StatusCode::SEE_OTHER);
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(data: &[u8]) {
    entry::fuzzed(data);
    cookies::fuzzed(data);
}
