//! Messages into the books; nothing here is delivered, for there is no broker.

use handfast::connections;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Node, fields, problem, read};

async fn connected() -> (Node, uuid::Uuid) {
    let node = Node::start().await;
    let account = node.account(1).await;
    let connection = node.connection(&account, "7*peer.example").await;
    (node, connection)
}

#[tokio::test]
async fn a_message_is_accepted_seen_counted_and_cancelled() {
    let (node, _) = connected().await;
    let message = json!({"from": "1", "to": "7*peer.example", "text": "Hello\n\tthere", "tag": "greetings"});
    let (status, accepted) = node.post("/messages", &message).await;
    assert_eq!((status.as_u16(), &accepted["state"]), (202, &json!("pending")));
    let path = format!("/messages/{}", accepted["id"].as_str().unwrap());
    let (_, seen) = node.get(&path).await;
    assert_eq!((&seen["tag"], &seen["to"]), (&json!("greetings"), &json!("7*peer.example")));
    assert!(!seen.to_string().contains("Hello"));
    let (_, list) = node.get("/messages?from=1&tag=greetings&state=pending").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let (_, cancelled) = node.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled["result"], "stopped");
    let (_, summary) = node.get("/messages/summary?tag=greetings").await;
    assert_eq!((&summary["accepted"], &summary["cancelled"]), (&json!(1), &json!(1)));
    let other = node.account(2).await;
    let foreign = node.key("messages", Some(&other)).await;
    assert_eq!(read(node.ask_as(&foreign, Method::GET, &path)).await.0, 404);
    assert_eq!(read(node.ask_as(&foreign, Method::POST, &format!("{path}/cancel"))).await.0, 404);
    assert_eq!(read(node.ask_as(&foreign, Method::POST, "/messages").json(&message)).await.0, 403);
    let (_, list) = read(node.ask_as(&foreign, Method::GET, "/messages")).await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn a_message_that_cannot_go_is_refused() {
    let (node, connection) = connected().await;
    let send = |to: &str, text: &str| json!({"from": "1", "to": to, "text": text});
    let (status, body) = node.post("/messages", &send("8*peer.example", "Hi")).await;
    assert_eq!((status.as_u16(), fields(&body)), (422, vec!["to"]));
    for text in ["", "a\u{0}b", "a\rb", &"x".repeat(2001)] {
        let (status, body) = node.post("/messages", &send("7*peer.example", text)).await;
        assert_eq!((status.as_u16(), fields(&body)), (422, vec!["text"]));
    }
    connections::block(&node.app, connection).await.unwrap();
    let (status, body) = node.post("/messages", &send("7*peer.example", "Hi")).await;
    assert_eq!((status.as_u16(), problem(&body)), (409, "conflict"));
}

#[tokio::test]
async fn the_same_key_is_the_same_message() {
    let (node, _) = connected().await;
    let send = |text: &str| {
        let message = json!({"from": "1", "to": "7*peer.example", "text": text});
        node.ask(Method::POST, "/messages").header("idempotency-key", "order-1").json(&message).send()
    };
    let first = send("Hi").await.unwrap();
    assert!(!first.headers().contains_key("idempotent-replayed"));
    let second = send("Hi").await.unwrap();
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(super::body(first).await["id"], super::body(second).await["id"]);
    let third = send("Bye").await.unwrap();
    assert_eq!(third.status(), 422);
    assert_eq!(problem(&super::body(third).await), "idempotency-mismatch");
    let wrong = node.ask(Method::POST, "/messages").header("idempotency-key", "two words");
    assert_eq!(read(wrong.json(&json!({}))).await.0, 422);
}

#[tokio::test]
async fn one_bad_row_fails_alone_and_a_batch_can_be_repeated() {
    let (node, _) = connected().await;
    let rows = json!({"messages": [
        {"from": "1", "to": "7*peer.example", "text": "a"},
        {"from": "1", "to": "nobody", "text": ""},
        {"from": "1", "to": "7*peer.example", "text": "b", "key": "own"},
        {"from": "1", "to": "9*peer.example", "text": "c"},
        7,
    ]});
    let send = || node.ask(Method::POST, "/messages/batch").header("idempotency-key", "batch-1").json(&rows).send();
    let first = super::body(send().await.unwrap()).await;
    assert_eq!((&first["accepted"], &first["rejected"]), (&json!(2), &json!(3)));
    assert_eq!(fields(&first["results"][1]["error"]), ["to", "text"]);
    assert_eq!(problem(&first["results"][3]["error"]), "invalid");
    let second = send().await.unwrap();
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    let second = super::body(second).await;
    assert_eq!(second["results"][0]["id"], first["results"][0]["id"]);
    assert_eq!(second["results"][2], json!({"index": 2, "id": first["results"][2]["id"], "replayed": true}));
    let (_, summary) = node.get("/messages/summary").await;
    assert_eq!(summary["accepted"], 2);
}

#[tokio::test]
async fn lines_are_answered_as_they_are_committed() {
    let (node, _) = connected().await;
    let (rows, unsent) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(4);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(unsent));
    let line = |text: &str| json!({"from": "1", "to": "7*peer.example", "text": text}).to_string() + "\n";
    rows.send(Ok(line("first"))).await.unwrap();
    let request = node.ask(Method::POST, "/messages/batch").header("content-type", "application/x-ndjson");
    let mut response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut answers = Answers::default();
    // The body is still open: the answer to the first line comes all the same.
    let first = answers.next(&mut response).await;
    assert_eq!((&first["index"], &first["replayed"]), (&json!(0), &json!(false)));
    let (_, summary) = node.get("/messages/summary").await;
    assert_eq!(summary["accepted"], 1);
    rows.send(Ok(format!("{}\n\n{}no json\n{}", "x".repeat(600_000), line("second"), line("third").trim_end())))
        .await
        .unwrap();
    drop(rows);
    assert_eq!(problem(&answers.next(&mut response).await["error"]), "too-large");
    assert_eq!(answers.next(&mut response).await["index"], 2);
    assert_eq!(problem(&answers.next(&mut response).await["error"]), "invalid");
    assert_eq!(answers.next(&mut response).await["index"], 4);
    assert!(response.chunk().await.unwrap().is_none());
    let (_, summary) = node.get("/messages/summary").await;
    assert_eq!(summary["accepted"], 3);
}

#[tokio::test]
async fn many_lines_are_all_answered_in_order() {
    let (node, _) = connected().await;
    let line = |n: usize| {
        json!({"from": "1", "to": "7*peer.example", "text": n.to_string(), "key": format!("k{n}")}).to_string() + "\n"
    };
    let all: String = (0..2500).map(line).collect();
    let request = node.ask(Method::POST, "/messages/batch").header("content-type", "application/x-ndjson").body(all);
    let text = request.send().await.unwrap().text().await.unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2500);
    assert!(answers.iter().enumerate().all(|(n, answer)| answer["index"] == n && answer["id"].is_string()));
    let (_, summary) = node.get("/messages/summary").await;
    assert_eq!(summary["accepted"], 2500);
}

/// Lines of an answer that is still coming.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    async fn next(&mut self, response: &mut reqwest::Response) -> Value {
        loop {
            if let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.0.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            self.0.extend_from_slice(&response.chunk().await.unwrap().expect("another line"));
        }
    }
}
