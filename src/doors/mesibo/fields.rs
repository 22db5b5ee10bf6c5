//! What a client sent, in whatever shape, as names with values.
//!
//! Clients of both generations come here, and people with `curl`: JSON, JSON without quotes around its names (as the published
//! example has it), forms, multipart forms, the query. Which it is shows in the bytes: nobody's content type can be relied on. What
//! cannot be read has no fields. Promises: any input ends, quickly and without deep recursion; values are wiped when dropped and
//! are in no `Debug`.

mod multipart;

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use url::form_urlencoded;
use zeroize::Zeroizing;

/// Objects and lists in a body that is read as relaxed JSON: its reader recurses. No request of this protocol has more than one.
const MOST_OPENED: usize = 32;
/// Whole numbers up to here are exact as floating point (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Names with values; of a name that comes twice, the last one counts.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, Value)>);

/// A value.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text as it came. Nothing, `null` and `false` are empty, `true` is `1`: as the original's language has it.
    Text(Zeroizing<String>),
    /// A number, by its digits.
    Number(Zeroizing<String>),
    /// An object, a list, or a number that is none of this protocol's.
    Other,
}

impl Fields {
    /// From a body and a query: what the body does not name is taken from the query.
    pub(super) fn read(body: &[u8], query: &str) -> Self {
        let mut all = Self::form(query.as_bytes());
        all.0.extend(Self::body(body).0);
        all
    }

    /// The value; nothing where the name does not occur.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value as text, without blanks around it; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.value(name).map_or("", Value::text).trim()
    }

    /// The first of these names that has a value.
    pub(super) fn first(&self, names: [&str; 2]) -> Option<&Value> {
        names.into_iter().filter_map(|name| self.value(name)).find(|value| !value.is_empty())
    }

    fn body(body: &[u8]) -> Self {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        match body.first() {
            Some(b'{') => Self::json(body).unwrap_or_default(),
            Some(b'-') => multipart::read(body).map(Self).unwrap_or_default(),
            // A comment before relaxed JSON; no field of a form is called so.
            Some(b'/') => Self::relaxed(body).unwrap_or_default(),
            _ => Self::form(body),
        }
    }

    fn json(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().or_else(|| Self::relaxed(body))
    }

    fn relaxed(body: &[u8]) -> Option<Self> {
        // Counted in strings too: a count that knows what a string is would be a second parser, to be deceived on its own.
        let opened = body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
        let text = std::str::from_utf8(body).ok().filter(|_| opened <= MOST_OPENED)?;
        json5::from_str(text).ok()
    }

    fn form(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        Self(pairs.map(|(name, value)| (name.into_owned(), Value::of(value.into_owned()))).collect())
    }
}

impl Value {
    fn of(text: String) -> Self {
        Self::Text(Zeroizing::new(text))
    }

    /// As text; empty for what is no scalar.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Other => "",
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields({})", self.0.len())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(…)",
            Self::Number(_) => "Number(…)",
            Self::Other => "Other",
        })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFields;
        impl<'de> Visitor<'de> for OfFields {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Fields(all))
            }
        }
        deserializer.deserialize_map(OfFields)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfValue)
    }
}

struct OfValue;

impl<'de> Visitor<'de> for OfValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::of(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(Zeroizing::new(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(Zeroizing::new(number.to_string())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let whole = number.fract() == 0.0 && number.abs() <= EXACT;
        Ok(if whole { Value::Number(Zeroizing::new(format!("{number:.0}"))) } else { Value::Other })
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::of(String::from(if yes { "1" } else { "" })))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::of(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(body: &str, query: &str) -> String {
        let fields = Fields::read(body.as_bytes(), query);
        ["op", "phone", "otp", "name"].map(|name| fields.text(name).to_owned()).join("|")
    }

    #[test]
    fn every_shape_is_read() {
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"op\"\r\n\r\nlogin\r\n\
            --x\r\nContent-Disposition: form-data; name=\"phone\"\r\n\r\n18005551234\r\n--x--\r\n";
        let expected = "login|18005551234||";
        for (body, query) in [
            (r#"{"op":"login","phone":"18005551234"}"#, ""),
            (r#"{"op":"login","phone":18005551234}"#, ""),
            (r#" {"op":"login","phone":18005551234.0,"otp":null} "#, ""),
            ("\u{feff}{\"op\":\"login\",\"phone\":\"18005551234\"}", ""),
            // As the published example is written.
            (r#"{op: "login", phone: "18005551234", appid: "com.messenger.appid"}"#, ""),
            ("{op:'login', /* who */ phone:+18005551234, otp: false,}", ""),
            ("// mine\n{op:'login', phone:'18005551234'}", ""),
            ("op=login&phone=18005551234", ""),
            ("phone=18005551234&op=%6Cogin&otp=", ""),
            (multipart, ""),
            ("", "op=login&phone=18005551234"),
            ("phone=18005551234", "op=login&phone=1"),
            (r#"{"op":"x","op":"login","phone":"18005551234","otp":""}"#, "otp=1"),
        ] {
            assert_eq!(shown(body, query), expected, "{body}");
        }
    }

    #[test]
    fn scalars_are_told_apart() {
        let body = br#"{"a":"1","b":1,"c":1.5,"d":[1,[2]],"e":{"f":{}},"g":true,"h":false,"i":null,"j":1e400,"k":1e5,"l":-0.0}"#;
        let fields = Fields::read(body, "");
        let text = |text: &str| Some(Value::of(text.into()));
        let number = |text: &str| Some(Value::Number(Zeroizing::new(text.into())));
        for (name, expected) in [("a", text("1")), ("g", text("1")), ("h", text("")), ("i", text("")), ("z", None)] {
            assert_eq!(fields.value(name).cloned(), expected, "{name}");
        }
        // A number beyond all bounds is no JSON at all, so the relaxed reader had this body.
        for (name, expected) in [("b", number("1")), ("k", number("100000")), ("d", Some(Value::Other))] {
            assert_eq!(fields.value(name).cloned(), expected, "{name}");
        }
        for name in ["c", "e", "j"] {
            assert_eq!(fields.value(name), Some(&Value::Other), "{name}");
        }
        assert_eq!(format!("{:?} {fields:?}", fields.value("b")), "Some(Number(…)) Fields(11)");
    }

    #[test]
    fn what_nobody_can_read_has_no_fields() {
        let deep = |open: &str, n: usize| format!("{{op:{}", open.repeat(n));
        for body in [
            String::from("{"),
            String::from("[]"),
            String::from("\"op\""),
            String::from("{op}"),
            deep("[", 16_000),
            deep("{a:", 5000),
            format!(r#"{{"op":{}1{}}}"#, "[".repeat(8000), "]".repeat(8000)),
            String::from("--"),
            String::from("--x\r\nop=login"),
        ] {
            assert_eq!(Fields::read(body.as_bytes(), "").text("op"), "", "{:.20}", body);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body: Vec<u8>, query in "\\PC{0,60}") {
            let _ = Fields::read(&body, &query).text("op");
        }

        #[test]
        fn anything_like_json_is_answered(body in "[{}\\[\\]:,'\"/*opx0-9+.eE\\\\u\\n -]{0,200}") {
            let _ = Fields::read(format!("{{{body}").as_bytes(), "").text("op");
        }

        #[test]
        fn every_text_survives_every_shape(text in "\\PC{1,40}", word in "[a-z]{1,12}") {
            let read = |body: &str, query: &str| {
                let fields = Fields::read(body.as_bytes(), query);
                fields.value("op").map(|value| value.text().to_owned())
            };
            let quoted = serde_json::json!(text).to_string();
            let form = form_urlencoded::Serializer::new(String::new()).append_pair("op", &text).finish();
            prop_assert_eq!(read(&format!("{{\"op\":{quoted}}}"), ""), Some(text.clone()));
            prop_assert_eq!(read(&form, ""), Some(text.clone()));
            prop_assert_eq!(read("", &form), Some(text.clone()));
            if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() < MOST_OPENED {
                prop_assert_eq!(read(&format!("{{op:{quoted},name:'{word}',}}"), ""), Some(text));
            }
        }
    }
}
