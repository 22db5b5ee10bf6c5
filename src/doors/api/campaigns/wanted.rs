//! What a new campaign is to be, out of a request.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::books::Lane;
use crate::campaigns::{Form, RATES};

use super::super::fields::{Fields, name_of};
use super::super::problem::Problem;
use super::super::values;

/// What a template may name: a message's fields, but for those that are the campaign's.
const FIELDS: [&str; 13] = [
    "from",
    "to",
    "text",
    "webhook",
    "payload",
    "body",
    "content_type",
    "headers",
    "expires_in",
    "expires_at",
    "deliver_at",
    "ordering_key",
    "on_failure",
];

/// A campaign as it was asked for.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) lane: Lane,
    pub(super) tag: Option<String>,
    pub(super) rate: Option<f64>,
    /// The template has a `deliver_at`.
    pub(super) scheduled: bool,
    /// The template's `from`, as it stands.
    pub(super) from: Option<String>,
}

/// The template as it was written: what is not a text of it is passed on byte for byte.
#[derive(Deserialize)]
struct WithTemplate<'a> {
    #[serde(borrow)]
    template: &'a RawValue,
}

impl Definition {
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let name = fields.required("name", values::tag);
        let lane = fields.optional("lane", values::lane).unwrap_or(Lane::Bulk);
        let tag = fields.optional("tag", values::tag);
        let rate = fields.optional("rate", self::rate);
        let key_field = fields.optional("key_field", values::tag);
        let template = fields.required("template", object);
        if let Some(template) = &template {
            check_fields(&mut fields, template);
        }
        let scheduled = template.as_ref().is_some_and(|template| template.contains_key("deliver_at"));
        let from = template.as_ref().and_then(|template| template.get("from")?.as_str().map(str::to_owned));
        let form = match (&template, serde_json::from_slice::<WithTemplate<'_>>(body)) {
            (Some(template), Ok(written)) => {
                let message = with_own(written.template.get(), template.is_empty(), lane, tag.as_deref());
                Form::new(message, key_field)
                    .map_err(|error| fields.mistake("template", format!("cannot be used: {error}")))
                    .ok()
            }
            // The one thing that is read here and was not before.
            (Some(_), Err(_)) => {
                fields.mistake("template", "comes more than once");
                None
            }
            (None, _) => None,
        };
        fields.finish((|| Some(Self { name: name?, form: form?, lane, tag, rate, scheduled, from }))())
    }
}

/// Deliveries a second.
pub(super) fn rate(value: Value) -> Result<f64, String> {
    let rate = value.as_f64().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| format!("is not a number from {} to {} (deliveries a second)", RATES.start(), RATES.end()))
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(format!("is {}, not a message (an object)", name_of(&other))),
    }
}

fn check_fields(fields: &mut Fields, template: &Map<String, Value>) {
    for name in template.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        let what = match name.as_str() {
            "lane" | "tag" => "belongs to the campaign itself".to_owned(),
            "key" => "belongs to the rows: name its column in `key_field`".to_owned(),
            _ => format!("is not known here; known: {}", FIELDS.join(", ")),
        };
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        fields.mistake(&format!("template.{shown}"), what);
    }
}

/// The template with the campaign's lane and tag, which are texts without gaps.
fn with_own(written: &str, empty: bool, lane: Lane, tag: Option<&str>) -> String {
    let open = written.trim_end().strip_suffix('}').unwrap_or(written);
    let comma = if empty { "" } else { "," };
    let tag = tag.map(|tag| format!(",\"tag\":{}", Value::String(tag.replace('{', "{{").replace('}', "}}"))));
    format!("{open}{comma}\"lane\":\"{}\"{}}}", lane.name(), tag.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Values;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Definition, Problem> {
        Definition::read(json.as_bytes())
    }

    #[test]
    fn rows_become_messages_with_the_campaigns_lane_and_tag() {
        let json = r#"{"name":"Spring","tag":"{a}","rate":50,"template":{ "webhook":"orders", "payload":{"z":1.50,"a":"{id}"} }}"#;
        let definition = read(json).unwrap();
        let values: Values = [("id".to_owned(), "7".to_owned())].into();
        let expected = r#"{ "webhook":"orders", "payload":{"z":1.50,"a":"7"} ,"lane":"bulk","tag":"{a}"}"#;
        assert_eq!(definition.form.message(&values).unwrap(), expected);
        assert_eq!((definition.rate, definition.scheduled), (Some(50.0), false));
    }

    #[test]
    fn mistakes_are_named_before_any_row_comes() {
        let named = |json| {
            let problem = read(json).unwrap_err();
            problem.errors().iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            named(r#"{"template":[],"rate":0,"lane":"x","key_field":""}"#),
            ["name", "lane", "rate", "key_field", "template"]
        );
        let json = r#"{"name":"n","template":{"from":"1","txt":"","lane":"bulk","key":"{id}","text":"{id"}}"#;
        assert_eq!(named(json), ["template.key", "template.lane", "template.txt", "template"]);
        assert_eq!(named(r#"{"name":"n","template":null}"#), ["template"]);
        assert_eq!(named(r#"{"name":"n","template":{"text":"a"},"template":{"text":"b"}}"#), ["template"]);
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body: String, name: String) {
            let _ = read(&body);
            let _ = read(&serde_json::json!({"name": name, "template": {"text": body}}).to_string());
        }
    }
}
