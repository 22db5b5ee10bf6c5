//! A filter from a query or a body: the same names, the same words.

use jiff::Timestamp;
use serde_json::Value;

use crate::books::{Filter, State, Status};
use crate::openmsg::Address;

use super::super::call::Call;
use super::super::fields::Fields;
use super::super::problem::{Kind, Problem};
use super::super::values;

/// Longest destination or code that is looked for.
const LONGEST: usize = 255;

/// Reads the filter's fields; what is wrong is noted on them.
pub(in super::super) fn read(fields: &mut Fields, domain: &str) -> Filter {
    Filter {
        destination: fields.optional("destination", word),
        states: fields.optional("state", states).unwrap_or_default(),
        status: fields.optional("status", status),
        code: fields.optional("code", word),
        campaign: fields.optional("campaign", values::id),
        tag: fields.optional("tag", values::tag),
        from: fields.optional("from", values::our_address(domain)).map(|address| address.to_string()),
        to: fields.optional("to", values::parsed::<Address>).map(|address| address.to_string()),
        sender: fields.optional("sender", values::sender),
        since: fields.optional("since", values::parsed::<Timestamp>),
        until: fields.optional("until", values::parsed::<Timestamp>),
    }
}

/// The filter, of what this key may see.
pub(super) fn for_key(call: &Call, filter: Filter) -> Result<Filter, Problem> {
    let Some(account) = &call.key.account else { return Ok(filter) };
    let other =
        |filter: Filter| format!("This key is bound to another account than {}.", filter.from.unwrap_or_default());
    filter.within(account.address.as_str()).map_err(|filter| Problem::new(Kind::Forbidden, other(filter)))
}

fn word(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    match (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(format!("has 1 to {LONGEST} bytes and no control characters")),
    }
}

/// One state, several with commas, or a list.
fn states(value: Value) -> Result<Vec<State>, String> {
    let words: Vec<Value> = match value {
        Value::Array(words) => words,
        Value::String(text) => text.split(',').map(|word| word.trim().into()).collect(),
        other => vec![other],
    };
    let mut states: Vec<State> = words.into_iter().map(values::state).collect::<Result<_, _>>()?;
    states.dedup();
    Ok(states)
}

/// `404`, `"404"` or `"4xx"`.
fn status(value: Value) -> Result<Status, String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        other => values::text(other)?,
    };
    text.parse().map_err(|error| format!("is not valid: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn from_query(query: &str) -> Result<Filter, Vec<String>> {
        let mut fields = Fields::query(query);
        let filter = read(&mut fields, "our.example");
        let named = |problem: Problem| problem.errors().iter().map(|error| error.field.clone()).collect();
        fields.finish(Some(filter)).map_err(named)
    }

    #[test]
    fn a_query_and_a_body_say_the_same() {
        let query = from_query("destination=orders&state=failed,expired&status=5xx&since=2026-01-02T03:04:05Z&from=1");
        let body = json!({"destination": "orders", "state": ["failed", "expired"], "status": "5xx",
            "since": "2026-01-02T03:04:05Z", "from": "1*our.example"});
        let mut fields = Fields::of(body).unwrap();
        let filter = read(&mut fields, "our.example");
        assert_eq!(query.unwrap(), fields.finish(Some(filter)).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = "destination=&state=lost&status=99&campaign=7&to=x&since=monday&colour=red";
        let named = ["destination", "state", "status", "campaign", "to", "since", "colour"];
        assert_eq!(from_query(wrong).unwrap_err(), named);
    }

    proptest! {
        #[test]
        fn any_filter_is_answered(query: String) {
            let _ = from_query(&query);
        }
    }
}
