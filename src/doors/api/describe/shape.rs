//! A schema with an example beside it: examples of whole requests and answers come out of those of their fields.

use serde_json::{Map, Value, json};

use super::cast;

/// What a value may be, and one that it is.
#[derive(Debug, Clone)]
pub(in crate::doors::api) struct Shape {
    pub(in crate::doors::api) schema: Value,
    pub(in crate::doors::api) example: Value,
}

/// A field of an object.
pub(in crate::doors::api) struct Property {
    name: &'static str,
    shape: Shape,
    required: bool,
}

/// A field that is always there.
pub(in crate::doors::api) fn must(name: &'static str, shape: Shape) -> Property {
    Property { name, shape, required: true }
}

/// A field that may be left out.
pub(in crate::doors::api) fn may(name: &'static str, shape: Shape) -> Property {
    Property { name, shape, required: false }
}

impl Shape {
    pub(in crate::doors::api) fn new(schema: Value, example: impl Into<Value>) -> Self {
        Self { schema, example: example.into() }
    }

    /// With words; Markdown.
    pub(in crate::doors::api) fn about(mut self, words: &str) -> Self {
        // Beside a reference words are allowed since JSON Schema 2019-09.
        if let Some(schema) = self.schema.as_object_mut() {
            schema.insert("description".into(), words.into());
        }
        self
    }

    /// With another example.
    pub(in crate::doors::api) fn eg(self, example: impl Into<Value>) -> Self {
        Self { example: example.into(), ..self }
    }

    /// With what holds where it is left out.
    pub(in crate::doors::api) fn default(mut self, default: impl Into<Value>) -> Self {
        if let Some(schema) = self.schema.as_object_mut() {
            schema.insert("default".into(), default.into());
        }
        self
    }

    /// Or null.
    pub(in crate::doors::api) fn or_null(mut self) -> Self {
        let Some(schema) = self.schema.as_object_mut() else { return self };
        match (schema.get("type").cloned(), schema.contains_key("enum")) {
            (Some(Value::String(kind)), false) => {
                schema.insert("type".into(), json!([kind, "null"]));
            }
            (Some(Value::Array(_)), false) => {}
            _ => {
                let words = schema.remove("description");
                self.schema = json!({"anyOf": [self.schema, {"type": "null"}]});
                return match words.as_ref().and_then(Value::as_str) {
                    Some(words) => self.about(words),
                    None => self,
                };
            }
        }
        self
    }
}

/// Text of so many characters.
pub(in crate::doors::api) fn text(least: usize, most: usize) -> Shape {
    Shape::new(json!({"type": "string", "minLength": least, "maxLength": most}), "text")
}

/// Text of any length.
pub(in crate::doors::api) fn any_text() -> Shape {
    Shape::new(json!({"type": "string"}), "text")
}

/// Text of this form.
pub(in crate::doors::api) fn form(pattern: &str, example: &str) -> Shape {
    Shape::new(json!({"type": "string", "pattern": pattern}), example)
}

/// One of some words.
pub(in crate::doors::api) fn word(words: &[&str]) -> Shape {
    Shape::new(json!({"type": "string", "enum": words}), words.first().copied().unwrap_or_default())
}

/// A whole number within bounds.
pub(in crate::doors::api) fn whole(least: u64, most: u64) -> Shape {
    Shape::new(json!({"type": "integer", "minimum": least, "maximum": most}), least)
}

/// How many there are.
pub(in crate::doors::api) fn count() -> Shape {
    Shape::new(json!({"type": "integer", "minimum": 0}), 1)
}

/// A number within bounds.
pub(in crate::doors::api) fn number(least: f64, most: f64) -> Shape {
    Shape::new(json!({"type": "number", "minimum": least, "maximum": most}), 20)
}

pub(in crate::doors::api) fn boolean() -> Shape {
    Shape::new(json!({"type": "boolean"}), true)
}

/// Any JSON.
pub(in crate::doors::api) fn anything() -> Shape {
    Shape::new(json!({}), json!({"order": 7}))
}

/// A list.
pub(in crate::doors::api) fn list(of: Shape, least: usize, most: usize) -> Shape {
    let schema = json!({"type": "array", "items": of.schema, "minItems": least, "maxItems": most});
    Shape::new(schema, vec![of.example])
}

/// A list of any length.
pub(in crate::doors::api) fn all(of: Shape) -> Shape {
    Shape::new(json!({"type": "array", "items": of.schema}), vec![of.example])
}

/// One of several shapes; the first one is the example.
pub(in crate::doors::api) fn either<const N: usize>(shapes: [Shape; N]) -> Shape {
    let example = shapes.first().map(|shape| shape.example.clone()).unwrap_or_default();
    let schemas: Vec<Value> = shapes.into_iter().map(|shape| shape.schema).collect();
    Shape::new(json!({"anyOf": schemas}), example)
}

/// An object that is asked for: nothing else may be in it. An explicit null is as good as nothing.
pub(in crate::doors::api) fn request<const N: usize>(properties: [Property; N]) -> Shape {
    let absent = |property: Property| match property.required {
        true => property,
        false => Property { shape: property.shape.or_null(), ..property },
    };
    let mut shape = object(properties.into_iter().map(absent));
    shape.schema["additionalProperties"] = false.into();
    shape
}

/// An object that is answered.
pub(in crate::doors::api) fn answer<const N: usize>(properties: [Property; N]) -> Shape {
    object(properties)
}

/// An object with fields of any name.
pub(in crate::doors::api) fn texts_by_name() -> Shape {
    Shape::new(json!({"type": "object", "additionalProperties": {"type": "string"}}), json!({"x-shop": "eu"}))
}

/// A page of a list, which goes on behind `cursor`.
pub(in crate::doors::api) fn page(of: Shape, cursor: Shape) -> Shape {
    let next = cursor.eg(Value::Null).about("`after` of the next page; null on the last one").or_null();
    answer([must("items", all(of)), must("next", next)])
}

/// A list that is never cut into pages.
pub(in crate::doors::api) fn whole_page(of: Shape) -> Shape {
    let next = Shape::new(json!({"type": "null"}), Value::Null);
    answer([must("items", all(of)), must("next", next)])
}

fn object(properties: impl IntoIterator<Item = Property>) -> Shape {
    let (mut schemas, mut example, mut required) = (Map::new(), Map::new(), Vec::new());
    for Property { name, shape, required: is_required } in properties {
        schemas.insert(name.into(), shape.schema);
        // An optional field without an example of its own is left out of the whole's.
        if is_required || !shape.example.is_null() {
            example.insert(name.into(), shape.example);
        }
        if is_required {
            required.push(name);
        }
    }
    let mut schema = json!({"type": "object", "properties": schemas});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    Shape::new(schema, Value::Object(example))
}

/// A value for a schema that comes from a type.
pub(super) fn make_up(schema: &Value, definitions: &Map<String, Value>) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return make_up(definitions.get(name).unwrap_or(&Value::Null), definitions);
    }
    if let Some(first) = schema["examples"].get(0).or_else(|| schema["enum"].get(0)).or_else(|| schema.get("const")) {
        return first.clone();
    }
    let branches = ["oneOf", "anyOf"].into_iter().find_map(|name| schema[name].get(0));
    if let Some(first) = branches {
        return make_up(first, definitions);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0).and_then(Value::as_str)).unwrap_or_default();
    match (kind, schema["format"].as_str().unwrap_or_default()) {
        ("object", _) => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), make_up(field, definitions))).collect()
        }
        ("array", _) => vec![make_up(&schema["items"], definitions)].into(),
        ("string", "uuid") => cast::MESSAGE.into(),
        ("string", "date-time") => cast::MOMENT.into(),
        ("string", "date") => cast::DAY.into(),
        ("string", _) => "text".into(),
        ("integer" | "number", _) => 1.into(),
        ("boolean", _) => true.into(),
        _ => Value::Null,
    }
}

/// `over` on top of `under`, field by field; of a list, each on top of the first.
pub(super) fn overlay(under: Value, over: Value) -> Value {
    match (under, over) {
        (Value::Object(mut under), Value::Object(over)) => {
            for (name, value) in over {
                let had = under.remove(&name).unwrap_or_default();
                under.insert(name, overlay(had, value));
            }
            Value::Object(under)
        }
        (Value::Array(under), Value::Array(over)) => {
            let first = under.first().cloned().unwrap_or_default();
            over.into_iter().map(|over| overlay(first.clone(), over)).collect()
        }
        (under, over) if over == json!({}) => under,
        (_, over) => over,
    }
}
