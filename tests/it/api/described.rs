//! The API's description against the API: served as it is checked in, valid, true.
//!
//! What a compiler cannot hold together is held here. Every example is sent to a served node on which what it names is there (`stage`),
//! and the answer must be one that is described, without a field too much; every name of a request is held against what the endpoint says it
//! knows; and schemathesis looks for what nobody thought of. Python's part (`python`) is installed by `ops/install`.

mod examples;
mod names;
mod python;
mod stage;
mod strangers;

use reqwest::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use serde_json::Value;

use super::Node;

/// The document.
fn document() -> Value {
    serde_json::from_str(handfast::openapi()).unwrap()
}

/// An operation of the document.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    value: &'a Value,
}

/// All of them.
fn operations(document: &Value) -> Vec<Operation<'_>> {
    let items = document["paths"].as_object().unwrap().iter();
    items
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, value)| Operation { path, method, value })
        })
        .collect()
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap()
    }

    /// The parameters of a place: path, query or header.
    fn parameters(&self, place: &str) -> Vec<&Value> {
        let all = self.value["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|parameter| parameter["in"] == place).collect()
    }

    /// Its path with the examples in it.
    fn example_path(&self) -> String {
        self.parameters("path").iter().fold(self.path.to_owned(), |path, parameter| {
            let name = parameter["name"].as_str().unwrap();
            path.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap())
        })
    }
}

#[tokio::test]
async fn anybody_may_read_it_and_who_has_it_is_not_sent_it_again() {
    let node = Node::start().await;
    let url = node.url("/api/v1/openapi.json");
    let first = node.http.get(&url).send().await.unwrap();
    assert_eq!((first.status().as_u16(), &first.headers()[CACHE_CONTROL]), (200, &"no-cache".parse().unwrap()));
    let tag = first.headers()[ETAG].clone();
    assert_eq!(first.text().await.unwrap(), handfast::openapi());
    let again = node.http.get(&url).header(IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.headers()[ETAG] == tag), (304, true));
    let head = node.http.head(&url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap()), (200, String::new()));
    assert_eq!(node.http.post(&url).send().await.unwrap().status(), 405);
}

#[test]
fn it_is_valid_openapi() {
    python::check("valid.py", &document());
}
