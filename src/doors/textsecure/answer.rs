//! Answers: mostly a status and nothing else.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use crate::books::BooksError;
use crate::db::DbError;
use crate::limits::Spent;

/// What an endpoint answers.
pub(super) type Answer = Result<Response, Refusal>;

/// Why not, in this protocol's statuses.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401 with a challenge and a short text (specification §1.0).
    Unauthorized,
    /// 401 and nothing else: where the old server looked at the header itself.
    BareUnauthorized,
    /// 413: too often. With when there is room again, if ever.
    LimitExceeded(Option<Duration>),
    /// 503: try again later.
    Unavailable,
    /// A status, and nothing else.
    Status(StatusCode),
    /// A status with JSON: 409 and 410.
    Json(StatusCode, String),
}

impl Refusal {
    /// A number that is none, a token that is none.
    pub(super) const BAD_REQUEST: Self = Self::Status(StatusCode::BAD_REQUEST);
    /// A wrong code.
    pub(super) const FORBIDDEN: Self = Self::Status(StatusCode::FORBIDDEN);
    /// Nobody, nothing.
    pub(super) const NOT_FOUND: Self = Self::Status(StatusCode::NOT_FOUND);
    /// A body that cannot be read, a transport that is none.
    pub(super) const UNSUPPORTED: Self = Self::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    /// The number is registered with a federated node.
    pub(super) const TAKEN: Self = Self::Status(StatusCode::EXPECTATION_FAILED);

    pub(super) fn response(self) -> Response {
        let mut response = Response::new(Vec::new().into());
        match self {
            Self::Unauthorized => {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                *response.body_mut() = b"Credentials are required to access this resource.".to_vec().into();
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"WhisperServer\""));
            }
            Self::BareUnauthorized => *response.status_mut() = StatusCode::UNAUTHORIZED,
            Self::LimitExceeded(after) => {
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                if let Some(after) = after {
                    retry_after(response.headers_mut(), after);
                }
            }
            Self::Unavailable => {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                retry_after(response.headers_mut(), Duration::from_secs(5));
            }
            Self::Status(status) => *response.status_mut() = status,
            Self::Json(status, text) => {
                *response.status_mut() = status;
                *response.body_mut() = text.into();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        response
    }
}

impl std::fmt::Debug for Refusal {
    /// Its status: what a federated node wrote may name numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refusal({})", self.clone().response().status().as_u16())
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        if !error.is_passing() {
            tracing::error!(error = &error as &dyn std::error::Error, "a request of a device could not be answered");
        }
        Self::Unavailable
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<BooksError> for Refusal {
    fn from(error: BooksError) -> Self {
        if !error.is_passing() {
            tracing::error!(error = &error as &dyn std::error::Error, "a device's order could not be written down");
        }
        Self::Unavailable
    }
}

/// Goes on, or answers 413.
pub(super) fn within(spent: Spent) -> Result<(), Refusal> {
    match spent {
        Spent::Within => Ok(()),
        Spent::Over(after) => Err(Refusal::LimitExceeded(after)),
    }
}

/// 204: done, and nothing to say.
pub(super) fn done() -> Response {
    status(StatusCode::NO_CONTENT)
}

/// A status and nothing else.
pub(super) fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Vec::new().into());
    *response.status_mut() = status;
    response
}

/// 200 with JSON.
pub(super) fn json(what: &impl Serialize) -> Answer {
    serde_json::to_vec(what).map(json_text).map_err(|_| Refusal::Unavailable)
}

/// 200 with what is JSON already.
pub(super) fn json_text(text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Browsers' clients may read every answer (specification §1.0).
pub(super) fn with_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-type"));
    response
}

/// Whole seconds, never too few.
fn retry_after(headers: &mut HeaderMap, after: Duration) {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}
