//! Every example, sent to a node.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::Stage;
use super::{Operation, document, operations, python};

/// Lists that stay empty here, and why.
const EMPTY: [&str; 2] = [
    // No worker carries the operation out.
    "deliveries_results",
    // Nothing has ended or arrived that is past the snapshot for sure.
    "events_list",
];

/// One way to send an operation's example.
struct Variant<'a> {
    /// With what may be left out.
    whole: bool,
    body: Option<(&'a str, &'a Value)>,
}

fn variants<'a>(operation: &Operation<'a>) -> Vec<Variant<'a>> {
    let bodies = operation.value["requestBody"]["content"].as_object();
    let bodies: Vec<_> = bodies.into_iter().flatten().map(|(media, body)| (media.as_str(), &body["example"])).collect();
    if bodies.is_empty() {
        let optional = operation.value["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["required"] == false));
        let alone = Variant { whole: false, body: None };
        return if optional { vec![alone, Variant { whole: true, body: None }] } else { vec![alone] };
    }
    bodies.into_iter().map(|body| Variant { whole: true, body: Some(body) }).collect()
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let stage = Stage::build().await;
    let document = document();
    let (mut values, mut wrong, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for operation in operations(&document) {
        written_examples(&operation, &mut values);
        let mut items = None;
        for variant in variants(&operation) {
            match send(&stage, &operation, &variant).await {
                Ok(answer) => {
                    if let Some(list) = answer["value"]["items"].as_array() {
                        items = items.max(Some(list.len()));
                    }
                    values.extend((!answer.is_null()).then_some(answer));
                }
                Err(why) => wrong.push(why),
            }
        }
        if items == Some(0) && !EMPTY.contains(&operation.id()) {
            empty.push(operation.id().to_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(empty.is_empty(), "nothing was seen of {empty:?}");
    assert!(values.len() > 200, "{}", values.len());
    python::check("conforms.py", &json!({"document": document, "values": values}));
}

/// The examples as they stand in the document, and where their schemas are.
fn written_examples(operation: &Operation<'_>, values: &mut Vec<Value>) {
    let place = place(operation);
    let mut add = |what: &str, schema: String, value: &Value, answer: bool| {
        values.push(json!({"what": format!("example of {}: {what}", operation.id()), "schema": schema, "value": value, "answer": answer}));
    };
    for (number, parameter) in operation.value["parameters"].as_array().into_iter().flatten().enumerate() {
        let name = parameter["name"].as_str().unwrap();
        // One that may be left out can be without an example.
        if !parameter["example"].is_null() {
            add(name, format!("{place}/parameters/{number}/schema"), &parameter["example"], false);
        }
    }
    for (media, body) in operation.value["requestBody"]["content"].as_object().into_iter().flatten() {
        add("request", format!("{place}/requestBody/content/{}/schema", escape(media)), &body["example"], false);
    }
    for (status, response) in operation.value["responses"].as_object().unwrap() {
        for (media, body) in response["content"].as_object().into_iter().flatten() {
            let schema = format!("{place}/responses/{status}/content/{}/schema", escape(media));
            if status.starts_with('2') {
                add(status, schema, &body["example"], true);
            }
        }
    }
}

/// JSON pointer to an operation.
fn place(operation: &Operation<'_>) -> String {
    format!("/paths/{}/{}", escape(operation.path), operation.method)
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn query(stage: &Stage, operation: &Operation<'_>, whole: bool) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for parameter in operation.parameters("query") {
        if (whole || parameter["required"] == true) && !parameter["example"].is_null() {
            let value = &parameter["example"];
            let text = value.as_str().map_or_else(|| value.to_string(), |text| stage.real(text));
            pairs.append_pair(parameter["name"].as_str().unwrap(), &text);
        }
    }
    pairs.finish()
}

/// Sends it, and sees that status, type and headers of the answer are described; what is to be checked of its body.
async fn send(stage: &Stage, operation: &Operation<'_>, variant: &Variant<'_>) -> Result<Value, String> {
    stage.set_for(operation.id()).await;
    let method: Method = operation.method.to_ascii_uppercase().parse().unwrap();
    let path = format!("{}?{}", stage.real(&operation.example_path()), query(stage, operation, variant.whole));
    let mut request = stage.node.ask(method, path.trim_end_matches('?'));
    for header in operation.parameters("header").iter().filter(|header| header["example"].is_string()) {
        let name = header["name"].as_str().unwrap();
        let streamed = variant.body.is_some_and(|(media, _)| media != "application/json");
        // A stream of rows has keys in its rows.
        if variant.whole && !(streamed && name == "Idempotency-Key") {
            request = request.header(name, stage.real(header["example"].as_str().unwrap()));
        }
    }
    if let Some((media, body)) = variant.body {
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        request = request.header("content-type", media).body(stage.real(&text));
    }
    let mut response = request.send().await.unwrap();
    let status = response.status().as_u16().to_string();
    let type_of = |response: &reqwest::Response| {
        let value = response.headers().get("content-type")?.to_str().ok()?;
        value.split(';').next().map(str::to_owned)
    };
    let media = type_of(&response);
    // A stream does not end; that it began is all there is to see.
    let stream = media.as_deref() == Some("text/event-stream");
    let text = if stream { String::new() } else { body_of(&mut response).await };
    let described = &operation.value["responses"][&status];
    let because = format!("{} {path}: {status} {media:?} {text}", operation.id());
    if !status.starts_with('2') || described.is_null() {
        return Err(because);
    }
    let Some(media) = media else {
        return if described["content"].is_null() { Ok(Value::Null) } else { Err(because) };
    };
    if described["content"][&media].is_null() {
        return Err(because);
    }
    let schema = format!("{}/responses/{status}/content/{}", place(operation), escape(&media));
    let what = format!("answer of {}", operation.id());
    match media.as_str() {
        "application/json" => {
            let value: Value = serde_json::from_str(&text).map_err(|_| because)?;
            Ok(json!({"what": what, "schema": schema + "/schema", "value": value, "answer": true}))
        }
        "application/x-ndjson" => {
            let last: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(|_| because)?;
            Ok(json!({"what": what, "schema": schema + "/x-item-schema", "value": last, "answer": true}))
        }
        _ => Ok(Value::Null),
    }
}

async fn body_of(response: &mut reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.unwrap() {
        bytes.extend_from_slice(&part);
    }
    String::from_utf8(bytes).unwrap()
}
