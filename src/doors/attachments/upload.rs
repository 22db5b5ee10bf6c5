//! PUT: a body becomes a file, as it comes.

use http::StatusCode;
use http::header;
use warp::reply::Response;

use super::traffic::Pace;
use super::{Asked, Door, text, try_again};
use crate::attachments::{Error, Upload};
use crate::listen::{Body, BodyError};

/// The only type that files have here.
const TYPE: &str = "application/octet-stream";

impl Door {
    pub(super) async fn upload(&self, asked: &Asked, body: Body) -> Result<Response, Error> {
        if let Some(refused) = self.refused_unread(asked, &body) {
            return Ok(refused);
        }
        if self.files.is_nearly_full() {
            tracing::error!("the disk of the attachments is nearly full: an upload was refused");
            return Ok(try_again("no room at present"));
        }
        let Some(lane) = self.uploads.take(asked.ip) else { return Ok(try_again("too many uploads at once")) };
        let Some(upload) = self.files.begin(asked.id).await? else {
            return Ok(text(StatusCode::NOT_FOUND, "no such place"));
        };
        match self.receive(upload, body).await? {
            Ok(upload) => {
                // A client that has sent everything and leaves has stored its file.
                let finished = tokio::spawn(async move {
                    let _lane = lane;
                    upload.finish().await
                });
                finished.await.unwrap_or_else(|died| Err(Error::Store(died.to_string())))?;
                Ok(Response::default())
            }
            Err(refused) => Ok(refused),
        }
    }

    /// What can be said from the head.
    fn refused_unread(&self, asked: &Asked, body: &Body) -> Option<Response> {
        let kind = asked.headers.get(header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.to_str().is_ok_and(is_bytes)) {
            return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, TYPE));
        }
        // A part of a file would be taken for all of it (RFC 9110, 14.5).
        if asked.headers.contains_key(header::CONTENT_RANGE) {
            return Some(text(StatusCode::BAD_REQUEST, "a file is stored in one piece"));
        }
        match body.declared() {
            Some(0) => Some(empty()),
            Some(bytes) if bytes > self.largest() => Some(self.too_large()),
            _ => None,
        }
    }

    /// Everything, part by part; or why not, and then nothing of it stays.
    async fn receive(&self, mut upload: Upload, mut body: Body) -> Result<Result<Upload, Response>, Error> {
        let pace = Pace::start();
        loop {
            match body.next(self.app.config.public.read_timeout).await {
                Ok(Some(_)) if pace.is_too_slow(upload.bytes()) => return Ok(Err(too_slow())),
                Ok(Some(part)) if upload.bytes() + part.len() as u64 > self.largest() => {
                    return Ok(Err(self.too_large()));
                }
                Ok(Some(part)) => upload.write(part).await?,
                Ok(None) if upload.bytes() == 0 => return Ok(Err(empty())),
                Ok(None) => return Ok(Ok(upload)),
                Err(BodyError::TooSlow) => return Ok(Err(too_slow())),
                Err(BodyError::TooLarge | BodyError::Broken) => {
                    return Ok(Err(text(StatusCode::BAD_REQUEST, "the file broke off")));
                }
            }
        }
    }

    fn largest(&self) -> u64 {
        self.app.config.textsecure.attachments.largest.bytes()
    }

    fn too_large(&self) -> Response {
        let largest = self.app.config.textsecure.attachments.largest;
        text(StatusCode::PAYLOAD_TOO_LARGE, &format!("a file has at most {largest}"))
    }
}

fn is_bytes(kind: &str) -> bool {
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(TYPE)
}

fn too_slow() -> Response {
    text(StatusCode::REQUEST_TIMEOUT, "the file came too slowly")
}

fn empty() -> Response {
    text(StatusCode::BAD_REQUEST, "there is nothing to store")
}

#[cfg(test)]
mod tests {
    use super::is_bytes;

    #[test]
    fn parameters_and_case_of_the_type_do_not_matter() {
        for kind in ["application/octet-stream", "Application/Octet-Stream; charset=binary"] {
            assert!(is_bytes(kind), "{kind}");
        }
        for kind in ["", "text/html", "application/octet-streams", "text/html; application/octet-stream"] {
            assert!(!is_bytes(kind), "{kind}");
        }
    }
}
