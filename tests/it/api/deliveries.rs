//! The door to deliveries: filters in queries and bodies, what a bound key sees, operations.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Node, fields, problem, read};

async fn send(node: &Node, from: &str, tag: &str) -> String {
    let message = json!({"from": from, "to": "7*peer.example", "text": "hello", "tag": tag});
    let (status, accepted) = node.post("/messages", &message).await;
    assert_eq!(status, 202, "{accepted}");
    accepted["id"].as_str().unwrap().to_owned()
}

async fn stage() -> (Node, [String; 3]) {
    let node = Node::start().await;
    for id in [1, 2] {
        let account = node.account(id).await;
        node.connection(&account, "7*peer.example").await;
    }
    let ids = [send(&node, "1", "a").await, send(&node, "1", "b").await, send(&node, "2", "a").await];
    (node, ids)
}

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn deliveries_are_found_counted_and_looked_at() {
    let (node, [first, second, third]) = stage().await;
    let (_, all) = node.get("/deliveries").await;
    assert_eq!(ids(&all), [&third, &second, &first]);
    let (_, page) = node.get("/deliveries?limit=2").await;
    let (_, rest) = node.get(&format!("/deliveries?limit=2&after={}", page["next"].as_str().unwrap())).await;
    assert_eq!((ids(&page), ids(&rest), &rest["next"]), (vec![&*third, &*second], vec![&*first], &Value::Null));
    let (_, tagged) = node.get("/deliveries?tag=a&destination=peer.example&state=pending,retrying").await;
    assert_eq!(ids(&tagged), [&third, &first]);
    let (_, count) = node.get("/deliveries/count?tag=a").await;
    assert_eq!(
        (&count["matching"], &count["complete"], &count["states"]["pending"]),
        (&json!(2), &json!(true), &json!(2))
    );
    let (_, one) = node.get(&format!("/deliveries/{first}")).await;
    assert_eq!((&one["channel"], &one["state"], &one["attempts"]), (&json!("openmsg"), &json!("pending"), &json!([])));
    let (status, wrong) = node.get("/deliveries?state=lost&status=9&colour=red").await;
    assert_eq!((status.as_u16(), fields(&wrong)), (422, vec!["state", "status", "colour"]));
    assert_eq!(node.get(&format!("/deliveries/{}", uuid::Uuid::max())).await.0, 404);
}

#[tokio::test]
async fn by_id_each_gets_its_word() {
    let (node, [first, second, _]) = stage().await;
    let unknown = node.app.new_id().to_string();
    let (_, words) = node.post("/deliveries/cancel", &json!({"ids": [first, unknown]})).await;
    assert_eq!(
        (&words["results"][0]["result"], &words["results"][1]["result"]),
        (&json!("stopped"), &json!("unknown"))
    );
    let (_, words) = node.post("/deliveries/replay", &json!({"ids": [first, second, unknown]})).await;
    let words: Vec<_> = words["results"].as_array().unwrap().iter().map(|row| row["result"].clone()).collect();
    assert_eq!(json!(words), json!(["replayed", "open", "unknown"]));
    let (_, again) = node.post(&format!("/deliveries/{first}/replay"), &json!({})).await;
    assert_eq!(again["result"], "open");
    assert_eq!(node.post(&format!("/deliveries/{unknown}/replay"), &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_bound_key_reaches_its_own_deliveries_only() {
    let (node, [first, second, third]) = stage().await;
    let account = handfast::accounts::find(&node.app, &format!("1*{}", crate::support::DOMAIN).parse().unwrap()).await;
    let key = node.key("deliveries", account.unwrap().as_ref()).await;
    let ask = |method, path: &str, body: Value| read(node.ask_as(&key, method, path).json(&body));
    let (_, own) = read(node.ask_as(&key, Method::GET, "/deliveries")).await;
    assert_eq!(ids(&own), [&second, &first]);
    assert_eq!(read(node.ask_as(&key, Method::GET, &format!("/deliveries/{third}"))).await.0, 404);
    assert_eq!(read(node.ask_as(&key, Method::GET, "/deliveries?from=2")).await.0, 403);
    let (_, words) = ask(Method::POST, "/deliveries/cancel", json!({"ids": [third, first]})).await;
    assert_eq!(
        (&words["results"][0]["result"], &words["results"][1]["result"]),
        (&json!("unknown"), &json!("stopped"))
    );
    let (status, begun) = ask(Method::POST, "/cancellations", json!({"filter": {"tag": "a"}})).await;
    assert_eq!((status.as_u16(), &begun["filter"]["from"]), (202, &json!(format!("1*{}", crate::support::DOMAIN))));
    // What has ended cannot be cancelled; it must not come to mean everything.
    let (status, _) = node.post("/cancellations", &json!({"filter": {"state": ["failed", "expired"]}})).await;
    assert_eq!(status, 422);
    let (_, other) = node.post("/cancellations", &json!({"filter": {"tag": "zzz"}})).await;
    let other = format!("/operations/{}", other["id"].as_str().unwrap());
    assert_eq!(read(node.ask_as(&key, Method::GET, &other)).await.0, 404);
    let (_, list) = read(node.ask_as(&key, Method::GET, "/operations")).await;
    assert_eq!(ids(&list), [begun["id"].as_str().unwrap()]);
    let reader = node.key("deliveries:read", None).await;
    assert_eq!(
        read(node.ask_as(&reader, Method::POST, "/deliveries/cancel").json(&json!({"ids": [first]}))).await.0,
        403
    );
}

#[tokio::test]
async fn an_operation_is_counted_begun_and_steered() {
    let (node, [first, second, third]) = stage().await;
    node.post("/deliveries/cancel", &json!({"ids": [first, second, third]})).await;
    let filter = json!({"tag": "a", "state": ["cancelled"]});
    let (status, dry) = node.post("/replays", &json!({"filter": filter, "dry_run": true})).await;
    assert_eq!((status.as_u16(), &dry["matching"], &dry["complete"]), (200, &json!(2), &json!(true)));
    assert_eq!(ids(&node.get("/operations").await.1), Vec::<&str>::new());
    let (status, begun) = node.post("/replays", &json!({"filter": filter, "rate": 10})).await;
    assert_eq!((status.as_u16(), &begun["state"], &begun["matching"]), (202, &json!("running"), &json!(2)));
    assert_eq!((&begun["filter"], &begun["rate"]), (&filter, &json!(10.0)));
    let path = format!("/operations/{}", begun["id"].as_str().unwrap());
    for (how, status, state) in [
        ("pause", 200, "paused"),
        ("pause", 200, "paused"),
        ("resume", 200, "running"),
        ("cancel", 200, "cancelled"),
        ("cancel", 200, "cancelled"),
        ("resume", 409, ""),
    ] {
        let (got, body) = node.post(&format!("{path}/{how}"), &json!({})).await;
        assert_eq!(got, status, "{how}: {body}");
        assert!(status == 409 || body["state"] == state, "{how}: {body}");
    }
    assert_eq!(node.get(&format!("{path}/results")).await.1, json!({"items": [], "next": null}));
    for (wrong, named) in [
        (json!({}), "filter"),
        (json!({"filter": {}}), "filter"),
        (json!({"filter": 7}), "filter"),
        (json!({"filter": {"tag": "a"}, "rate": 0}), "rate"),
        (json!({"filter": {"colour": "red", "tag": "a"}}), "colour"),
    ] {
        let (status, body) = node.post("/replays", &wrong).await;
        assert_eq!((status.as_u16(), problem(&body), fields(&body)), (422, "invalid", vec![named]), "{wrong}");
    }
}
