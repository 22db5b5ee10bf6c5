//! Reading a JSON body as liberally as the PHP peers do, and no further.
//!
//! PHP takes a number for a text and a text for a number, and several checks are for its idea of truth. Fields nobody asked for are
//! skipped. A field that comes twice is refused: implementations disagree about which of the two counts, and no peer sends it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Why a body is not the request it should be. Names fields, never shows their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No JSON: syntax, encoding, a number too large, or nested too deeply.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but a list or a single value.
    #[error("the body is not a JSON object")]
    NotObject,
    /// A field of ours comes twice.
    #[error("a field is repeated")]
    Repeated,
    /// A required field is absent, null or blank.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field has a form that cannot be right.
    #[error("the field {0} is malformed")]
    Malformed(&'static str),
}

/// A value whose type the sender chose.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field<'a> {
    Bool(bool),
    Whole(i64),
    /// A number that is no `i64`.
    Real(f64),
    Text(Cow<'a, str>),
    /// A list or an object, and whether it is empty.
    Nested {
        empty: bool,
    },
}

/// A body that must be one JSON object.
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WireError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        // A derived reader would take a list for a struct.
        let json = serde_json::from_slice::<IgnoredAny>(body);
        return Err(if json.is_ok() { WireError::NotObject } else { WireError::NotJson });
    }
    // `Field` takes every value, so the only complaint about the content can be a repeated field.
    serde_json::from_slice(body).map_err(|e| if e.is_data() { WireError::Repeated } else { WireError::NotJson })
}

/// A required text that may have come as a number.
pub(super) fn text<'a>(field: Option<Field<'a>>, name: &'static str) -> Result<Cow<'a, str>, WireError> {
    let text = match field {
        None | Some(Field::Bool(false)) => return Err(WireError::Missing(name)),
        Some(Field::Text(text)) => text,
        Some(Field::Whole(number)) => number.to_string().into(),
        Some(Field::Real(number)) => whole(number).ok_or(WireError::Malformed(name))?.to_string().into(),
        Some(Field::Bool(true) | Field::Nested { .. }) => return Err(WireError::Malformed(name)),
    };
    if text.trim().is_empty() { Err(WireError::Missing(name)) } else { Ok(text) }
}

/// A required text that is parsed into a type of its own.
pub(super) fn parsed<T: std::str::FromStr>(field: Option<Field<'_>>, name: &'static str) -> Result<T, WireError> {
    text(field, name)?.parse().map_err(|_| WireError::Malformed(name))
}

/// A whole number that may have come as a text of digits (no sign, no leading zero) or with a fraction of zero.
pub(super) fn whole_number(field: Option<Field<'_>>, name: &'static str) -> Result<i64, WireError> {
    match field {
        None => Err(WireError::Missing(name)),
        Some(Field::Whole(number)) => Ok(number),
        Some(Field::Real(number)) => whole(number).ok_or(WireError::Malformed(name)),
        Some(Field::Text(text)) => canonical_number(&text).ok_or(WireError::Malformed(name)),
        Some(_) => Err(WireError::Malformed(name)),
    }
}

/// PHP's truth: everything but absent, null, false, 0, "", "0" and the empty list.
pub(super) fn truthy(field: Option<&Field<'_>>) -> bool {
    match field {
        None => false,
        Some(Field::Bool(truth)) => *truth,
        Some(Field::Whole(number)) => *number != 0,
        Some(Field::Real(number)) => *number != 0.0,
        Some(Field::Text(text)) => !text.is_empty() && text != "0",
        Some(Field::Nested { empty }) => !empty,
    }
}

/// A flag as peers write it: `true`, `1`, `"1"`, `"true"`. Everything else is no, which is the safe side.
pub(super) fn flag(field: Option<&Field<'_>>) -> bool {
    match field {
        Some(Field::Bool(truth)) => *truth,
        Some(Field::Whole(number)) => *number == 1,
        Some(Field::Real(number)) => *number == 1.0,
        Some(Field::Text(text)) => matches!(text.trim(), "1") || text.trim().eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// The whole number a float stands for, as far as floats are exact.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn canonical_number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Field<'de>, E> {
        Ok(Field::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(Field::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(i64::try_from(number).map_or(Field::Real(number as f64), Field::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'de>, E> {
        Ok(Field::Real(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Bool(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field<'de>, A::Error> {
        let mut empty = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            empty = false;
        }
        Ok(Field::Nested { empty })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Field<'de>, A::Error> {
        let mut empty = true;
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            empty = false;
        }
        Ok(Field::Nested { empty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, serde::Deserialize)]
    struct One<'a> {
        #[serde(borrow)]
        a: Option<Field<'a>>,
    }

    fn field(json: &str) -> Option<Field<'_>> {
        object::<One<'_>>(json.as_bytes()).unwrap().a
    }

    fn error(body: &[u8]) -> WireError {
        object::<One<'_>>(body).unwrap_err()
    }

    #[test]
    fn bodies_are_objects() {
        assert_eq!(error(b""), WireError::NotJson);
        assert_eq!(error(b"{"), WireError::NotJson);
        assert_eq!(error(b"{}x"), WireError::NotJson);
        assert_eq!(error(b"[1]"), WireError::NotObject);
        assert_eq!(error(b"\"text\""), WireError::NotObject);
        assert_eq!(error(b"null"), WireError::NotObject);
        assert_eq!(error(b"{\"a\":\"\xff\"}"), WireError::NotJson);
        assert_eq!(error(b"{\"a\":\"\\ud800\"}"), WireError::NotJson);
        assert_eq!(error(b"{\"a\":1e999}"), WireError::NotJson);
        assert_eq!(error(b"{\"a\":1,\"a\":2}"), WireError::Repeated);
        assert_eq!(error(format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes()), WireError::NotJson);
        assert_eq!(error(format!("{{\"b\":{}", "{\"b\":".repeat(100_000)).as_bytes()), WireError::NotJson);
        assert_eq!(field(" {\"b\":[1,{}],\"a\":1} "), Some(Field::Whole(1)));
        assert_eq!(field("{\"a\":null}"), None);
    }

    #[test]
    fn texts_may_be_numbers() {
        assert_eq!(text(field("{\"a\":\"x\"}"), "a").unwrap(), "x");
        assert_eq!(text(field("{\"a\":12}"), "a").unwrap(), "12");
        assert_eq!(text(field("{\"a\":12.0}"), "a").unwrap(), "12");
        assert_eq!(text(field("{\"a\":\"\\u00e9\"}"), "a").unwrap(), "é");
        for json in ["{}", "{\"a\":null}", "{\"a\":\"\"}", "{\"a\":\" \"}", "{\"a\":false}"] {
            assert_eq!(text(field(json), "a"), Err(WireError::Missing("a")), "{json}");
        }
        for json in ["{\"a\":true}", "{\"a\":[]}", "{\"a\":{}}", "{\"a\":1.5}", "{\"a\":1e30}"] {
            assert_eq!(text(field(json), "a"), Err(WireError::Malformed("a")), "{json}");
        }
    }

    #[test]
    fn numbers_may_be_texts() {
        for json in ["{\"a\":1761771234}", "{\"a\":1761771234.0}", "{\"a\":1.761771234e9}", "{\"a\":\"1761771234\"}"] {
            assert_eq!(whole_number(field(json), "a"), Ok(1_761_771_234), "{json}");
        }
        for json in [
            "{\"a\":\"01\"}",
            "{\"a\":\"+1\"}",
            "{\"a\":\"1.0\"}",
            "{\"a\":\" 1\"}",
            "{\"a\":0.5}",
            "{\"a\":18446744073709551615}",
        ] {
            assert_eq!(whole_number(field(json), "a"), Err(WireError::Malformed("a")), "{json}");
        }
    }

    #[test]
    fn truth_is_php_s() {
        for json in [
            "{}",
            "{\"a\":null}",
            "{\"a\":false}",
            "{\"a\":0}",
            "{\"a\":0.0}",
            "{\"a\":\"\"}",
            "{\"a\":\"0\"}",
            "{\"a\":[]}",
        ] {
            assert!(!truthy(field(json).as_ref()), "{json}");
        }
        for json in ["{\"a\":true}", "{\"a\":-1}", "{\"a\":\"00\"}", "{\"a\":\"false\"}", "{\"a\":[0]}"] {
            assert!(truthy(field(json).as_ref()), "{json}");
        }
    }

    #[test]
    fn flags_are_yes_only_when_they_say_so() {
        for json in ["{\"a\":true}", "{\"a\":1}", "{\"a\":1.0}", "{\"a\":\"1\"}", "{\"a\":\"True\"}"] {
            assert!(flag(field(json).as_ref()), "{json}");
        }
        for json in
            ["{}", "{\"a\":0}", "{\"a\":\"0\"}", "{\"a\":\"false\"}", "{\"a\":2}", "{\"a\":\"yes\"}", "{\"a\":[1]}"]
        {
            assert!(!flag(field(json).as_ref()), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = object::<One<'_>>(&bytes);
        }
    }
}
