//! A request, taken apart as this protocol needs it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use warp::filters::path::FullPath;
use warp::{Filter, Rejection};

use super::Door;
use super::answer::Refusal;
use crate::listen::{self, Body, BodyError, Upgrade};

/// Segments are few: more are none of ours.
const MOST_SEGMENTS: usize = 16;

/// One request; its body is not read yet.
pub(super) struct Request {
    pub(super) method: Method,
    /// Decoded segments, without the empty ones that slashes make at the end. In a path `+` is no space (specification §0.1).
    pub(super) path: Vec<String>,
    /// What follows the second segment, as it was sent: directory tokens may hold slashes.
    pub(super) tail: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) ip: IpAddr,
    /// Where the client asks for another protocol.
    pub(super) upgrade: Option<Upgrade>,
    /// Locked only so that a request can be looked at while a future waits: a stream is not shared between threads.
    body: Mutex<Body>,
}

/// Takes any request.
pub(super) fn request() -> impl Filter<Extract = (Request,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::upgrade())
        .and(listen::body())
        .map(|method, path: FullPath, query, headers, ip, upgrade, body| {
            let text = path.as_str();
            let tail = text.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
            Request { method, path: segments(text), tail, query, headers, ip, upgrade, body: Mutex::new(body) }
        })
}

impl Request {
    /// A segment of the path, from 0; empty where there is none.
    pub(super) fn segment(&self, at: usize) -> &str {
        self.path.get(at).map_or("", String::as_str)
    }

    /// A parameter of the query, decoded; none also where it is empty. Here `+` is a space only where nothing else can be meant,
    /// which is nowhere.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))?;
        Some(value).filter(|value| !value.is_empty())
    }

    /// The body as JSON. 415 where it is none of this type, as the descriptions say.
    pub(super) async fn json<T: DeserializeOwned>(self, door: &Door) -> Result<T, Refusal> {
        serde_json::from_slice(&self.json_bytes(door).await?).map_err(|_| Refusal::UNSUPPORTED)
    }

    /// The same for bodies that are long by nature: they are read on a thread where nobody waits behind them.
    pub(super) async fn long_json<T>(self, door: &Door) -> Result<T, Refusal>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let body = self.json_bytes(door).await?;
        let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&body));
        read.await.map_err(|_| Refusal::Unavailable)?.map_err(|_| Refusal::UNSUPPORTED)
    }

    async fn json_bytes(self, door: &Door) -> Result<Bytes, Refusal> {
        let kind = self.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
        let plain = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if plain.is_some_and(|kind| !kind.eq_ignore_ascii_case("application/json")) {
            return Err(Refusal::UNSUPPORTED);
        }
        let limit = door.app.config.textsecure.body_limit;
        let body = self.body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let read = body.read(limit, door.app.config.public.read_timeout).await;
        let body = read.map_err(|error| match error {
            BodyError::TooLarge => Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE),
            BodyError::TooSlow => Refusal::Status(StatusCode::REQUEST_TIMEOUT),
            BodyError::Broken => Refusal::BAD_REQUEST,
        })?;
        // Every body of this protocol is an object; the reader would take a list of the values for one.
        body.trim_ascii_start().starts_with(b"{").then_some(body).ok_or(Refusal::UNSUPPORTED)
    }
}

fn segments(path: &str) -> Vec<String> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    path.split('/').take(MOST_SEGMENTS).map(decoded).collect()
}

/// Percent-decoded; what is no UTF-8 then becomes something that nothing is called.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(path: &str) {
    let all = segments(path);
    assert!(all.len() <= MOST_SEGMENTS && all.iter().map(String::len).sum::<usize>() <= 3 * path.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_clients_write_them() {
        let table = [
            ("/v1/accounts/sms/code/+14155550101", vec!["v1", "accounts", "sms", "code", "+14155550101"]),
            ("/v1/accounts/sms/code/%2B14155550101", vec!["v1", "accounts", "sms", "code", "+14155550101"]),
            ("/v1/keys/+1/%2A", vec!["v1", "keys", "+1", "*"]),
            ("/v1/keys/+1/*/", vec!["v1", "keys", "+1", "*"]),
            ("/v1/keys//", vec!["v1", "keys"]),
            ("/v1/a%2", vec!["v1", "a%2"]),
            ("/v1/a%zz", vec!["v1", "a%zz"]),
            ("/v1/a%+5", vec!["v1", "a%+5"]),
        ];
        for (path, expected) in table {
            assert_eq!(segments(path), expected, "{path}");
        }
    }
}
