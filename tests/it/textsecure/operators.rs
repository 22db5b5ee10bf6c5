//! What an operator does to a number, and what its devices and those who write to it notice: over the API and the command line.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::{BlockDecryptMut, KeyIvInit, block_padding::Pkcs7};
use handfast::textsecure::envelope::RECEIPT;
use handfast::textsecure::{Envelope, Number};
use http::Response;
use serde_json::{Value, json};

use super::scene::{HOME, Phone, Scene, options};
use crate::node::{Net, Node, eventually};
use crate::webhooks::receiver::Receiver;

const ADA: &str = "+14155550101";
const BOB: &str = "+14155550102";
const GATE: &str = "gcm.test";

fn message(to: &Phone) -> Value {
    let body =
        json!({"type": 1, "destinationDeviceId": to.device, "destinationRegistrationId": 4242, "body": "aGVsbG8="});
    json!({"messages": [body]})
}

/// What the others find of a number: keys, a message to it, the directory; and whether it signs in itself.
async fn found(one: &Phone, other: &Phone) -> [u16; 4] {
    let token = one.number.token().text();
    [
        one.get("/v1/keys/").await.status,
        other.get(&format!("/v1/keys/{}", one.number.as_str())).await.status,
        other.put(&format!("/v1/messages/{}", one.number.as_str()), message(one)).await.status,
        other.get(&format!("/v1/directory/{token}")).await.status,
    ]
}

fn keys() -> Value {
    let key = |id: u32| json!({"keyId": id, "publicKey": "BQ", "identityKey": "BQ"});
    json!({"lastResortKey": key(0xff_ffff), "keys": [key(1), key(2), key(3), key(4)]})
}

#[tokio::test]
async fn a_number_that_is_disabled_or_unregistered_is_nobody_until_it_is_back() {
    let scene = Scene::start().await;
    let node = &scene.node;
    let (ada, bob) = (scene.phone(ADA).await, scene.phone(BOB).await);
    assert_eq!(ada.put("/v1/keys/", keys()).await.status, 204);
    assert_eq!(found(&ada, &bob).await, [200, 200, 204, 200]);

    let shown = node.said(&["phones", "disable", ADA]).await;
    assert!(shown.lines().any(|line| line.starts_with("directory") && line.ends_with("none")), "{shown}");
    assert_eq!(found(&ada, &bob).await, [401, 404, 404, 404]);
    node.said(&["phone", "enable", ADA]).await;
    assert_eq!(found(&ada, &bob).await, [200, 200, 204, 200]);

    assert_eq!(node.said(&["phones", "unregister", ADA]).await, format!("{ADA} unregistered\n"));
    assert_eq!(found(&ada, &bob).await, [401, 404, 404, 404]);
    let again = node.handfast(&["phones", "unregister", ADA]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("There is no such phone number."));
    // It is as if it had never been here.
    let ada = Phone::register(node, ADA).await;
    assert_eq!(found(&ada, &bob).await, [200, 404, 204, 200]);

    let list = node.said(&["phones", "list", "--json"]).await;
    let numbers: Vec<Value> =
        list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].take()).collect();
    assert_eq!(numbers, [ADA, BOB]);
    let show: Value = serde_json::from_str(&node.said(&["phones", "show", ADA, "--json"]).await).unwrap();
    assert_eq!((&show["directory"], &show["devices"][0]["waiting"]), (&json!("local"), &json!(1)));
    assert_eq!(node.said(&["peers", "--json"]).await, "");
    let logs = node.logs();
    assert!(!logs.contains("4155550101") && !logs.contains("4155550102"), "a number is in the log");
}

/// A push service of 2013 that takes what goes to `good`, and knows nothing of any other address.
async fn gate(net: &Net) -> Receiver {
    Receiver::start(net, GATE, |seen, _| {
        let good = seen.json()["registration_ids"][0] == "good";
        let result = if good { json!({"message_id": "1:1"}) } else { json!({"error": "NotRegistered"}) };
        Response::new(json!({"success": u8::from(good), "results": [result]}).to_string())
    })
    .await
}

/// A scene with it, and a phone that has nothing but this address.
async fn pushed(address: &str) -> (Receiver, Scene, Phone) {
    let net = Net::new();
    let gate = gate(&net).await;
    let settings = options(HOME)
        .set("providers.push.gcm.url", format!("https://{GATE}/gcm/send"))
        .set("providers.push.gcm.key", "the key of the test");
    let scene = Scene::with(net, settings).await;
    let phone = scene.phone(ADA).await;
    assert_eq!(phone.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": address})).await.status, 204);
    scene.node.execute("update devices set fetches_messages = false").await;
    (gate, scene, phone)
}

/// What a client of the time finds in what it is pushed.
fn opened(phone: &Phone, sealed: &Value) -> Envelope {
    let sealed = BASE64_STANDARD.decode(sealed.as_str().expect("a sealed envelope")).expect("padded base64");
    let (version_and_iv, rest) = sealed.split_at(17);
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&phone.signaling_key[..32], &version_and_iv[1..]);
    let plain = cipher.unwrap().decrypt_padded_vec_mut::<Pkcs7>(&rest[..rest.len() - 10]).expect("padding");
    Envelope::from_plaintext(&plain).expect("an envelope")
}

async fn waiting(node: &Node) -> i64 {
    node.value("select count(*) from envelopes").await
}

#[tokio::test]
async fn a_test_push_is_a_delivery_that_says_what_the_service_said() {
    let (gate, scene, phone) = pushed("good").await;
    let node = &scene.node;
    let sent = node.api("POST", &format!("phones/{ADA}/test-push"), None).await;
    let Value::String(id) = &sent.body["id"] else { panic!("{sent:?}") };
    assert_eq!(
        (sent.status, &sent.body),
        (202, &json!({"id": id, "state": "pending", "device": 1, "destination": "push:gcm"}))
    );
    assert_eq!(node.settled(id).await["state"], "delivered");
    let data = gate.got(1).await[0].json()["data"].clone();
    // Under the name of receipts, so that what does not know receipts passes over it; and a receipt for nothing.
    assert_eq!(data.get("message"), None, "{data}");
    let receipt = opened(&phone, &data["receipt"]);
    assert_eq!((receipt.kind, receipt.source.as_deref(), receipt.message), (Some(RECEIPT), Some(ADA), None));
    eventually("nothing is left of it", async || waiting(node).await == 0).await;

    let shown = node.said(&["phones", "test-push", ADA, "--device", "1", "--wait", "30s"]).await;
    assert!(shown.lines().any(|line| line.starts_with("state") && line.ends_with("delivered")), "{shown}");
    assert!(!node.logs().contains("4155550101"), "a number is in the log");
}

#[tokio::test]
async fn a_test_push_finds_out_that_a_service_knows_a_device_no_more() {
    let (_gate, scene, _) = pushed("gone").await;
    let node = &scene.node;
    let output = node.handfast(&["phones", "test-push", ADA, "--wait", "30s", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let delivery: Value = serde_json::from_slice(&output.stdout).expect("the delivery");
    assert_eq!((&delivery["state"], &delivery["reason"]), (&json!("failed"), &json!("unregistered")), "{delivery:#}");
    assert_eq!(delivery["attempts"][0]["code"], "NotRegistered", "{delivery:#}");
    let phone = node.get(&format!("phones/{ADA}")).await;
    assert_eq!((&phone["directory"], &phone["active"]), (&json!("none"), &json!(false)));
    let device = &phone["devices"][0];
    assert!(device["push"].is_null() && device["push_failed_at"].is_string(), "{device}");
    let refused = node.api("POST", &format!("phones/{ADA}/test-push"), None).await;
    assert_eq!(refused.status, 409);
}

#[tokio::test]
async fn what_came_before_a_number_was_disabled_is_pushed_when_it_is_back() {
    let (gate, mut scene, ada) = pushed("good").await;
    let bob = scene.phone(BOB).await;
    scene.node.kill_work().await;
    assert_eq!(bob.put(&format!("/v1/messages/{ADA}"), message(&ada)).await.status, 204);
    scene.node.post(&format!("phones/{ADA}/disable"), json!({})).await;
    scene.node.start_work();
    let given_up = "select count(*) from exceptions where reason = 'no-device'";
    eventually("its delivery is given up", async || scene.node.value::<i64>(given_up).await == 1).await;
    assert_eq!((waiting(&scene.node).await, gate.seen().len()), (1, 0));
    scene.node.post(&format!("phones/{ADA}/enable"), json!({})).await;
    let pushed = gate.got(1).await[0].json();
    assert_eq!(opened(&ada, &pushed["data"]["message"]).message.as_deref(), Some(b"hello".as_slice()));
    eventually("it is taken", async || waiting(&scene.node).await == 0).await;
}

#[tokio::test]
async fn numbers_that_a_peer_has_claimed_are_free_again() {
    let scene = Scene::start().await;
    let ada: Number = ADA.parse().unwrap();
    let token = hex::encode(ada.token().0);
    scene.node.execute(&format!("insert into directory (token, relay) values ('\\x{token}', 'other')")).await;
    let shown = scene.node.said(&["phones", "show", ADA]).await;
    assert!(shown.lines().any(|line| line.starts_with("peer") && line.ends_with("other")), "{shown}");
    scene.node.said(&["phones", "unregister", ADA]).await;
    let bob = scene.phone(BOB).await;
    assert_eq!(bob.get(&format!("/v1/directory/{}", ada.token().text())).await.status, 404);
}
