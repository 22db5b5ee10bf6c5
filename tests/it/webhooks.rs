//! Webhooks through a whole node: from the API over the books and the broker to a receiver, and back as attempts.

pub(crate) mod receiver;

use std::time::Duration;

use serde_json::{Value, json};

use crate::node::{Net, Node, Options, eventually};
use receiver::{Receiver, pause, status};

const OURS: &str = "node.test";
const HOOKS: &str = "hooks.test";

async fn node(net: &Net) -> Node {
    Node::start(net, options()).await
}

fn options() -> Options {
    Options::of(OURS).set("delivery.webhook_schedule", vec!["200ms", "300ms", "500ms"])
}

/// A webhook at the receiver; `more` goes into the request. The answer, with its secret.
async fn webhook(node: &Node, name: &str, more: Value) -> Value {
    let mut wanted = json!({"name": name, "url": format!("https://{HOOKS}/in/{name}?token=1")});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node.post("webhooks", wanted).await
}

async fn send(node: &Node, message: Value) -> String {
    node.post("messages", message).await["id"].as_str().unwrap().to_owned()
}

fn attempts(message: &Value) -> Vec<(u64, String)> {
    let all = message["deliveries"][0]["attempts"].as_array().unwrap();
    let outcome = |attempt: &Value| attempt["outcome"].as_str().unwrap().to_owned();
    all.iter().map(|attempt| (attempt["status"].as_u64().unwrap_or_default(), outcome(attempt))).collect()
}

#[tokio::test]
async fn a_message_arrives_byte_for_byte_signed_with_both_kinds_and_with_headers() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(204)).await;
    let node = node(&net).await;
    let auth = json!({"type": "basic", "username": "Aladdin", "password": "open sesame"});
    let made = webhook(&node, "orders", json!({"signing": "both", "headers": {"X-Tenant": "7"}, "auth": auth})).await;
    let payload = r#"{ "b":1.50, "a":[1,2 ], "ü":"\u00fc" }"#;
    let headers = json!({"x-order": "12", "x-tenant": "8", "authorization": "Bearer mine"});
    let mut message = json!({"webhook": "orders", "payload": 0, "headers": headers, "tag": "t"}).to_string();
    message = message.replace("\"payload\":0", &format!("\"payload\":{payload}"));
    let response = reqwest::Client::new()
        .post(format!("http://{}/api/v1/messages", node.private))
        .bearer_auth(node.key())
        .header("content-type", "application/json")
        .body(message)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 202);
    let id = response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let seen = receiver.got(1).await.remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/in/orders?token=1"));
    assert_eq!(seen.body, payload);
    assert_eq!(seen.header("webhook-id"), id);
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!((seen.header("x-order"), seen.header("x-tenant")), ("12", "8"));
    assert_eq!(seen.header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert!(seen.header("user-agent").starts_with("handfast/"));
    assert_eq!(seen.header("host"), HOOKS);
    let public = made["secrets"][1]["public_key"].as_str().unwrap();
    assert!(seen.is_signed_with(made["secret"].as_str().unwrap()) && seen.is_signed_with(public));
    assert!(!seen.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let message = node.settled(&id).await;
    assert_eq!((message["state"].as_str(), attempts(&message)), (Some("delivered"), vec![(204, "delivered".into())]));
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn any_text_goes_with_the_type_that_was_said() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(200)).await;
    let node = node(&net).await;
    webhook(&node, "plain", json!({})).await;
    let id =
        send(&node, json!({"webhook": "plain", "body": "a=1&b=ü", "content_type": "text/plain; charset=utf-8"})).await;
    let seen = receiver.got(1).await.remove(0);
    assert_eq!((&seen.body[..], seen.header("content-type")), ("a=1&b=ü".as_bytes(), "text/plain; charset=utf-8"));
    assert_eq!(node.settled(&id).await["state"], "delivered");
}

#[tokio::test]
async fn the_same_id_is_sent_again_until_it_is_answered_well() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, n| match n {
        0 => status(500),
        1 => http::Response::builder()
            .status(302)
            .header("location", "https://hooks.test/else")
            .body(String::new())
            .unwrap(),
        2 => status(408),
        _ => status(200),
    })
    .await;
    let node = node(&net).await;
    let secret = webhook(&node, "orders", json!({})).await["secret"].as_str().unwrap().to_owned();
    let id = send(&node, json!({"webhook": "orders", "payload": {"n": 1}})).await;
    let message = node.settled(&id).await;
    let seen = receiver.seen();
    assert_eq!(attempts(&message).iter().map(|(status, _)| *status).collect::<Vec<_>>(), [500, 302, 408, 200]);
    assert!(seen.iter().all(|seen| seen.header("webhook-id") == id && seen.is_signed_with(&secret)));
    assert!(seen.iter().all(|seen| seen.path == "/in/orders?token=1"), "a redirect was followed");
}

#[tokio::test]
async fn some_answers_are_final_and_which_is_the_webhooks_to_say() {
    let net = Net::new();
    let answer = |seen: &receiver::Seen, n: usize| match seen.path.split('?').next().unwrap() {
        "/in/gone" => status(410),
        "/in/strict" => status(418),
        _ if n == 0 => status(404),
        _ => status(200),
    };
    let receiver = Receiver::start(&net, HOOKS, answer).await;
    let node = node(&net).await;
    webhook(&node, "lenient", json!({"final_statuses": []})).await;
    webhook(&node, "gone", json!({})).await;
    webhook(&node, "strict", json!({"final_statuses": [418]})).await;
    let lenient = send(&node, json!({"webhook": "lenient", "payload": 1})).await;
    assert_eq!(node.settled(&lenient).await["state"], "delivered");
    for (name, status) in [("gone", 410), ("strict", 418)] {
        let id = send(&node, json!({"webhook": name, "payload": 1})).await;
        let message = node.settled(&id).await;
        assert_eq!(message["state"], "failed", "{message}");
        assert_eq!(attempts(&message), [(status, "refused-for-good".into())]);
    }
    assert_eq!(receiver.seen().len(), 4);
    eventually("the hint is noted", async || node.get("webhooks/gone").await["gone_at"].is_string()).await;
    assert!(node.get("webhooks/strict").await["gone_at"].is_null());
}

#[tokio::test]
async fn a_pause_is_kept_whether_in_seconds_or_as_a_date() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, n| match n {
        0 => pause(429, "2"),
        1 => {
            // In whole seconds: between two and three from now.
            let at = std::time::SystemTime::now() + Duration::from_secs(3);
            pause(503, &httpdate::fmt_http_date(at))
        }
        _ => status(200),
    })
    .await;
    let node = node(&net).await;
    webhook(&node, "orders", json!({})).await;
    let id = send(&node, json!({"webhook": "orders", "payload": 1})).await;
    let message = node.settled(&id).await;
    assert_eq!(attempts(&message).iter().map(|(status, _)| *status).collect::<Vec<_>>(), [429, 503, 200]);
    let at: Vec<_> = receiver.seen().iter().map(|seen| seen.at).collect();
    assert!(at[1] - at[0] >= Duration::from_millis(1950), "{:?}", at[1] - at[0]);
    assert!(at[2] - at[1] >= Duration::from_millis(1900), "{:?}", at[2] - at[1]);
}

#[tokio::test]
async fn a_webhook_that_moves_is_called_at_once_unless_an_operator_paused_it() {
    let net = Net::new();
    let answer = |seen: &receiver::Seen, _| if seen.path == "/old" { pause(503, "3600") } else { status(200) };
    let _receiver = Receiver::start(&net, HOOKS, answer).await;
    let node = node(&net).await;
    let to = |path: &str| json!({"url": format!("https://{HOOKS}{path}")});
    webhook(&node, "orders", to("/old")).await;
    // Nobody knows it before the first answer.
    let standing = async || node.api("GET", "destinations/orders", None).await.body["state"].clone();
    send(&node, json!({"webhook": "orders", "payload": 1})).await;
    eventually("it asks for a pause", async || standing().await == "retry_after").await;
    let second = send(&node, json!({"webhook": "orders", "payload": 2})).await;
    assert_eq!(node.api("PATCH", "webhooks/orders", Some(to("/new"))).await.status, 200);
    assert_eq!(node.settled(&second).await["state"], "delivered");

    node.post("destinations/orders/pause", json!({})).await;
    assert_eq!(node.api("PATCH", "webhooks/orders", Some(to("/newer"))).await.status, 200);
    assert_eq!(standing().await, "paused");
}

#[tokio::test]
async fn secrets_overlap_after_a_rotation_and_are_shown_once() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(200)).await;
    let node = node(&net).await;
    let old = webhook(&node, "orders", json!({})).await["secret"].as_str().unwrap().to_owned();
    let rotated = node.post("webhooks/orders/rotate", json!({"overlap_seconds": 3600})).await;
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);
    let shown = node.get("webhooks/orders").await.to_string() + &node.get("webhooks").await.to_string();
    assert!(!shown.contains(&old[6..]) && !shown.contains(&new[6..]));
    let first = send(&node, json!({"webhook": "orders", "payload": 1})).await;
    node.settled(&first).await;
    let seen = receiver.got(1).await.remove(0);
    assert!(seen.is_signed_with(&old) && seen.is_signed_with(&new));
    let newest = node.post("webhooks/orders/rotate", json!({"overlap_seconds": 0})).await;
    // The worker follows within two seconds.
    let only_newest = async || {
        let id = send(&node, json!({"webhook": "orders", "payload": 2})).await;
        node.settled(&id).await;
        let seen = receiver.seen().pop().unwrap();
        seen.is_signed_with(newest["secret"].as_str().unwrap())
            && !seen.is_signed_with(&new)
            && !seen.is_signed_with(&old)
    };
    eventually("only the newest secret signs", only_newest).await;
    let stored = node.app.db.rows("select webhooks::text from webhooks", &[]).await.unwrap();
    let stored: String = stored[0].get(0);
    assert!(!stored.contains("token=1") && !stored.contains(&old[6..]));
    assert!(!node.logs().contains(&old[6..]) && !node.logs().contains("token=1"));
}

#[tokio::test]
async fn a_disabled_webhook_keeps_its_messages_and_a_deleted_one_ends_them() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(200)).await;
    let node = node(&net).await;
    webhook(&node, "orders", json!({})).await;
    webhook(&node, "other", json!({})).await;
    assert_eq!(node.post("webhooks/orders/disable", json!({})).await["disabled"], true);
    assert_eq!(node.get("destinations/orders").await["state"], "paused");
    let held = send(&node, json!({"webhook": "orders", "payload": 1})).await;
    let other = send(&node, json!({"webhook": "other", "payload": 1})).await;
    assert_eq!(node.settled(&other).await["state"], "delivered");
    assert_eq!(receiver.seen().len(), 1);
    assert!(["pending", "retrying"].contains(&node.state(&held).await.as_str()));
    assert_eq!(node.post("webhooks/orders/enable", json!({})).await["disabled"], false);
    assert_eq!(node.settled(&held).await["state"], "delivered");
    // Longer from now than a worker may go by what it knew: two seconds.
    let due = jiff::Timestamp::now() + Duration::from_secs(3);
    let late = send(&node, json!({"webhook": "orders", "payload": 1, "deliver_at": due.to_string()})).await;
    assert_eq!(node.api("DELETE", "webhooks/orders", None).await.status, 204);
    let late = node.settled(&late).await;
    assert_eq!(
        (late["state"].as_str(), late["deliveries"][0]["reason"].as_str()),
        (Some("failed"), Some("no-webhook"))
    );
    let answer = node.api("POST", "messages", Some(json!({"webhook": "orders", "payload": 1}))).await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn a_ping_goes_the_whole_way_and_a_named_port_is_called() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(200)).await;
    let node = node(&net).await;
    let url = format!("https://{HOOKS}:{}/named", receiver.port());
    node.post("webhooks", json!({"name": "named", "url": url})).await;
    let id = node.post("webhooks/named/test", json!({})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(node.settled(&id).await["state"], "delivered");
    let seen = receiver.got(1).await.remove(0);
    assert_eq!((seen.path.as_str(), seen.json()["type"].as_str()), ("/named", Some("ping")));
}

#[tokio::test]
async fn nobody_there_is_tried_again_and_costs_the_others_nothing() {
    let net = Net::new();
    net.name("nobody.test", crate::node::Port::free().socket());
    let receiver = Receiver::start(&net, HOOKS, |_, _| status(200)).await;
    let node = node(&net).await;
    node.post("webhooks", json!({"name": "nobody", "url": "https://nobody.test/"})).await;
    webhook(&node, "orders", json!({})).await;
    let lost = send(&node, json!({"webhook": "nobody", "payload": 1, "expires_in": 3})).await;
    let good = send(&node, json!({"webhook": "orders", "payload": 1})).await;
    assert_eq!(node.settled(&good).await["state"], "delivered");
    let tried = node.tried(&lost, 2).await;
    assert!(tried.iter().all(|attempt| attempt["outcome"] == "not-sent" && attempt["code"] == "connect"), "{tried:?}");
    assert_eq!(node.settled(&lost).await["state"], "expired");
    assert_eq!(receiver.seen().len(), 1);
}
