//! What the node is doing, as its operators see it.

use reqwest::Method;
use serde_json::json;

use super::{Node, read};
use crate::support::DOMAIN;

#[tokio::test]
async fn the_overview_is_for_operators_and_whole_without_workers_or_broker() {
    let node = Node::start().await;
    let (status, overview) = node.get("/overview").await;
    assert_eq!(status, 200, "{overview}");
    assert_eq!((&overview["domain"], &overview["version"]), (&json!(DOMAIN), &json!(env!("CARGO_PKG_VERSION"))));
    let lanes: Vec<_> = overview["lanes"].as_array().unwrap().iter().map(|lane| lane["lane"].clone()).collect();
    assert_eq!(lanes, ["interactive", "bulk", "status"]);
    assert_eq!(overview["lanes"][0]["ready"], 0);
    assert_eq!(overview["lanes"][0]["oldest_waiting_since"], json!(null));
    assert_eq!(
        overview["rates"],
        json!({"accepted": 0.0, "attempts": 0.0, "delivered": 0.0, "failed": 0.0, "received": 0.0})
    );
    assert_eq!(overview["minutes"].as_array().unwrap().len(), 60);
    assert_eq!(overview["broker"], json!({"reachable": false, "queues": []}));
    assert_eq!((&overview["workers"], &overview["campaigns"]["running"]), (&json!([]), &json!(0)));

    let operator = node.key("node:read", None).await;
    assert_eq!(read(node.ask_as(&operator, Method::GET, "/overview")).await.0, 200);
    let sender = node.key("messages,deliveries", None).await;
    assert_eq!(read(node.ask_as(&sender, Method::GET, "/overview")).await.0, 403);
    let account = node.account(1).await;
    let bound = node.key("node", Some(&account)).await;
    assert_eq!(read(node.ask_as(&bound, Method::GET, "/overview")).await.0, 403);
    assert_eq!(node.get("/overview?x=1").await.0, 422);
}

#[tokio::test]
async fn metrics_need_no_key() {
    let node = Node::start().await;
    let scrape = async || reqwest::get(node.url("/metrics")).await.unwrap();
    let answer = scrape().await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("\nhandfast_overview_up 1\n"));
    let posted = node.http.post(node.url("/metrics")).send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
}
