//! Answers: JSON, and refusals in the protocol's shape.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;
use warp::reply::Response;

use crate::db::DbError;
use crate::failure::chain;
use crate::hub::{Error, Refusal};

/// What an endpoint answers.
pub(super) type Answer = Result<Response, Refused>;

/// Why not.
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    retry_after: Option<Duration>,
    allow: Option<String>,
    /// What is in the log, where something is.
    id: Uuid,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, retry_after: None, allow: None, id: Uuid::new_v4() }
    }

    /// What is not as it should be, in words.
    pub(super) fn bad(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BAD_REQUEST", "The body is too large.")
    }

    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", "The body did not arrive in time.")
    }

    pub(super) fn unsupported() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", "The body must be application/json.")
    }

    /// 405; with the methods that would do.
    pub(super) fn method(allowed: String) -> Self {
        let refused =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path does not know that method.");
        Self { allow: Some(allowed), ..refused }
    }

    /// A defect of ours, which is logged here.
    pub(super) fn internal(why: &(impl Display + ?Sized)) -> Self {
        let refused = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Something went wrong on our side.");
        tracing::error!(request = %refused.id, error = %why, "a request of the hub could not be answered");
        refused
    }

    fn unavailable() -> Self {
        let refused =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "Not available right now; try again later.");
        Self { retry_after: Some(Duration::from_secs(5)), ..refused }
    }

    pub(super) fn response(self) -> Response {
        let body = json!({ "error": self.code, "message": self.message, "request_id": self.id });
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            // Whole seconds, never too few.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED && self.code == "SIGNED_OUT" {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        dressed(response)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (status, code, message) = words(refusal);
        let retry_after = match refusal {
            Refusal::RateLimited(after) => Some(after.unwrap_or(Duration::from_secs(1))),
            _ => None,
        };
        Self { retry_after, ..Self::new(status, code, message) }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Db(error) => error.into(),
            Error::Books(error) if error.is_passing() => Self::unavailable(),
            Error::Books(_) | Error::Sealed(_) => Self::internal(&chain(&error)),
        }
    }
}

impl From<DbError> for Refused {
    fn from(error: DbError) -> Self {
        if error.is_passing() { Self::unavailable() } else { Self::internal(&chain(&error)) }
    }
}

/// The table of the specification (logins, B.4), and what the parts for spaces add to it.
fn words(refusal: Refusal) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match refusal {
        Refusal::BadRequest(what) => (S::BAD_REQUEST, "BAD_REQUEST", what),
        Refusal::BadScopes => (S::BAD_REQUEST, "BAD_SCOPES", "Scopes are written mandatory;names|optional;names."),
        Refusal::ReservedParam => {
            (S::BAD_REQUEST, "RESERVED_PARAM", "f_in_g and names that begin with hs_ are the hub's.")
        }
        Refusal::BadUsername => (S::BAD_REQUEST, "BAD_USERNAME", "No persona can be called so."),
        Refusal::ClockSkew => (S::BAD_REQUEST, "CLOCK_SKEW", "The request's time is more than 60 seconds off."),
        Refusal::BadSignature => (S::UNAUTHORIZED, "BAD_SIGNATURE", "The signature does not fit."),
        Refusal::BadOtp => (S::UNAUTHORIZED, "BAD_OTP", "The one-time password does not fit."),
        Refusal::SignedOut => (S::UNAUTHORIZED, "SIGNED_OUT", "Sign in to the space first."),
        Refusal::TrialEnded => (S::PAYMENT_REQUIRED, "TRIAL_ENDED", "The site's trial is over."),
        Refusal::EndpointNotRegistered => {
            (S::FORBIDDEN, "ENDPOINT_NOT_REGISTERED", "The endpoint is not one of the site's.")
        }
        Refusal::SiteRevoked => (S::FORBIDDEN, "SITE_REVOKED", "The site was taken back."),
        Refusal::ScopeNotAllowed => {
            (S::FORBIDDEN, "SCOPE_NOT_ALLOWED", "A scope that may not be asked for, or was not, or in another order.")
        }
        Refusal::NotFound => (S::NOT_FOUND, "NOT_FOUND", "There is no such thing."),
        Refusal::Replayed => (S::CONFLICT, "REPLAYED", "This was asked before."),
        Refusal::AlreadyDecided => (S::CONFLICT, "ALREADY_DECIDED", "The welcome is decided."),
        Refusal::Taken => (S::CONFLICT, "TAKEN", "Somebody has, or had, this name or one that looks like it."),
        Refusal::Full => (S::CONFLICT, "FULL", "There is no room for more."),
        Refusal::BadIndex => (S::CONFLICT, "BAD_INDEX", "Another index is next."),
        Refusal::Conflict => (S::CONFLICT, "CONFLICT", "It was changed meanwhile."),
        Refusal::Expired => (S::GONE, "EXPIRED", "The welcome's time is over."),
        Refusal::MissingScope => (S::UNPROCESSABLE_ENTITY, "MISSING_SCOPE", "A mandatory scope is not granted."),
        Refusal::WrongCode => (S::UNPROCESSABLE_ENTITY, "WRONG_CODE", "The code is not the one that was sent."),
        Refusal::RateLimited(_) => (S::TOO_MANY_REQUESTS, "RATE_LIMITED", "Too often; try again later."),
    }
}

/// JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).map_err(|error| Refused::internal(&error))?;
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    Ok(dressed(response))
}

/// 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Answer {
    json(StatusCode::OK, body)
}

/// 204.
pub(super) fn nothing() -> Answer {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
