//! Every name of a request, held against what the endpoint itself says it knows: it refuses a stranger's field with the list of its own.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::Stage;
use super::{Operation, document, operations};

/// A field that nobody knows.
const STRANGE: &str = "never_heard_of";

/// What a problem says is known here.
fn known(problem: &Value) -> Option<BTreeSet<String>> {
    let errors = problem["errors"].as_array()?;
    let strange = errors.iter().find(|error| error["field"].as_str().is_some_and(|field| field.ends_with(STRANGE)))?;
    let words = strange["message"].as_str()?.split("known: ").nth(1)?;
    Some(words.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn fields(schema: &Value, document: &Value) -> BTreeSet<String> {
    if let Some(path) = schema["$ref"].as_str() {
        return fields(document.pointer(&path[1..]).unwrap(), document);
    }
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn a_query_has_just_the_parameters_that_are_described() {
    let stage = Stage::build().await;
    let document = document();
    for operation in operations(&document) {
        let names: BTreeSet<String> =
            operation.parameters("query").iter().map(|parameter| parameter["name"].as_str().unwrap().into()).collect();
        let path = format!("{}?{STRANGE}=1", stage.real(&operation.example_path()));
        let (status, answer) = super::super::read(stage.node.ask(method(&operation), &path)).await;
        // An endpoint that knows none says so with an empty list.
        let known = known(&answer).unwrap_or_else(|| panic!("{} {status} {answer}", operation.id()));
        assert_eq!(names, known, "{}", operation.id());
    }
}

#[tokio::test]
async fn a_body_has_just_the_fields_that_are_described() {
    let stage = Stage::build().await;
    let document = document();
    let mut looked_at = 0;
    for operation in operations(&document) {
        let schema = &operation.value["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let (stage_of_it, names) = (stage.real(&operation.example_path()), fields(schema, &document));
        let request = stage.node.ask(method(&operation), &stage_of_it).json(&json!({ STRANGE: 1 }));
        let (_, answer) = super::super::read(request).await;
        let known = known(&answer).unwrap_or_else(|| panic!("{} {answer}", operation.id()));
        // One way of writing a request may not look at the fields of the other.
        let others = one_way_or_another(operation.id());
        let missing: Vec<&String> = names.difference(&known).filter(|name| !others.contains(&name.as_str())).collect();
        let more: Vec<&String> = known.difference(&names).collect();
        assert!(missing.is_empty() && more.is_empty(), "{}: not read {missing:?}, not described {more:?}", operation.id());
        looked_at += 1;
    }
    assert!(looked_at > 25, "{looked_at}");
}

/// Fields that are read only beside `webhook`.
fn one_way_or_another(id: &str) -> &'static [&'static str] {
    match id {
        "messages_accept" => &["payload", "body", "content_type", "headers"],
        _ => &[],
    }
}

fn method(operation: &Operation<'_>) -> Method {
    operation.method.to_ascii_uppercase().parse().unwrap()
}
