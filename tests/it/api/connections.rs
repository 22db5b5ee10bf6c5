//! Connections and handshakes, as far as no peer is needed.

use reqwest::Method;
use serde_json::json;

use super::{Node, fields, problem, read};
use crate::support::DOMAIN;

#[tokio::test]
async fn connections_are_listed_blocked_and_deleted() {
    let node = Node::start().await;
    let (first, second) = (node.account(1).await, node.account(2).await);
    let id = node.connection(&first, "7*peer.example").await;
    node.connection(&second, "8*peer.example").await;
    let (_, all) = node.get("/connections").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let (_, own) = node.get("/connections?account=1").await;
    let own = own["items"].as_array().unwrap();
    assert_eq!((own.len(), &own[0]["other"], &own[0]["state"]), (1, &json!("7*peer.example"), &json!("active")));
    let (_, blocked) = node.post(&format!("/connections/{id}/block"), &json!({})).await;
    assert_eq!(blocked["state"], "blocked");
    let (_, unblocked) = node.post(&format!("/connections/{id}/unblock"), &json!({})).await;
    assert_eq!(unblocked["state"], "active");
    let foreign = node.key("connections", Some(&second)).await;
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(read(node.ask_as(&foreign, method, &format!("/connections/{id}"))).await.0, 404);
    }
    assert_eq!(read(node.ask_as(&foreign, Method::GET, "/connections?account=1")).await.0, 403);
    assert_eq!(read(node.ask(Method::DELETE, &format!("/connections/{id}"))).await.0, 204);
    assert_eq!(node.get(&format!("/connections/{id}")).await.0, 404);
}

#[tokio::test]
async fn a_handshake_is_noted_and_never_shows_its_code() {
    let node = Node::start().await;
    let (own, other) = (node.account(1).await, node.account(2).await);
    let wanted = json!({"from": "1", "to": "7*peer.example", "pass_code": "042137"});
    let (status, started) = node.post("/connections", &wanted).await;
    assert_eq!((status.as_u16(), &started["state"]), (202, &json!("pending")));
    assert_eq!(started["from"], format!("1*{DOMAIN}"));
    let path = format!("/handshakes/{}", started["id"].as_str().unwrap());
    let (status, seen) = node.get(&format!("{path}?wait=0")).await;
    assert_eq!((status.as_u16(), &seen), (200, &started));
    assert!(!seen.to_string().contains("042137"));
    let foreign = node.key("connections", Some(&other)).await;
    assert_eq!(read(node.ask_as(&foreign, Method::GET, &path)).await.0, 404);
    assert_eq!(read(node.ask_as(&foreign, Method::POST, "/connections").json(&wanted)).await.0, 403);
    let bound = node.key("connections", Some(&own)).await;
    assert_eq!(read(node.ask_as(&bound, Method::GET, &path)).await.0, 200);
}

#[tokio::test]
async fn a_handshake_that_cannot_be_is_refused_without_its_code() {
    let node = Node::start().await;
    node.account(1).await;
    for (wanted, named) in [
        (json!({"from": "1", "to": "7", "pass_code": "98765"}), vec!["to", "pass_code"]),
        (json!({"from": "9", "to": "7*peer.example", "pass_code": "987654"}), vec!["from"]),
        (json!({"from": "1", "to": format!("1*{DOMAIN}"), "pass_code": "987654"}), vec!["to"]),
        (json!({"from": "1", "to": "7*127.0.0.1", "pass_code": 987654}), vec!["to", "pass_code"]),
    ] {
        let (status, body) = node.post("/connections", &wanted).await;
        assert_eq!((status.as_u16(), problem(&body), fields(&body)), (422, "invalid", named));
        assert!(!body.to_string().contains("9876"), "{body}");
    }
}
