//! What a request is about, in words that may be kept: ids, names, addresses, and which fields it changes.

use serde_json::{Map, Value};

use crate::audit::shortened_phone;

/// Of what is made or found by its body, the fields that name it.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("accounts", &["address"]),
    ("connections", &["from", "to"]),
    ("campaigns", &["name"]),
    ("webhooks", &["name"]),
    ("apps", &["appid"]),
    ("keys", &["sender", "scopes", "account"]),
    ("accounts/batch", &["accounts"]),
    ("deliveries/replay", &["ids"]),
    ("deliveries/cancel", &["ids"]),
    ("replays", &["filter", "dry_run"]),
    ("cancellations", &["filter", "dry_run"]),
];

/// Fields whose new value is shown beside their name: none of them can hold a secret.
const SHOWN: &[&str] = &[
    "rate",
    "concurrency",
    "timeout_seconds",
    "overlap_seconds",
    "token_minutes",
    "trial_ends_at",
    "state",
    "enabled",
    "accepts_messages",
    "after",
    "device",
    "dry_run",
];

/// Elements of a list that are told; of the rest the number.
const TOLD: usize = 5;
/// Longest name of a field of ours.
const LONGEST_NAME: usize = 24;

/// In one line; what is no JSON object, or names nothing, adds nothing.
pub(super) fn of(path: &str, parameters: &[String], body: &[u8]) -> String {
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let phones = path.starts_with("phones/");
    let mut parts: Vec<String> =
        parameters.iter().map(|text| if phones { shortened_phone(text) } else { text.clone() }).collect();
    match NAMED_BY.iter().find(|(named, _)| *named == path) {
        Some((_, names)) => parts.extend(names.iter().filter_map(|name| told(name, fields.get(*name)?))),
        None if path == "apps/{appid}/unlock" => {
            parts.extend(fields.get("address").and_then(Value::as_str).map(shortened_phone));
        }
        None => parts.extend(changed(&fields)),
    }
    parts.join(" ")
}

fn told(name: &str, value: &Value) -> Option<String> {
    match (name, value) {
        ("filter", Value::Object(filter)) => Some(filter.iter().map(pair).collect::<Vec<_>>().join(" ")),
        ("accounts", Value::Array(rows)) => Some(some_of(rows, |row| plain(row.get("address")?))),
        ("dry_run", Value::Bool(dry)) => dry.then(|| "dry run".to_owned()),
        (_, Value::Array(items)) => Some(some_of(items, plain)),
        (_, value) => plain(value),
    }
}

fn some_of(items: &[Value], tell: impl Fn(&Value) -> Option<String>) -> String {
    let mut words: Vec<String> = items.iter().take(TOLD).filter_map(tell).collect();
    if items.len() > TOLD {
        words.push(format!("and {} more", items.len() - TOLD));
    }
    words.join(", ")
}

fn pair((name, value): (&String, &Value)) -> String {
    let value = match value {
        Value::Array(items) => some_of(items, plain),
        other => plain(other).unwrap_or_default(),
    };
    format!("{name}={value}")
}

/// A value that is one word or number.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.chars().take(120).collect()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The names of the fields that are given, in brackets.
fn changed(fields: &Map<String, Value>) -> Option<String> {
    let is_name = |name: &str| name.len() <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let shown = |(name, value): (&String, &Value)| match value {
        _ if !SHOWN.contains(&name.as_str()) => name.clone(),
        Value::Null => format!("{name}=default"),
        value => plain(value).map_or_else(|| name.clone(), |value| format!("{name}={value}")),
    };
    let names: Vec<String> = fields.iter().filter(|(name, _)| is_name(name)).take(16).map(shown).collect();
    (!names.is_empty()).then(|| format!("({})", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_it_is_about_is_told_and_no_value_that_could_be_a_secret() {
        let told = |path: &str, parameters: &[&str], body: &str| {
            let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
            of(path, &parameters, body.as_bytes())
        };
        for (path, parameters, body, words) in [
            ("accounts", &[][..], r#"{"address":"1000","name":"Shop"}"#, "1000"),
            ("accounts/{address}/disable", &["1000*a.example"], "", "1000*a.example"),
            ("connections", &[], r#"{"from":"1","to":"2*b.example","pass_code":"042137"}"#, "1 2*b.example"),
            ("webhooks", &[], r#"{"name":"orders","url":"https://u:p@a.example","secret":"s"}"#, "orders"),
            ("webhooks/{name}", &["orders"], r#"{"url":"https://u:p@a.example","rate":5}"#, "orders (rate=5, url)"),
            ("destinations/{name}", &["a"], r#"{"rate":null,"schedule":[5,6]}"#, "a (rate=default, schedule)"),
            ("phones/{number}/disable", &["+14155550101"], "", "+141…01"),
            ("apps/{appid}/unlock", &["a"], r#"{"address":"18005551234"}"#, "a 1800…34"),
            ("keys", &[], r#"{"sender":"shop","scopes":["messages","keys"]}"#, "shop messages, keys"),
            (
                "replays",
                &[],
                r#"{"filter":{"tag":"t","state":["failed"]},"dry_run":true}"#,
                "state=failed tag=t dry run",
            ),
            ("deliveries/replay", &[], r#"{"ids":["1","2","3","4","5","6","7"]}"#, "1, 2, 3, 4, 5, and 2 more"),
            ("webhooks/{name}/rotate", &["orders"], r#"{"secret":"whsec_x"}"#, "orders (secret)"),
            ("accounts", &[], "no JSON", ""),
        ] {
            assert_eq!(told(path, parameters, body), words, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body: Vec<u8>) {
            let _ = of("replays", &[], &body);
        }
    }
}
