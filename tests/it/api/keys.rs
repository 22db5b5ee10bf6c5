//! API keys.

use reqwest::Method;
use serde_json::json;

use super::{Node, problem, read};
use crate::support::DOMAIN;

#[tokio::test]
async fn a_key_is_made_used_listed_and_revoked() {
    let node = Node::start().await;
    node.account(1).await;
    let wanted = json!({"sender": "shop", "scopes": ["messages", "inbox:read"], "account": "1"});
    let (status, made) = node.post("/keys", &wanted).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&made["account"], &made["scopes"]),
        (&json!(format!("1*{DOMAIN}")), &json!(["messages", "inbox:read"]))
    );
    let text = made["key"].as_str().unwrap();
    assert_eq!(read(node.ask_as(text, Method::GET, "/messages")).await.0, 200);
    let (_, list) = node.get("/keys").await;
    assert!(list["items"].as_array().unwrap().iter().any(|key| key["id"] == made["id"]));
    assert!(!list.to_string().contains(text));
    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(read(node.ask(Method::DELETE, &path)).await.0, 204);
    assert_eq!(read(node.ask(Method::DELETE, &path)).await.0, 404);
    // A key is believed for two seconds after it was last looked up; the clock is ours to move.
    node.app.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(read(node.ask_as(text, Method::GET, "/messages")).await.0, 401);
}

#[tokio::test]
async fn no_key_makes_one_that_may_do_more() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.account(2).await;
    let plain = node.key("keys,messages", None).await;
    let bound = node.key("keys,messages", Some(&own)).await;
    for (key, wanted, status) in [
        (&plain, json!({"sender": "a", "scopes": ["messages:read"]}), 201),
        (&plain, json!({"sender": "a", "scopes": ["*"]}), 403),
        (&plain, json!({"sender": "a", "scopes": ["inbox"]}), 403),
        (&bound, json!({"sender": "a", "scopes": ["messages"]}), 403),
        (&bound, json!({"sender": "a", "scopes": ["messages"], "account": "2"}), 403),
        (&bound, json!({"sender": "a", "scopes": ["messages"], "account": "1"}), 201),
        (&plain, json!({"sender": " ", "scopes": ["messages"]}), 422),
        (&plain, json!({"sender": "a", "scopes": []}), 422),
        (&plain, json!({"sender": "a", "scopes": ["fly"]}), 422),
        (&plain, json!({"sender": "a", "scopes": ["messages"], "account": "9"}), 422),
    ] {
        let (given, body) = read(node.ask_as(key, Method::POST, "/keys").json(&wanted)).await;
        assert_eq!(given.as_u16(), status, "{wanted} {body}");
    }
    let (_, list) = read(node.ask_as(&bound, Method::GET, "/keys")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let (_, all) = node.get("/keys").await;
    let foreign = all["items"].as_array().unwrap().iter().find(|key| key["account"].is_null()).unwrap();
    let path = format!("/keys/{}", foreign["id"].as_str().unwrap());
    let (status, body) = read(node.ask_as(&bound, Method::DELETE, &path)).await;
    assert_eq!((status.as_u16(), problem(&body)), (404, "not-found"));
}
