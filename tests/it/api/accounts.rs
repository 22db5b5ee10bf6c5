//! Accounts and pass codes.

use reqwest::Method;
use serde_json::json;

use super::{Node, fields, problem, read};
use crate::support::DOMAIN;

#[tokio::test]
async fn an_account_is_made_seen_changed_and_disabled() {
    let node = Node::start().await;
    let (status, made) = node.post("/accounts", &json!({"address": "1000", "name": "Shop"})).await;
    assert_eq!(status, 201);
    assert_eq!(made["address"], format!("1000*{DOMAIN}"));
    assert_eq!(made["accepts_messages"], true);
    let (status, body) = node.post("/accounts", &json!({"address": format!("1000*{DOMAIN}"), "name": "Shop"})).await;
    assert_eq!((status.as_u16(), problem(&body)), (409, "conflict"));
    let change = json!({"name": "Store", "accepts_messages": false});
    let (status, changed) = read(node.ask(Method::PATCH, "/accounts/1000").json(&change)).await;
    assert_eq!(
        (status.as_u16(), &changed["name"], &changed["accepts_messages"]),
        (200, &json!("Store"), &json!(false))
    );
    let (_, disabled) = node.post("/accounts/1000/disable", &json!({})).await;
    assert_eq!(disabled["disabled"], true);
    let (status, _) = read(node.ask(Method::POST, "/accounts/1000/enable")).await;
    assert_eq!(status, 200);
    let (_, seen) = node.get(&format!("/accounts/1000%2A{DOMAIN}")).await;
    assert_eq!((&seen["disabled"], &seen["name"]), (&json!(false), &json!("Store")));
    assert_eq!(node.get("/accounts/1001").await.0, 404);
}

#[tokio::test]
async fn all_fields_that_are_wrong_are_named() {
    let node = Node::start().await;
    let wrong = json!({"address": "0", "name": "x".repeat(41), "accepts_messages": "yes", "colour": "red"});
    let (status, body) = node.post("/accounts", &wrong).await;
    assert_eq!((status.as_u16(), problem(&body)), (422, "invalid"));
    assert_eq!(fields(&body), ["address", "name", "accepts_messages", "colour"]);
    let (_, body) = node.post("/accounts", &json!({"address": "1*other.example"})).await;
    assert_eq!(fields(&body), ["address", "name"]);
}

#[tokio::test]
async fn a_batch_answers_each_row_and_lists_come_in_pages() {
    let node = Node::start().await;
    let rows = json!({"accounts": [
        {"address": "1", "name": "A"}, {"address": "0", "name": "B"}, {"address": "1", "name": "C"},
        {"address": "2", "name": "D"}, "no",
    ]});
    let (status, body) = node.post("/accounts/batch", &rows).await;
    assert_eq!(status, 200);
    let created: Vec<_> = body["results"].as_array().unwrap().iter().map(|row| row["created"].clone()).collect();
    assert_eq!(json!(created), json!([true, null, false, true, null]));
    assert_eq!(problem(&body["results"][4]["error"]), "invalid");
    let (_, first) = node.get("/accounts?limit=1").await;
    assert_eq!(first["items"][0]["address"], format!("1*{DOMAIN}"));
    let (_, second) = node.get(&format!("/accounts?limit=1&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&second["items"][0]["address"], &second["next"]), (&json!(format!("2*{DOMAIN}")), &json!(null)));
}

#[tokio::test]
async fn a_bound_key_knows_its_own_account_only() {
    let node = Node::start().await;
    let own = node.account(1).await;
    node.account(2).await;
    let key = node.key("accounts,passcodes", Some(&own)).await;
    let (_, list) = read(node.ask_as(&key, Method::GET, "/accounts")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let patch = node.ask_as(&key, Method::PATCH, "/accounts/2").json(&json!({"name": "Mine"}));
    for (request, status) in [
        (node.ask_as(&key, Method::GET, "/accounts/1"), 200),
        (node.ask_as(&key, Method::GET, "/accounts/2"), 404),
        (patch, 404),
        (node.ask_as(&key, Method::POST, "/accounts/2/passcodes"), 404),
        (node.ask_as(&key, Method::POST, "/accounts").json(&json!({"address": "3", "name": "C"})), 403),
    ] {
        assert_eq!(read(request).await.0, status);
    }
}

#[tokio::test]
async fn pass_codes_are_shown_once_and_withdrawn() {
    let node = Node::start().await;
    node.account(1).await;
    let (status, issued) = read(node.ask(Method::POST, "/accounts/1/passcodes")).await;
    assert_eq!(status, 201);
    let code = issued["pass_code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
    let (_, live) = node.get("/accounts/1/passcodes").await;
    assert_eq!(live["items"][0]["id"], issued["id"]);
    assert!(live["items"][0].get("pass_code").is_none());
    let id = issued["id"].as_str().unwrap();
    let delete = |path: String| node.ask(Method::DELETE, &path);
    assert_eq!(read(delete(format!("/accounts/1/passcodes/{id}"))).await.1, json!({"withdrawn": 1}));
    assert_eq!(read(delete("/accounts/1/passcodes".into())).await.1, json!({"withdrawn": 0}));
    for life in [json!(0), json!(3601), json!("soon")] {
        let (status, body) = node.post("/accounts/1/passcodes", &json!({"life_seconds": life})).await;
        assert_eq!((status.as_u16(), fields(&body)), (422, vec!["life_seconds"]));
    }
}
