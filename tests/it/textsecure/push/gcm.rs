//! The form of 2013.

use std::time::Duration;

use http::Response;
use serde_json::json;

use super::gateway::{Gateway, Seen, Speaks, pause, says};
use super::*;
use crate::node::Port;
use crate::webhooks::receiver::{Receiver, slowly};

const GATE: &str = "gcm.test";

fn with_gcm() -> Options {
    quick()
        .set("providers.push.gcm.url", format!("https://{GATE}/gcm/send"))
        .set("providers.push.gcm.key", "the key of the test")
}

fn accepted() -> Option<Response<String>> {
    says(200, json!({"success": 1, "failure": 0, "results": [{"message_id": "1:1"}]}))
}

fn failed(error: &str) -> Option<Response<String>> {
    says(200, json!({"success": 0, "failure": 1, "results": [{"error": error}]}))
}

fn to(seen: &Seen) -> String {
    seen.json()["registration_ids"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_envelope_goes_whole_and_is_forgotten_when_it_is_accepted() {
    let net = Net::new();
    let gate = Gateway::start(&net, GATE, Speaks::Http1, |_, _| accepted()).await;
    let scene = Scene::with(net, with_gcm()).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    set(&phone, "gcm", "device-1").await;
    until_taken(&scene.node).await;
    let [seen] = gate.seen().try_into().unwrap();
    assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/gcm/send", "key=the key of the test"));
    let body = seen.json();
    assert_eq!(
        (to(&seen).as_str(), &body["data"]["type"], &body["priority"]),
        ("device-1", &json!("message"), &json!("high"))
    );
    assert_eq!(open(&phone, &body["data"]["message"]), b"an envelope");
    assert!(body["time_to_live"].as_i64().unwrap() > 1_000_000);
    // A receipt has a key of its own; the address it has already pushes nothing twice.
    waits(&scene.node, &phone, b"a receipt", true).await;
    set(&phone, "gcm", "device-1").await;
    assert_eq!(waiting(&scene.node).await, 1);
    set(&phone, "gcm", "device-2").await;
    until_taken(&scene.node).await;
    let data = gate.got(2).await[1].json()["data"].clone();
    assert_eq!(open(&phone, &data["receipt"]), b"a receipt");
    assert_eq!(data.get("message"), None);
}

#[tokio::test]
async fn a_canonical_id_is_used_from_then_on_and_an_id_that_is_none_any_more_is_taken_away() {
    let net = Net::new();
    let gate = Gateway::start(&net, GATE, Speaks::Http1, |seen, _| match to(seen).as_str() {
        "old" => says(
            200,
            json!({"success": 1, "canonical_ids": 1, "results": [{"message_id": "1:1", "registration_id": "new"}]}),
        ),
        "gone" => failed("NotRegistered"),
        "junk" => failed("InvalidRegistration"),
        _ => accepted(),
    })
    .await;
    let scene = Scene::with(net, with_gcm()).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"one", false).await;
    set(&phone, "gcm", "old").await;
    until_taken(&scene.node).await;
    // The node knows it by the new id: this one is another.
    waits(&scene.node, &phone, b"two", false).await;
    set(&phone, "gcm", "new").await;
    assert_eq!(waiting(&scene.node).await, 1);
    for address in ["gone", "junk"] {
        set(&phone, "gcm", address).await;
        until_forgotten(&scene.node, &phone).await;
        assert_eq!(waiting(&scene.node).await, 1, "it waits for the device");
    }
    // What waited is pushed when there is an address again.
    set(&phone, "gcm", "newest").await;
    until_taken(&scene.node).await;
    assert_eq!(listed(&scene.node, &phone.number).await, 1);
    let called: Vec<String> = gate.seen().iter().map(to).collect();
    assert_eq!(called, ["old", "gone", "junk", "newest"]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_service_asks_for_time_fails_dawdles_or_refuses_us() {
    let net = Net::new();
    let gate = Gateway::start(&net, GATE, Speaks::Http1, |_, n| match n {
        0 => pause(429, 2),
        1 => says(500, "sorry"),
        2 => failed("Unavailable"),
        3 => None,
        4 => says(401, "who?"),
        5 => failed("MessageTooBig"),
        6 => says(503, "later"),
        _ => accepted(),
    })
    .await;
    let scene = Scene::with(net, with_gcm().set("destinations.failures_in_a_row", 100)).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    set(&phone, "gcm", "device-1").await;
    until_taken(&scene.node).await;
    let seen = gate.got(8).await;
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(1900), "the pause was not kept");
    assert_eq!(open(&phone, &seen[7].json()["data"]["message"]), b"an envelope");
    // Too big is told without: the device fetches it.
    assert_eq!(seen[6].json()["data"], json!({"type": "message", "notification": ""}));
    for code in ["http_429", "http_500", "Unavailable", "timeout_after_sending", "http_401", "http_503"] {
        until_tried(&scene.node, code).await;
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_called_again_until_it_is_up() {
    let net = Net::new();
    let port = Port::free();
    net.name(GATE, port.socket());
    let scene = Scene::with(net, with_gcm()).await;
    let phone = pushed(&scene, "+14155550101").await;
    for text in [b"one", b"two", b"six"] {
        waits(&scene.node, &phone, text, false).await;
    }
    set(&phone, "gcm", "device-1").await;
    until_tried(&scene.node, "connect").await;
    assert_eq!(waiting(&scene.node).await, 3);
    let gate = Gateway::rise(&scene.net, GATE, port.socket(), |_, _| accepted()).await;
    until_taken(&scene.node).await;
    let mut got: Vec<Vec<u8>> = gate.seen().iter().map(|seen| open(&phone, &seen.json()["data"]["message"])).collect();
    got.sort();
    assert_eq!(got, [b"one", b"six", b"two"]);
}

#[tokio::test]
async fn a_word_on_an_id_that_was_replaced_meanwhile_loses_nothing() {
    let net = Net::new();
    let gate = Receiver::start(&net, GATE, |seen, n| {
        let said = |result: Value| Response::new(json!({"results": [result]}).to_string());
        match (seen.json()["registration_ids"][0].as_str(), n) {
            (Some("old"), 0) => {
                slowly(said(json!({"message_id": "1:1", "registration_id": "new"})), Duration::from_millis(300))
            }
            // By then the node has the new one.
            (Some("old"), _) => slowly(said(json!({"error": "NotRegistered"})), Duration::from_millis(700)),
            _ => said(json!({"message_id": "1:1"})),
        }
    })
    .await;
    let scene = Scene::with(net, with_gcm()).await;
    let phone = pushed(&scene, "+14155550101").await;
    for text in [b"one", b"two"] {
        waits(&scene.node, &phone, text, false).await;
    }
    set(&phone, "gcm", "old").await;
    until_taken(&scene.node).await;
    assert_eq!(gate.seen().last().unwrap().json()["registration_ids"][0], "new");
    assert_eq!(listed(&scene.node, &phone.number).await, 1, "the new address stays");
}

#[tokio::test]
async fn a_refusal_that_names_no_reason_ends_nothing() {
    let net = Net::new();
    Gateway::start(&net, GATE, Speaks::Http1, |_, n| match n {
        0 => says(400, "no"),
        1 => says(422, "no"),
        _ => accepted(),
    })
    .await;
    let scene = Scene::with(net, with_gcm()).await;
    let phone = pushed(&scene, "+14155550101").await;
    waits(&scene.node, &phone, b"an envelope", false).await;
    set(&phone, "gcm", "device-1").await;
    until_taken(&scene.node).await;
    for code in ["http_400", "http_422"] {
        until_tried(&scene.node, code).await;
    }
}
