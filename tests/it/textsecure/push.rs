//! Devices that are woken: each push service as a stand-in that speaks its real API over TLS, with its ways of failing.

mod apns;
mod fcm;
mod gateway;
mod gcm;
mod web;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::{BlockDecryptMut, KeyIvInit, block_padding::Pkcs7};
use handfast::envelopes;
use handfast::phones;
use handfast::textsecure::Number;
use hmac_of_the_device::hmac_sha256;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::scene::{HOME, Phone, Scene, options};
use crate::node::{Net, Node, Options, eventually};

/// A node that tries again at once, and gives a service a second to answer.
fn quick() -> Options {
    options(HOME).set("providers.timeout", "1s").set("providers.push.schedule", vec!["200ms"])
}

/// A phone that has nothing but its push address.
async fn pushed(scene: &Scene, number: &str) -> Phone {
    let phone = scene.phone(number).await;
    scene.node.execute(&format!("update devices set fetches_messages = false where number = '{number}'")).await;
    phone
}

/// Something that waits for a phone, as if it had been sent.
async fn waits(node: &Node, phone: &Phone, text: &[u8], receipt: bool) {
    let mut client = node.app.db.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let devices = phones::devices(&tx, &phone.number).await.unwrap();
    let device = devices.iter().find(|device| device.id == phone.device).unwrap();
    envelopes::store(&tx, &node.app, device, Zeroizing::new(text.to_vec()), receipt).await.unwrap();
    tx.commit().await.unwrap();
}

/// Gives the node an address; whatever waits is pushed there.
async fn set(phone: &Phone, kind: &str, address: &str) {
    let key = if kind == "apn" { "apnRegistrationId" } else { "gcmRegistrationId" };
    let key = if kind == "web" { "webPushSubscription" } else { key };
    assert_eq!(phone.put(&format!("/v1/accounts/{kind}/"), json!({key: address})).await.status, 204);
}

async fn waiting(node: &Node) -> i64 {
    node.value("select count(*) from envelopes").await
}

/// Waits until nothing waits any more.
async fn until_taken(node: &Node) {
    eventually("the push service has everything", async || waiting(node).await == 0).await;
}

/// Waits until a try ended with this code.
async fn until_tried(node: &Node, code: &str) {
    let sql = format!("select count(*) from attempts where code = '{code}'");
    eventually(code, async || node.value::<i64>(&sql).await > 0).await;
}

/// Waits until the node has taken the address away, and the number out of its directory.
async fn until_forgotten(node: &Node, phone: &Phone) {
    let number = phone.number.as_str();
    let sql = format!(
        "select count(*) from devices where number = '{number}' and push is null and push_address is null \
         and push_failed_at is not null"
    );
    eventually("the address is taken away", async || node.value::<i64>(&sql).await == 1).await;
    assert_eq!(listed(node, &phone.number).await, 0);
}

async fn listed(node: &Node, number: &Number) -> i64 {
    let token = hex::encode(number.token().0);
    node.value(&format!("select count(*) from directory where token = '\\x{token}'")).await
}

/// What a client of the time does with what it is pushed: version, MAC, then the text.
fn open(phone: &Phone, sealed: &Value) -> Vec<u8> {
    let sealed = BASE64_STANDARD.decode(sealed.as_str().expect("a sealed envelope")).expect("padded base64");
    let (body, mac) = sealed.split_at(sealed.len() - 10);
    assert_eq!(body[0], 1, "the version");
    assert_eq!(hmac_sha256(&phone.signaling_key[32..], body)[..10], *mac, "the MAC");
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&phone.signaling_key[..32], &body[1..17]).unwrap();
    cipher.decrypt_padded_vec_mut::<Pkcs7>(&body[17..]).expect("padding")
}

#[tokio::test]
async fn addresses_are_not_given_at_will() {
    let (bucket, per_minute) =
        ("textsecure.limits.push_addresses.bucket", "textsecure.limits.push_addresses.per_minute");
    let scene = Scene::with(Net::new(), options(HOME).set(bucket, 1).set(per_minute, 0.001)).await;
    let phone = scene.phone("+14155550101").await;
    // What is none takes nothing.
    assert_eq!(phone.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": ""})).await.status, 415);
    set(&phone, "gcm", "device-1").await;
    let over = phone.put("/v1/accounts/apn/", json!({"apnRegistrationId": "aa"})).await;
    assert_eq!(over.status, 413);
    assert!(over.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() > 0));
    set(&scene.phone("+14155550102").await, "gcm", "device-2").await;
}

/// Not the node's own.
mod hmac_of_the_device {
    use aws_lc_rs::hmac;

    pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    }
}
