//! The form door, `/handshake`: a person starts a handshake in a browser, without any program.
//!
//! | request | answer |
//! |---|---|
//! | `GET /handshake` | the form; the sign-in page for who has no session |
//! | `POST /handshake` | starts a handshake, waits up to 30 s, and says in words what became of it |
//! | `GET`, `POST /handshake/login` | signs in with an API key (scope `connections`) |
//! | `POST /handshake/logout` | ends the session |
//!
//! Promises: no script; nothing is kept by browsers or proxies; every change needs the session's own token and comes from our own
//! pages; a pass code is never shown again, not even beside its error. Leaves out everything else the API can do.

mod page;
mod posted;

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use crate::accounts::{self, Account};
use crate::config::ByteSize;
use crate::handshakes::{self, Handshake, NewHandshake};
use crate::listen::{self, Body};
use crate::senders::{self, Key, Scope};

use super::Serve;
use super::page::is_own_form;
use super::site::fields::Fields;
use super::site::session::{self, Session, TOKEN_FIELD};
use super::site::{SameSite, Site};
use crate::failure::{Failure, chain};
use page::Form;
use posted::{Wanted, read_wanted};

/// Largest body: three short fields.
const BODY_LIMIT: ByteSize = ByteSize::kib(8);
/// How long the result page waits for the handshake to end.
const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Up to so many accounts are offered in a list; beyond, the address is typed.
const LISTED: usize = 50;

/// How long a session lasts.
const SESSION_SECONDS: i64 = 12 * 3600;

const OUR_SIDE: &str = "Something went wrong on our side. It is in the node's log.";

/// The door.
pub fn routes(serve: Serve) -> BoxedFilter<(Response,)> {
    warp::path("handshake")
        .and(warp::path::tail())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(listen::body())
        .then(move |tail: Tail, method: Method, headers: HeaderMap, body: Body| {
            let visit = Visit { serve: serve.clone(), headers, body: Mutex::new(Some(body)) };
            async move {
                let path = tail.as_str().trim_end_matches('/').to_owned();
                let bodyless = method == Method::HEAD;
                let answer = AssertUnwindSafe(visit.answer(&method, &path)).catch_unwind().await;
                let mut response = answer.unwrap_or_else(|_| {
                    tracing::error!("a form page panicked");
                    page::failure(StatusCode::INTERNAL_SERVER_ERROR, OUR_SIDE)
                });
                if bodyless {
                    *response.body_mut() = Default::default();
                }
                response
            }
        })
        .boxed()
}

/// One request of a browser.
struct Visit {
    serve: Serve,
    headers: HeaderMap,
    /// Behind a lock only because a stream cannot be looked at from two threads, and a request can.
    body: Mutex<Option<Body>>,
}

/// An answer that ends the visit early.
struct Turned(Box<Response>);

impl Turned {
    fn with(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl<E: Failure> From<E> for Turned {
    fn from(error: E) -> Self {
        tracing::error!(error = %chain(&error), "a form page failed");
        let (status, words) = if error.is_passing() {
            (StatusCode::SERVICE_UNAVAILABLE, "The node is busy or restarting. Please try again in a moment.")
        } else {
            (StatusCode::INTERNAL_SERVER_ERROR, OUR_SIDE)
        };
        Self(Box::new(page::failure(status, words)))
    }
}

fn site(secure: bool) -> Site {
    Site {
        path: "/handshake",
        cookie: "hf_session",
        context: "handshake form session",
        life_seconds: SESSION_SECONDS,
        secure,
        same_site: SameSite::Strict,
    }
}

impl Visit {
    fn site(&self) -> Site {
        site(self.serve.app.config.private.secure_cookie)
    }

    async fn answer(self, method: &Method, path: &str) -> Response {
        let looking = [Method::GET, Method::HEAD].contains(method);
        let answer = match (path, method) {
            ("", _) if looking => self.show().await,
            ("", &Method::POST) => self.start().await,
            ("login", _) if looking => Ok(page::login(StatusCode::OK, None)),
            ("login", &Method::POST) => self.log_in().await,
            ("logout", &Method::POST) => self.log_out().await,
            ("" | "login", _) => Ok(page::wrong_method("GET, HEAD, POST")),
            ("logout", _) => Ok(page::wrong_method("POST")),
            _ => Ok(page::failure(StatusCode::NOT_FOUND, "There is no such page.")),
        };
        answer.unwrap_or_else(|Turned(response)| *response)
    }

    /// The session and its key, if there is one that still holds.
    async fn session(&self) -> Result<Option<(Session, Key)>, Turned> {
        let Some(session) = Session::from_headers(&self.serve.app, &self.site(), &self.headers) else {
            return Ok(None);
        };
        let key = senders::authenticate(&self.serve.app, session.secret()).await?;
        Ok(key.filter(may_connect).map(|key| (session, key)))
    }

    async fn show(self) -> Result<Response, Turned> {
        let Some((session, key)) = self.session().await? else { return Ok(redirect("/handshake/login")) };
        let accounts = self.accounts(&key).await?;
        Ok(page::form(StatusCode::OK, &Form::new(&session, &accounts)))
    }

    /// The accounts the key may use, as far as they fit a list; empty when they are to be typed.
    async fn accounts(&self, key: &Key) -> Result<Vec<Account>, Turned> {
        let app = &self.serve.app;
        let mut accounts = match &key.account {
            Some(own) => accounts::find(app, &own.address).await?.into_iter().collect(),
            None => accounts::list(app, None, LISTED as i64 + 1).await?,
        };
        if accounts.len() > LISTED {
            accounts.clear();
        }
        accounts.retain(|account| !account.disabled);
        Ok(accounts)
    }

    async fn log_in(self) -> Result<Response, Turned> {
        self.refuse_other_sites()?;
        let fields = self.read_fields().await?;
        let app = &self.serve.app;
        let key = senders::authenticate(app, fields.get("api_key").trim()).await?;
        if !key.as_ref().is_some_and(may_connect) {
            let words = "This key is not known, was revoked, or lacks the scope “connections”.";
            return Ok(page::login(StatusCode::FORBIDDEN, Some(words)));
        }
        let mut response = redirect("/handshake");
        let cookie = Session::begin(app, &self.site(), fields.get("api_key").trim()).cookie(app, &self.site());
        response.headers_mut().insert(SET_COOKIE, cookie);
        Ok(response)
    }

    async fn log_out(self) -> Result<Response, Turned> {
        self.refuse_other_sites()?;
        let mut response = redirect("/handshake/login");
        response.headers_mut().insert(SET_COOKIE, session::end(&self.site()));
        Ok(response)
    }

    async fn start(self) -> Result<Response, Turned> {
        self.refuse_other_sites()?;
        let Some((session, key)) = self.session().await? else { return Ok(redirect("/handshake/login")) };
        let accounts = self.accounts(&key).await?;
        let fields = self.read_fields().await?;
        if !session.owns(fields.get(TOKEN_FIELD)) {
            let words = "This form is out of date. Please fill it in again.";
            return Ok(page::form(
                StatusCode::FORBIDDEN,
                &Form { error: Some(words.into()), ..Form::new(&session, &accounts) },
            ));
        }
        let (account, wanted) = match self.check(&key, &fields).await? {
            Ok(checked) => checked,
            Err(error) => {
                let other = fields.get("other_openmsg_address");
                let form = Form { error: Some(error), other, ..Form::new(&session, &accounts) };
                return Ok(page::form(StatusCode::UNPROCESSABLE_ENTITY, &form));
            }
        };
        let handshake = run(&self.serve, &key, &account, wanted).await?;
        Ok(page::result(&session, &handshake))
    }

    /// What is asked for and by which account, or words for what is wrong with it.
    async fn check(&self, key: &Key, fields: &Fields) -> Result<Result<(Account, Wanted), String>, Turned> {
        let wanted = match read_wanted(fields, &self.serve.app.config.domain) {
            Ok(wanted) => wanted,
            Err(words) => return Ok(Err(words)),
        };
        if key.account.as_ref().is_some_and(|own| own.address != wanted.from) {
            return Ok(Err("Your key is bound to another account.".into()));
        }
        let account = accounts::find(&self.serve.app, &wanted.from).await?.filter(|account| !account.disabled);
        Ok(match account {
            Some(account) => Ok((account, wanted)),
            None => Err(format!("There is no account {} that is in use.", wanted.from)),
        })
    }

    async fn read_fields(&self) -> Result<Fields, Turned> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return Ok(Fields::default()) };
        let fields = Fields::read(body, BODY_LIMIT).await;
        fields.map_err(|status| Turned::with(page::failure(status, "The form did not arrive as a whole.")))
    }

    /// Refuses what another site's page sent: browsers say where a form came from.
    fn refuse_other_sites(&self) -> Result<(), Turned> {
        if is_own_form(&self.headers) {
            return Ok(());
        }
        Err(Turned::with(page::failure(
            StatusCode::FORBIDDEN,
            "This form was sent from another site's page, and was not carried out.",
        )))
    }
}

/// Whether a key is enough for this door.
fn may_connect(key: &Key) -> bool {
    key.scopes.allows(Scope::Connections, true)
}

/// Starts the handshake and waits for its end, as long as a person waits for a page.
async fn run(serve: &Serve, key: &Key, account: &Account, wanted: Wanted) -> Result<Handshake, Turned> {
    let new = NewHandshake {
        sender: key.sender.clone(),
        account_id: account.id,
        from: wanted.from,
        to: wanted.to,
        code: wanted.code,
        allow_replies: true,
    };
    let id = handshakes::start(&serve.app, &new).await?;
    let publisher = serve.publisher.clone();
    // Not waited for: if the broker does not take it, the scheduler publishes it again.
    tokio::spawn(async move { publisher.start_handshake(id).await });
    let until = Instant::now() + WAIT;
    loop {
        let handshake = handshakes::get(&serve.app, id).await?;
        let handshake =
            handshake.ok_or_else(|| Turned::with(page::failure(StatusCode::NOT_FOUND, "The handshake is gone.")))?;
        if handshake.finished_at.is_some() || Instant::now() >= until || serve.stopping.is_cancelled() {
            return Ok(handshake);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn redirect(to: &'static str) -> Response {
    let mut response = page::bare(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_cookie(line: &http::HeaderValue) {
    let app = crate::fuzzing::app();
    let headers = http::HeaderMap::from_iter([(http::header::COOKIE, line.clone())]);
    assert!(Session::from_headers(&app, &site(true), &headers).is_none(), "sealed by nobody");
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_body(body: &[u8]) {
    let fields = Fields::parse(body);
    match posted::read_wanted(&fields, "our.example") {
        Ok(wanted) => assert_eq!(wanted.from.domain().as_str(), "our.example"),
        Err(words) => {
            let code = fields.get("pass_code").trim();
            assert!(code.len() < 6 || !code.bytes().all(|b| b.is_ascii_digit()) || !words.contains(code));
        }
    }
}
