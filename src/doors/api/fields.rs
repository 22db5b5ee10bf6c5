//! The fields of a request: JSON object or query, read by name into types, with all mistakes reported together.
//!
//! Promises: every field is either asked for or named as unknown; malformed, deep or wrongly encoded JSON is refused with its
//! place; nothing a stranger sends makes this panic. An explicit `null` counts as absent.

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::problem::{FieldError, Kind, Problem};

/// Fields not read yet, and what was wrong with those read.
pub(super) struct Fields {
    left: Map<String, Value>,
    /// The field that is passed on byte for byte.
    raw: Option<Box<RawValue>>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// From a JSON body; an empty one counts as `{}`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::over(Map::new()));
        }
        Self::of(parse_json(body)?)
    }

    /// From a JSON object of which the field [`RAW`] is not looked into: it can be had by [`Fields::raw`] as it was written.
    pub(super) fn parse_with_raw(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice::<WithRaw>(body) {
            Ok(WithRaw { left, raw }) => Ok(Self { raw, ..Self::over(left) }),
            // Said in the words of the ordinary way.
            Err(_) => Self::parse(body),
        }
    }

    /// The field [`RAW`], as it was written.
    pub(super) fn raw(&mut self) -> Option<Box<RawValue>> {
        self.known.push(RAW);
        self.raw.take()
    }

    /// From a JSON value, which must be an object.
    pub(super) fn of(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self::over(map)),
            other => {
                Err(Problem::new(Kind::Invalid, format!("A JSON object is wanted here, this is {}.", name_of(&other))))
            }
        }
    }

    /// From a query string. A name that comes twice is a mistake.
    pub(super) fn query(query: &str) -> Self {
        let mut fields = Self::over(Map::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if fields.left.insert(name.to_string(), Value::String(value.into_owned())).is_some() {
                fields.mistake(&shorten(&name), "comes more than once");
            }
        }
        fields
    }

    fn over(left: Map<String, Value>) -> Self {
        Self { left, raw: None, known: Vec::new(), errors: Vec::new() }
    }

    /// A field that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.left.remove(name).filter(|value| !value.is_null())?;
        match read(value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.mistake(name, message);
                None
            }
        }
    }

    /// A field that may be left out, and whose `null` says something: `Some(None)`.
    pub(super) fn nullable<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let is_null = self.left.get(name).is_some_and(Value::is_null);
        let value = self.optional(name, read);
        if is_null { Some(None) } else { value.map(Some) }
    }

    /// A field that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.left.get(name).is_none_or(Value::is_null) {
            self.left.remove(name);
            self.known.push(name);
            self.mistake(name, "is missing");
            return None;
        }
        self.optional(name, read)
    }

    /// Something wrong with a field.
    pub(super) fn mistake(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Whether anything was wrong so far.
    pub(super) fn has_mistakes(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Ends the reading: `value`, unless anything was wrong or unknown.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problem> {
        for name in self.left.keys() {
            let message = format!("is not known here; known: {}", self.known.join(", "));
            self.errors.push(FieldError { field: shorten(name), message });
        }
        if self.raw.is_some() {
            self.mistake(RAW, format!("is not known here; known: {}", self.known.join(", ")));
        }
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Problem::fields(self.errors)),
        }
    }
}

/// The name of the field that may be passed on as it is.
pub(super) const RAW: &str = "payload";

struct WithRaw {
    left: Map<String, Value>,
    raw: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for WithRaw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WithRawVisitor)
    }
}

struct WithRawVisitor;

impl<'de> Visitor<'de> for WithRawVisitor {
    type Value = WithRaw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WithRaw, A::Error> {
        let mut found = WithRaw { left: Map::new(), raw: None };
        while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
            if name == RAW {
                found.raw = Some(entries.next_value()?);
            } else {
                found.left.insert(name.into_owned(), entries.next_value()?);
            }
        }
        Ok(found)
    }
}

/// JSON from bytes; what is wrong is told with its line and column.
pub(super) fn parse_json(body: &[u8]) -> Result<Value, Problem> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(Problem::new(Kind::Invalid, format!("The text is not UTF-8 at byte {}.", error.valid_up_to())));
    }
    serde_json::from_slice(body).map_err(|error| Problem::new(Kind::Invalid, format!("This is not JSON: {error}.")))
}

/// What a JSON value is, in words.
pub(super) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A stranger's field name as it may be repeated in an answer.
fn shorten(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::values::{boolean, text};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_mistakes_are_reported_together() {
        let mut fields = Fields::parse(br#"{"b":1,"c":"x","odd":null,"d":null}"#).unwrap();
        let a = fields.required("a", text);
        let b = fields.required("b", text);
        let c = fields.optional("c", boolean);
        let d = fields.optional("d", boolean);
        let problem = fields.finish((|| Some((a?, b?, c?, d?)))()).unwrap_err();
        let named: Vec<_> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["a", "b", "c", "odd"]);
    }

    #[test]
    fn null_can_be_told_from_nothing() {
        let mut fields = Fields::parse(br#"{"a":null,"b":"x"}"#).unwrap();
        assert_eq!(fields.nullable("a", text), Some(None));
        assert_eq!(fields.nullable("b", text), Some(Some("x".into())));
        assert_eq!(fields.nullable("c", text), None);
    }

    #[test]
    fn wrong_json_is_refused_with_its_place() {
        let deep = "[".repeat(100_000);
        for (body, word) in [
            (&b"{\"a\":"[..], "line 1 column 5"),
            (b"[]", "a list"),
            (b"\"x\"", "text"),
            (b"{\"a\":\"\xff\"}", "byte 6"),
            (deep.as_bytes(), "recursion limit"),
            (b"{\"a\":1e999}", "out of range"),
        ] {
            let problem = Fields::parse(body).err().unwrap();
            assert!(problem.detail().contains(word), "{}", problem.detail());
        }
        assert!(Fields::parse(b" \n").is_ok());
    }

    #[test]
    fn a_query_names_what_is_unknown_or_doubled() {
        let mut fields = Fields::query("wait=1&wait=2&x=%ff");
        let wait = fields.optional("wait", text);
        let problem = fields.finish(wait).unwrap_err();
        assert_eq!(problem.errors().len(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body: Vec<u8>) {
            if let Ok(mut fields) = Fields::parse(&body) {
                let a = fields.optional("a", text);
                let _ = fields.finish(Some(a));
            }
        }

        #[test]
        fn any_query_is_answered(query: String) {
            let _ = Fields::query(&query).finish(Some(()));
        }
    }
}
