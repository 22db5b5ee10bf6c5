//! What a single field may be: JSON values and query texts into types that cannot be wrong.
//!
//! Each reader answers in words that follow the field's name ("from is not …"). Values of secrets are never repeated.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::books::{Lane, State};
use crate::openmsg::Address;

use super::fields::name_of;

type Read<T> = Result<T, String>;

/// Longest tag, in characters.
pub(super) const LONGEST_TAG: usize = 64;
/// Longest name of a sender, in characters.
pub(super) const LONGEST_SENDER: usize = 64;
/// Longest life of a message: a peer remembers its id for a day longer.
pub(super) const LONGEST_LIFE: u64 = 7 * 24 * 3600;
/// Longest idempotency key, in characters.
pub(super) const LONGEST_KEY: usize = 255;

/// Text as it is.
pub(super) fn text(value: Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("is {}, not text", name_of(&other))),
    }
}

/// Text without control characters: a text column of the database does not hold all of them.
pub(super) fn plain(value: Value) -> Read<String> {
    let text = text(value)?;
    if text.chars().any(char::is_control) { Err("has a control character".into()) } else { Ok(text) }
}

/// `true` or `false`; as text in a query.
pub(super) fn boolean(value: Value) -> Read<bool> {
    match &value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("is {}, not true or false", name_of(other))),
    }
}

/// A whole number within bounds; as text in a query.
pub(super) fn number(range: RangeInclusive<u64>) -> impl FnOnce(Value) -> Read<u64> {
    move |value| {
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("is not a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Whole seconds within bounds.
pub(super) fn seconds(range: RangeInclusive<u64>) -> impl FnOnce(Value) -> Read<Duration> {
    move |value| number(range)(value).map(Duration::from_secs)
}

/// Anything that is parsed from text and whose error is a sentence.
pub(super) fn parsed<T>(value: Value) -> Read<T>
where
    T: FromStr,
    T::Err: Display,
{
    text(value)?.parse().map_err(|error: T::Err| format!("is not valid: {error}"))
}

/// An id.
pub(super) fn id(value: Value) -> Read<Uuid> {
    text(value)?.parse().map_err(|_| "is not an id (a UUID)".into())
}

/// An address of this node, written in full or as the ID alone.
pub(super) fn our_address(domain: &str) -> impl FnOnce(Value) -> Read<Address> {
    move |value| Address::of_ours(&text(value)?, domain)
}

/// The address of an account to be made: an ID that this node issues.
pub(super) fn new_address(domain: &str) -> impl FnOnce(Value) -> Read<Address> {
    move |value| {
        let address = our_address(domain)(value)?;
        address.id().check_issued().map_err(|error| format!("is not valid: {error}"))?;
        Ok(address)
    }
}

/// What is to be delivered: 1 to `most` characters, no control characters but line feeds and tabs.
pub(super) fn message_text(most: usize) -> impl FnOnce(Value) -> Read<String> {
    move |value| {
        let text = text(value)?;
        // Bytes first: a long text must not be counted character by character only to be refused.
        if text.len() > most.saturating_mul(4) || text.chars().count() > most {
            return Err(format!("is longer than {most} characters"));
        }
        if text.is_empty() {
            return Err("is empty".into());
        }
        match text.chars().position(|c| c.is_control() && c != '\n' && c != '\t') {
            Some(place) => {
                Err(format!("has a control character at character {}; only \\n and \\t may be used", place + 1))
            }
            None => Ok(text),
        }
    }
}

/// A word of the sender's: 1–64 characters, no control characters.
pub(super) fn tag(value: Value) -> Read<String> {
    word(value, LONGEST_TAG)
}

/// The name of a sender: 1–64 characters, no control characters.
pub(super) fn sender(value: Value) -> Read<String> {
    word(value, LONGEST_SENDER)
}

fn word(value: Value, most: usize) -> Read<String> {
    let text = text(value)?;
    let length = text.chars().count();
    if text.trim().is_empty() || length > most || text.chars().any(char::is_control) {
        return Err(format!("has 1 to {most} characters and no control characters"));
    }
    Ok(text)
}

/// An idempotency key: 1–255 visible ASCII characters.
pub(super) fn idempotency_key(value: Value) -> Read<String> {
    let text = text(value)?;
    if (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(format!("is 1 to {LONGEST_KEY} visible ASCII characters, without spaces"))
    }
}

/// A lane by name.
pub(super) fn lane(value: Value) -> Read<Lane> {
    match text(value)?.as_str() {
        "interactive" => Ok(Lane::Interactive),
        "bulk" => Ok(Lane::Bulk),
        _ => Err("is neither interactive nor bulk".into()),
    }
}

/// A state by name.
pub(super) fn state(value: Value) -> Read<State> {
    State::from_name(&text(value)?)
        .ok_or_else(|| format!("is none of {}", State::ALL.map(|state| state.name()).join(", ")))
}

/// The life of a message: a second to seven days.
pub(super) fn life(value: Value) -> Read<Duration> {
    seconds(1..=LONGEST_LIFE)(value)
}

/// A moment, RFC 3339.
pub(super) fn moment(value: Value) -> Read<Timestamp> {
    text(value)?.parse().map_err(|_| "is not a time (RFC 3339, as in 2026-11-21T09:30:00Z)".into())
}

/// What puts deliveries in order: 1–255 characters, no control characters.
pub(super) fn ordering_key(value: Value) -> Read<String> {
    word(value, LONGEST_KEY)
}

/// What becomes of a line whose first one fails: whether the next goes.
pub(super) fn on_failure(value: Value) -> Read<bool> {
    match text(value)?.as_str() {
        "block" => Ok(false),
        "skip" => Ok(true),
        _ => Err("is neither block nor skip".into()),
    }
}

/// A list of 1 to `most` values.
pub(super) fn list(most: usize) -> impl FnOnce(Value) -> Read<Vec<Value>> {
    move |value| match value {
        Value::Array(values) if (1..=most).contains(&values.len()) => Ok(values),
        Value::Array(values) => Err(format!("has {} entries; 1 to {most} are allowed", values.len())),
        other => Err(format!("is {}, not a list", name_of(&other))),
    }
}

/// A list of 1 to `most` ids.
pub(super) fn ids(most: usize) -> impl FnOnce(Value) -> Read<Vec<Uuid>> {
    move |value| {
        list(most)(value)?
            .into_iter()
            .map(|value| id(value).map_err(|_| "holds something that is not an id".into()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn our_addresses_are_given_in_full_or_as_an_id() {
        let read = |text: &str| our_address("our.example")(json!(text)).map(|address| address.to_string());
        assert_eq!(read("1000").unwrap(), "1000*our.example");
        assert_eq!(read("007*OUR.example").unwrap(), "007*our.example");
        for wrong in ["", "*", "1000*other.example", "10 00", "abc", "1000*our.example*x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(new_address("our.example")(json!("0")).is_err());
        assert!(new_address("our.example")(json!("1".repeat(21))).is_err());
        assert!(our_address("our.example")(json!(1000)).is_err());
    }

    #[test]
    fn texts_are_bounded_in_characters_and_free_of_control_characters() {
        let read = |text: &str| message_text(5)(json!(text));
        for good in ["a", "äöüß€", "a\nb\tc", "😀😀😀😀😀"] {
            assert!(read(good).is_ok(), "{good}");
        }
        for wrong in ["", "abcdef", "a\0b", "a\rb", "\u{7f}", "\u{85}", "\x1b[1m"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_come_from_json_and_from_queries() {
        assert_eq!(number(1..=10)(json!(10)), Ok(10));
        assert_eq!(number(1..=10)(json!("7")), Ok(7));
        for wrong in [json!(0), json!(11), json!(-1), json!(1.5), json!("1.0"), json!(""), json!(true), json!([])] {
            assert!(number(1..=10)(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        assert!(idempotency_key(json!("order-1!~")).is_ok());
        for wrong in ["".to_owned(), "a b".into(), "ä".into(), "a\n".into(), "x".repeat(256)] {
            assert!(idempotency_key(json!(wrong)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(given: String) {
            let _ = our_address("our.example")(json!(given));
            let _ = message_text(2000)(json!(given));
            let _ = (tag(json!(given)), sender(json!(given)), idempotency_key(json!(given)), id(json!(given)));
            let _ = (lane(json!(given)), state(json!(given)), life(json!(given)), boolean(json!(given)));
        }
    }
}
