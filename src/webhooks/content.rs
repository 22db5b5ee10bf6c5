//! A message for a webhook as it lies (sealed) in the books: a small head, then the body as it goes over the wire.
//!
//! The head is its length in four bytes, big-endian, and that many bytes of JSON, `{"type":…,"headers":{…}}`. Length 0 stands for
//! `application/json` and no headers, so that what is usual costs four bytes and no parsing.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::headers::{CustomHeaders, header_value};

/// Longest content type, in characters.
const LONGEST_TYPE: usize = 255;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is delivered to a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Content<'a> {
    /// `application/json` unless said.
    pub content_type: ContentType,
    /// The message's own headers; they go before the webhook's.
    pub headers: CustomHeaders,
    /// As it goes over the wire, byte for byte.
    pub body: &'a [u8],
}

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(HeaderValue);

/// Not a content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content type is of the form text/plain; charset=utf-8, visible ASCII, at most 255 characters")]
pub struct ContentTypeError;

#[derive(Serialize, Deserialize, Default)]
struct Head<'a> {
    #[serde(rename = "type", borrow, skip_serializing_if = "Option::is_none")]
    content_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "CustomHeaders::is_empty")]
    headers: CustomHeaders,
}

impl<'a> Content<'a> {
    /// JSON without headers.
    pub fn json(body: &'a [u8]) -> Self {
        Self { content_type: ContentType::default(), headers: CustomHeaders::default(), body }
    }

    /// For the books.
    pub fn encode(&self) -> Vec<u8> {
        let plain = self.content_type == ContentType::default() && self.headers.is_empty();
        let head = if plain { Vec::new() } else { self.head() };
        let mut bytes = Vec::with_capacity(4 + head.len() + self.body.len());
        bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or_default().to_be_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(self.body);
        bytes
    }

    /// From the books; `None` for what this program never wrote.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (head, body) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if head.is_empty() {
            return Some(Self::json(body));
        }
        let head: Head<'_> = serde_json::from_slice(head).ok()?;
        let content_type = head.content_type.map_or(Some(ContentType::default()), |text| text.parse().ok())?;
        Some(Self { content_type, headers: head.headers, body })
    }

    fn head(&self) -> Vec<u8> {
        let content_type = (self.content_type != ContentType::default()).then(|| self.content_type.as_str().into());
        let head = Head { content_type, headers: self.headers.clone() };
        serde_json::to_vec(&head).unwrap_or_default()
    }
}

impl fmt::Debug for Content<'_> {
    // Bodies never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({}, {:?}, {} bytes)", self.content_type.as_str(), self.headers, self.body.len())
    }
}

impl ContentType {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As a header's value.
    pub fn into_value(self) -> HeaderValue {
        self.0
    }
}

impl Default for ContentType {
    fn default() -> Self {
        Self(JSON)
    }
}

impl FromStr for ContentType {
    type Err = ContentTypeError;

    fn from_str(text: &str) -> Result<Self, ContentTypeError> {
        // RFC 9110, 8.3.1: type "/" subtype, both tokens.
        let token = |text: &str| !text.is_empty() && text.bytes().all(is_token);
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let good = text.len() <= LONGEST_TYPE
            && essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
        let mut value = header_value(text).filter(|_| good).ok_or(ContentTypeError)?;
        value.set_sensitive(false);
        Ok(Self(value))
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_costs_four_bytes() {
        let content = Content::json(br#"{"a":1}"#);
        assert_eq!(content.encode(), b"\0\0\0\0{\"a\":1}");
        assert_eq!(Content::decode(b"\0\0\0\0{\"a\":1}"), Some(content));
        assert_eq!(Content::decode(b"\0\0\0\0").unwrap().body, b"");
    }

    #[test]
    fn type_and_headers_come_back() {
        let content = Content {
            content_type: "text/plain; charset=utf-8".parse().unwrap(),
            headers: CustomHeaders::new([("X-Order", "7")]).unwrap(),
            body: b"\xff\0 any bytes",
        };
        let bytes = content.encode();
        assert!(bytes[4..].starts_with(br#"{"type":"text/plain; charset=utf-8","headers":{"x-order":"7"}}"#));
        assert_eq!(Content::decode(&bytes), Some(content));
    }

    #[test]
    fn what_nobody_wrote_is_not_delivered() {
        let wrong: [&[u8]; 6] = [
            b"",
            b"\0\0\0",
            b"\0\0\0\x05{}",
            b"\xff\xff\xff\xff{}",
            b"\0\0\0\x0d{\"type\":\"no\"}",
            b"\0\0\0\x1b{\"headers\":{\"host\":\"evil\"}}",
        ];
        for bytes in wrong {
            assert_eq!(Content::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn content_types_are_two_words_and_parameters() {
        for good in
            ["text/plain", "application/vnd.a+json", "text/plain;charset=utf-8", "multipart/x; boundary=\"a b\""]
        {
            assert!(good.parse::<ContentType>().is_ok(), "{good}");
        }
        for wrong in
            ["", "text", "text/", "/plain", "a b/c", "text/pl\r\nx: y", " text/plain", "text/ä", &"a/".repeat(130)]
        {
            assert!(wrong.parse::<ContentType>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = Content::decode(&bytes);
        }

        #[test]
        fn any_body_comes_back(body: Vec<u8>, named: bool) {
            let headers = if named { CustomHeaders::new([("x-a", "b")]).unwrap() } else { CustomHeaders::default() };
            let content = Content { headers, ..Content::json(&body) };
            let bytes = content.encode();
            prop_assert_eq!(Content::decode(&bytes), Some(content));
        }
    }
}
