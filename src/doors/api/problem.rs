//! The API's one error shape: `application/problem+json` (RFC 9457).
//!
//! Promises: every refusal has words for its reader, and nothing of the inside (statements, addresses, keys) in them. What failed
//! on our side is logged here, once, with its chain. Leaves out when to refuse what: the endpoints know.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use warp::reply::Response;

use crate::failure::{Failure, chain};

/// After how many seconds a client may ask again when something was away.
const RETRY_AFTER_SECONDS: u16 = 2;

/// What kind of refusal; each has its name, title and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No key, or one that is not known.
    Unauthorized,
    /// The key may not do this.
    Forbidden,
    /// There is no such thing (for this key).
    NotFound,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The state of things forbids it.
    Conflict,
    /// The body did not arrive in time.
    TooSlow,
    /// The body or a line of it is over its limit.
    TooLarge,
    /// Another content type is wanted.
    UnsupportedMediaType,
    /// The request is not what the contract asks for.
    Invalid,
    /// The idempotency key came before, with other content.
    IdempotencyMismatch,
    /// A code that signs nobody in.
    WrongCode,
    /// Too much at once.
    TooManyRequests,
    /// A defect of ours.
    Internal,
    /// Something we need is away for now.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooSlow,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::IdempotencyMismatch,
        Self::WrongCode,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// As in the `type` of an answer.
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// In words.
    pub fn title(self) -> &'static str {
        self.parts().1
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        self.parts().2
    }

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Unauthorized => ("unauthorized", "A valid API key is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "This key may not do that", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "This path does not know that method", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::Conflict => ("conflict", "The state of things forbids it", StatusCode::CONFLICT),
            Self::TooSlow => ("too-slow", "The request body came too slowly", StatusCode::REQUEST_TIMEOUT),
            Self::TooLarge => ("too-large", "The request is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "Another content type is needed", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Invalid => ("invalid", "The request is not valid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::IdempotencyMismatch => (
                "idempotency-mismatch",
                "This idempotency key was used with other content",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::WrongCode => {
                ("wrong-code", "The code is wrong, was used, or is not good any more", StatusCode::FORBIDDEN)
            }
            Self::TooManyRequests => ("too-many-requests", "Too many requests at once", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", "Something went wrong on our side", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => {
                ("unavailable", "Not available right now; try again later", StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Its name; rows and list elements as `messages[3].to`.
    pub field: String,
    /// What is wrong, in words.
    pub message: String,
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    allow: Option<String>,
    after: Option<Duration>,
}

impl Problem {
    /// A refusal of this kind; `detail` is for its reader.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), allow: None, after: None }
    }

    /// There is no such thing, or not for this key: both look the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}."))
    }

    /// Fields that are not what they should be, all of them.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are not valid; see `errors`.", many.len()),
        };
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    /// One field that is not what it should be.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// The methods this path does know.
    pub fn method_not_allowed(allow: String) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, format!("Allowed here: {allow}."));
        Self { allow: Some(allow), ..problem }
    }

    /// When it may be tried again, to be told in whole seconds.
    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    /// Something failed on our side. Logged here; the chain is not told to the caller.
    pub fn failure(error: &impl Failure) -> Self {
        if error.is_too_much() {
            let detail = "More waits to be delivered than may; nothing of this request was accepted. Try again later.";
            return Self::new(Kind::TooManyRequests, detail);
        }
        let chain = chain(error);
        if error.is_passing() {
            tracing::warn!(error = %chain, "an API request was answered \"unavailable\"");
            Self::new(Kind::Unavailable, "Nothing of this request was done that was not answered. Try again shortly.")
        } else {
            tracing::error!(error = %chain, "an API request failed");
            Self::new(Kind::Internal, "The failure is in the node's log.")
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.kind.parts().2
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is wrong, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What is wrong with which field.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Everything that is wrong, in one line.
    pub fn one_line(&self) -> String {
        match self.errors.as_slice() {
            [] | [_] => self.detail.clone(),
            many => {
                many.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// As an HTTP answer.
    pub fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            Kind::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"handfast\""));
            }
            Kind::Unavailable | Kind::TooManyRequests => {
                let known = self.after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
                headers.insert(RETRY_AFTER, known.map_or(u64::from(RETRY_AFTER_SECONDS), |after| after.max(1)).into());
            }
            _ => {}
        }
        if let Some(allow) = self.allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, title, status) = self.kind.parts();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:handfast:problem:{name}"))?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        if !self.errors.is_empty() {
            map.serialize_entry("errors", &self.errors)?;
        }
        map.end()
    }
}

impl<E: Failure> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::failure(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_the_contracts() {
        let problem = Problem::field("text", "is empty");
        insta::assert_snapshot!(serde_json::to_string(&problem).unwrap(), @r#"{"type":"urn:handfast:problem:invalid","title":"The request is not valid","status":422,"detail":"text: is empty","errors":[{"field":"text","message":"is empty"}]}"#);
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn headers_follow_the_kind() {
        let header = |problem: Problem, name| problem.into_response().headers().get(name).cloned();
        assert!(header(Problem::new(Kind::Unavailable, ""), RETRY_AFTER).is_some());
        assert!(header(Problem::new(Kind::Unauthorized, ""), WWW_AUTHENTICATE).is_some());
        assert_eq!(header(Problem::method_not_allowed("GET, POST".into()), ALLOW).unwrap(), "GET, POST");
        assert!(header(Problem::not_found("account"), ALLOW).is_none());
    }
}
