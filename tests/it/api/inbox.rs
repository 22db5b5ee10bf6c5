//! The inbox: lists, waiting, acknowledging, streams.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{Node, problem, read};

#[tokio::test]
async fn entries_are_listed_and_acknowledged_by_their_own_account_only() {
    let node = Node::start().await;
    let (own, other) = (node.account(1).await, node.account(2).await);
    for text in ["a", "b", "c"] {
        node.arrives(&own, text).await;
        // Ids of one millisecond have no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (_, list) = node.get("/inbox?account=1&limit=2").await;
    let texts: Vec<_> = list["items"].as_array().unwrap().iter().map(|entry| entry["text"].clone()).collect();
    assert_eq!(json!(texts), json!(["a", "b"]));
    let (_, rest) = node.get(&format!("/inbox?account=1&after={}", list["next"].as_str().unwrap())).await;
    assert_eq!((&rest["items"][0]["text"], &rest["next"]), (&json!("c"), &json!(null)));
    let id = |n: usize| list["items"][n]["id"].as_str().unwrap().to_owned();
    let foreign = node.key("inbox", Some(&other)).await;
    assert_eq!(read(node.ask_as(&foreign, Method::GET, &format!("/inbox/{}", id(0)))).await.0, 404);
    assert_eq!(read(node.ask_as(&foreign, Method::GET, "/inbox?account=1")).await.0, 403);
    let stolen = node.ask_as(&foreign, Method::POST, "/inbox/ack").json(&json!({"ids": [id(0)]}));
    assert_eq!(read(stolen).await.1, json!({"acknowledged": 0}));
    assert_eq!(node.post(&format!("/inbox/{}/ack", id(0)), &json!({})).await.1, json!({"acknowledged": 1}));
    assert_eq!(node.post("/inbox/ack", &json!({"ids": [id(0), id(1)]})).await.1, json!({"acknowledged": 1}));
    assert_eq!(node.get("/inbox/count").await.1, json!({"total": 3, "unacknowledged": 1}));
    assert_eq!(
        read(node.ask_as(&foreign, Method::GET, "/inbox/count")).await.1,
        json!({"total": 0, "unacknowledged": 0})
    );
    let (_, open) = node.get("/inbox?account=1&unacknowledged=true").await;
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    let (status, body) = node.get("/inbox").await;
    assert_eq!((status.as_u16(), problem(&body)), (422, "invalid"));
}

#[tokio::test]
async fn a_waiting_request_is_answered_when_something_arrives() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.arrives(&own, "before").await;
    let (_, list) = node.get("/inbox?account=1").await;
    let path = format!("/inbox?account=1&wait=30&after={}", list["items"][0]["id"].as_str().unwrap());
    let waiting = tokio::spawn(node.ask(Method::GET, &path).send());
    node.arrives(&own, "after").await;
    let answer = timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(super::body(answer).await["items"][0]["text"], "after");
    let began = Instant::now();
    let (_, nothing) = node.get("/inbox?account=1&wait=1&after=ffffffff-ffff-7fff-bfff-ffffffffffff").await;
    assert_eq!(nothing["items"], json!([]));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_stream_tells_what_arrives_and_resumes_after_the_last() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.arrives(&own, "old").await;
    let mut stream = Events::open(&node, None).await;
    node.arrives(&own, "first").await;
    let (first, entry) = stream.next().await;
    assert_eq!((entry["text"].as_str(), entry["id"].as_str()), (Some("first"), Some(first.as_str())));
    node.arrives(&own, "line\nbreak").await;
    assert_eq!(stream.next().await.1["text"], "line\nbreak");
    drop(stream);
    node.arrives(&own, "meanwhile").await;
    let mut resumed = Events::open(&node, Some(&first)).await;
    assert_eq!(resumed.next().await.1["text"], "line\nbreak");
    assert_eq!(resumed.next().await.1["text"], "meanwhile");
    node.arrives(&own, "later").await;
    assert_eq!(resumed.next().await.1["text"], "later");
    node.stop.cancel();
    let end = timeout(Duration::from_secs(10), resumed.response.chunk()).await.unwrap();
    assert!(matches!(end, Ok(None) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn who_waits_leaves_room_for_others() {
    let node = Node::start_with(|config| config.private.connections = 4).await;
    node.account(1).await;
    let _first = Events::open(&node, None).await;
    let _second = Events::open(&node, None).await;
    let response = node.ask(Method::GET, "/inbox/stream?account=1").send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(node.get("/inbox?account=1").await.0, 200);
}

/// A client of the stream.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// Waits for the first comment: from then on everything is told.
    async fn open(node: &Node, last: Option<&str>) -> Self {
        let mut request = node.ask(Method::GET, "/inbox/stream?account=1");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self { response, text: String::new() };
        assert_eq!(events.block().await, ": connected");
        events
    }

    async fn next(&mut self) -> (String, Value) {
        let block = timeout(Duration::from_secs(10), self.block()).await.expect("an event");
        let lines: Vec<_> = block.lines().collect();
        let [id, event, data] = lines[..] else { panic!("{block}") };
        assert_eq!(event, "event: message");
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (id.strip_prefix("id: ").unwrap().to_owned(), data)
    }

    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return block;
            }
            let part = self.response.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}
