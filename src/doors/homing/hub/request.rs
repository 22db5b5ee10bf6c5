//! A request, taken apart as this door needs it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use warp::path::Tail;
use warp::{Filter, Rejection};

use super::Door;
use super::answer::Refused;
use crate::config::ByteSize;
use crate::homing::query::{self, Pairs};
use crate::hub::{Refusal, spaces};
use crate::listen::{self, Body, BodyError};

/// Segments are few: more are none of ours.
const MOST_SEGMENTS: usize = 8;
/// Longest body: a vault has up to 64 KiB, and its text is quoted once more.
const LONGEST: ByteSize = ByteSize::kib(160);
/// Longest token looked at, in bytes.
const LONGEST_TOKEN: usize = 128;

/// One request; its body is not read yet.
pub(super) struct Request {
    pub(super) method: Method,
    /// What follows `/homing/hub/api/v1/`, in segments. Names and ids here need no escapes, so nothing is decoded.
    pub(super) path: Vec<String>,
    pub(super) ip: IpAddr,
    query: String,
    headers: HeaderMap,
    /// Locked only so that a request can be looked at while a future waits: a stream is not shared between threads.
    body: Mutex<Body>,
}

/// Takes any request.
pub(super) fn request() -> impl Filter<Extract = (Request,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::tail()
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::body())
        .map(|tail: Tail, method, query, headers, ip, body| {
            let path = tail.as_str().trim_end_matches('/').split('/').take(MOST_SEGMENTS).map(str::to_owned).collect();
            Request { method, path, ip, query, headers, body: Mutex::new(body) }
        })
}

impl Request {
    /// A segment of the path, from 0; empty where there is none.
    pub(super) fn segment(&self, at: usize) -> &str {
        self.path.get(at).map_or("", String::as_str)
    }

    /// The query's parameters.
    pub(super) fn query(&self) -> Result<Pairs, Refused> {
        query::pairs(&self.query).map_err(|_| Refused::bad("The query has a name twice, or is no UTF-8."))
    }

    /// The token of who is signed in.
    pub(super) fn token(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && (1..=LONGEST_TOKEN).contains(&token.len())).then_some(token)
    }

    /// The space that is signed in.
    pub(super) async fn space(&self, door: &Door) -> Result<Uuid, Refused> {
        let token = self.token().ok_or(Refusal::SignedOut)?;
        Ok(spaces::signed_in(&door.app, token).await?.ok_or(Refusal::SignedOut)?)
    }

    /// Whether the body is of this type, whatever its parameters.
    pub(super) fn is_of_type(&self, wanted: &str) -> bool {
        let given = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
    }

    /// The body as JSON.
    pub(super) async fn json<T: DeserializeOwned>(self, door: &Door) -> Result<T, Refused> {
        if !self.is_of_type("application/json") {
            return Err(Refused::unsupported());
        }
        read(&self.bytes(door).await?)
    }

    /// The same, where a body may be left out.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(self, door: &Door) -> Result<T, Refused> {
        let typed = self.is_of_type("application/json");
        let bytes = self.bytes(door).await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        if typed { read(&bytes) } else { Err(Refused::unsupported()) }
    }

    /// The body.
    pub(super) async fn bytes(self, door: &Door) -> Result<Bytes, Refused> {
        let body = self.body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let read = body.read(LONGEST, door.app.config.public.read_timeout).await;
        read.map_err(|error| match error {
            BodyError::TooLarge => Refused::too_large(),
            BodyError::TooSlow => Refused::too_slow(),
            BodyError::Broken => Refused::bad("The body ended early."),
        })
    }
}

/// Every body of this protocol is an object; the reader would take a list of the values for one.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let object = bytes.trim_ascii_start().starts_with(b"{");
    let read = serde_json::from_slice(bytes).ok().filter(|_| object);
    read.ok_or_else(|| Refused::bad("The body is not JSON of this form."))
}
