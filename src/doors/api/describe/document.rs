//! All of it put together: one OpenAPI document, whose schemas are JSON Schema 2020-12.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::doors::api::problem::{Kind, Problem};
use crate::doors::api::routes;
use crate::senders::Scope;

use super::operation::write_refusal;
use super::shape::{self, all, any_text, may, must, whole};
use super::{Schemas, cast};

const ABOUT: &str = "What our own applications use, on the private listener (`private.listen`). Times are RFC 3339 in UTC; ids are \
UUIDs that sort by time. Unknown fields of a request are refused by name; a field that may be left out may also be null. Answers may \
gain fields. HEAD is answered as GET without its body. `docs/api.md` tells the same in words.";

const KEYS: &str = "An API key, `hf_…`. It has scopes: each operation names the one that it needs; `NAME:read` is enough where that \
is named, and `NAME` is more than `NAME:read`. `*` is everything. A key that is bound to an account is refused (403) what is \
another's, or gets 404.";

/// The document, as text that ends with a line feed. The same on every machine.
pub(super) fn write() -> String {
    // Unwrap safety: a JSON value, whose keys are text, is always written.
    let text = serde_json::to_string_pretty(&document()).expect("a value is JSON");
    text + "\n"
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    schemas.of::<Problem>(json!({}));
    let paths = paths(&mut schemas);
    let used: Vec<Scope> = routes::all().iter().map(|route| route.scope).collect();
    let tags = Scope::ALL.into_iter().filter(|scope| used.contains(scope));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "handfast",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{
            "url": "{node}/api/v1",
            "variables": {"node": {"default": "http://127.0.0.1:8081", "description": "Where `private.listen` is reached"}},
        }],
        "tags": tags.map(|scope| json!({"name": scope.name(), "description": about(scope)})).collect::<Vec<_>>(),
        "paths": paths,
        "webhooks": hooks(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "hf_…", "description": KEYS}},
            "responses": refusals(),
            "schemas": components(schemas),
        },
    })
}

fn paths(schemas: &mut Schemas) -> Map<String, Value> {
    let mut paths = Map::new();
    for route in routes::all() {
        let operation = (route.describe)(schemas);
        let scope = if route.writes() { route.scope.name().to_owned() } else { format!("{}:read", route.scope.name()) };
        let written = operation.write(route.id, route.scope.name(), &scope);
        let methods = paths.entry(format!("/{}", route.path())).or_insert_with(|| json!({}));
        methods[route.method().as_str().to_ascii_lowercase()] = written;
    }
    paths
}

fn components(schemas: Schemas) -> Map<String, Value> {
    let Schemas { mut generator, written } = schemas;
    let mut components: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    components.extend(written.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    components
}

fn refusals() -> Map<String, Value> {
    Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), write_refusal(&[kind]))).collect()
}

/// RFC 9457.
impl JsonSchema for Problem {
    fn schema_name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let field = shape::answer([
            must("field", any_text().about("Its name; of rows and lists as in `messages[3].to`")),
            must("message", any_text()),
        ]);
        let types = Kind::ALL.map(|kind| format!("urn:handfast:problem:{}", kind.name()));
        let types = types.each_ref().map(String::as_str);
        let mut shape = shape::answer([
            must("type", shape::word(&types)),
            must("title", any_text()),
            must("status", whole(400, 599)),
            must("detail", any_text().about("For people; may change")),
            may("errors", all(field).about("What is wrong with which field, all at once")),
        ]);
        shape.schema["examples"] = json!([Problem::field("name", "is missing")]);
        Schema::try_from(shape.schema).unwrap_or_default()
    }
}

/// What the node sends to a webhook.
fn hooks() -> Value {
    let header = |name: &str, about: &str, example: &str| json!({"in": "header", "name": name, "required": true, "description": about, "schema": {"type": "string"}, "example": example});
    let example = json!({"type": "order.paid", "data": {"id": 7}});
    json!({"message": {"post": {
        "summary": "A message, or a batch of events, as an endpoint of yours receives it",
        "description": "Signed by the Standard Webhooks convention: see `docs/webhooks.md` for how to check it.",
        "security": [],
        "parameters": [
            header("webhook-id", "The message's id: the same in every try", cast::MESSAGE),
            header("webhook-timestamp", "When this try was made, Unix seconds", "1790000000"),
            header("webhook-signature", "`v1,BASE64` (HMAC-SHA-256) or `v1a,BASE64` (Ed25519), several with spaces", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {}, "example": example}}},
        "responses": {
            "2XX": {"description": "Taken"},
            "default": {"description": "Tried again, or given up where the status is one of `final_statuses`"},
        },
    }}})
}

fn about(scope: Scope) -> &'static str {
    match scope {
        Scope::Accounts => "Who of this node there is",
        Scope::Passcodes => "Codes that an account's user gives to somebody who may then send",
        Scope::Connections => "Connections to addresses elsewhere, and the handshakes that make them",
        Scope::Messages => {
            "Handing messages over, alone or many at once; nothing is answered as accepted before it is committed"
        }
        Scope::Deliveries => "Finding deliveries, sending them again, stopping them",
        Scope::Campaigns => "One template, rows in any number",
        Scope::Inbox => "What arrived, until it is acknowledged",
        Scope::Events => "What became of deliveries, what arrived, what destinations do",
        Scope::Webhooks => "HTTPS endpoints that messages and events go to",
        Scope::Destinations => "Pace and health of what deliveries go to",
        Scope::Phones => "Phone numbers of the TextSecure door, and the nodes they are shared with",
        Scope::Logins => "Signing people in by code, for an application's own server",
        Scope::Apps => "Applications that people sign in to, and who is signed in",
        Scope::Homing => "Homing Space: sessions of the gateway, sites and keys of the hub",
        Scope::Node => "The node itself, for its operators",
        Scope::Keys => "API keys: nobody can make one that may do more than their own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(document: &Value) -> Vec<(String, String)> {
        let methods = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
            item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())).collect()
        };
        document["paths"].as_object().unwrap().iter().flat_map(methods).collect()
    }

    #[test]
    fn the_one_that_is_checked_in_is_the_one_the_code_makes() {
        let checked_in = include_str!("../../../../docs/openapi.json");
        assert!(checked_in == write(), "renew it: cargo run -- openapi > docs/openapi.json");
    }

    #[test]
    fn it_lists_the_routes_and_nothing_else() {
        let mut listed = pairs(&document());
        let mut routes: Vec<_> = routes::all()
            .iter()
            .map(|route| (format!("/{}", route.path()), route.method().as_str().to_ascii_lowercase()))
            .collect();
        listed.sort();
        routes.sort();
        assert_eq!(listed, routes);
    }

    #[test]
    fn every_parameter_of_a_path_is_described_and_every_operation_has_its_own_name() {
        let document = document();
        let mut names = std::collections::BTreeSet::new();
        for (path, method) in pairs(&document) {
            let operation = &document["paths"][&path][&method];
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            let wanted: Vec<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let given = parameters.iter().filter(|parameter| parameter["in"] == "path");
            let given: Vec<&str> = given.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(given, wanted, "{method} {path}");
            let good = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
            assert!(good, "{method} {path} never succeeds");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, root: &Value, found: &mut usize) {
            if let Some(path) = value["$ref"].as_str() {
                *found += 1;
                assert!(root.pointer(&path[1..]).is_some(), "{path}");
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| walk(value, root, found)),
                Value::Array(list) => list.iter().for_each(|value| walk(value, root, found)),
                _ => {}
            }
        }
        let (document, mut found) = (document(), 0);
        walk(&document, &document, &mut found);
        assert!(found > 300, "{found}");
    }
}
