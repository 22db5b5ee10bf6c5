//! The description of this API, OpenAPI 3.1, made from the code: `GET /api/v1/openapi.json`, `handfast openapi`, `docs/openapi.json`.
//!
//! | file | what |
//! |---|---|
//! | `operation` | what one endpoint says about itself |
//! | `shape` | a schema with an example beside it, so that every request and answer has one |
//! | `kinds` | what single fields may be, as `values` reads them |
//! | `cast` | who plays in the examples |
//! | `document` | all of it put together |
//!
//! Every endpoint's file has a submodule `describe` with a function of the endpoint's name; the table of routes names both at once,
//! so that a route without a description does not compile. Schemas of answers that are types come from the types. What a compiler
//! cannot hold together, tests do: every example is sent to a real node, whose answer must have no field more or less than the schema
//! (`tests/it/api/described.rs`), and every name of a request is held against what the endpoint says it knows.
//!
//! Requests are closed, as the node refuses what it does not know. Answers are open: fields may be added to them.

pub(super) mod cast;
pub(super) mod kinds;
pub(super) mod shape;

mod document;
mod operation;

pub(super) use operation::Operation;
pub(super) use shape::{Shape, may, must};

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use serde_json::Value;
use warp::reply::Response;

use crate::crypto;

use super::call::Answer;
use super::problem::Problem;

/// Where it is served, below the API's prefix. Not in the table of routes: it needs no key.
pub(super) const PATH: &str = "openapi.json";

/// The document, as it is served, printed and checked in.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(document::write);

/// Changes when the document does.
static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", crypto::encode_hex(&crypto::sha256(&[DOCUMENT.as_bytes()])[..16])));

/// `GET /openapi.json`
pub(super) fn serve(method: &Method, headers: &HeaderMap) -> Answer {
    if ![Method::GET, Method::HEAD].contains(method) {
        return Err(Problem::method_not_allowed("GET, HEAD".into()));
    }
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // RFC 9110, 13.1.2: a list of tags, weak ones too, or `*`.
    let matches = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == TAG.as_str();
    let unchanged = known.is_some_and(|tags| tags.split(',').map(str::trim).any(matches));
    let mut response = Response::default();
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = DOCUMENT.as_str().into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.extend(HeaderValue::try_from(TAG.as_str()).ok().map(|tag| (ETAG, tag)));
    Ok(response)
}

/// The schemas that have names.
pub(super) struct Schemas {
    generator: SchemaGenerator,
    written: BTreeMap<&'static str, Value>,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.contract = Contract::Serialize;
        });
        Self { generator: settings.into_generator(), written: BTreeMap::new() }
    }

    /// A type's schema. `example` says what its fields hold where that matters; the rest is made up from the schema.
    pub(super) fn of<T: JsonSchema>(&mut self, example: Value) -> Shape {
        let schema: Value = self.generator.subschema_for::<T>().into();
        let made_up = shape::make_up(&schema, self.generator.definitions());
        Shape::new(schema, shape::overlay(made_up, example))
    }

    /// Gives a shape a name: it is written once, and referred to.
    pub(super) fn named(&mut self, name: &'static str, shape: Shape) -> Shape {
        let known = self.written.insert(name, shape.schema.clone());
        debug_assert!(known.is_none_or(|known| known == shape.schema), "{name} is two things");
        Shape::new(serde_json::json!({"$ref": format!("#/components/schemas/{name}")}), shape.example)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_the_document_is_not_sent_it_again() {
        let with = |tags: &str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(tags).unwrap())]);
        let status = |headers: &HeaderMap| serve(&Method::GET, headers).unwrap().status();
        assert_eq!(status(&HeaderMap::new()), 200);
        assert_eq!(status(&with("\"other\"")), 200);
        for tags in [TAG.clone(), format!("\"other\", W/{}", *TAG), "*".into()] {
            assert_eq!(status(&with(&tags)), 304, "{tags}");
        }
        assert!(serve(&Method::POST, &HeaderMap::new()).is_err());
    }
}
