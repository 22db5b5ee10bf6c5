//! GET and HEAD: a file, or a part of it.

use futures_util::StreamExt;
use http::StatusCode;
use http::header::{self, HeaderValue};
use warp::Reply;
use warp::reply::Response;

use super::range::{Wanted, wanted};
use super::traffic::{Lane, Pace};
use super::{Asked, Door, text, try_again, with};
use crate::attachments::{Error, Found, Parts};

impl Door {
    pub(super) async fn download(&self, asked: &Asked, head: bool) -> Result<Response, Error> {
        let Some(lane) = self.downloads.take(asked.ip) else { return Ok(try_again("too many downloads at once")) };
        let Some(found) = self.files.find(asked.id).await? else { return Ok(missing()) };
        let wanted = if head { Wanted::All } else { wanted(range(asked, &found), found.bytes) };
        let (status, range) = match wanted {
            Wanted::All => (StatusCode::OK, 0..found.bytes),
            Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::Nothing => return Ok(not_in_it(found.bytes)),
        };
        let mut response = if head {
            Response::default()
        } else {
            let Some(parts) = self.files.read(asked.id, range.clone()).await? else { return Ok(missing()) };
            stream(parts, lane)
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        insert(headers, header::ETAG, &tag(&found));
        if status == StatusCode::PARTIAL_CONTENT {
            let (first, last) = (range.start, range.end - 1);
            insert(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", found.bytes));
        }
        Ok(response)
    }
}

/// The place is free again when the last part is gone, or the client, or when it takes too long.
fn stream(parts: Parts, lane: Lane) -> Response {
    let (pace, mut sent) = (Pace::start(), 0);
    let parts = parts.map(move |part| {
        let _held = &lane;
        let part = part.inspect_err(|error| {
            tracing::warn!(error = error as &dyn std::error::Error, "an attachment could not be read to its end");
        });
        let part = part.map_err(|_| "it could not be read")?;
        if pace.is_too_slow(sent) {
            return Err("the client reads too slowly");
        }
        sent += part.len() as u64;
        Ok(part)
    });
    warp::reply::stream(parts).into_response()
}

/// The header's value, unless it is meant for another version of the file than there is.
fn range<'a>(asked: &'a Asked, found: &Found) -> Option<&'a str> {
    let value = |name| asked.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let same = value(header::IF_RANGE).is_none_or(|known| known == tag(found));
    value(header::RANGE).filter(|_| same)
}

fn tag(found: &Found) -> String {
    format!("\"{}\"", found.tag.trim_matches('"'))
}

fn missing() -> Response {
    text(StatusCode::NOT_FOUND, "no such file")
}

fn not_in_it(bytes: u64) -> Response {
    let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "not in this file");
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{bytes}"));
    with(response, header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

fn insert(headers: &mut http::HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
