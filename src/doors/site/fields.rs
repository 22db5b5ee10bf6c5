//! What a form or a query holds. No error repeats a value: one of them may be a secret.

use std::borrow::Cow;

use http::StatusCode;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::config::{ByteSize, Period};
use crate::listen::{Body, BodyError};

/// Longest time that a form may take to arrive.
const BODY_TIMEOUT: Period = Period::seconds(10);

/// The fields of a form or a query, in their order; wiped when dropped.
#[derive(Default)]
pub(in crate::doors) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Fields {
    /// From a body or a query string; what is neither has no fields.
    pub(in crate::doors) fn parse(text: &[u8]) -> Self {
        let own = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), Zeroizing::new(value.into_owned()));
        Self(form_urlencoded::parse(text).map(own).collect())
    }

    /// From a body of at most `limit`; the status for one that did not arrive as a whole.
    pub(in crate::doors) async fn read(body: Body, limit: ByteSize) -> Result<Self, StatusCode> {
        match body.read(limit, BODY_TIMEOUT).await {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(BodyError::TooLarge) => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(BodyError::TooSlow) => Err(StatusCode::REQUEST_TIMEOUT),
            Err(BodyError::Broken) => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// The field, or nothing at all.
    pub(in crate::doors) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The field without white space around it, if anything is left.
    pub(in crate::doors) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|text| !text.is_empty())
    }

    /// All values of a field that may come several times.
    pub(in crate::doors) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As a query string with one field changed, or taken away where its value is empty: for links to the next page of a list.
    pub(in crate::doors) fn with(&self, name: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (known, value) in self.0.iter().filter(|(known, value)| known != name && !value.is_empty()) {
            query.append_pair(known, value);
        }
        if !value.is_empty() {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_changed() {
        let fields = Fields::parse(b"a=1&b=+x+&a=2&c=&d=%26%3D");
        assert_eq!(
            (fields.get("a"), fields.filled("b"), fields.filled("c"), fields.get("z")),
            ("1", Some("x"), None, "")
        );
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields.with("a", "n w"), "b=+x+&d=%26%3D&a=n+w");
        assert_eq!(fields.with("d", ""), "a=1&b=+x+&a=2");
    }
}
