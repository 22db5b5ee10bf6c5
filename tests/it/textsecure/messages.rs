//! Sending: messages of both versions, lists, receipts, and what is stored of them until the devices have it.

mod lists;
mod stored;

use handfast::envelopes::{self, Stored};
use handfast::phones::{self, Registration};
use handfast::textsecure::envelope::RECEIPT;
use handfast::textsecure::{Envelope, seal};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::scene::{HOME, Phone, SIGNALING_KEY, Scene, options, shown, stored_for};
use crate::node::{Net, Node, eventually};

const ALICE: &str = "+14155550101";
const BOB: &str = "+14155550102";
const CAROL: &str = "+14155550103";
/// With which scenes register their phones.
const REGISTRATION: i64 = 4242;

/// What waits for a phone, oldest first.
async fn waiting(node: &Node, phone: &Phone) -> Vec<Stored> {
    stored_for(node, &phone.number, phone.device).await
}

/// The same as envelopes.
async fn envelopes_of(node: &Node, phone: &Phone) -> Vec<Envelope> {
    let open = |stored: &Stored| Envelope::from_plaintext(&stored.content).expect("an envelope");
    waiting(node, phone).await.iter().map(open).collect()
}

/// Bodies of what waits, as text.
async fn texts(node: &Node, phone: &Phone) -> Vec<String> {
    let text = |envelope: Envelope| String::from_utf8(envelope.message.unwrap_or_default()).expect("text");
    envelopes_of(node, phone).await.into_iter().map(text).collect()
}

fn to(device: i64, registration: i64, body: &str) -> Value {
    json!({"type": 1, "destinationDeviceId": device, "destinationRegistrationId": registration, "body": body})
}

fn path(number: &str) -> String {
    format!("/v1/messages/{number}")
}

async fn put(phone: &Phone, number: &str, messages: Value) -> String {
    shown(&phone.put(&path(number), json!({"messages": messages})).await)
}

async fn post(phone: &Phone, messages: Value) -> String {
    shown(&phone.post("/v1/messages/", json!({"messages": messages})).await)
}

async fn register_anew(node: &Node, phone: &Phone, registration_id: i32) {
    let registration = Registration {
        generation: uuid::Uuid::new_v4(),
        password: handfast::crypto::hash_password(b"another", handfast::crypto::Cost::Device).expect("hashed"),
        signaling_key: Zeroizing::new(SIGNALING_KEY),
        registration_id,
        fetches_messages: true,
        supports_sms: false,
    };
    let mut client = node.app.db.client().await.expect("a connection");
    let tx = client.transaction().await.expect("a transaction");
    phones::register(&tx, &node.app, &phone.number, &registration).await.expect("registered");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn a_message_waits_for_each_device_of_its_number() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let (bobs_second, node) = (bob.second_device(&scene.node).await, &scene.node);
    let alices_second = alice.second_device(node).await;

    let both = json!([to(1, REGISTRATION, "b25l"), to(2, 0, "dHdv")]);
    insta::assert_snapshot!(put(&alice, BOB, both).await, @"204");
    assert_eq!(texts(node, &bob).await, ["one"]);
    assert_eq!(texts(node, &bobs_second).await, ["two"]);
    let (first, second) = (&envelopes_of(node, &bob).await[0], &envelopes_of(node, &bobs_second).await[0]);
    assert_eq!((first.kind, first.source.as_deref(), first.source_device), (Some(1), Some(ALICE), Some(1)));
    assert_eq!((&first.relay, first.destinations.len()), (&None, 0));
    assert_eq!(first.timestamp, second.timestamp, "one message has one time");
    let now = node.app.clock.now().as_millisecond().unsigned_abs();
    let age = now.abs_diff(first.timestamp.expect("a time"));
    assert!(age < 60_000, "{age} ms");

    // Bodies are padded or not; what is none is left out; everything else in the request is let be.
    let request = json!({
        "destination": "+1", "relay": "", "timestamp": "x", "more": {},
        "messages": [
            {"type": 3, "destinationDeviceId": 1, "body": "dGhyZWUhIQ", "timestamp": 7},
            {"destinationDeviceId": "2", "body": "####"},
        ],
    });
    let sent = alices_second.put(&path("%2B14155550102"), request).await;
    insta::assert_snapshot!(shown(&sent), @"204");
    assert_eq!(texts(node, &bob).await, ["one", "three!!"]);
    let last = envelopes_of(node, &bobs_second).await.pop().expect("an envelope");
    assert_eq!((last.kind, last.message, last.source_device), (Some(0), None, Some(2)));

    // The same device twice is written to twice, as it ever was.
    let twice = json!([to(1, 0, "Zm91cg=="), to(1, 0, "Zml2ZQ=="), to(2, 0, "YQ==")]);
    insta::assert_snapshot!(put(&alice, BOB, twice).await, @"204");
    assert_eq!(texts(node, &bob).await, ["one", "three!!", "four", "five"]);

    // What is taken is gone, once; what is stored is sealed.
    let stored = waiting(node, &bob).await;
    let ids: Vec<_> = stored.iter().map(|stored| stored.id).collect();
    assert_eq!(envelopes::take(&node.app, &bobs_second.number, 2, &ids).await.expect("taken"), 0, "another's mailbox");
    assert_eq!(envelopes::take(&node.app, &bob.number, 1, &ids[..3]).await.expect("taken"), 3);
    assert_eq!(envelopes::take(&node.app, &bob.number, 1, &ids[..3]).await.expect("taken"), 0);
    assert!(envelopes::find(&node.app, ids[0]).await.expect("read").is_none());
    assert_eq!(texts(node, &bob).await, ["five"]);
    let dump: String = node.value("select string_agg(encode(content, 'escape'), ' ') from envelopes").await;
    assert!(!dump.contains("five") && !dump.contains(ALICE), "{dump}");
}

/// Specification §1.12: a client opens the stored envelope with the key that it registered with, by the description alone.
#[tokio::test]
async fn a_stored_envelope_opens_with_the_devices_key() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "aGVsbG8=")])).await, @"204");
    let stored = waiting(&scene.node, &bob).await.pop().expect("a message");
    let sealed = seal::seal(&bob.signaling_key, &stored.content);
    let (text, mac) = sealed.split_at(sealed.len() - 10);
    assert_eq!(text[0], 1, "the version");
    assert_eq!(&handfast::crypto::hmac_sha256(&SIGNALING_KEY[32..], &[text])[..10], mac);
    let plain = opened(&text[17..], text[1..17].try_into().expect("an IV"));
    assert_eq!(plain, *stored.content);
    let time = Envelope::from_plaintext(&plain).expect("an envelope").timestamp.expect("a time");
    let mut varint = Vec::new();
    let mut rest = time;
    while rest > 0x7f {
        varint.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    let expected = [b"\x08\x01\x12\x0c+14155550101\x28", varint.as_slice(), b"\x32\x05hello\x38\x01"].concat();
    assert_eq!(plain, expected);
}

fn opened(text: &[u8], iv: [u8; 16]) -> Vec<u8> {
    use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
    let key = UnboundCipherKey::new(&AES_256, &SIGNALING_KEY[..32]).expect("a key");
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).expect("a key");
    let mut text = text.to_vec();
    key.decrypt(&mut text, DecryptionContext::Iv128(iv.into())).expect("it opens").to_vec()
}

#[tokio::test]
async fn nothing_is_delivered_unless_all_is_right_and_the_first_mistake_is_told() {
    let scene = Scene::start().await;
    let (alice, bob) = (scene.phone(ALICE).await, scene.phone(BOB).await);
    let node = &scene.node;
    let good = || json!({"messages": [to(1, 0, "YQ==")]});

    // 401 goes before everything.
    insta::assert_snapshot!(shown(&scene.call("PUT", &path(BOB), Some(json!([]))).await), @r#"
    401
    www-authenticate: Basic realm="WhisperServer"
    content-type: text/plain
    Credentials are required to access this resource.
    "#);
    // The body goes before the number.
    for bad in [
        json!({}),
        json!({"messages": null}),
        json!({"messages": {}}),
        json!({"messages": [{}]}),
        json!({"messages": [{"body": ""}]}),
        json!({"messages": [{"body": null}]}),
        json!({"messages": [{"body": "YQ==", "type": "one"}]}),
        json!({"messages": [{"body": "YQ==", "destinationDeviceId": [1]}]}),
        json!("messages"),
    ] {
        let answer = shown(&alice.put(&path("+19999999999"), bad).await);
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"415") }
    }
    // 404: nobody; no number at all; a peer that is none of ours.
    for nobody in ["+19999999999", "bob", "%00"] {
        let answer = shown(&alice.put(&path(nobody), good()).await);
        insta::allow_duplicates! { insta::assert_snapshot!(answer, @"404") }
    }
    let elsewhere = json!({"relay": "nowhere", "messages": [to(1, 0, "YQ==")]});
    insta::assert_snapshot!(shown(&alice.put(&path(BOB), elsewhere).await), @"404");
    insta::assert_snapshot!(shown(&alice.get(&path(BOB)).await), @"
    405
    allow: PUT
    ");

    // 409 with both lists, 410 only where these are right.
    let second = bob.second_device(node).await;
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, REGISTRATION, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[2],"extraDevices":[]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 1, "YQ=="), to(3, 1, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[2],"extraDevices":[3]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[1,2],"extraDevices":[]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, REGISTRATION, "YQ=="), to(2, 1, "YQ==")])).await, @r#"
    410
    content-type: application/json
    {"staleDevices":[2]}
    "#);
    assert_eq!(node.value::<i64>("select count(*) from envelopes").await, 0, "nothing was delivered");

    // A device that is not reached by anything is none.
    node.execute("update devices set fetches_messages = false where device = 2").await;
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ=="), to(2, 0, "YQ==")])).await, @r#"
    409
    content-type: application/json
    {"missingDevices":[],"extraDevices":[2]}
    "#);
    insta::assert_snapshot!(put(&alice, BOB, json!([to(1, 0, "YQ==")])).await, @"204");
    assert_eq!((texts(node, &bob).await.len(), texts(node, &second).await.len()), (1, 0));

    let logs = node.logs();
    assert!(!logs.contains("4155550101") && !logs.contains("4155550102"), "a number was logged");
}

#[tokio::test]
async fn who_is_gone_is_never_said_to_have_been_reached() {
    let scene = Scene::start().await;
    let (alice, bob, carol) = (scene.phone(ALICE).await, scene.phone(BOB).await, scene.phone(CAROL).await);
    let node = &scene.node;
    let list =
        || json!([{"type": 1, "destination": BOB, "body": "YQ=="}, {"type": 1, "destination": CAROL, "body": "YQ=="}]);
    let message = || json!([to(1, 0, "YQ==")]);

    assert!(phones::set_disabled(&node.app, &bob.number, true).await.expect("disabled"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"404");
    insta::assert_snapshot!(post(&alice, list()).await, @r#"
    200
    content-type: application/json
    {"success":["+14155550103"],"failure":["+14155550102"]}
    "#);
    assert!(phones::set_disabled(&node.app, &bob.number, false).await.expect("enabled"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"204");

    assert!(phones::unregister(&node.app, &bob.number).await.expect("unregistered"));
    insta::assert_snapshot!(put(&alice, BOB, message()).await, @"404");
    insta::assert_snapshot!(shown(&alice.put("/v1/receipt/+14155550102/1", json!({})).await), @"404");
    assert!(waiting(node, &bob).await.is_empty(), "what waited for it has gone with it");

    // With its last push address gone, nothing reaches it.
    node.execute("update devices set fetches_messages = false").await;
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"404");
    insta::assert_snapshot!(shown(&carol.put("/v1/accounts/gcm/", json!({"gcmRegistrationId": "abc"})).await), @"204");
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"204");
    insta::assert_snapshot!(shown(&carol.delete("/v1/accounts/gcm/").await), @"204");
    insta::assert_snapshot!(put(&alice, CAROL, message()).await, @"404");
}
