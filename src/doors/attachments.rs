//! The door of files that are kept in a directory of this node: `/attachments/{id}`, by signed URLs.
//!
//! PUT stores, GET and HEAD fetch, OPTIONS lets scripts of any site do so in browsers; the URL is the right, there is no other. A file
//! goes through in parts, so memory is bounded by how many are under way. Clients of the protocol take no other success than 200
//! (specification §1.8), so PUT answers that and no 201.
//!
//! | status | |
//! |---|---|
//! | 200 | stored; or here it is (206: the part of it that was asked for) |
//! | 400 | nothing was sent, or it broke off |
//! | 403 | the signature is not valid for this, or the URL has expired |
//! | 404 | no such file, or no such place to store one |
//! | 408 | the upload was silent for `public.read_timeout`, or slower than 1 KiB a second, or took an hour |
//! | 413 | larger than `textsecure.attachments.largest` |
//! | 415 | `Content-Type` is not `application/octet-stream` |
//! | 416 | the part that was asked for is not in the file |
//! | 503 | too many at once, or database or directory are away: try again |

mod download;
mod range;
mod traffic;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::traffic::Traffic;
use crate::App;
use crate::attachments::{Attachments, Denied, Error, Operation};
use crate::listen::{self, Body};

/// Uploads at once, in all and from one source; each holds a part in memory and an open file.
const UPLOADS: (usize, usize) = (128, 16);
/// Downloads, likewise.
const DOWNLOADS: (usize, usize) = (512, 32);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, OPTIONS");

/// What requests share.
struct Door {
    app: App,
    files: Attachments,
    uploads: Traffic,
    downloads: Traffic,
}

/// One request, whoever it is from.
struct Asked {
    id: u64,
    query: String,
    headers: HeaderMap,
    ip: IpAddr,
}

/// The door's routes: everything below `/attachments`.
pub fn routes(app: &App, files: &Attachments) -> BoxedFilter<(Response,)> {
    let door = Arc::new(Door {
        app: app.clone(),
        files: files.clone(),
        uploads: Traffic::new(UPLOADS),
        downloads: Traffic::new(DOWNLOADS),
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path("attachments")
        .and(warp::path::tail())
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(listen::client_ip())
        .and(listen::body())
        .then(move |tail: warp::path::Tail, method, query, headers, ip, body| {
            let door = Arc::clone(&door);
            let asked = id(tail.as_str()).map(|id| Asked { id, query, headers, ip });
            async move {
                match asked {
                    Some(asked) => for_browsers(door.answer(method, asked, body).await),
                    None => for_browsers(text(StatusCode::NOT_FOUND, "no such file")),
                }
            }
        })
        .boxed()
}

impl Door {
    async fn answer(&self, method: Method, asked: Asked, body: Body) -> Response {
        let operation = match method {
            Method::PUT => Operation::Put,
            Method::GET | Method::HEAD => Operation::Get,
            Method::OPTIONS => return preflight(&asked.headers),
            _ => return not_allowed(),
        };
        if let Err(denied) = self.files.check(operation, asked.id, &asked.query) {
            return refused(denied);
        }
        let answer = match operation {
            Operation::Put => self.upload(&asked, body).await,
            Operation::Get => self.download(&asked, method == Method::HEAD).await,
        };
        answer.unwrap_or_else(|error| away(&error))
    }
}

/// Digits as we write them; anything else is no file's name.
fn id(tail: &str) -> Option<u64> {
    let id = tail.parse::<u64>().ok().filter(|id| *id <= i64::MAX.cast_unsigned())?;
    (id.to_string() == tail).then_some(id)
}

fn refused(denied: Denied) -> Response {
    text(StatusCode::FORBIDDEN, &denied.to_string())
}

fn away(error: &Error) -> Response {
    tracing::warn!(error = error as &dyn std::error::Error, "attachments could not be served");
    try_again("files cannot be stored or read now")
}

fn try_again(why: &str) -> Response {
    with(text(StatusCode::SERVICE_UNAVAILABLE, why), header::RETRY_AFTER, HeaderValue::from_static("10"))
}

fn not_allowed() -> Response {
    with(text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD or PUT"), header::ALLOW, METHODS)
}

/// What a browser asks before it lets a script send its PUT. The URL is the right, so every site may.
fn preflight(headers: &HeaderMap) -> Response {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = Response::default();
    let answer = response.headers_mut();
    answer.insert(header::ALLOW, METHODS);
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        asked.unwrap_or_else(|| HeaderValue::from_static("content-type, range, if-range")),
    );
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

/// Refusals as well: a script is to see why.
fn for_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("accept-ranges, content-length, content-range, etag, retry-after"),
    );
    // Whatever was stored, it is not to be shown as a page of ours.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn text(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(format!("{text}\n").into());
    *response.status_mut() = status;
    with(response, header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
}

fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_range(value: &str) {
    for bytes in [0, 1, 10, u64::MAX] {
        if let range::Wanted::Part(part) = range::wanted(Some(value), bytes) {
            assert!(part.start < part.end && part.end <= bytes, "a part that is not in the file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_as_we_write_it_names_a_file() {
        assert_eq!(id("0"), Some(0));
        assert_eq!(id("9223372036854775807"), Some(i64::MAX.cast_unsigned()));
        for tail in
            ["", "-1", "+1", "01", "1/", "1/..", "../1", "%31", "1 ", "9223372036854775808", "1e3", "unfinished/1"]
        {
            assert_eq!(id(tail), None, "{tail}");
        }
    }
}
