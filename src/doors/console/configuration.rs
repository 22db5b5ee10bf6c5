//! The settings in effect: each with its value, whether it was set, and what the example file says of it. Secrets are dots.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use maud::{Markup, Render, html};
use serde_json::Value;

use super::call::{Answer, Call, page};
use crate::config::{Config, EXAMPLE};
use crate::doors::site::pieces::{Table, Tone, badge, field, filter, text};

const HERE: &str = "/console/configuration";

/// What the example file says of each setting.
static WORDS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| words(EXAMPLE));

/// `GET /console/configuration`
pub(super) async fn show(call: Call) -> Answer {
    let (wanted, only) = (call.query.get("name").trim().to_lowercase(), call.query.get("set") == "yes");
    let now = leaves(&serde_json::to_value(&*call.app().config)?);
    let usual = leaves(&serde_json::to_value(Config::default())?);
    let mut sections: Vec<(String, Vec<Vec<Markup>>)> = Vec::new();
    for (name, value) in &now {
        let set = usual.get(name) != Some(value);
        if !name.to_lowercase().contains(&wanted) || (only && !set) {
            continue;
        }
        let section = name.rsplit_once('.').map_or("general", |(section, _)| section);
        if sections.last().is_none_or(|(last, _)| last != section) {
            sections.push((section.to_owned(), Vec::new()));
        }
        if let Some((_, rows)) = sections.last_mut() {
            rows.push(row(name, value, set));
        }
    }
    page(
        "Configuration",
        &html! {
            p .quietly {
                "The settings in effect in the process that made this page, version " (env!("CARGO_PKG_VERSION"))
                ". They come from its file and its environment, and are read when it starts. Secrets are dots."
            }
            (form(&wanted, only))
            @if sections.is_empty() { p .empty { "No setting matches." } }
            @for (name, rows) in sections { (section(&name, rows)) }
        },
    )
}

fn form(wanted: &str, only: bool) -> Markup {
    filter(
        HERE,
        &html! {
            (field("name", "Name", wanted, ""))
            div .field { label for="f-set" { "Which" } select #f-set name="set" {
                option value="" { "All" }
                option value="yes" selected[only] { "Not at their default" }
            } }
        },
    )
}

fn section(name: &str, rows: Vec<Vec<Markup>>) -> Markup {
    let columns = [text("Setting"), text("Value"), text("Default or set")];
    html! { h2 { (name) } (Table { caption: name, columns: &columns, rows, empty: "None." }.render()) }
}

fn row(name: &str, value: &str, set: bool) -> Vec<Markup> {
    let short = name.rsplit('.').next().unwrap_or(name);
    vec![
        html! { code { (short) } @if let Some(words) = WORDS.get(name) { br; small { (words) } } },
        html! { @if value.is_empty() { span .quietly { "empty" } } @else { code { (value) } } },
        if set { badge(Tone::Warn, "set") } else { badge(Tone::Plain, "default") },
    ]
}

/// Every setting by its whole name, with its value as text.
fn leaves(settings: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    gather("", settings, &mut found);
    found
}

fn gather(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            for (key, value) in inner {
                let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                gather(&full, value, found);
            }
        }
        other => {
            let text = match other {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                Value::Object(_) => String::new(),
                other => other.to_string(),
            };
            found.insert(path.to_owned(), text);
        }
    }
}

/// The comment above each setting of a TOML file, by the setting's whole name; one that stands under another has that one's.
fn words(example: &str) -> BTreeMap<String, String> {
    let (mut section, mut comment, mut begun) = (String::new(), String::new(), false);
    let mut found = BTreeMap::new();
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            comment.clear();
        } else if line.trim().is_empty() {
            comment.clear();
        } else if let Some(said) = line.strip_prefix("# ").filter(|said| setting(said).is_none()) {
            if begun {
                comment.clear();
            }
            begun = false;
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(said);
        } else if let Some(key) = setting(line.trim_start_matches("# ")) {
            begun = true;
            let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            if !comment.is_empty() {
                found.insert(full, comment.clone());
            }
        }
    }
    found
}

fn setting(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_').then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_leaves_and_secrets_dots() {
        let config = Config {
            database: crate::config::Database {
                url: "postgres://x:geheim@y/z".to_owned().into(),
                ..Default::default()
            },
            ..Config::default()
        };
        let found = leaves(&serde_json::to_value(&config).unwrap());
        assert_eq!(found["database.url"], "••••••••");
        assert_eq!(found["database.pool"], "16");
        assert!(found.values().all(|value| !value.contains("geheim")));
        assert_eq!(
            leaves(&json!({"a": {"b": null, "c": [1]}})).into_iter().collect::<Vec<_>>(),
            [("a.b".to_owned(), String::new()), ("a.c".to_owned(), "[1]".to_owned())]
        );
    }

    #[test]
    fn the_example_says_what_settings_are_for() {
        let words = words("mode = 1\n[a]\n# One.\n# Goes on.\nb = 1\nc = 2\n# Three.\n# d = 3\n\ne = 4");
        assert_eq!(words.get("a.b").map(String::as_str), Some("One. Goes on."));
        assert_eq!(words.get("a.c").map(String::as_str), Some("One. Goes on."));
        assert_eq!(words.get("a.d").map(String::as_str), Some("Three."));
        assert_eq!((words.get("mode"), words.get("a.e")), (None, None));
        assert!(WORDS.len() > 100);
    }
}
