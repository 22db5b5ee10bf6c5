//! Headers of the user's own: what may be set, and what is the node's or the connection's business.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Headers in one set.
const MOST: usize = 20;
/// Bytes of all names and values together.
const MOST_BYTES: usize = 4096;
/// Set by the node, or part of how the connection works (RFC 9110, 7.6.1).
const TAKEN: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "expect",
];
/// The convention's own.
const TAKEN_PREFIX: &str = "webhook-";

/// Checked headers in the order of their names; none of them is one that the node sets. `Debug` shows the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(HeaderName, HeaderValue)>);

/// Why headers are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No name of a header.
    #[error("\"{0}\" is not the name of a header")]
    Name(String),
    /// One that the node sets.
    #[error("{0} is set by the node")]
    Taken(HeaderName),
    /// The same name in another case.
    #[error("{0} comes more than once")]
    Twice(HeaderName),
    /// Not visible ASCII.
    #[error("the value of {0} must be visible ASCII, with single spaces or tabs between words only")]
    Value(HeaderName),
    /// Too many, or too long.
    #[error("at most 20 headers, and 4096 bytes of names and values")]
    TooMuch,
}

impl CustomHeaders {
    /// From names and values.
    pub fn new<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, HeaderError> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        let mut bytes = 0;
        for (name, value) in given {
            bytes += name.len() + value.len();
            if headers.len() == MOST || bytes > MOST_BYTES {
                return Err(HeaderError::TooMuch);
            }
            let name = header_name(name)?;
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(HeaderError::Twice(name));
            }
            let value = header_value(value).ok_or_else(|| HeaderError::Value(name.clone()))?;
            headers.push((name, value));
        }
        // In whatever case and order they were given: the same set is the same value, and is so after a way through JSON.
        headers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Ok(Self(headers))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

fn header_name(text: &str) -> Result<HeaderName, HeaderError> {
    let name = HeaderName::try_from(text)
        .map_err(|_| HeaderError::Name(text.chars().filter(|c| !c.is_control()).take(64).collect()))?;
    if TAKEN.contains(&name.as_str()) || name.as_str().starts_with(TAKEN_PREFIX) {
        return Err(HeaderError::Taken(name));
    }
    Ok(name)
}

/// Visible ASCII (RFC 9110, 5.5, without the obsolete octets), white space inside only.
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
    let trimmed = text.trim() == text && !text.is_empty();
    let mut value = HeaderValue::from_str(text).ok().filter(|_| visible && trimmed)?;
    value.set_sensitive(true);
    Some(value)
}

impl Serialize for CustomHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))))
    }
}

impl<'de> Deserialize<'de> for CustomHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        Self::new(map.iter().map(|(name, value)| (name.as_str(), value.as_str()))).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_headers_are_taken_and_come_back() {
        let headers =
            CustomHeaders::new([("X-Api-Key", "k 1"), ("user-agent", "shop/1"), ("Authorization", "Token x")]);
        let headers = headers.unwrap();
        let text = serde_json::to_string(&headers).unwrap();
        assert_eq!(text, r#"{"authorization":"Token x","user-agent":"shop/1","x-api-key":"k 1"}"#);
        let again: CustomHeaders = serde_json::from_str(&text).unwrap();
        assert!(again == headers, "the same set in another order is another value");
        assert_eq!(format!("{headers:?}"), r#"["authorization", "user-agent", "x-api-key"]"#);
    }

    #[test]
    fn what_is_the_nodes_business_is_refused() {
        for name in TAKEN.iter().chain(&["Webhook-Id", "webhook-anything", "HOST", "Content-Type"]) {
            assert!(matches!(CustomHeaders::new([(*name, "x")]), Err(HeaderError::Taken(_))), "{name}");
        }
        for name in ["", "a b", "a:", "ä", "a\r\nb", "\0"] {
            assert!(matches!(CustomHeaders::new([(name, "x")]), Err(HeaderError::Name(_))), "{name:?}");
        }
        for value in ["", " x", "x ", "a\r\nb: c", "a\nb", "\0", "ä", "\x7f"] {
            assert!(matches!(CustomHeaders::new([("x-a", value)]), Err(HeaderError::Value(_))), "{value:?}");
        }
        assert!(matches!(CustomHeaders::new([("x-a", "1"), ("X-A", "2")]), Err(HeaderError::Twice(_))));
    }

    #[test]
    fn sets_are_bounded() {
        let names: Vec<String> = (0..21).map(|n| format!("x-{n}")).collect();
        let set = |n: usize| CustomHeaders::new(names[..n].iter().map(|name| (name.as_str(), "v")));
        assert!(set(20).is_ok());
        assert_eq!(set(21), Err(HeaderError::TooMuch));
        let long = "v".repeat(MOST_BYTES - 3);
        assert!(CustomHeaders::new([("x-a", long.as_str())]).is_ok());
        assert_eq!(CustomHeaders::new([("x-ab", long.as_str())]), Err(HeaderError::TooMuch));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_on_its_line(name: String, value: String) {
            if let Ok(headers) = CustomHeaders::new([(name.as_str(), value.as_str())]) {
                let (_, value) = headers.iter().next().unwrap();
                prop_assert!(value.as_bytes().iter().all(|byte| !b"\r\n\0".contains(byte)));
            }
        }
    }
}
