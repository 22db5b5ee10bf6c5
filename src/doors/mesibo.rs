//! The mesibo door: the "private backend API" that messengers built on mesibo's sources sign in with.
//!
//! `POST /`, also `/index.php` and `/api.php`, also as GET; one operation `login` in two steps, and `logout`. What is asked shows in
//! the body's bytes ([`fields`]), what is answered is HTTP 200 with JSON ([`answer`]). The operations of the first generation that
//! kept contacts, groups and pictures are left out on purpose: mesibo's own library does these today; they are `BADOP`.
//!
//! Promises: any request is answered, and only by a word of docs/mesibo.md; step 1 says the same whether somebody is known or not;
//! nothing of a request is logged. Nothing here calls anybody: tokens and verdicts of others are asks for a worker.

mod answer;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod origins;
mod request;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use self::answer::{Outcome, Word};
use self::origins::Origins;
use self::request::{Request, Secret};
use super::places::Places;
use crate::App;
use crate::books::Acceptor;
use crate::db::DbError;
use crate::listen::{self, Body, BodyError};
use crate::logins::apps::{self, Application, ResultStyle};
use crate::logins::{self, Logins, Started, Verified};
use crate::queue::Asker;

/// What may be done with the door's paths.
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS");
/// Applications whose style is remembered.
const MOST_STYLES: usize = 4096;
/// What a source with too many requests at once is told to wait.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What the requests share.
struct Door {
    app: App,
    logins: Logins,
    origins: Origins,
    places: Places,
    styles: Styles,
}

/// How the applications that were here want to be told, for answers before anything is looked up.
#[derive(Default)]
struct Styles(Mutex<HashMap<String, ResultStyle>>);

/// A request whose body is not read yet. Locked only so that it can be looked at while a future waits: a stream is not shared
/// between threads.
struct Arrived {
    method: Method,
    query: String,
    headers: HeaderMap,
    ip: IpAddr,
    body: Mutex<Body>,
}

/// The door's routes. Call it inside the runtime.
pub fn routes(app: &App, acceptor: &Acceptor, asker: &Asker) -> BoxedFilter<(Response,)> {
    let door = Arc::new(Door {
        app: app.clone(),
        logins: Logins::new(app, acceptor, asker),
        origins: Origins::new(&app.config.mesibo.origins),
        places: Places::new(app.config.public.connections_per_ip),
        styles: Styles::default(),
    });
    let path = |name: &'static str| warp::path(name).and(warp::path::end());
    let paths = warp::path::end().or(path("index.php")).unify().or(path("api.php")).unify();
    paths.and(arrived()).then(move |arrived| answer_one(Arc::clone(&door), arrived)).boxed()
}

fn arrived() -> impl Filter<Extract = (Arrived,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::body())
        .map(|method, query, headers, ip, body| Arrived { method, query, headers, ip, body: Mutex::new(body) })
}

async fn answer_one(door: Arc<Door>, arrived: Arrived) -> Response {
    let headers = arrived.headers.clone();
    if arrived.method == Method::OPTIONS {
        return door.origins.preflight(&headers, answer::bare(StatusCode::NO_CONTENT));
    }
    let work = {
        let door = Arc::clone(&door);
        // A client that leaves drops its request; what is counted and asked by then must still be brought to its end.
        tokio::spawn(async move { door.answer(arrived).await })
    };
    let response = work.await.unwrap_or_else(|_| {
        tracing::error!("a login panicked");
        answer::nothing(StatusCode::INTERNAL_SERVER_ERROR, "BACKEND", ResultStyle::Bool)
    });
    door.origins.let_read(&headers, response)
}

impl Door {
    async fn answer(&self, arrived: Arrived) -> Response {
        if ![Method::POST, Method::GET].contains(&arrived.method) {
            let mut response = answer::nothing(StatusCode::METHOD_NOT_ALLOWED, "BADMETHOD", ResultStyle::Bool);
            response.headers_mut().insert(header::ALLOW, METHODS);
            return response;
        }
        if !self.origins.let_in(&arrived.headers) {
            return answer::nothing(StatusCode::FORBIDDEN, "BADORIGIN", ResultStyle::Bool);
        }
        let body = arrived.body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let body = body.read(self.app.config.mesibo.body_limit, self.app.config.public.read_timeout).await;
        let request = match body {
            Ok(body) => Request::read(&body, &arrived.query),
            Err(BodyError::TooLarge) => {
                return answer::nothing(StatusCode::PAYLOAD_TOO_LARGE, "TOOLARGE", ResultStyle::Bool);
            }
            Err(BodyError::TooSlow) => {
                return answer::nothing(StatusCode::REQUEST_TIMEOUT, "TOOSLOW", ResultStyle::Bool);
            }
            Err(BodyError::Broken) => return answer::nothing(StatusCode::BAD_REQUEST, "NOOP", ResultStyle::Bool),
        };
        if request.op.is_empty() {
            let redirect = answer::elsewhere(&self.app.config.mesibo.empty_op_redirect);
            let style = request.style.unwrap_or_default();
            return redirect.unwrap_or_else(|| answer::nothing(StatusCode::BAD_REQUEST, "NOOP", style));
        }
        let (outcome, style) = match self.places.take(arrived.ip) {
            // Work outlives a client that leaves, so connections do not bound it.
            Some(_place) => self.operate(&request, arrived.ip).await,
            None => (Outcome::Limited(A_MOMENT), self.styles.of(&request)),
        };
        outcome.response(&request.op, self.app.clock.now().as_second(), request.style.unwrap_or(style))
    }

    /// What came of it, and how the application wants to be told.
    async fn operate(&self, request: &Request, ip: IpAddr) -> (Outcome, ResultStyle) {
        match request.op.as_str() {
            "login" => match self.application(request).await {
                Ok(application) if application.enabled => {
                    (self.login(&application, request, ip).await, application.result_style)
                }
                Ok(application) => (Outcome::Refused(Word::BadApp), application.result_style),
                Err(word) => (Outcome::Refused(word), self.styles.of(request)),
            },
            "logout" => self.logout(request).await,
            _ => {
                let style = self.application(request).await.map(|application| application.result_style);
                (Outcome::Refused(Word::BadOp), style.unwrap_or_else(|_| self.styles.of(request)))
            }
        }
    }

    async fn application(&self, request: &Request) -> Result<Application, Word> {
        let found = apps::find(&self.app, request.appid()?).await.map_err(|error| out_of_order(&error.into()))?;
        let application = found.ok_or(Word::BadApp)?;
        self.styles.remember(&application);
        Ok(application)
    }

    async fn login(&self, application: &Application, request: &Request, ip: IpAddr) -> Outcome {
        let Some(address) = request.address(application) else { return Outcome::Refused(Word::BadPhone) };
        let origin = request.origin(ip);
        match request.secret(&address) {
            None => match self.logins.start(application, &address, &origin).await {
                Ok(started) => of_start(started),
                Err(error) => Outcome::Refused(out_of_order(&error)),
            },
            Some(Secret::Unusable) => Outcome::Refused(wrong_code(application)),
            Some(Secret::Typed(secret)) => {
                match self.logins.verify(application, &address, &secret, request.name(), &origin).await {
                    Ok(verified) => of_verify(application, verified),
                    Err(error) => Outcome::Refused(out_of_order(&error)),
                }
            }
        }
    }

    /// Whatever the token was. Clients name no application here, and some read `result` as text only: so they are told "OK", as
    /// the original does; a caller that names its application is told in its style.
    async fn logout(&self, request: &Request) -> (Outcome, ResultStyle) {
        let token = request.token();
        if !token.is_empty()
            && let Err(error) = self.logins.sign_out(token).await
        {
            return (Outcome::Refused(out_of_order(&error)), ResultStyle::String);
        }
        let style = self.application(request).await.map_or(ResultStyle::String, |application| application.result_style);
        (Outcome::Done, style)
    }
}

impl Styles {
    fn remember(&self, application: &Application) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only applications that there are get here; deleted ones are forgotten at some time.
        if known.len() >= MOST_STYLES {
            known.clear();
        }
        known.insert(application.appid.clone(), application.result_style);
    }

    /// The usual one where the application was never here.
    fn of(&self, request: &Request) -> ResultStyle {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        request.appid().ok().and_then(|appid| known.get(appid).copied()).unwrap_or_default()
    }
}

fn of_start(started: Started) -> Outcome {
    match started {
        Started::Accepted => Outcome::Done,
        Started::Limited { after } => Outcome::Limited(after),
        Started::BadAddress => Outcome::Refused(Word::BadPhone),
        Started::Unavailable => Outcome::Refused(Word::Backend),
        Started::Refused(_) => Outcome::Refused(Word::BadApp),
    }
}

fn of_verify(application: &Application, verified: Verified) -> Outcome {
    match verified {
        Verified::Token { token, address, name, .. } => Outcome::SignedIn { token, address, name },
        Verified::Wrong => Outcome::Refused(wrong_code(application)),
        Verified::Limited { after } => Outcome::Limited(after),
        Verified::BadAddress => Outcome::Refused(Word::BadPhone),
        Verified::Unavailable => Outcome::Refused(Word::Backend),
        Verified::Refused(_) => Outcome::Refused(Word::BadUser),
    }
}

fn wrong_code(application: &Application) -> Word {
    if application.legacy_errors { Word::BadUser } else { Word::BadCode }
}

fn out_of_order(error: &logins::Error) -> Word {
    let passing = match error {
        logins::Error::Db(error) => DbError::is_passing(error),
        logins::Error::Books(error) => error.is_passing(),
        logins::Error::Json(_) => false,
    };
    if !passing {
        tracing::error!(error = error as &dyn std::error::Error, "a login could not be carried on");
    }
    Word::Backend
}
