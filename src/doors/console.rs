//! The console, `/console` on the private listener: the node for those who run it, in a browser.
//!
//! A request passes, in this order: its session (or it is led to sign in), its page (404, 405), the scope that the page needs (403); a
//! change also its origin, its token, and the record of changes, which has a row before anything is done. A change ends with a
//! redirect to a page that says what became of it.
//!
//! | file | what |
//! |---|---|
//! | `routes` | the list of all pages and changes |
//! | `call` | what a page is given and answers |
//! | `operator`, `sign_in` | who is signed in, and how they come in |
//! | `health` | the strip on every page |
//! | `live` | the streams that keep pages up to date |
//! | `chart` | drawn numbers, with a table that says the same |
//! | `overview`, `audit`, `configuration` | pages about the node |
//! | `deliveries`, `dead`, `operations`, `campaigns`, `destinations` | pages about what is sent |
//! | `accounts`, `connections`, `phones`, `apps`, `webhooks`, `keys` | pages about who there is |
//! | `filled` | forms that say beside a field what is wrong with it |
//! | `words` | how states, times and links are said |
//!
//! Promises: useful without JavaScript; nothing inline, nothing of a third party; what one sees and may do follows the scopes of one's
//! key; a change that was begun is brought to its end also when the browser leaves, and one that was refused is in the record too.
//! Leaves out what is done: that is in the modules that the API uses too.

mod accounts;
mod apps;
mod audit;
mod call;
mod campaigns;
mod chart;
mod configuration;
mod connections;
mod dead;
mod deliveries;
mod destinations;
mod filled;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod health;
mod keys;
mod live;
mod operations;
mod operator;
mod overview;
mod phones;
mod routes;
mod sign_in;
mod webhooks;
mod words;

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use http::header::{ALLOW, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use maud::{Markup, html};
use uuid::Uuid;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use self::call::{Call, Done, Turned, View};
use self::health::Health;
use self::live::Live;
use self::operator::Operator;
use self::routes::{Missing, Page, Run};
use super::Serve;
use super::page::is_own_form;
use super::site::assets::Assets;
use super::site::fields::Fields;
use super::site::flash::{self, Flash};
use super::site::frame::{self, Frame};
use super::site::pieces;
use super::site::session::{Session, TOKEN_FIELD, Token};
use super::site::{SameSite, Site};
use crate::audit::{Deed, Via};
use crate::config::ByteSize;
use crate::db::DbError;
use crate::envelopes::Bell;
use crate::listen::{self, Body};
use crate::senders::Authenticator;

/// Largest form.
const BODY_LIMIT: ByteSize = ByteSize::kib(64);
/// The stream of pages that need nothing but the strip.
const STRIP_STREAM: &str = "/console/stream";

/// What all requests share.
struct Door {
    serve: Serve,
    site: Site,
    assets: Assets,
    /// Knows the keys it has seen in the last seconds.
    keys: Authenticator,
    health: Health,
    live: Live,
    /// Tells devices that listen to look.
    bell: Bell,
    /// Sessions that were signed out here and would still be good, with their end in Unix seconds.
    left: Mutex<HashMap<Token, i64>>,
}

/// One request of a browser.
struct Visit {
    door: Arc<Door>,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    ip: IpAddr,
    from_proxy: bool,
    /// Behind a lock only because a stream cannot be looked at from two threads, and a request can.
    body: Mutex<Option<Body>>,
}

/// Who asks, if anybody is signed in.
struct Signed {
    session: Session,
    operator: Operator,
    /// The session began with this request, and its cookie is to be set.
    fresh: bool,
}

/// The door. Call it inside the runtime.
pub fn routes(serve: Serve) -> BoxedFilter<(Response,)> {
    let console = &serve.app.config.console;
    let site = Site {
        path: "/console",
        cookie: "hf_console",
        context: "console session",
        life_seconds: console.session_life.duration().as_secs() as i64,
        secure: serve.app.config.private.secure_cookie,
        // Links to deliveries are passed on; whoever follows one is to stay signed in. No `GET` changes anything.
        same_site: SameSite::Lax,
    };
    let health = Health::new(&serve);
    let door = Arc::new(Door {
        assets: Assets::of(&site, &[]),
        keys: Authenticator::new(serve.app.clone()),
        live: Live::new(&serve, &health),
        bell: Bell::start(&serve.app),
        left: Mutex::default(),
        site,
        health,
        serve,
    });
    warp::path("console")
        .and(warp::path::tail())
        .and(warp::method())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::from_proxy())
        .and(listen::body())
        .then(move |tail: Tail, method: Method, query, headers, ip, from_proxy, body| {
            let (path, body) = (tail.as_str().trim_end_matches('/').to_owned(), Mutex::new(Some(body)));
            let visit = Visit { door: Arc::clone(&door), method, path, query, headers, ip, from_proxy, body };
            visit.response()
        })
        .boxed()
}

impl Visit {
    async fn response(self) -> Response {
        let (door, bodyless) = (Arc::clone(&self.door), self.method == Method::HEAD);
        // A browser that leaves drops its request; a change that has begun must still be brought to its end.
        let answer = match self.method {
            Method::POST => tokio::spawn(self.answer()).await.ok(),
            _ => AssertUnwindSafe(self.answer()).catch_unwind().await.ok(),
        };
        let mut response = match answer {
            Some(response) => response,
            None => {
                tracing::error!("a page of the console panicked");
                door.turned(None, "", Turned::defect()).await
            }
        };
        if bodyless {
            *response.body_mut() = Default::default();
        }
        response
    }

    async fn answer(self) -> Response {
        let looking = [Method::GET, Method::HEAD].contains(&self.method);
        if let Some(name) = self.path.strip_prefix("assets/").filter(|_| looking) {
            return self.door.assets.response(name, &self.query, &self.headers);
        }
        if self.method == Method::POST && !is_own_form(&self.headers) {
            return self.refused("This form was sent from another site's page, and was not carried out.").await;
        }
        match (self.path.as_str(), looking) {
            ("sign-in", true) => sign_in::show(&self).await,
            ("sign-in", false) if self.method == Method::POST => sign_in::enter(&self).await,
            ("sign-out", false) if self.method == Method::POST => sign_in::leave(&self).await,
            _ => self.signed_in().await,
        }
    }

    async fn refused(&self, words: &str) -> Response {
        let turned = Turned::Page { status: StatusCode::FORBIDDEN, title: "Not carried out", words: words.into() };
        self.door.turned(None, "", turned).await
    }

    /// What only those who are signed in are answered.
    async fn signed_in(self) -> Response {
        let door = Arc::clone(&self.door);
        let signed = match self.who().await {
            Ok(Some(signed)) => signed,
            Ok(None) if self.path == "stream" => return live::over(),
            Ok(None) if self.method == Method::POST => {
                let words = "You were signed out meanwhile; nothing was done. Please sign in, and do it once more.";
                return door.led(&sign_in::path(&self), &Flash { good: false, words: words.into() });
            }
            Ok(None) => return frame::see_other(&sign_in::path(&self)),
            Err(turned) => return door.turned(None, "", turned).await,
        };
        let cookie = signed.fresh.then(|| signed.session.cookie(&door.serve.app, &door.site));
        let mut response = match (self.path.as_str(), &self.method) {
            ("stream", &Method::GET) => live::open(&door, &signed, &self.query),
            _ => self.page(&signed).await,
        };
        if let Some(cookie) = cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }

    /// Who asks.
    async fn who(&self) -> Result<Option<Signed>, Turned> {
        let (door, app) = (&self.door, &self.door.serve.app);
        let named = operator::named(app, &self.headers, self.from_proxy);
        let session = Session::from_headers(app, &door.site, &self.headers).filter(|session| !door.has_left(session));
        if let Some(session) = session
            && let Some(operator) = operator::of(app, &door.keys, &session, named).await?
        {
            return Ok(Some(Signed { session, operator, fresh: false }));
        }
        // Who comes through a proxy that signs people in needs no page of ours for it; a form without a session is not carried out.
        let Some(name) = named.filter(|_| self.method != Method::POST) else { return Ok(None) };
        let session = Session::begin(app, &door.site, &operator::of_proxy(name));
        let operator = operator::of(app, &door.keys, &session, named).await?;
        Ok(operator.map(|operator| Signed { session, operator, fresh: true }))
    }

    async fn page(self, signed: &Signed) -> Response {
        let door = Arc::clone(&self.door);
        let (page, parameters) = match routes::find(&self.method, &self.path) {
            Ok(found) => found,
            Err(missing) => return door.missing(signed, missing).await,
        };
        let here = page.section();
        let said = Flash::from_headers(&door.serve.app, &door.site, &self.headers);
        let call = match self.call(signed, page, parameters.clone()).await {
            Ok(call) => call,
            Err(turned) => {
                let turned = match page.run {
                    Run::Change { name, .. } => door.refused(signed, name, &parameters, turned).await,
                    Run::Look(_) => turned,
                };
                return door.turned(Some(signed), &here, turned).await;
            }
        };
        match &page.run {
            Run::Look(run) => match run(call).await {
                Ok(view) => door.shown(signed, &here, view, said).await,
                Err(turned) => door.turned(Some(signed), &here, turned).await,
            },
            Run::Change { run, name, told } => match door.changed(call, *run, name, told).await {
                Ok(Done { to, flash, .. }) => door.led(&to, &flash),
                Err(turned) => door.turned(Some(signed), &here, turned).await,
            },
        }
    }

    /// The request as the page wants it: allowed, and a form with its session's token.
    async fn call(self, signed: &Signed, page: &Page, parameters: Vec<String>) -> Result<Call, Turned> {
        if !page.is_open_to(&signed.operator.scopes) {
            let scope = page.scope.map_or("", crate::senders::Scope::name);
            let words = format!(
                "This needs a key with the scope “{scope}”; yours has {}.",
                signed.operator.scopes.names().join(", ")
            );
            return Err(Turned::Page { status: StatusCode::FORBIDDEN, title: "Not for this key", words });
        }
        let fields = match page.run {
            Run::Change { .. } => self.read_form(signed).await?,
            Run::Look(_) => Fields::default(),
        };
        let query = Fields::parse(self.query.as_bytes());
        let (operator, session) = (signed.operator.clone(), signed.session.clone());
        Ok(Call { door: self.door, operator, session, parameters, query, fields })
    }

    async fn read_form(&self, signed: &Signed) -> Result<Fields, Turned> {
        let fields = self.read_fields().await?;
        if signed.session.owns(fields.get(TOKEN_FIELD)) {
            return Ok(fields);
        }
        let words = "This form is out of date, and was not carried out. Please go back, load its page again, and send it once more.";
        Err(Turned::Page { status: StatusCode::FORBIDDEN, title: "Not carried out", words: words.into() })
    }

    async fn read_fields(&self) -> Result<Fields, Turned> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return Ok(Fields::default()) };
        let words = || "The form did not arrive as a whole.".to_owned();
        let read = Fields::read(body, BODY_LIMIT).await;
        read.map_err(|status| Turned::Page { status, title: "That did not work", words: words() })
    }
}

impl Door {
    /// Whether somebody signed out of this session here.
    fn has_left(&self, session: &Session) -> bool {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session.id())
    }

    fn leave(&self, session: &Session) {
        let now = self.serve.app.clock.unix_seconds();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, until| *until > now);
        left.insert(session.id(), session.until());
    }

    /// Makes a change, with its row in the record before and its end after.
    async fn changed(
        &self,
        call: Call,
        run: fn(Call) -> futures_util::future::BoxFuture<'static, call::Changed>,
        name: &'static str,
        told: &[&str],
    ) -> call::Changed {
        let parts = call.parameters.iter().cloned().chain(fields_told(told, &call.fields));
        let row = self.begin(&call.operator, name, parts.collect()).await?;
        let result = AssertUnwindSafe(run(call)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(action = name, "a change panicked");
            Err(Turned::defect())
        });
        let (status, made) = call::outcome(&result);
        self.end(row, status, made).await;
        result
    }

    /// Writes down a change that was refused before it was begun.
    async fn refused(&self, signed: &Signed, name: &'static str, parameters: &[String], turned: Turned) -> Turned {
        match self.begin(&signed.operator, name, parameters.to_vec()).await {
            Ok(row) => {
                self.end(row, turned.status(), None).await;
                turned
            }
            Err(error) => error.into(),
        }
    }

    async fn begin(&self, operator: &Operator, action: &'static str, parts: Vec<String>) -> Result<Uuid, DbError> {
        let subject = parts.join(" ");
        let deed = Deed { via: Via::Console, actor: &operator.name, key: operator.key, action, subject };
        crate::audit::begin(&self.serve.app, &deed).await
    }

    async fn end(&self, row: Uuid, status: StatusCode, made: Option<Uuid>) {
        let made = made.map(|id| id.to_string());
        if let Err(error) = crate::audit::end_with(&self.serve.app, row, status.as_u16(), made.as_deref()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(id = %row, error, "how a change ended could not be written down");
        }
    }

    /// To a page that says what became of a change.
    fn led(&self, to: &str, flash: &Flash) -> Response {
        let mut response = frame::see_other(to);
        response.headers_mut().append(SET_COOKIE, flash.cookie(&self.serve.app, &self.site));
        response
    }

    async fn shown(&self, signed: &Signed, here: &str, view: View, said: Option<Flash>) -> Response {
        let mut response = self.view(Some(signed), here, StatusCode::OK, &view, said.as_ref()).await;
        if said.is_some() {
            response.headers_mut().append(SET_COOKIE, flash::said(&self.site));
        }
        response
    }

    async fn view(
        &self,
        signed: Option<&Signed>,
        here: &str,
        status: StatusCode,
        view: &View,
        said: Option<&Flash>,
    ) -> Response {
        let stream = Some(view.stream.unwrap_or(STRIP_STREAM));
        self.framed(Framed { signed, here, said, stream }, status, &view.title, &view.main).await
    }

    async fn missing(&self, signed: &Signed, missing: Missing) -> Response {
        let (status, words) = match missing {
            Missing::NotFound => (StatusCode::NOT_FOUND, "There is no such page."),
            Missing::Allowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "This page is not used that way."),
        };
        let turned = Turned::Page { status, title: "Not found", words: words.into() };
        let mut response = self.turned(Some(signed), "", turned).await;
        if let Missing::Allowed(methods) = missing {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }

    /// What is answered instead of a page.
    async fn turned(&self, signed: Option<&Signed>, here: &str, turned: Turned) -> Response {
        let (status, title, words) = match turned {
            Turned::Page { status, title, words } => (status, title, words),
            Turned::Back { to, words, .. } => return self.led(&to, &Flash { good: false, words }),
            Turned::Shown { status, view, .. } => return self.view(signed, here, status, &view, None).await,
            Turned::Whole(response) => return *response,
        };
        let main = html! { h1 { (title) } (pieces::alert(&words)) p { a href="/console" { "To the console" } } };
        let mut response = self.framed(Framed { signed, here, ..Framed::default() }, status, title, &main).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }

    async fn framed(&self, framed: Framed<'_>, status: StatusCode, title: &str, main: &Markup) -> Response {
        let groups = framed.signed.map(|signed| routes::navigation(&signed.operator.scopes)).unwrap_or_default();
        let strip = Some(health::strip(&self.health.missing().await));
        let frame = Frame {
            site: &self.site,
            assets: &self.assets,
            name: "handfast",
            of: &self.serve.app.config.domain,
            groups: &groups,
            here: framed.here,
            signed_in: framed.signed.map(|signed| (signed.operator.name.as_str(), &signed.session)),
            strip,
            flash: framed.said,
            stream: framed.stream,
        };
        frame.response(status, title, main)
    }
}

/// Of a form the fields that are told, as `name=value`; an empty one only where it means something, which then stands behind its name.
fn fields_told(told: &[&str], fields: &Fields) -> Vec<String> {
    let tell = |field: &&str| {
        let (name, empty) = field.split_once('=').map_or((*field, None), |(name, empty)| (name, Some(empty)));
        Some(format!("{name}={}", fields.filled(name).or(empty)?))
    };
    told.iter().filter_map(tell).collect()
}

/// What is around a page.
#[derive(Default)]
struct Framed<'a> {
    signed: Option<&'a Signed>,
    here: &'a str,
    said: Option<&'a Flash>,
    stream: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_is_told_too() {
        let told =
            |body: &str| fields_told(&["name", "rate=none", "takes=no"], &Fields::parse(body.as_bytes())).join(" ");
        assert_eq!(told("rate=5&takes=yes&secret=x"), "rate=5 takes=yes");
        assert_eq!(told("name=a&rate="), "name=a rate=none takes=no");
    }
}
