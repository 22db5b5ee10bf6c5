//! What an endpoint is given: the key that asks, the path's parts, query, headers and the unread body.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;
use warp::reply::Response;

use crate::App;
use crate::accounts::{self, Account};
use crate::config::ByteSize;
use crate::doors::Serve;
use crate::envelopes::Bell;
use crate::listen::{Body, BodyError};
use crate::openmsg::Address;
use crate::senders::{Authenticator, Key};

use super::events::News;
use super::fields::Fields;
use super::messages::Ways;
use super::problem::{Kind, Problem};
use super::values;
use crate::inbox::Arrivals;

/// What an endpoint answers.
pub(super) type Answer = Result<Response, Problem>;

/// What all requests of this door share.
pub(super) struct Shared {
    pub(super) serve: Serve,
    /// Knows the keys it has seen in the last seconds.
    pub(super) keys: Authenticator,
    /// Looks up connections, many requests in one statement.
    pub(super) ways: Ways,
    /// Tells waiting requests of new inbox entries.
    pub(super) arrivals: Arrivals,
    /// Tells waiting requests of new events.
    pub(super) news: News,
    /// Tells devices that listen to look.
    pub(super) bell: Bell,
    /// Room for bodies, in KiB.
    pub(super) bodies: Arc<Semaphore>,
    /// How many requests may wait at once.
    pub(super) waiting: Arc<Semaphore>,
}

/// One request.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) parameters: Vec<String>,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Unread,
    /// What its body takes of the memory for all of them.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Memory for the bodies of all requests at once, in KiB.
pub(super) const MOST_BODIES_KIB: u32 = 256 * 1024;

impl Call {
    pub(super) fn app(&self) -> &App {
        &self.shared.serve.app
    }

    /// This node's domain.
    pub(super) fn domain(&self) -> &str {
        &self.app().config.domain
    }

    /// The query's fields.
    pub(super) fn query(&self) -> Fields {
        Fields::query(&self.query)
    }

    /// Refuses any query.
    pub(super) fn no_query(&self) -> Result<(), Problem> {
        self.query().finish(Some(()))
    }

    /// The path's `n`-th parameter, as an id; what is none cannot exist.
    pub(super) fn id(&self, n: usize, what: &str) -> Result<Uuid, Problem> {
        self.parameters.get(n).and_then(|text| text.parse().ok()).ok_or_else(|| Problem::not_found(what))
    }

    /// The account the path names, if this key may see it. To a bound key all others do not exist.
    pub(super) async fn account(&self) -> Result<Account, Problem> {
        let address = self.address()?;
        let account = accounts::find(self.app(), &address).await?;
        account.ok_or_else(|| Problem::not_found("account"))
    }

    /// The address the path names, if this key may see it.
    pub(super) fn address(&self) -> Result<Address, Problem> {
        let text = self.parameters.first().map(String::as_str).unwrap_or_default();
        Address::of_ours(text, self.domain())
            .ok()
            .filter(|address| self.may_see(address))
            .ok_or_else(|| Problem::not_found("account"))
    }

    /// Whether this key may see what belongs to this account.
    pub(super) fn may_see(&self, address: &Address) -> bool {
        self.key.account.as_ref().is_none_or(|account| account.address == *address)
    }

    /// Refuses to act for an account the key is not bound to.
    pub(super) fn act_for(&self, address: &Address) -> Result<(), Problem> {
        if self.may_see(address) {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, format!("This key is bound to another account than {address}.")))
    }

    /// Refuses keys that are bound to an account.
    pub(super) fn unbound(&self) -> Result<(), Problem> {
        match &self.key.account {
            None => Ok(()),
            Some(_) => Err(Problem::new(Kind::Forbidden, "A key that is bound to an account may not do that.")),
        }
    }

    /// A text header, if it is there.
    pub(super) fn header(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        value.to_str().map(Some).map_err(|_| Problem::field(name, "is not visible ASCII"))
    }

    /// The idempotency key of the request, if it has one.
    pub(super) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let Some(text) = self.header("idempotency-key")? else { return Ok(None) };
        let key = values::idempotency_key(Value::String(text.to_owned()));
        key.map(Some).map_err(|message| Problem::field("Idempotency-Key", message))
    }

    /// Whether the body is of this type, whatever its parameters.
    pub(super) fn is_of_type(&self, wanted: &str) -> bool {
        let given = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
    }

    /// The JSON body's fields. A body without any content needs no type.
    pub(super) async fn fields(&mut self) -> Result<Fields, Problem> {
        Fields::parse(&self.json().await?)
    }

    /// The body, which says that it is JSON, or is empty.
    pub(super) async fn json(&mut self) -> Result<Bytes, Problem> {
        let typed = self.is_of_type("application/json");
        if !typed && self.headers.contains_key(CONTENT_TYPE) {
            return Err(wrong_type());
        }
        let limit = self.app().config.private.body_limit;
        let timeout = self.app().config.private.read_timeout;
        let body = self.body.take()?;
        self.room = Some(self.room_for_body(limit).await?);
        let bytes = body.read(limit, timeout).await.map_err(|error| match error {
            BodyError::TooLarge => Problem::new(Kind::TooLarge, format!("A request body has at most {limit}.")),
            other => broken_body(other),
        })?;
        if !typed && !bytes.is_empty() {
            return Err(wrong_type());
        }
        Ok(bytes)
    }

    /// The body, which stays there to be read again.
    pub(super) async fn gather(&mut self) -> Result<Bytes, Problem> {
        let bytes = self.json().await?;
        // It is counted again when it is read again.
        self.room = None;
        self.body = Unread::new(Body::whole(bytes.clone()));
        Ok(bytes)
    }

    /// Bodies of all requests together are bounded: who comes when there is no room waits for it, before reading.
    async fn room_for_body(&self, limit: ByteSize) -> Result<OwnedSemaphorePermit, Problem> {
        let announced = self.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let kib = announced.unwrap_or(limit.bytes()).min(limit.bytes()) / 1024 + 1;
        let kib = u32::try_from(kib).unwrap_or(u32::MAX).min(MOST_BODIES_KIB);
        let room = Arc::clone(&self.shared.bodies).acquire_many_owned(kib).await;
        room.map_err(|_| Problem::new(Kind::Unavailable, "This process is stopping."))
    }

    /// Room to wait; the permit is held while the request waits.
    pub(super) fn wait(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.shared.waiting).try_acquire_owned().map_err(|_| {
            Problem::new(Kind::TooManyRequests, "Too many requests wait already; ask again without `wait`, or later.")
        })
    }
}

/// A body that has not been read yet. Behind a lock only because a stream cannot be looked at from two threads, and a request can.
pub(super) struct Unread(Mutex<Option<Body>>);

impl Unread {
    pub(super) fn new(body: Body) -> Self {
        Self(Mutex::new(Some(body)))
    }

    /// The body; only once.
    pub(super) fn take(&self) -> Result<Body, Problem> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        body.ok_or_else(|| Problem::new(Kind::Internal, "The body was read already."))
    }
}

/// Why a body could not be read, as a problem.
pub(super) fn broken_body(error: BodyError) -> Problem {
    match error {
        BodyError::TooLarge => Problem::new(Kind::TooLarge, "The request body is too large."),
        BodyError::TooSlow => Problem::new(Kind::TooSlow, "The request body did not arrive in time."),
        BodyError::Broken => Problem::new(Kind::Invalid, "The request body ended early."),
    }
}

fn wrong_type() -> Problem {
    Problem::new(Kind::UnsupportedMediaType, "The body must be `Content-Type: application/json`.")
}

/// The key was good when the request began, and is not any more.
pub(super) fn revoked() -> Problem {
    Problem::new(Kind::Unauthorized, "This key was revoked meanwhile.")
}

/// The key a request carries.
pub(super) async fn authenticate(keys: &Authenticator, headers: &HeaderMap) -> Result<Key, Problem> {
    let refuse = |why: &str| Problem::new(Kind::Unauthorized, why);
    let value = headers.get(AUTHORIZATION).ok_or_else(|| refuse("Send `Authorization: Bearer hf_…`."))?;
    let text = value.to_str().unwrap_or_default();
    let plain = match text.split_once(' ') {
        Some((scheme, plain)) if scheme.eq_ignore_ascii_case("bearer") => plain.trim(),
        _ => return Err(refuse("The Authorization header is not of the form `Bearer hf_…`.")),
    };
    let key = keys.authenticate(plain).await?;
    key.ok_or_else(|| refuse("This key is not known, or was revoked."))
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::failure(&error))?;
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// 200 with a JSON body.
pub(super) fn ok(body: &impl Serialize) -> Answer {
    json(StatusCode::OK, body)
}

/// 204.
pub(super) fn nothing() -> Answer {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
