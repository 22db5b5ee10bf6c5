//! What is refused before any endpoint is asked, and that it is refused in one shape.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use handfast::config::{ByteSize, Period};

use super::{Node, problem, read};

#[tokio::test]
async fn unknown_paths_methods_and_keys_are_problems() {
    let node = Node::start().await;
    let cases = [
        (node.ask(Method::GET, "/nothing"), 404, "not-found"),
        (node.ask(Method::GET, ""), 404, "not-found"),
        (node.http.get(node.url("/elsewhere")), 404, "not-found"),
        (node.ask(Method::PUT, "/accounts"), 405, "method-not-allowed"),
        (node.http.get(node.url("/api/v1/accounts")), 401, "unauthorized"),
        (node.ask_as("hf_wrong", Method::GET, "/accounts"), 401, "unauthorized"),
        (node.http.get(node.url("/api/v1/accounts")).basic_auth("a", Some("b")), 401, "unauthorized"),
        (node.ask(Method::GET, "/messages?colour=red"), 422, "invalid"),
        (node.ask(Method::GET, "/messages?limit=0&after=x&state=lost"), 422, "invalid"),
    ];
    for (request, status, name) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(problem(&super::body(response).await), name);
    }
    let response = node.ask(Method::PUT, "/accounts").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST, GET, HEAD");
    let response = node.ask(Method::HEAD, "/accounts").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (200, 0));
}

#[tokio::test]
async fn bodies_are_typed_and_bounded() {
    let node = Node::start_with(|config| config.private.body_limit = ByteSize::kib(1)).await;
    let account = json!({"address": "1000", "name": "Shop"});
    let post = || node.ask(Method::POST, "/accounts");
    let deep = format!("{{\"address\":{}1{}}}", "[".repeat(300), "]".repeat(300));
    let typed = |body: Vec<u8>| post().header("content-type", "application/json; charset=utf-8").body(body);
    for (request, status, name) in [
        (post().body("{}"), 415, "unsupported-media-type"),
        (post().header("content-type", "text/plain").body(account.to_string()), 415, "unsupported-media-type"),
        (typed(b"{\"address\":".to_vec()), 422, "invalid"),
        (typed(b"{\"address\":\"\xff\"}".to_vec()), 422, "invalid"),
        (typed(deep.into_bytes()), 422, "invalid"),
        (typed(vec![b' '; 1025]), 413, "too-large"),
        (typed(account.to_string().into_bytes()), 201, "not a problem"),
    ] {
        let (given, body) = read(request).await;
        assert_eq!((given.as_u16(), problem(&body)), (status, name), "{body}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let node = Node::start_with(|config| config.private.read_timeout = Period::millis(300)).await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let head = format!(
        "POST /api/v1/accounts HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        node.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn scopes_decide_what_a_key_may_do() {
    let node = Node::start().await;
    let reader = node.key("accounts:read", None).await;
    let (status, _) = read(node.ask_as(&reader, Method::GET, "/accounts")).await;
    assert_eq!(status, 200);
    for (method, path) in [(Method::POST, "/accounts"), (Method::GET, "/messages"), (Method::DELETE, "/keys/x")] {
        let (status, body) = read(node.ask_as(&reader, method, path)).await;
        assert_eq!((status.as_u16(), problem(&body)), (403, "forbidden"), "{path}");
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_said_so() {
    let node = Node::start_with(|config| config.database.wait = Period::millis(500)).await;
    let mut held = Vec::new();
    for _ in 0..node.app.config.database.pool {
        held.push(node.app.db.client().await.unwrap());
    }
    let response = node.ask(Method::GET, "/accounts").send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(problem(&super::body(response).await), "unavailable");
    drop(held);
    assert_eq!(node.get("/accounts").await.0, 200);
}

#[tokio::test]
async fn health_needs_no_key_and_readiness_names_what_is_missing() {
    let node = Node::start().await;
    let (status, body) = read(node.http.get(node.url("/healthz"))).await;
    assert_eq!((status.as_u16(), body), (200, json!({"status": "ok"})));
    let (status, body) = read(node.http.get(node.url("/readyz"))).await;
    assert_eq!((status.as_u16(), body), (503, json!({"status": "not ready", "missing": ["worker", "broker"]})));
    let (status, body) = read(node.http.post(node.url("/healthz"))).await;
    assert_eq!((status.as_u16(), problem(&body)), (405, "method-not-allowed"));
}
