//! Events: pages, waiting, streams that resume, keys that see only their own.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Node, body, fields, problem, read};
use crate::support::events_can_be_read;

#[tokio::test]
async fn a_reader_goes_on_from_cursor_to_cursor() {
    let node = Node::start().await;
    let own = node.account(1).await;
    let (_, begun) = node.get("/events?after=now").await;
    assert_eq!(begun["items"], json!([]));
    for text in ["a", "b", "c"] {
        node.arrives(&own, text).await;
    }
    events_can_be_read(&node.app).await;
    let (_, page) = node.get(&format!("/events?limit=2&after={}", begun["next"].as_str().unwrap())).await;
    assert_eq!(texts(&page), ["a", "b"]);
    assert_eq!(page["items"][0]["type"], "message.received");
    assert_eq!(page["items"][1]["id"], page["next"]);
    let (_, rest) = node.get(&format!("/events?after={}", page["next"].as_str().unwrap())).await;
    assert_eq!(texts(&rest), ["c"]);
    assert_eq!(texts(&node.get("/events").await.1), ["a", "b", "c"]);
    assert_eq!(node.get("/events?kinds=delivery.*,campaign.finished").await.1["items"], json!([]));
    let (status, wrong) = node.get("/events?after=x&kinds=y&limit=0&z=1").await;
    assert_eq!((status.as_u16(), problem(&wrong)), (422, "invalid"));
    assert_eq!(fields(&wrong), ["after", "limit", "kinds", "z"]);
}

#[tokio::test]
async fn a_waiting_reader_is_answered_when_something_happens() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.arrives(&own, "before").await;
    events_can_be_read(&node.app).await;
    let (_, page) = node.get("/events").await;
    let path = format!("/events?wait=30&after={}", page["next"].as_str().unwrap());
    let waiting = tokio::spawn(node.ask(Method::GET, &path).send());
    node.arrives(&own, "after").await;
    let answer = timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    let answer = body(answer).await;
    assert_eq!(texts(&answer), ["after"]);
    let (_, nothing) = node.get(&format!("/events?wait=1&after={}", answer["next"].as_str().unwrap())).await;
    assert_eq!((&nothing["items"], &nothing["next"]), (&json!([]), &answer["next"]));
}

#[tokio::test]
async fn a_bound_key_sees_its_account_only_and_none_without_the_scope() {
    let node = Node::start().await;
    let (own, other) = (node.account(1).await, node.account(2).await);
    node.arrives(&own, "mine").await;
    node.arrives(&other, "theirs").await;
    events_can_be_read(&node.app).await;
    let bound = node.key("events:read", Some(&own)).await;
    assert_eq!(texts(&read(node.ask_as(&bound, Method::GET, "/events")).await.1), ["mine"]);
    let stranger = node.key("inbox", None).await;
    assert_eq!(read(node.ask_as(&stranger, Method::GET, "/events")).await.0, 403);
}

#[tokio::test]
async fn a_stream_resumes_behind_the_last_event_or_place_it_told() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.arrives(&own, "old").await;
    events_can_be_read(&node.app).await;
    let mut stream = Stream::open(&node, None).await;
    let place = stream.place.clone();
    node.arrives(&own, "first").await;
    let (first, event) = stream.next().await;
    assert_eq!((event["text"].as_str(), event["id"].as_str()), (Some("first"), Some(first.as_str())));
    node.arrives(&own, "line\nbreak").await;
    assert_eq!(stream.next().await.1["text"], "line\nbreak");
    drop(stream);
    node.arrives(&own, "meanwhile").await;
    let mut resumed = Stream::open(&node, Some(&first)).await;
    for text in ["line\nbreak", "meanwhile"] {
        assert_eq!(resumed.next().await.1["text"], text);
    }
    let mut from_place = Stream::open(&node, Some(&place)).await;
    assert_eq!(from_place.next().await.1["text"], "first", "a place without an event will do");
    node.arrives(&own, "later").await;
    assert_eq!(resumed.next().await.1["text"], "later");
    node.stop.cancel();
    let end = timeout(Duration::from_secs(10), resumed.response.chunk()).await.unwrap();
    assert!(matches!(end, Ok(None) | Err(_)), "{end:?}");
}

fn texts(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap()).collect()
}

/// A client of the stream.
struct Stream {
    response: reqwest::Response,
    text: String,
    place: String,
}

impl Stream {
    /// Waits for the first comment: from then on everything is told.
    async fn open(node: &Node, last: Option<&str>) -> Self {
        let mut request = node.ask(Method::GET, "/events/stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { response, text: String::new(), place: String::new() };
        let block = stream.block().await;
        stream.place = block.strip_prefix(":\nid: ").unwrap().to_owned();
        stream
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
